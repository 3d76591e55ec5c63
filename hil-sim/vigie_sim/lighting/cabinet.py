"""A streetlight cabinet: photocell, contactor, breaker, selector, lamps, and a three-phase meter."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from vigie_protocols.points import Value
from vigie_protocols.strict import Strict
from vigie_sim.lighting.lamps import Column, LampBank, LampKind, PlannedFault

OFF, HAND, AUTO = 0, 1, 2
"""What the cabinet's selector reads."""
JOULES_PER_KWH = 3.6e6


class GroupSpec(Strict):
    """A group of lamps that take one level. floor_pct: the least light in the dark, for the score."""

    lamps: int = Field(ge=1, le=1000)
    kind: str
    floor_pct: float = Field(ge=0, le=100)


class CabinetSpec(Strict):
    """A cabinet with its meter. Lamps are numbered through the groups and put on the phases in turn.

    dusk_lux, dawn_lux: of the photocell relay, used without a heartbeat. breaker_a: per phase.
    """

    device: str
    meter: str
    latitude: float = Field(ge=-65, le=65)
    longitude: float = Field(ge=-180, le=180)
    groups: tuple[GroupSpec, ...] = Field(min_length=1)
    dusk_lux: float = Field(default=50.0, gt=0)
    dawn_lux: float = Field(default=80.0, gt=0)
    heartbeat_timeout_s: float = Field(default=60.0, gt=0)
    breaker_a: float = Field(default=25.0, gt=0)
    volts: float = Field(default=347.0, gt=0)


class Cabinet:
    """Physics and firmware of the cabinet; its points are those of profile ``lighting-cabinet``.

    Without a heartbeat, or with the selector in hand, the photocell relay (hand: always) closes the
    contactor and every lamp goes to 100 %. selector, door and tripped may be set from outside.
    """

    def __init__(
        self,
        spec: CabinetSpec,
        kinds: Mapping[str, LampKind],
        faults: Sequence[PlannedFault],
        rng: random.Random,
    ) -> None:
        self.spec = spec
        self._rng = rng
        self.bank = LampBank([kinds[group.kind] for group in spec.groups for _ in range(group.lamps)], faults)
        self.group_of = np.repeat(np.arange(len(spec.groups)), [group.lamps for group in spec.groups])
        self.floors: Column = np.array([group.floor_pct for group in spec.groups])[self.group_of]
        self._members = [np.flatnonzero(self.group_of == place) for place in range(len(spec.groups))]
        self._level_names = [f"lamp.{lamp + 1}.level" for lamp in range(self.bank.size)]
        self._fault_names = [f"lamp.{lamp + 1}.fault" for lamp in range(self.bank.size)]
        self.meter = Meter(spec, self.bank, rng)
        self.selector = AUTO
        self.door = False
        self.tripped = False
        self.fallback = True
        self.fallback_s = 0.0
        self.contactor = False
        self.lux = 0.0
        self._photocell_dark = False
        self._levels = [100.0] * len(spec.groups)
        self._contactor_wanted = True
        self._heartbeat = 0
        self._beat_at = -1e9

    def command(self, instant: float, point: str, value: Value) -> None:
        """A written point of the profile."""
        if point == "heartbeat":
            if value != self._heartbeat:
                self._heartbeat, self._beat_at = int(value), instant
        elif point == "contactor.command":
            self._contactor_wanted = bool(value)
        else:
            self._levels[int(point.split(".")[1]) - 1] = float(value)

    def step(self, now: float, seconds: float, lux: float) -> None:
        """Advance to ``now`` with ``lux`` of daylight on the photocell."""
        self.lux = max(0.0, lux * (1.0 + self._rng.gauss(0.0, 0.01)))
        self._photocell_dark = self.lux < (self.spec.dawn_lux if self._photocell_dark else self.spec.dusk_lux)
        self.fallback = now - self._beat_at > self.spec.heartbeat_timeout_s
        self.fallback_s += seconds if self.fallback else 0.0
        full = self.selector == HAND or self.fallback
        if self.selector == OFF:
            self.contactor = False
        elif self.selector == HAND:
            self.contactor = True
        else:
            self.contactor = self._photocell_dark if self.fallback else self._contactor_wanted
        levels = [100.0] * len(self._levels) if full else self._levels
        self.bank.step(now, seconds, np.array(levels)[self.group_of], self.contactor, not self.tripped)
        self.meter.step(seconds)
        if max(self.meter.currents) > self.spec.breaker_a:
            self.tripped = True

    def below_floor(self) -> int:
        """Lamps without a fault whose light is below their floor now."""
        dim = (self.bank.light < self.floors - 1e-9) & (self.bank.fault == 0)
        return int(np.count_nonzero(dim))

    def values(self) -> dict[str, Value]:
        """Every point of the profile, levels to a tenth of a percent as the lamps report them."""
        levels = [round(level, 1) for level in self.bank.level.tolist()]
        shown: dict[str, Value] = {
            "lux": float(f"{self.lux:.4g}"),
            "contactor": self.contactor and not self.tripped,
            "breaker": self.tripped,
            "door": self.door,
            "mode": self.selector,
            "fallback": self.fallback,
            "contactor.command": self._contactor_wanted,
            "heartbeat": self._heartbeat,
        }
        for place, wanted in enumerate(self._levels):
            members = self._members[place]
            shown[f"group.{place + 1}.command"] = wanted
            shown[f"group.{place + 1}.level"] = round(float(self.bank.level[members].mean()), 1)
        faults: list[int] = self.bank.fault.tolist()
        shown.update(zip(self._level_names, levels, strict=True))
        shown.update(zip(self._fault_names, faults, strict=True))
        return shown


class Meter:
    """A three-phase meter; its points are those of profile ``three-phase-meter``."""

    def __init__(self, spec: CabinetSpec, bank: LampBank, rng: random.Random) -> None:
        self._spec = spec
        self._bank = bank
        self._rng = rng
        self._phases = [np.arange(phase, bank.size, 3) for phase in range(3)]
        self.energy_kwh = 0.0
        self.voltages = [spec.volts] * 3
        self.powers = [0.0] * 3
        self.currents = [0.0] * 3
        self.factor = 1.0
        self.frequency = 60.0

    def step(self, seconds: float) -> None:
        """Measure, and count the energy of the ``seconds`` that ended."""
        rng = self._rng
        self.frequency = 60.0 + rng.gauss(0.0, 0.005)
        power = self._bank.power
        self.powers = [float(power[phase].sum()) for phase in self._phases]
        total = sum(self.powers)
        self.energy_kwh += total * seconds / JOULES_PER_KWH
        # Drivers in standby draw mostly capacitive current.
        self.factor = 0.96 if total > 20.0 * self._bank.size else 0.75
        self.voltages = [self._spec.volts + rng.gauss(0.0, 0.4) - each / 2000.0 for each in self.powers]
        self.currents = [
            each / (volts * self.factor) for each, volts in zip(self.powers, self.voltages, strict=True)
        ]

    def command(self, instant: float, point: str, value: Value) -> None:
        """Nothing of a meter can be written."""

    def values(self) -> dict[str, Value]:
        """Every point of the profile."""
        shown: dict[str, Value] = {
            "power": sum(self.powers),
            "power.factor": self.factor,
            "frequency": self.frequency,
            "energy": self.energy_kwh,
        }
        for phase in range(3):
            shown[f"voltage.{phase + 1}"] = self.voltages[phase]
            shown[f"current.{phase + 1}"] = self.currents[phase]
            shown[f"power.{phase + 1}"] = self.powers[phase]
        return shown
