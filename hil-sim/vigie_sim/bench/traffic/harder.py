"""What makes a run harder: detectors that read bad, pedestrians who always ask everywhere."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vigie_controllers.signals.site import Detector, Phase
from vigie_protocols.points import Value
from vigie_sim.rig import Rig
from vigie_sim.traffic.derive import Clearances, Junction
from vigie_sim.traffic.detectors import Crossing

CLEARANCE_S = 12.0
"""Pedestrian clearance of a crossing that the network does not draw: some 13 m at 1.07 m/s."""


class HarderRig:
    """A rig some of whose points are not to be had (they read bad) or always show one value."""

    def __init__(self, rig: Rig, missing: frozenset[str], fixed: Mapping[str, Value]) -> None:
        self._rig = rig
        self._missing = missing
        self._fixed = dict(fixed)
        self.device = rig.device
        self.profile = rig.profile
        self.commands_seen = 0

    async def start(self) -> str:
        """As the rig behind."""
        return await self._rig.start()

    def begin(self, now: float, utc: float) -> None:
        """As the rig behind."""
        self._rig.begin(now, utc)

    async def refresh(self, now: float, utc: float) -> None:
        """As the rig behind."""
        await self._rig.refresh(now, utc)

    async def wait_commands(self, count: int) -> None:
        """As the rig behind."""
        await self._rig.wait_commands(count)

    async def stop(self) -> None:
        """As the rig behind."""
        await self._rig.stop()

    def read_values(self) -> dict[str, Value]:
        """What can be read, with the fixed values in place."""
        shown = self._rig.read_values()
        for name in self._missing:
            shown.pop(name, None)
        shown.update(self._fixed)
        return shown

    def apply(self, instant: float, values: Mapping[str, Value]) -> None:
        """As the rig behind."""
        self._rig.apply(instant, values)


def failed_points(junctions: Sequence[Junction], share: float, seed: int) -> dict[str, frozenset[str]]:
    """Device -> points that read bad: of ``share`` of all zones and exits, drawn with ``seed``.

    A zone's count and halting are one detector and fail together.
    """
    detectors: list[tuple[str, tuple[str, ...]]] = []
    for one in junctions:
        for n in range(1, len(one.zones) + 1):
            detectors.append((one.device, (f"detector.{n}.count", f"detector.{n}.halting")))
        for n in range(1, len(one.exits) + 1):
            detectors.append((one.device, (f"exit.{n}.halting",)))
    drawn = random.Random(seed).sample(range(len(detectors)), round(share * len(detectors)))
    found: dict[str, set[str]] = {}
    for place in drawn:
        device, points = detectors[place]
        found.setdefault(device, set()).update(points)
    return {device: frozenset(points) for device, points in found.items()}


def with_pedestrians(junction: Junction, times: Clearances) -> Junction:
    """Every phase walks: those without a crossing in the network get walk, clearance and a button."""
    site = junction.site
    phases = tuple(phase if phase.walk_s > 0 else _walking(phase, times) for phase in site.phases)
    called = {number for one in site.detectors if one.kind == "button" for number in one.phases}
    silent = [phase.id for phase in phases if phase.id not in called]
    first = len(junction.crossings) + 1
    buttons = tuple(
        Detector(id=f"b{n}", kind="button", phases=(number,)) for n, number in enumerate(silent, start=first)
    )
    return replace(
        junction,
        site=site.model_copy(update={"phases": phases, "detectors": (*site.detectors, *buttons)}),
        crossings=(*junction.crossings, *(Crossing("", ()) for _ in buttons)),
    )


def _walking(phase: Phase, times: Clearances) -> Phase:
    return phase.model_copy(update={"walk_s": times.walk_s, "ped_clear_s": CLEARANCE_S})


def pressed(junction: Junction) -> dict[str, Value]:
    """Every button of a junction, asked."""
    return {f"button.{n}.call": True for n in range(1, len(junction.crossings) + 1)}
