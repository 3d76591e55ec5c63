"""One process of a kind per runtime directory: kernel locks that end with their holder, however it ends.

POSIX record locks: not inherited over a fork, gone with the process that took them, and the kernel tells
who holds one. So nobody relies on a file of process numbers that may be stale. What the holder says of itself
stands in the locked file, and counts only while its process number is the one that the kernel gives.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vigie_protocols.errors import PermanentError

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""
_GONE_S = 5.0
_LONGEST = 4096


class AlreadyRunning(PermanentError):
    """Another process of this kind runs on this runtime directory."""


class Papers(msgspec.Struct, frozen=True):
    """What a process says of itself.

    terms: hash of all it was started with. started: monotonic second. restarts: how often its kind was started
    again before.
    """

    pid: int
    terms: str
    started: float
    restarts: int = 0


@contextlib.contextmanager
def alone(runtime: Path, name: str, papers: Papers | None = None) -> Iterator[None]:
    """Hold the lock of process ``name``; raises AlreadyRunning when somebody else does.

    papers: left in the locked file until the process ends in order.
    """
    fd = _open(runtime, name)
    try:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = holder(runtime, name)
            raise AlreadyRunning(
                f"{name} of {runtime} runs already as process {pid}; end that one first"
            ) from error
        os.ftruncate(fd, 0)
        if papers is not None:
            os.pwrite(fd, msgspec.json.encode(papers), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def holder(runtime: Path, name: str) -> int:
    """Process number of who holds the lock of ``name``, 0 when nobody does (or we ourselves)."""
    fd = _open(runtime, name)
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else pid


def papers_of(runtime: Path, name: str) -> Papers | None:
    """The papers of who holds the lock of ``name``; None when nobody does, or has none that are its own."""
    fd = _open(runtime, name)
    try:
        pid = _holder(fd)
        try:
            papers = msgspec.json.decode(os.pread(fd, _LONGEST, 0), type=Papers)
        except msgspec.DecodeError:
            return None
    finally:
        os.close(fd)
    return papers if papers.pid == pid else None


def left_in_order(runtime: Path, name: str) -> bool:
    """True when the last holder of ``name`` took its papers with it: it ended because it was done."""
    fd = _open(runtime, name)
    try:
        return os.fstat(fd).st_size == 0
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
