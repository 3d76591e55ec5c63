"""Whose turn it is on a link: a few requests at once, those that write before those that read."""

import asyncio
from collections import deque


class Turn:
    """``await take(urgent)`` before a request, ``give()`` after it. Urgent ones go first, else in order."""

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._normal: deque[asyncio.Future[None]] = deque()

    async def take(self, urgent: bool) -> None:
        """Wait for a place."""
        if self._free > 0 and not self._urgent and (urgent or not self._normal):
            self._free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        queue = self._urgent if urgent else self._normal
        queue.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Leave the place to the next."""
        for queue in (self._urgent, self._normal):
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_result(None)
                    return
        self._free += 1
