"""One device on a Modbus link: its plan, its time budget, the state of its circuit breaker."""

import functools
from collections.abc import Callable, Sequence

from vigie_protocols.backoff import Backoff
from vigie_protocols.driver import Answer, DevicePoints, DeviceState
from vigie_protocols.gateway import Link
from vigie_protocols.modbus.planner import Block, costs_of, plan
from vigie_protocols.points import Quality, Value
from vigie_protocols.turn import Turn


class Station:
    """One device on the link. open: it is dead and only probed, not before ``probe_at``."""

    def __init__(self, row: DevicePoints, link: Link, jitter: Callable[[], float]) -> None:
        self.name = row.device.name
        self.unit = row.device.unit
        self.limits = row.profile.limits
        self.turn = Turn(self.limits.in_flight)
        self.timeout_s = row.device.timeout_s or link.timeout_s
        self.points = {index: decl for index, decl in row.points if decl.address is not None}
        self._row, self._costs = row, costs_of(link, self.limits)
        self.blocks = plan(self.name, self.unit, row.points, self.limits, self._costs)
        self.indices = tuple(self.points)
        self.state = DeviceState(self.name)
        self.misses = 0
        self.open = False
        self.probe_at = float("-inf")
        self.backoff = Backoff(link.retry.first_s, link.retry.max_s, jitter)

    @functools.cached_property
    def whole(self) -> list[Block]:
        """Blocks that read every point at once, whatever its rate: for lock-step, so made when first asked for."""
        return plan(self.name, self.unit, self._row.points, self.limits, self._costs, by_rate=False)

    def answered(self, now: float) -> None:
        """It lives."""
        if self.open or self.misses or not self.state.up:
            self.misses, self.open = 0, False
            self.backoff.reset()
            self.state.up, self.state.error = True, ""
        self.state.last_good = now

    def missed(self, why: str, limit: int) -> bool:
        """No answer; True when the device just became dead, by its ``limit``-th miss in a row."""
        self.misses += 1
        self.state.failures += 1
        self.state.error = why
        died = not self.open and self.misses >= limit
        if died:
            self.open, self.state.up = True, False
        return died

    def known(self) -> dict[int, Value]:
        """The last known value of every point, the zero of its type where there is none."""
        known: dict[int, Value] = {index: decl.zero for index, decl in self.points.items()}
        for block in (*self.__dict__.get("whole", ()), *self.blocks):
            known.update(zip(block.indices, block.values, strict=False))
        return known

    def bad(self, indices: Sequence[int], now: float) -> Answer:
        """These points as bad, with their last known values."""
        known = self.known()
        return Answer(tuple(indices), [known[index] for index in indices], Quality.BAD, 0.0, now)
