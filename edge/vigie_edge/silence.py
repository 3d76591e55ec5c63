"""When a connection that acknowledges nothing is given up for a new one.

A broker can keep a session alive, answer its pings and still deliver nothing to it (its own books of who
is connected gone wrong after a take-over). Only an acknowledgement from the far end proves a link. A
coordinator that is away looks the same from here, so that each new connection waits twice as long as the
last: it costs a gateway a handful of connections a day, and a fleet no storm.
"""

FIRST_S = 30.0
MAX_S = 3600.0


class Silence:
    """Pure: ``now`` is monotonic seconds. first_s: what the first connection may take."""

    def __init__(self, first_s: float = FIRST_S) -> None:
        self._first = first_s
        self._span = first_s
        self._since = 0.0
        self.unheard = False
        """True from the first connection given up until something is acknowledged, or nothing is owed."""

    def connected(self, now: float) -> None:
        """A new connection stands."""
        self._since = now

    def heard(self, now: float) -> None:
        """An acknowledgement came."""
        self._since = now
        self._span = self._first
        self.unheard = False

    def too_long(self, now: float, waiting: int) -> bool:
        """Whether to connect anew; ``waiting`` records have been sent and not acknowledged."""
        if not waiting:
            self._since = now
            self.unheard = False
            return False
        if now - self._since < self._span:
            return False
        self._since = now
        self._span = min(MAX_S, self._span * 2)
        self.unheard = True
        return True
