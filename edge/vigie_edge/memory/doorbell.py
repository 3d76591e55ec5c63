"""Doorbells: eventfds that carry no data, only "look again". Made before the fork, so both sides hold them."""

import os
import select


class Doorbell:
    """Rung by one process, answered by another. A lost ring is never fatal: every waiter has a time-out."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Wake the other side; ringing twice before it wakes is ringing once."""
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            return  # the counter is full: the bell is ringing already

    def answer(self) -> None:
        """Take the ring, if any."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return  # nobody rang

    def wait(self, seconds: float) -> bool:
        """Wait for a ring at most ``seconds``; True when it rang. ``select``: poll counts in milliseconds."""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, seconds))
        if ready:
            self.answer()
        return bool(ready)
