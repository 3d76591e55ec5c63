"""Luminaires: dimming curve, fading, warm-up and faults, as columns of one entry per lamp."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from pydantic import Field

from vigie_protocols.strict import Strict

Column = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class LampFault(IntEnum):
    """What is wrong with a lamp, as its cabinet reports it."""

    NONE = 0
    FAILED = 1
    DAY_BURNER = 2
    CYCLING = 3


class LampKind(Strict):
    """A kind of luminaire.

    rated_w: power at 100 %; standby_w: of the control gear, dark but fed. base, linear, square: share of
    the power above standby that flows at any level, with the level and with its square; they add up to 1.
    fade_pct_per_s: of the control gear. warm_up_s: from ignition to full light (discharge lamps; 0 for LED).
    cold_share: light right after ignition. least_pct: the gear dims no further.
    """

    rated_w: float = Field(gt=0, le=2000)
    standby_w: float = Field(default=0.6, ge=0)
    base: float = Field(default=0.07, ge=0, le=1)
    linear: float = Field(default=0.73, ge=0, le=1)
    square: float = Field(default=0.20, ge=0, le=1)
    fade_pct_per_s: float = Field(default=5.0, gt=0)
    warm_up_s: float = Field(default=0.0, ge=0)
    cold_share: float = Field(default=0.3, ge=0, le=1)
    least_pct: float = Field(default=5.0, ge=0, lt=100)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A lamp (place from 0) that goes wrong at ``at`` seconds."""

    lamp: int
    at: float
    fault: LampFault


CYCLE_ON_S = 180.0
CYCLE_OFF_S = 120.0


class LampBank:
    """The lamps of one cabinet.

    level: percent the gear drives now; light: percent of full light, after warm-up; power: W; fault: codes
    of ``LampFault``.
    """

    def __init__(self, kinds: Sequence[LampKind], faults: Sequence[PlannedFault]) -> None:
        def column(name: str) -> Column:
            return np.array([getattr(kind, name) for kind in kinds], dtype=np.float64)

        self.size = len(kinds)
        self._rated, self._standby = column("rated_w"), column("standby_w")
        self._base, self._linear, self._square = column("base"), column("linear"), column("square")
        self._fade, self._least, self._cold = (
            column("fade_pct_per_s"),
            column("least_pct"),
            column("cold_share"),
        )
        warm_up = column("warm_up_s")
        self._warms = warm_up > 0.0
        self._warming = np.where(self._warms, 1.0 / np.maximum(warm_up, 1e-9), 0.0)
        self._warm = np.zeros(self.size)
        self._planned = sorted(faults, key=lambda each: (each.at, each.lamp))
        self._since = np.zeros(self.size)
        self.level: Column = np.zeros(self.size)
        self.light: Column = np.zeros(self.size)
        self.power: Column = np.zeros(self.size)
        self.fault: Whole = np.zeros(self.size, dtype=np.int64)

    def step(self, now: float, seconds: float, wanted: Column, fed: bool, live: bool) -> None:
        """Advance to ``now``. wanted: percent per lamp; fed: contactor closed; live: breaker not tripped."""
        while self._planned and self._planned[0].at <= now:
            planned = self._planned.pop(0)
            self.fault[planned.lamp] = planned.fault
            self._since[planned.lamp] = planned.at
        # A day burner's relay is welded past the contactor; only the breaker puts it out.
        burning = self.fault == LampFault.DAY_BURNER
        phase = np.mod(now - self._since, CYCLE_ON_S + CYCLE_OFF_S)
        out = (self.fault == LampFault.FAILED) | ((self.fault == LampFault.CYCLING) & (phase >= CYCLE_ON_S))
        powered = (burning | fed) & live
        aim = np.where(burning, 100.0, np.where(wanted > 0.0, np.maximum(wanted, self._least), 0.0))
        most = self._fade * seconds
        faded = self.level + np.clip(aim - self.level, -most, most)
        self.level = np.where(powered & ~out, faded, 0.0)
        lit = self.level > 0.0
        self._warm = np.where(lit, np.minimum(1.0, self._warm + self._warming * seconds), 0.0)
        self.light = self.level * np.where(self._warms, self._cold + (1.0 - self._cold) * self._warm, 1.0)
        share = self.level / 100.0
        drawn = self._base + share * (self._linear + self._square * share)
        running = self._standby + (self._rated - self._standby) * drawn
        self.power = np.where(powered, np.where(lit, running, self._standby), 0.0)
