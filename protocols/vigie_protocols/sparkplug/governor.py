"""How often nodes may be asked for their births: a token bucket for all, a pause for each.

Births are large and trouble comes to the whole fleet at once (a restarted host, a broker's overflow), so
unbounded requests would make the trouble worse. Pure: the caller gives the time.
"""

from vigie_protocols.sparkplug.actions import NodeId


class RebirthGovernor:
    """Callable: may this node be asked at ``now`` (monotonic seconds)?

    rate: requests a second over the fleet, in bursts of ``burst``. pause: seconds between two requests to
    one node, doubled with each request that brings no birth, up to ``max_pause``.
    """

    def __init__(
        self, rate: float = 100.0, burst: int = 200, pause: float = 2.0, max_pause: float = 300.0
    ) -> None:
        self.granted = 0
        self.suppressed = 0
        self._rate = rate
        self._burst = burst
        self._pause = pause
        self._max_pause = max_pause
        self._tokens = float(burst)
        self._filled = 0.0
        self._nodes: dict[NodeId, tuple[float, float]] = {}

    def __call__(self, node: NodeId, now: float) -> bool:
        """True when the request may go out now; it then counts as sent."""
        not_before, pause = self._nodes.get(node, (now, self._pause))
        self._tokens = min(float(self._burst), self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if now < not_before or self._tokens < 1.0:
            self.suppressed += 1
            return False
        self._tokens -= 1.0
        self.granted += 1
        self._nodes[node] = (now + pause, min(pause * 2, self._max_pause))
        return True

    def born(self, node: NodeId) -> None:
        """The node sent its births: its pause starts small again, but not from nothing."""
        if node in self._nodes:
            self._nodes[node] = (self._nodes[node][0], self._pause)
