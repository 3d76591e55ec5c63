"""What a run needs of a scenario: a world that steps, and gateway files for the agents that control it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vigie_sim.plant import Plant
from vigie_sim.rig import Rig

More = Callable[[str], Mapping[str, Any]]
"""Gateway name -> further top-level keys of its file (uplink, runtime_dir, journal, state_dir)."""


@dataclass
class World:
    """Plants and the rigs that serve them, on one simulated clock.

    epoch: UTC seconds of simulated second 0, whole. step_s: one tick. duration_s: of the whole run.
    """

    plants: Sequence[Plant]
    rigs: Sequence[Rig]
    epoch: float
    step_s: float
    duration_s: float

    @property
    def ticks(self) -> int:
        """Ticks of the whole run."""
        return round(self.duration_s / self.step_s)

    def start(self) -> None:
        """Build the physics."""
        for plant in self.plants:
            plant.start()

    def step(self, now: float) -> None:
        """Advance every plant to ``now``."""
        for plant in self.plants:
            plant.step(now)

    def stop(self) -> None:
        """End every plant."""
        for plant in self.plants:
            plant.stop()

    def outcomes(self) -> dict[str, float]:
        """Every plant's figures; complete once stopped."""
        found: dict[str, float] = {}
        for plant in self.plants:
            found.update(plant.outcomes())
        return found

    @property
    def trips(self) -> list[str]:
        """Every trip of a conflict monitor, in words."""
        return [trip for plant in self.plants for trip in getattr(plant, "trip_words", list)()]


class Scenario(Protocol):
    """A world and the gateways that control it."""

    name: str

    def world(self, seed: int, *, controlled: bool = True) -> World:
        """A fresh world; without ``controlled`` the references run (fixed time, floats, full night)."""
        ...

    def write_gateways(self, folder: Path, endpoints: Mapping[str, str], more: More) -> list[Path]:
        """Gateway files and profiles into ``folder``; endpoints: device -> where its rig serves."""
        ...
