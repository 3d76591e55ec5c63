"""One process of a kind per runtime directory: kernel locks that end with their holder, however it ends.

POSIX record locks: not inherited over a fork, gone with the process that took them, and the kernel tells
who holds one. So nobody relies on a file of process numbers that may be stale.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

from vigie_protocols.errors import PermanentError

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""
_GONE_S = 5.0


class AlreadyRunning(PermanentError):
    """Another process of this kind runs on this runtime directory."""


@contextlib.contextmanager
def alone(runtime: Path, name: str) -> Iterator[None]:
    """Hold the lock of process ``name``; raises AlreadyRunning when somebody else does."""
    fd = _open(runtime, name)
    try:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = holder(runtime, name)
            raise AlreadyRunning(
                f"{name} of {runtime} runs already as process {pid}; end that one first"
            ) from error
        yield
    finally:
        os.close(fd)


def holder(runtime: Path, name: str) -> int:
    """Process number of who holds the lock of ``name``, 0 when nobody does (or we ourselves)."""
    fd = _open(runtime, name)
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else pid
    finally:
        os.close(fd)


def retire(runtime: Path, name: str) -> bool:
    """End whoever holds the lock of ``name`` and wait until it is gone; True when there was somebody."""
    pid = holder(runtime, name)
    if pid <= 0:
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if holder(runtime, name) == pid:  # the number has not been given to another meanwhile
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _GONE_S)
    finally:
        os.close(handle)
    return True


def _open(runtime: Path, name: str) -> int:
    return os.open(runtime / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
