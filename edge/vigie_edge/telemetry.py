"""What is worth a telemetry sample: deadbands and intervals per point. Decides what is published, never
what is kept for replay."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
    seen: int = 0
    """Quality of ``newest`` before the first change."""
    banded: bool = field(init=False)
    """False where every change counts."""

    def __post_init__(self) -> None:
        self.banded = bool(self.deadband or self.percent)


def _beyond(rule: _Rule, value: Value) -> bool:
    """True when ``value`` is outside the band around the last sample, or is nothing a band applies to."""
    last = rule.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(last, int | float):
        return True
    step = abs(value - last)
    return not (step <= rule.deadband or step <= abs(last) * rule.percent / 100) or math.isnan(step)


class Publisher:
    """Chooses samples. Times are seconds on the monotonic clock (simulated in lock-step)."""

    def __init__(self, plan: Plan) -> None:
        self._rules: dict[int, _Rule] = {}
        outputs = {decl.name for decl in plan.outputs}
        self._rules[plan.table.index[CLOCK_TRUST]] = _Rule("", 0.0, 0.0, 300.0)
        apart = {index + FIRST_DEVICE_POINT for index in plan.output_points}
        for index, decl in enumerate(plan.points):
            if decl.publish is not None:
                publish = decl.publish
                self._rules[index + FIRST_DEVICE_POINT] = _Rule(
                    decl.device, publish.deadband, publish.percent, publish.max_interval_s
                )
            elif decl.name in outputs:
                apart.discard(index + FIRST_DEVICE_POINT)
        self._read = {place: rule for place, rule in self._rules.items() if place not in apart}
        """Of what is published from readings; what control writes is published from its scans."""
        self._next_sweep = NEVER

    def readings(self, now: float, changes: Iterable[tuple[int, Value, int]]) -> Mapping[str, list[Sample]]:
        """Samples by device out of readings; what control writes is published from its scans instead."""
        return self._choose(now, changes, self._read)

    def begin(self, now: float, shown: Iterable[tuple[int, Value, int]]) -> None:
        """Take up what the image shows: a point that never changes again still speaks in its longest interval.

        A change that is on its way counts as one all the same, also when the image shows its value already.
        """
        for place, value, quality in shown:
            rule = self._read.get(place)
            if rule is not None and rule.newest is None:
                rule.newest, rule.seen, rule.at = value, quality, now

    def quiet(self, now: float) -> Mapping[str, list[Sample]]:
        """Samples of points whose longest interval is over; to be asked also while nothing changes."""
        chosen: dict[str, list[Sample]] = {}
        if now >= self._next_sweep:
            self._sweep(now, chosen)
        return chosen

    def outputs(self, now: float, changes: Iterable[tuple[int, Value]]) -> Mapping[str, list[Sample]]:
        """Samples by device out of what control decided to write; ``place`` as in the table."""
        return self._choose(now, [(place, value, 2) for place, value in changes], self._rules)

    def _choose(
        self, now: float, changes: Iterable[Sample], rules: Mapping[int, _Rule]
    ) -> dict[str, list[Sample]]:
        """One loop without calls: ten thousand readings a second go through it."""
        chosen: dict[str, list[Sample]] = {}
        row: list[Sample] = []
        device: str | None = None
        for sample in changes:
            place, value, quality = sample
            rule = rules.get(place)
            if rule is None:
                continue
            if quality == rule.quality:
                if value == rule.value:
                    rule.newest = value
                    continue
                if rule.banded and not _beyond(rule, value):
                    rule.newest = value
                    continue
            rule.value = rule.newest = value
            rule.quality = quality
            rule.at = now
            if rule.device != device:
                device = rule.device
                row = chosen.setdefault(device, [])
            row.append(sample)
        return chosen

    def _sweep(self, now: float, chosen: dict[str, list[Sample]]) -> None:
        """Once a second: points that have been quiet for their longest interval speak again."""
        self._next_sweep = now + 1.0
        for place, rule in self._rules.items():
            if rule.newest is not None and now - rule.at >= rule.max_interval_s:
                rule.value, rule.at = rule.newest, now
                rule.quality = rule.seen if rule.quality < 0 else rule.quality
                chosen.setdefault(rule.device, []).append((place, rule.newest, rule.quality))
