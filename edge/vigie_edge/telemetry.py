"""What is worth a telemetry sample: deadbands and intervals per point. Decides what is published, never
what is kept for replay."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vigie_edge.config import FIRST_DEVICE_POINT, Plan
from vigie_protocols.points import CLOCK_TRUST, NEVER, Value

Sample = tuple[int, Value, int]
"""(place in the table, value, quality). Samples of the agent's own points belong to no device: ""."""


@dataclass(slots=True)
class _Rule:
    device: str
    deadband: float
    percent: float
    max_interval_s: float
    value: Value | None = None
    quality: int = -1
    at: float = NEVER
    newest: Value | None = None
    newest_quality: int = 0


class Publisher:
    """Chooses samples. Times are seconds on the monotonic clock (simulated in lock-step)."""

    def __init__(self, plan: Plan) -> None:
        self._rules: dict[int, _Rule] = {}
        outputs = {decl.name for decl in plan.outputs}
        self._rules[plan.table.index[CLOCK_TRUST]] = _Rule("", 0.0, 0.0, 300.0)
        self._outputs = {index + FIRST_DEVICE_POINT for index in plan.output_points}
        for index, decl in enumerate(plan.points):
            if decl.publish is not None:
                publish = decl.publish
                self._rules[index + FIRST_DEVICE_POINT] = _Rule(
                    decl.device, publish.deadband, publish.percent, publish.max_interval_s
                )
            elif decl.name in outputs:
                self._outputs.discard(index + FIRST_DEVICE_POINT)
        self._next_sweep = NEVER

    def readings(self, now: float, changes: Iterable[tuple[int, Value, int]]) -> Mapping[str, list[Sample]]:
        """Samples by device out of readings; what control writes is published from its scans instead."""
        chosen: dict[str, list[Sample]] = {}
        for place, value, quality in changes:
            if place not in self._outputs:
                self._offer(now, place, value, quality, chosen)
        self._sweep(now, chosen)
        return chosen

    def outputs(self, now: float, changes: Iterable[tuple[int, Value]]) -> Mapping[str, list[Sample]]:
        """Samples by device out of what control decided to write; ``place`` as in the table."""
        chosen: dict[str, list[Sample]] = {}
        for place, value in changes:
            self._offer(now, place, value, 2, chosen)
        return chosen

    def _offer(
        self, now: float, place: int, value: Value, quality: int, chosen: dict[str, list[Sample]]
    ) -> None:
        rule = self._rules.get(place)
        if rule is None:
            return
        rule.newest, rule.newest_quality = value, quality
        if quality == rule.quality and not self._matters(rule, value):
            return
        self._take(now, place, rule, chosen)

    @staticmethod
    def _matters(rule: _Rule, value: Value) -> bool:
        last = rule.value
        if value == last:
            return False
        if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(last, int | float):
            return True
        if not rule.deadband and not rule.percent:
            return True
        step = abs(value - last)
        return not (step <= rule.deadband or step <= abs(last) * rule.percent / 100) or math.isnan(step)

    @staticmethod
    def _take(now: float, place: int, rule: _Rule, chosen: dict[str, list[Sample]]) -> None:
        assert rule.newest is not None
        rule.value, rule.quality, rule.at = rule.newest, rule.newest_quality, now
        chosen.setdefault(rule.device, []).append((place, rule.newest, rule.newest_quality))

    def _sweep(self, now: float, chosen: dict[str, list[Sample]]) -> None:
        """Once a second: points that have been quiet for their longest interval speak again."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + 1.0
        for place, rule in self._rules.items():
            if rule.newest is not None and rule.quality >= 0 and now - rule.at >= rule.max_interval_s:
                self._take(now, place, rule, chosen)
