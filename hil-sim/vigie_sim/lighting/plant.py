"""The lighting plant: cabinets with their lamps under one sky."""

import random
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from vigie_protocols.strict import Strict
from vigie_protocols.yamlfile import load_model, wrong
from vigie_sim.lighting.cabinet import Cabinet, CabinetSpec
from vigie_sim.lighting.lamps import LampFault, LampKind, PlannedFault
from vigie_sim.lighting.sun import daylight_lux, solar_elevation


class FaultPlan(Strict):
    """How many lamps of each cabinet go wrong, at seeded places and instants within ``within_s``."""

    failed: int = Field(default=0, ge=0)
    day_burner: int = Field(default=0, ge=0)
    cycling: int = Field(default=0, ge=0)
    within_s: float = Field(default=3600.0, gt=0)


class LightingScenario(Strict):
    """The lighting part of a scenario (``lighting.yaml``).

    start_utc: the instant of simulated second 0, with its offset. cloud_share: daylight that the clouds let
    through. dark_below_deg: with the sun below, lamps under their floor count in the score.
    """

    start_utc: str
    cloud_share: float = Field(default=1.0, gt=0, le=1)
    dark_below_deg: float = Field(default=-6.0, ge=-18, le=0)
    kinds: dict[str, LampKind] = Field(min_length=1)
    cabinets: tuple[CabinetSpec, ...] = Field(min_length=1)
    faults: FaultPlan = FaultPlan()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        try:
            known = datetime.fromisoformat(self.start_utc).tzinfo is not None
        except ValueError:
            known = False
        if not known:
            raise wrong("not an instant with its offset", "Write 2026-11-12T21:15:00+00:00.", "start_utc")
        wrecks = self.faults.failed + self.faults.day_burner + self.faults.cycling
        for place, cabinet in enumerate(self.cabinets):
            for group in cabinet.groups:
                if group.kind not in self.kinds:
                    raise wrong(f"no kind {group.kind!r}", "Name one of kinds.", "cabinets", place, "groups")
            if wrecks > sum(group.lamps for group in cabinet.groups):
                raise wrong("more faults than lamps", "Plan fewer.", "faults")
        return self

    @property
    def epoch(self) -> float:
        """UTC seconds since 1970 of simulated second 0."""
        return datetime.fromisoformat(self.start_utc).timestamp()


def load_lighting(file: Path) -> LightingScenario:
    """The lighting part of a scenario; raises InputError."""
    return load_model(file, LightingScenario)


class LightingPlant:
    """All cabinets, stepped together. Deterministic by seed; one random stream per cabinet.

    Without any gateway it is its own reference: the photocells light every lamp at 100 % in the dark.
    """

    def __init__(self, scenario: LightingScenario, seed: int) -> None:
        self.scenario = scenario
        self.cabinets = tuple(
            Cabinet(
                spec,
                scenario.kinds,
                _plan(
                    scenario.faults,
                    sum(group.lamps for group in spec.groups),
                    random.Random(f"faults {spec.device} {seed}"),
                ),
                random.Random(f"{spec.device} {seed}"),
            )
            for spec in scenario.cabinets
        )
        self.now = 0.0
        self.elevation = 0.0
        self._below_floor_s = 0.0
        self._lit_s = 0.0

    def start(self) -> None:
        """Show the lamps as they stand at second 0."""
        self._advance(0.0, 0.0)

    def step(self, now: float) -> None:
        """Advance to ``now`` seconds."""
        self._advance(now, now - self.now)

    def _advance(self, now: float, seconds: float) -> None:
        self.now = now
        utc = self.scenario.epoch + now
        for cabinet in self.cabinets:
            self.elevation = solar_elevation(utc, cabinet.spec.latitude, cabinet.spec.longitude)
            cabinet.step(now, seconds, daylight_lux(self.elevation) * self.scenario.cloud_share)
            self._lit_s += seconds * float((cabinet.bank.level > 0.0).sum())
            if self.elevation < self.scenario.dark_below_deg:
                self._below_floor_s += seconds * cabinet.below_floor()

    def outcomes(self) -> dict[str, float]:
        """The score so far. below_floor_min and lit_min count lamp-minutes."""
        return {
            "lamp_energy_kwh": sum(cabinet.meter.energy_kwh for cabinet in self.cabinets),
            "below_floor_min": self._below_floor_s / 60.0,
            "lit_min": self._lit_s / 60.0,
            "lamps_faulty": float(sum(int((cabinet.bank.fault > 0).sum()) for cabinet in self.cabinets)),
            "cabinet_fallback_s": sum(cabinet.fallback_s for cabinet in self.cabinets),
        }

    def stop(self) -> None:
        """Nothing is held."""


def _plan(plan: FaultPlan, lamps: int, rng: random.Random) -> list[PlannedFault]:
    kinds = (
        [LampFault.FAILED] * plan.failed
        + [LampFault.DAY_BURNER] * plan.day_burner
        + [LampFault.CYCLING] * plan.cycling
    )
    places = rng.sample(range(lamps), len(kinds))
    return [
        PlannedFault(place, rng.uniform(0.0, plan.within_s), kind)
        for place, kind in zip(places, kinds, strict=True)
    ]
