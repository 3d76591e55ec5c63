"""Doorbells: pipes that carry no data, only "look again".

Named pipes in the runtime directory, so that whoever comes later (a new supervisor beside children that went on
without the old one) rings and hears the same bells; anonymous ones within one process.
"""

import contextlib
import os
import select
from pathlib import Path

_ALL = 1 << 16
"""A pipe's whole room: one read takes every ring there is."""


class Doorbell:
    """Rung by one process, answered by another. A lost ring is never fatal: every waiter has a time-out.

    path: the named pipe, made where it is missing; None for a bell of this process and its children alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        if path is None:
            self.fd, self._ringing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            return
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read and write at once: so there is always a reader, and a ring meets no broken pipe.
        self.fd = self._ringing = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def __del__(self) -> None:
        """A process that makes one agent after another (a test, a simulation) keeps no pipe of the last."""
        for fd in {getattr(self, "fd", -1), getattr(self, "_ringing", -1)} - {-1}:
            with contextlib.suppress(OSError):
                os.close(fd)

    @property
    def identity(self) -> int:
        """The pipe's own number: two bells of one path are the same bell only while it is the same."""
        return os.fstat(self.fd).st_ino

    def only_ring(self) -> None:
        """Give up hearing this bell, so that its ring cannot be taken from the process it is for."""
        if self._path is not None:
            ringing = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.close(self.fd)
            self.fd = self._ringing = ringing

    def ring(self) -> None:
        """Wake the other side; ringing twice before it wakes is ringing once."""
        # Full: the bell is ringing already. Broken: nobody is there to hear it, for now.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._ringing, b"!")

    def answer(self) -> None:
        """Take every ring, if any."""
        with contextlib.suppress(BlockingIOError):  # nobody rang
            os.read(self.fd, _ALL)

    def wait(self, seconds: float) -> bool:
        """Wait for a ring at most ``seconds``; True when it rang. ``select``: poll counts in milliseconds."""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, seconds))
        if ready:
            self.answer()
        return bool(ready)
