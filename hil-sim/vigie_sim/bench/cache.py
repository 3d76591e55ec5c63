"""Where benches keep what takes long to make or has to be fetched."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``vigie/bench`` under the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vigie" / "bench"
