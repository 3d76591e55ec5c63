"""Memory-mapped files in the runtime directory.

Files, not ``multiprocessing.shared_memory``: there, a reader's exit unlinks the segment on Python 3.11.
"""

import mmap
import os
from pathlib import Path


def map_file(path: Path, size: int) -> mmap.mmap:
    """Map ``path`` shared and writable, making it ``size`` bytes of zeros if it is new or of another size."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)
