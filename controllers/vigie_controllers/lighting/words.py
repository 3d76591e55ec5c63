"""What goes into and comes out of one scan of a lighting cabinet."""

import math
from dataclasses import dataclass, field

from vigie_controllers.contract import Decision
from vigie_controllers.lighting.sun import Sun
from vigie_protocols.points import Reading, Value


@dataclass(frozen=True, slots=True)
class LightingInputs:
    """One scan of a cabinet; a reading is None where no point is bound.

    sun: where it stands, None when UTC cannot be trusted. utc: Unix seconds, meaningless without ``sun``.
    photocell: lux; mode: 0 off, 1 hand, 2 auto; power: W.
    """

    sun: Sun | None
    utc: float
    photocell: Reading[Value] | None
    mode: Reading[Value] | None
    power: Reading[Value] | None


@dataclass(frozen=True, slots=True)
class LightingOutputs:
    """Levels in percent; None means no opinion.

    segments: one per segment. lamps: one per lamp bound by itself, None follows its segment.
    contactor: True feeds the segments. heartbeat: the guard's alone.
    """

    segments: tuple[float | None, ...]
    lamps: tuple[float | None, ...] = ()
    contactor: bool | None = None
    heartbeat: int = 0
    decisions: tuple[Decision, ...] = field(default=())

    @classmethod
    def silent(cls, segments: int, lamps: int) -> "LightingOutputs":
        """No opinion about anything."""
        return cls((None,) * segments, (None,) * lamps)


def finite(reading: Reading[Value] | None) -> float | None:
    """The number of a usable reading, None when there is none."""
    if reading is None or not reading.usable or isinstance(reading.value, (bool, str)):
        return None
    return float(reading.value) if math.isfinite(reading.value) else None


def good_lux(now: float, reading: Reading[Value] | None, max_age_s: float) -> float | None:
    """What a photocell of good quality says, in lux, None when it says nothing that counts."""
    if reading is None or not reading.good or not reading.fresh(now, max_age_s):
        return None
    lux = finite(reading)
    return lux if lux is not None and lux >= 0.0 else None
