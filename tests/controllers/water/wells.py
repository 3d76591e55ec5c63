"""A wet well to try guards on: water in, pumps out, contacts that may lie."""

from dataclasses import dataclass, field
from typing import Any

from vigie_controllers.loops import GuardedLoop
from vigie_controllers.registry import KINDS
from vigie_controllers.water.domain import WaterDomain
from vigie_controllers.water.site import WaterSite, water_roles
from vigie_protocols.points import Quality, Reading, Value

SITE: dict[str, Any] = {
    "level_max_m": 4.0,
    "dry_run_m": 0.4,
    "alarm_high_m": 2.6,
    "high_float_m": 2.8,
    "pumps": [
        {
            "min_run_s": 10,
            "min_off_s": 30,
            "max_starts_per_hour": 12,
            "current_dry_a": 4.0,
            "current_max_a": 30.0,
        },
        {
            "min_run_s": 10,
            "min_off_s": 30,
            "max_starts_per_hour": 12,
            "current_dry_a": 4.0,
            "current_max_a": 30.0,
        },
    ],
    "basin": {"level_max_m": 3.0, "gate_low_pct": 5.0, "gate_safe_pct": 60.0},
}
LEVELS: dict[str, Any] = {"lead_start_m": 1.4, "lead_stop_m": 0.7, "lag_start_m": 1.9, "lag_stop_m": 1.0}
CLOCK = Reading(0.0, Quality.BAD)


def domain(site: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()) -> WaterDomain:
    raw = {**SITE, **(site or {})}
    roles = water_roles(WaterSite.model_validate(raw))
    return WaterDomain.of(raw, {role.name: f"st/{role.name}" for role in roles if role.name not in leave_out})


def loop(
    params: dict[str, Any] | None = None, site: dict[str, Any] | None = None, leave_out: tuple[str, ...] = ()
) -> GuardedLoop[Any, Any]:
    kind = KINDS["water.level"]
    return GuardedLoop("station", 1.0, domain(site, leave_out), [(kind, {**LEVELS, **(params or {})})])


@dataclass
class Well:
    """One square metre of well per ``area_m2``; pumps of ``capacity_m3s`` each; obeys what is written."""

    loop: GuardedLoop[Any, Any]
    level: float = 1.0
    area_m2: float = 10.0
    capacity_m3s: tuple[float, ...] = (0.03, 0.03)
    now: float = 1000.0
    broken: set[int] = field(default_factory=set)
    """Pumps (from 1) that do not run when told."""
    says: dict[str, Value] = field(default_factory=dict)
    """Readings that lie."""
    bad: set[str] = field(default_factory=set)
    """Roles that cannot be read."""
    forces: dict[str, Value] = field(default_factory=dict)
    running: list[bool] = field(default_factory=list)
    starts: list[tuple[float, int]] = field(default_factory=list)
    spilt_m3: float = 0.0
    interventions: list[Any] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = self.running or [False] * len(self.capacity_m3s)

    def truth(self, role: str) -> Value:
        site = self.loop.domain.site
        parts = role.split(".")
        if parts[0] == "level":
            return self.level
        if role == "float.high":
            return self.level >= site.high_float_m
        if role == "float.low":
            return self.level > 0.5
        if role == "basin.level":
            return 1.0
        on = self.running[int(parts[1]) - 1]
        return {"running": on, "fault": False, "mode": 2, "current": 12.0 if on else 0.0}[parts[2]]

    def readings(self) -> tuple[Reading[Value], ...]:
        rows = []
        for point in self.loop.domain.reads:
            role = point.removeprefix("st/")
            quality = Quality.BAD if role in self.bad else Quality.GOOD
            rows.append(Reading(self.says.get(role, self.truth(role)), quality, 0.0, self.now))
        return tuple(rows)

    def scan(self, inflow_m3s: float = 0.0, seconds: float = 1.0) -> dict[str, Value]:
        """One scan, then ``seconds`` of water."""
        step = self.loop.step(self.now, CLOCK, False, self.readings(), self.forces)
        self.interventions.extend(step.interventions)
        self.decisions.extend(step.decisions)
        written = {
            point.removeprefix("st/"): value
            for point, value in zip(self.loop.domain.writes, step.values, strict=True)
        }
        for n in range(1, len(self.running) + 1):
            mode = self.says.get(f"pump.{n}.mode", 2)
            on = mode == 1 or (mode == 2 and written[f"pump.{n}.run"] is True)
            on = on and n not in self.broken
            if on and not self.running[n - 1]:
                self.starts.append((self.now, n))
            self.running[n - 1] = on
        out = sum(each for each, on in zip(self.capacity_m3s, self.running, strict=True) if on)
        self.level += (inflow_m3s - out) * seconds / self.area_m2
        if self.level > 4.0:
            self.spilt_m3 += (self.level - 4.0) * self.area_m2
        self.level = min(max(self.level, 0.05), 4.0)
        self.now += seconds
        return written

    def run(self, seconds: float, inflow_m3s: float = 0.0) -> dict[str, Value]:
        written: dict[str, Value] = {}
        for _ in range(int(seconds)):
            written = self.scan(inflow_m3s)
        return written

    def rules(self) -> set[str]:
        return {one.rule for one in self.interventions}


def settled(well: Well) -> Well:
    """Past the delay after power came back, and the minimum off time."""
    well.run(35, 0.0)
    well.interventions.clear()
    well.decisions.clear()
    return well


__all__ = ["CLOCK", "LEVELS", "SITE", "Well", "domain", "loop", "settled"]
