"""One device on a Modbus link: its plan, its time budget, its circuit breaker."""

from collections.abc import Callable, Sequence
from typing import Final

from vigie_protocols.backoff import Backoff
from vigie_protocols.driver import Answer, DevicePoints, DeviceState
from vigie_protocols.gateway import Link
from vigie_protocols.modbus.planner import costs_of, plan
from vigie_protocols.points import Quality, Value
from vigie_protocols.turn import Turn

BREAK: Final = 2
"""Requests without an answer, in a row, after which a device counts as dead and is only probed."""
SHARE: Final = 0.01
"""Largest share of a shared link's time that probing one dead device may take."""


class Station:
    """One device on the link: its plan, its budget, its circuit breaker."""

    def __init__(self, row: DevicePoints, link: Link, shared: bool, jitter: Callable[[], float]) -> None:
        self.name = row.device.name
        self.unit = row.device.unit
        self.limits = row.profile.limits
        self.turn = Turn(self.limits.in_flight)
        self.timeout_s = row.device.timeout_s or link.timeout_s
        self.points = {index: decl for index, decl in row.points if decl.address is not None}
        costs = costs_of(link, self.limits)
        self.blocks = plan(self.name, self.unit, row.points, self.limits, costs)
        self.whole = plan(self.name, self.unit, row.points, self.limits, costs, by_rate=False)
        self.indices = tuple(self.points)
        self.state = DeviceState(self.name)
        self.misses = 0
        self.open = False
        self.probe_at = float("-inf")
        self._least = self.timeout_s / SHARE if shared else 0.0
        self._backoff = Backoff(link.retry.first_s, link.retry.max_s, jitter)

    def answered(self, now: float) -> None:
        """It lives."""
        if self.open or self.misses or not self.state.up:
            self.misses, self.open = 0, False
            self._backoff.reset()
            self.state.up, self.state.error = True, ""
        self.state.last_good = now

    def missed(self, now: float, why: str) -> bool:
        """No answer; True when the device just became dead."""
        self.misses += 1
        self.state.failures += 1
        self.state.error = why
        if self.open or self.misses >= BREAK:
            became = not self.open
            self.open, self.state.up = True, False
            # On a shared line a dead device may take SHARE of the time, whatever its neighbours need.
            self.probe_at = now + max(self._least, self._backoff.delay())
            return became
        return False

    def known(self) -> dict[int, Value]:
        """The last known value of every point, the zero of its type where there is none."""
        known: dict[int, Value] = {index: decl.zero for index, decl in self.points.items()}
        for block in (*self.whole, *self.blocks):
            known.update(zip(block.indices, block.values, strict=False))
        return known

    def bad(self, indices: Sequence[int], now: float) -> Answer:
        """These points as bad, with their last known values."""
        known = self.known()
        return Answer(tuple(indices), [known[index] for index in indices], Quality.BAD, 0.0, now)
