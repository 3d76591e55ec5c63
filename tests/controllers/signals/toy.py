"""A junction with cars in it, small enough to reason about: one lane per phase, zones as real sites have."""

import itertools
import random
from typing import Any

from vigie_protocols.points import Value

EDGES = (0.0, 25.0, 50.0, 80.0, 115.0, 150.0)
SPEED = 13.9
SPACE = 7.5


def site(phases: int = 3, dual: bool = False, ped: bool = False) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for n in range(1, phases + 1):
        row: dict[str, Any] = {"id": n}
        if dual:
            row.update(
                ring=1 if n <= phases // 2 else 2, barrier=1 if (n - 1) % (phases // 2) < phases // 4 else 2
            )
        if ped and n == phases:
            row.update(walk_s=6, ped_clear_s=9)
        rows.append(row)
    of = {row["id"]: row for row in rows}
    channels: list[dict[str, Any]] = [{"id": f"v{n}", "phases": [n]} for n in of]
    conflicts = [
        [f"v{a}", f"v{b}"]
        for a in of
        for b in of
        if a < b and (of[a].get("ring", 1) == of[b].get("ring", 1) or of[a]["barrier"] != of[b]["barrier"])
    ]
    detectors: list[dict[str, Any]] = []
    for n in of:
        for z, (near, far) in enumerate(itertools.pairwise(EDGES)):
            for kind, letter in (("count", "d"), ("halting", "h")):
                detectors.append(
                    {
                        "id": f"{letter}{n}.{z}",
                        "kind": kind,
                        "phases": [n],
                        "lanes": [f"in{n}"],
                        "from_m": near,
                        "to_m": far,
                    }
                )
    if ped:
        channels.append({"id": "p", "kind": "pedestrian", "phases": [phases]})
        detectors.append({"id": "b", "kind": "button", "phases": [phases]})
    lanes = [{"id": f"in{n}", "length_m": 150.0, "speed_mps": SPEED} for n in of]
    movements = [{"channel": f"v{n}", "lane": f"in{n}"} for n in of]
    return {
        "phases": rows, "channels": channels, "conflicts": conflicts, "detectors": detectors,
        "lanes": lanes, "movements": movements,
    }  # fmt: skip


class Toy:
    """Cars that drive at one speed, stand in line, and leave every 2 s of green. Steps of 1 s."""

    def __init__(self, rates: list[float], seed: int) -> None:
        self._dice = random.Random(seed)
        self._rates = rates
        self.cars: list[list[float]] = [[] for _ in rates]
        self._ready = [0.0] * len(rates)
        self.delay = 0.0
        self.left = 0

    def step(self, now: float, green: set[int]) -> None:
        for k, rate in enumerate(self._rates):
            if self._dice.random() < rate:
                self.cars[k].append(150.0)
            front = 0.0
            moved: list[float] = []
            for place, at in enumerate(self.cars[k]):
                to = max(front, at - SPEED)
                if place == 0 and to == 0.0 and k + 1 in green and now >= self._ready[k]:
                    self._ready[k] = now + 2.0
                    self.left += 1
                    continue
                self.delay += 1.0 - (at - to) / SPEED
                moved.append(to)
                front = to + SPACE
            self.cars[k] = moved

    def roles(self) -> dict[str, Value]:
        shown: dict[str, Value] = {}
        for k, cars in enumerate(self.cars):
            for z, (near, far) in enumerate(itertools.pairwise(EDGES)):
                inside = [place for place, at in enumerate(cars) if near <= at < far]
                standing = [place for place in inside if cars[place] <= place * SPACE + 0.1]
                shown[f"detector.d{k + 1}.{z}"] = len(inside)
                shown[f"detector.h{k + 1}.{z}"] = len(standing)
        return shown
