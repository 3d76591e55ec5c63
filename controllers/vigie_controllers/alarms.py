"""Local alarms: points that stand where their profile says somebody should know (ISA-18.2 words).

They are judged on the gateway, also when it is cut off; the coordinator only hears of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vigie_controllers.contract import State
from vigie_protocols.points import Reading, Value

Severity = Literal["low", "medium", "high", "critical"]
REPORTED: Severity = "low"
"""Of what loops report: one detector less does not stop a junction."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """When a point is in alarm: equal to ``when``, above ``above``, or below ``below``.

    place: of the point in the image; unit: of its numbers. delay_s: it must stand so long; deadband: a number
    must come back so far inside its limit before the alarm clears.
    """

    point: str
    place: int
    severity: Severity
    when: Value | None = None
    above: float | None = None
    below: float | None = None
    delay_s: float = 0.0
    deadband: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm that began or ended."""

    point: str
    active: bool
    severity: Severity
    reason: str


class AlarmWatch:
    """All alarms of a gateway: those of its points' rules, and what its loops report of points.

    A bad reading changes nothing for a rule: what cannot be read is told elsewhere. sources: names of the loops.
    """

    def __init__(self, rules: Sequence[AlarmRule], sources: Collection[str] = ()) -> None:
        self._rules = tuple(rules)
        self._reported: dict[str, dict[str, str]] = {source: {} for source in sources}
        self._since: dict[str, float] = {}
        self._active: dict[str, str] = {}
        self._pending = False
        self._frame: object = None

    def step(self, now: float, readings: Sequence[Reading[Value]]) -> tuple[AlarmChange, ...]:
        """What began or ended; costs nothing while the image stands and no delay runs."""
        if readings is self._frame and not self._pending:
            return ()
        self._frame = readings
        self._pending = False
        changes: list[AlarmChange] = []
        for rule in self._rules:
            reading = readings[rule.place]
            if not reading.usable:
                continue
            why = _why(rule, reading.value, rule.point in self._active)
            if why is None:
                self._since.pop(rule.point, None)
                if self._active.pop(rule.point, None) is not None:
                    changes.append(
                        AlarmChange(rule.point, False, rule.severity, f"{reading.value} is normal")
                    )
                continue
            began = self._since.get(rule.point, now)
            if began >= now:  # it begins, or the monotonic clock began anew
                began = self._since[rule.point] = now
            if rule.point in self._active:
                continue
            if now - began >= rule.delay_s:
                self._active[rule.point] = why
                changes.append(AlarmChange(rule.point, True, rule.severity, why))
            else:
                self._pending = True
        return tuple(changes)

    def report(self, source: str, conditions: Mapping[str, str]) -> tuple[AlarmChange, ...]:
        """What a loop finds wrong with points (point -> reason), all of it each time; what began or ended."""
        before = self._reported[source]
        began = [
            AlarmChange(point, True, REPORTED, why)
            for point, why in conditions.items()
            if before.get(point) != why
        ]
        ended = [
            AlarmChange(point, False, REPORTED, "is believed again")
            for point in before
            if point not in conditions
        ]
        self._reported[source] = dict(conditions)
        return (*began, *ended)

    def active(self) -> list[AlarmChange]:
        """Alarms that stand: in the order of the rules, then what loops report."""
        by_rule = [
            AlarmChange(rule.point, True, rule.severity, self._active[rule.point])
            for rule in self._rules
            if rule.point in self._active
        ]
        reported = [
            AlarmChange(point, True, REPORTED, why)
            for conditions in self._reported.values()
            for point, why in conditions.items()
        ]
        return by_rule + reported

    def snapshot(self) -> State:
        """What stands and since when; instants on the monotonic clock."""
        reported = {source: dict(conditions) for source, conditions in self._reported.items()}
        return {"since": dict(self._since), "active": dict(self._active), "reported": reported}

    def restore(self, state: State) -> None:
        """Take up a snapshot; alarms of points that no longer have a rule are dropped."""
        known = {rule.point for rule in self._rules}
        self._since = {point: since for point, since in state["since"].items() if point in known}
        self._active = {point: why for point, why in state["active"].items() if point in known}
        reported = state.get("reported", {})
        self._reported = {source: dict(reported.get(source, {})) for source in self._reported}
        self._pending = True


def _why(rule: AlarmRule, value: Value, active: bool) -> str | None:
    if rule.when is not None:
        return f"is {value}" if value == rule.when else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    back = rule.deadband if active else 0.0
    unit = rule.unit and f" {rule.unit}"
    if rule.above is not None and value > rule.above - back:
        return f"{value:g}{unit} is above {rule.above:g}{unit}"
    if rule.below is not None and value < rule.below + back:
        return f"{value:g}{unit} is below {rule.below:g}{unit}"
    return None
