"""The physical facts of a lighting cabinet, the guard's limits, and the roles of its points."""

from typing import Self

from pydantic import Field, model_validator

from vigie_controllers.loops import Strict
from vigie_controllers.roles import Role
from vigie_protocols.points import ValueType

PANEL_OFF, PANEL_HAND, PANEL_AUTO = 0, 1, 2
"""What the cabinet's hand/off/auto switch reads."""


class SegmentSite(Strict):
    """A feeder segment: lamps that take one level. Levels in percent, power in watts per lamp.

    floor_pct: the least level at night for this road class; never 0, a street is never dark.
    """

    lamps: int = Field(ge=1, le=1000)
    road_class: str = Field(default="M4", pattern=r"^[A-Z][0-9A-Za-z]{0,7}$")
    floor_pct: float = Field(default=30.0, ge=1, le=100)
    rated_w: float = Field(default=80.0, gt=0, le=2000)


class LightingSite(Strict):
    """A cabinet: where it stands, its segments, when it must be lit.

    latitude, longitude: degrees, north and east positive; the sun sets 120 s apart over the island of
    Montreal, so each cabinet has its own.
    dark_below_deg: with the sun's centre below this elevation the floor holds, whatever anybody wants.
    service_below_deg: without any controller, light below this elevation.
    bright_lux: a good photocell above this says day, when the clock cannot.
    ramp_pct_per_s: fastest change of a level; 0: no limit.
    lamp_segments: for single lamps bound as ``lamp.<n>.level``, the segment (from 1) each belongs to.
    """

    latitude: float = Field(ge=-65, le=65)
    longitude: float = Field(ge=-180, le=180)
    segments: tuple[SegmentSite, ...] = Field(min_length=1, max_length=64)
    dark_below_deg: float = Field(default=-6.0, ge=-12, le=0)
    service_below_deg: float = Field(default=-0.833, ge=-6, le=6)
    bright_lux: float = Field(default=500.0, gt=0)
    photocell_max_age_s: float = Field(default=120.0, gt=0, le=3600)
    ramp_pct_per_s: float = Field(default=0.0, ge=0, le=100)
    lamp_segments: tuple[int, ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _lamps_belong(self) -> Self:
        if self.service_below_deg < self.dark_below_deg:
            raise ValueError("service_below_deg is below dark_below_deg")
        for lamp, segment in enumerate(self.lamp_segments, 1):
            if not 1 <= segment <= len(self.segments):
                raise ValueError(f"lamp_segments: lamp {lamp} names segment {segment}, which does not exist")
        return self


def lighting_roles(site: LightingSite) -> tuple[Role, ...]:
    """The roles a loop of this site knows; segments and lamps count from 1.

    segment.<n>.level: %, written. lamp.<n>.level: %, written, optional: follows its segment unless a
    lease forces it. contactor: True feeds the segments, written. photocell: lux. mode: 0 off, 1 hand (on),
    2 auto, as the panel's switch reads. meter.power: W. heartbeat: counts up with every healthy scan.
    """
    roles = [
        Role("photocell", ValueType.FLOAT),
        Role("mode", ValueType.ENUM),
        Role("meter.power", ValueType.FLOAT),
    ]
    roles += [
        Role(f"segment.{n}.level", ValueType.FLOAT, write=True, required=True)
        for n in range(1, len(site.segments) + 1)
    ]
    roles += [
        Role(f"lamp.{n}.level", ValueType.FLOAT, write=True) for n in range(1, len(site.lamp_segments) + 1)
    ]
    roles += [
        Role("contactor", ValueType.BOOL, write=True),
        Role("heartbeat", ValueType.UINT, write=True),
    ]
    return tuple(roles)
