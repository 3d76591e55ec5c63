"""When to try again: exponential back-off with full jitter, so that a fleet never knocks in step."""

from collections.abc import Callable


class Backoff:
    """Delays drawn from [0, first * 2**n], capped; ``jitter`` gives numbers in [0, 1).

    Full jitter from the very first retry on (after M. Brooker, "Exponential Backoff And Jitter").
    """

    def __init__(self, first_s: float, max_s: float, jitter: Callable[[], float]) -> None:
        self._first = first_s
        self._max = max_s
        self._jitter = jitter
        self._tries = 0

    def delay(self) -> float:
        """Seconds to wait before the next try."""
        ceiling: float = min(self._max, self._first * 2 ** min(self._tries, 30))
        self._tries += 1
        return ceiling * self._jitter()

    def reset(self) -> None:
        """It worked: begin from the first step again."""
        self._tries = 0
