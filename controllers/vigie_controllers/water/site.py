"""The physical facts of a pump station, the guard's limits, and the roles of its points.

Defaults follow what station makers ship (Flygt APP 541: 5 s between a stop and the next start, 10 s after
power returns; open pump specifications: 30 s minimum off, 10 s minimum on, 5 s dry run).
"""

from typing import Self

from pydantic import Field, model_validator

from vigie_controllers.loops import Strict
from vigie_controllers.roles import Role
from vigie_protocols.points import ValueType

PANEL_OFF, PANEL_HAND, PANEL_AUTO = 0, 1, 2
"""What a hand/off/auto switch reads."""


class PumpSite(Strict):
    """One pump: its motor's protection. Times in seconds, currents in amperes, speed in percent."""

    min_run_s: float = Field(default=10.0, ge=0, le=3600)
    min_off_s: float = Field(default=30.0, ge=0, le=3600)
    max_starts_per_hour: int = Field(default=12, ge=1, le=60)
    current_dry_a: float | None = Field(default=None, gt=0)
    """A running pump below this current for ``dry_s`` pumps air: latched."""
    current_max_a: float | None = Field(default=None, gt=0)
    """A running pump above this current for ``overload_s`` is overloaded or blocked: latched."""
    dry_s: float = Field(default=5.0, ge=0, le=600)
    overload_s: float = Field(default=5.0, ge=0, le=600)
    speed_low_pct: float = Field(default=40.0, ge=1, le=100)
    speed_high_pct: float = Field(default=100.0, gt=0, le=100)
    speed_ramp_pct_per_s: float = Field(default=10.0, gt=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.speed_low_pct > self.speed_high_pct:
            raise ValueError("speed_low_pct is above speed_high_pct")
        if (
            self.current_dry_a is not None
            and self.current_max_a is not None
            and self.current_dry_a >= self.current_max_a
        ):
            raise ValueError("current_dry_a is not below current_max_a")
        return self


class BasinSite(Strict):
    """A storage basin and the gate that lets it out towards the wet well. Openings in percent."""

    level_min_m: float = 0.0
    level_max_m: float = Field(gt=0)
    """The basin's crest: above it, it spills."""
    gate_low_pct: float = Field(default=0.0, ge=0, le=100)
    gate_high_pct: float = Field(default=100.0, ge=0, le=100)
    gate_rate_pct_per_s: float = Field(default=2.0, gt=0, le=100)
    gate_safe_pct: float = Field(default=100.0, ge=0, le=100)
    """Opening when nobody may decide: open, unless the site says otherwise."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.level_min_m >= self.level_max_m:
            raise ValueError("level_min_m is not below level_max_m")
        if not self.gate_low_pct <= self.gate_safe_pct <= self.gate_high_pct:
            raise ValueError("gate_low_pct <= gate_safe_pct <= gate_high_pct does not hold")
        return self


class WaterSite(Strict):
    """A pump station: wet well, pumps, perhaps a basin. Levels in metres above the well's floor.

    level_min_m, level_max_m: the sensor's range; a reading outside is a broken sensor.
    dry_run_m: below it no pump may run. alarm_high_m: above it, starts are no longer rationed.
    high_float_m: where the high float hangs; for people and simulators, the guard reads the float itself.
    """

    level_min_m: float = 0.0
    level_max_m: float = Field(gt=0)
    dry_run_m: float = Field(ge=0)
    alarm_high_m: float = Field(gt=0)
    high_float_m: float = Field(gt=0)
    area_m2: float | None = Field(default=None, gt=0)
    pumps: tuple[PumpSite, ...] = Field(min_length=1, max_length=8)
    max_running: int | None = Field(default=None, ge=1)
    """How many pumps may run together (supply, pipe); None: all."""
    start_gap_s: float = Field(default=5.0, ge=0, le=600)
    restart_delay_s: float = Field(default=10.0, ge=0, le=600)
    """No start for so long after power came back."""
    reading_max_age_s: float = Field(default=10.0, gt=0, le=600)
    level_rate_m_per_s: float = Field(default=0.2, gt=0)
    """A faster change is a broken sensor, not water."""
    level_settle_s: float = Field(default=30.0, ge=0, le=3600)
    """So long must a sensor that jumped behave before it is believed again."""
    level_disagree_m: float = Field(default=0.25, gt=0)
    level_frozen_s: float = Field(default=1800.0, ge=0)
    """A level that does not move at all for so long while a pump runs is frozen; 0: do not judge. Should it
    have been a true balance, the pumps' stop moves it at once and it is believed again."""
    float_run_s: float = Field(default=120.0, ge=1, le=3600)
    """In float mode pumps run on for so long after the high float has fallen."""
    basin: BasinSite | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.level_min_m <= self.dry_run_m < self.alarm_high_m <= self.level_max_m:
            raise ValueError("level_min_m <= dry_run_m < alarm_high_m <= level_max_m does not hold")
        if not self.dry_run_m < self.high_float_m:
            raise ValueError("high_float_m is not above dry_run_m")
        return self

    @property
    def together(self) -> int:
        """How many pumps may run together."""
        return len(self.pumps) if self.max_running is None else min(self.max_running, len(self.pumps))


def water_roles(site: WaterSite) -> tuple[Role, ...]:
    """The roles a loop of this site knows; pumps count from 1.

    level, level.2: m. float.high, float.low: True when in water. pump.<n>.run: command, written.
    running, fault: contacts. mode: 0 off, 1 hand, 2 auto, as the panel's switch reads. current: A.
    speed: %, written. basin.level: m. basin.gate: %, written. heartbeat: counts up with every scan of a
    healthy guard that is not blind; when it stands still, the station's own floats take over.
    """
    roles = [
        Role("level", ValueType.FLOAT, required=True),
        Role("level.2", ValueType.FLOAT),
        Role("float.high", ValueType.BOOL),
        Role("float.low", ValueType.BOOL),
    ]
    for n in range(1, len(site.pumps) + 1):
        roles += [
            Role(f"pump.{n}.run", ValueType.BOOL, write=True, required=True),
            Role(f"pump.{n}.running", ValueType.BOOL),
            Role(f"pump.{n}.fault", ValueType.BOOL),
            Role(f"pump.{n}.mode", ValueType.ENUM),
            Role(f"pump.{n}.current", ValueType.FLOAT),
            Role(f"pump.{n}.speed", ValueType.FLOAT, write=True),
        ]
    if site.basin is not None:
        roles += [Role("basin.level", ValueType.FLOAT), Role("basin.gate", ValueType.FLOAT, write=True)]
    roles.append(Role("heartbeat", ValueType.UINT, write=True))
    return tuple(roles)
