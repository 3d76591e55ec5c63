"""What goes into and comes out of one scan of a pump station."""

import math
from dataclasses import dataclass, field

from vigie_controllers.contract import Decision
from vigie_controllers.water.site import WaterSite
from vigie_protocols.points import Reading, Value


@dataclass(frozen=True, slots=True)
class PumpInput:
    """What is read of one pump; None where the gateway file binds no such point.

    running, fault: contacts. mode: 0 off, 1 hand, 2 auto, as the panel reads. current: amperes.
    """

    running: Reading[Value] | None = None
    fault: Reading[Value] | None = None
    mode: Reading[Value] | None = None
    current: Reading[Value] | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """What the guard made of one pump in the scan before.

    on: it was commanded to run; since: for so long (monotonic seconds of the change);
    available: the guard would start it, sooner or later; why_not: in words when it would not.
    """

    on: bool = False
    since: float = 0.0
    available: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class WaterInputs:
    """One scan of a pump station. Levels in metres; a reading is None where no point is bound."""

    level: Reading[Value]
    level_2: Reading[Value] | None
    float_high: Reading[Value] | None
    float_low: Reading[Value] | None
    pumps: tuple[PumpInput, ...]
    basin_level: Reading[Value] | None
    permits: tuple[Permit, ...]


@dataclass(frozen=True, slots=True)
class WaterOutputs:
    """What a pump station is to do; None means no opinion.

    run: per pump; speed: percent per pump; gate: percent open; forced: pumps (from 0) whose ``run`` a
    lease has set; heartbeat: the guard's alone, controllers leave it.
    """

    run: tuple[bool | None, ...]
    speed: tuple[float | None, ...]
    gate: float | None = None
    forced: frozenset[int] = frozenset()
    heartbeat: int = 0
    decisions: tuple[Decision, ...] = field(default=())

    @classmethod
    def silent(cls, pumps: int) -> "WaterOutputs":
        """No opinion about anything."""
        return cls((None,) * pumps, (None,) * pumps)


def number(reading: Reading[Value] | None) -> float | None:
    """The reading's finite number, None when there is none that may be used."""
    if reading is None or not reading.usable or isinstance(reading.value, (bool, str)):
        return None
    return float(reading.value) if math.isfinite(reading.value) else None


def contact(reading: Reading[Value] | None) -> bool | None:
    """The reading's contact, None when it is not bound or may not be used."""
    if reading is None or not reading.usable or isinstance(reading.value, (str, float)):
        return None
    return bool(reading.value)


def plausible(
    now: float, reading: Reading[Value] | None, max_age_s: float, low: float, high: float
) -> float | None:
    """A number not older than ``max_age_s`` and within ``low`` and ``high``, else None."""
    value = number(reading)
    if value is None or reading is None or not reading.fresh(now, max_age_s):
        return None
    return value if low <= value <= high else None


def level_of(now: float, inputs: WaterInputs, site: WaterSite) -> tuple[float | None, str]:
    """The well's level in metres, or None and why.

    Two sensors: one good one suffices; two that disagree by more than ``level_disagree_m`` are both in
    doubt; of two that agree the higher counts, since a flood costs more than a start.
    """
    span = (site.reading_max_age_s, site.level_min_m, site.level_max_m)
    first = plausible(now, inputs.level, *span)
    if inputs.level_2 is None:
        return first, "" if first is not None else "the level sensor gives no usable reading"
    second = plausible(now, inputs.level_2, *span)
    if first is None or second is None:
        one = second if first is None else first
        return one, "" if one is not None else "neither level sensor gives a usable reading"
    if abs(first - second) > site.level_disagree_m:
        return None, f"the level sensors disagree: {first:.2f} m and {second:.2f} m"
    return max(first, second), ""
