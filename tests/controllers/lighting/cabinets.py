"""A cabinet to try controllers and guard on."""

import calendar
from dataclasses import dataclass, field
from typing import Any

from vigie_controllers.lighting.domain import LightingDomain
from vigie_controllers.lighting.site import LightingSite, lighting_roles
from vigie_controllers.loops import GuardedLoop
from vigie_controllers.registry import KINDS
from vigie_protocols.points import Quality, Reading, Value

SITE: dict[str, Any] = {
    "latitude": 45.5019,
    "longitude": -73.5674,
    "segments": [
        {"lamps": 20, "road_class": "M3", "floor_pct": 50.0},
        {"lamps": 10, "road_class": "P4", "floor_pct": 20.0},
    ],
    "lamp_segments": [1, 2],
}


def utc(day: int, hour: int, minute: int = 0, month: int = 10) -> float:
    """UTC of 2026, October unless another month; hours may go beyond 24."""
    return float(calendar.timegm((2026, month, day, 0, 0, 0, 0, 0, 0))) + 3600.0 * hour + 60.0 * minute


NOON, MIDNIGHT, DUSK = utc(10, 17), utc(10, 28, 40), utc(10, 22)
"""Montreal, 10 October: noon, the virtual midnight (04:40 UTC), well before sunset (22:15 UTC)."""


def domain(site: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()) -> LightingDomain:
    raw = {**SITE, **(site or {})}
    roles = lighting_roles(LightingSite.model_validate(raw))
    return LightingDomain.of(
        raw, {role.name: f"cab/{role.name}" for role in roles if role.name not in leave_out}
    )


def loop(
    params: dict[str, Any] | None = None, site: dict[str, Any] | None = None, kind: str = "lighting.astro"
) -> GuardedLoop[Any, Any]:
    return GuardedLoop("cabinet", 1.0, domain(site), [(KINDS[kind], params or {})])


@dataclass
class Cabinet:
    """Scans a loop at a time of day; readings as set."""

    loop: GuardedLoop[Any, Any]
    utc: float = NOON
    now: float = 1000.0
    clock: Quality = Quality.GOOD
    lux: Value = 0.0
    lux_quality: Quality = Quality.BAD
    mode: Value = 2
    mode_quality: Quality = Quality.GOOD
    forces: dict[str, Value] = field(default_factory=dict)
    interventions: list[Any] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)

    def scan(self, seconds: float = 1.0) -> dict[str, Value]:
        self.now += seconds
        self.utc += seconds
        rows: dict[str, Reading[Value]] = {
            "cab/photocell": Reading(self.lux, self.lux_quality, 0.0, self.now),
            "cab/mode": Reading(self.mode, self.mode_quality, 0.0, self.now),
            "cab/meter.power": Reading(1000.0, Quality.GOOD, 0.0, self.now),
        }
        clock = Reading(self.utc, self.clock, self.utc, self.now)
        readings = tuple(rows[point] for point in self.loop.domain.reads)
        step = self.loop.step(self.now, clock, False, readings, self.forces)
        self.interventions.extend(step.interventions)
        self.decisions.extend(step.decisions)
        return {
            point.removeprefix("cab/"): value
            for point, value in zip(self.loop.domain.writes, step.values, strict=True)
        }

    def levels(self, seconds: float = 1.0) -> tuple[Value, Value]:
        written = self.scan(seconds)
        return written["segment.1.level"], written["segment.2.level"]

    def rules(self) -> set[str]:
        return {one.rule for one in self.interventions}
