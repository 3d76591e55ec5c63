"""A level transmitter with seeded noise and the faults such sensors have, and a float switch."""

import random
from enum import StrEnum


class SensorFault(StrEnum):
    """How a transmitter fails."""

    NONE = "none"
    FROZEN = "frozen"
    DEAD = "dead"
    DRIFT = "drift"


class LevelSensor:
    """A transmitter: true level + noise (standard deviation ``noise_m``), between 0 and ``span_m``.

    frozen repeats its last value; dead falls to 0, as a 4-20 mA loop without current; drift runs away
    upwards by 1 mm/s.
    """

    def __init__(self, rng: random.Random, span_m: float, noise_m: float) -> None:
        self._rng = rng
        self._span = span_m
        self._noise = noise_m
        self._drift = 0.0
        self.fault = SensorFault.NONE
        self.level = 0.0

    def step(self, true_m: float, seconds: float) -> None:
        """Take one measurement."""
        # Drawn in every case, so that a fault does not shift the noise of what follows.
        noise = self._rng.gauss(0.0, self._noise)
        self._drift = self._drift + 0.001 * seconds if self.fault is SensorFault.DRIFT else 0.0
        if self.fault is SensorFault.DEAD:
            self.level = 0.0
        elif self.fault is not SensorFault.FROZEN:
            self.level = min(max(true_m + noise + self._drift, 0.0), self._span)


class FloatSwitch:
    """A float at ``height_m``: wet above it, dry again ``hysteresis_m`` below."""

    def __init__(self, height_m: float, hysteresis_m: float = 0.05) -> None:
        self._wet_at = height_m
        self._dry_at = height_m - hysteresis_m
        self.wet = False

    def step(self, true_m: float) -> None:
        """Move with the water."""
        self.wet = true_m >= self._wet_at if not self.wet else true_m > self._dry_at
