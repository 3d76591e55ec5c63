"""Readings, clocks and forecasts that make no sense: no controller fails, nobody is forgotten, replay is exact."""

import json
import random
from typing import Any

import pytest
from tests.controllers.signals.drive import UTC0, Drive
from tests.controllers.signals.toy import Toy, site

from vigie_protocols.points import Quality, Value

SECONDS = 480
ODD: tuple[Value, ...] = (
    0, 1, 5, 255, 65535, 999_999_999, -1, 1e9, 1e308, 1e-300, -0.0, float("nan"), float("inf"), True, "x", "",
)  # fmt: skip
CASES = [
    ("signal.adaptive", 0),
    ("signal.adaptive", 3),
    ("signal.max_pressure", 0),
    ("signal.greedy", 1),
    ("signal.actuated", 3),
    ("signal.fixed", 2),
]


def junction(seed: int) -> dict[str, Any]:
    """One ring, or eight phases in two; exits, a shared lane, neighbours; a walk that may rest."""
    raw = site(8, dual=True, ped=seed % 2 == 1) if seed > 1 else site(3, ped=seed % 2 == 1)
    for row in raw["phases"]:
        row["rest_in_walk"] = bool(row.get("walk_s"))
    for n in (1, 2):
        raw["lanes"].append({"id": f"out{n}", "kind": "exit", "length_m": 100.0})
        exit_zone = {"id": f"x{n}", "kind": "exit", "lanes": [f"out{n}"], "from_m": 0.0, "to_m": 30.0}
        raw["detectors"].append(exit_zone)
        raw["movements"][n - 1]["to"] = f"out{n}"
    raw["movements"].append({"channel": "v2", "lane": "in1", "turn": "left", "to": "out1"})
    link = {"neighbour": "gw-west", "loop": "west", "exit": "out:x", "lanes": ["in1"], "travel_s": 40.0}
    raw["upstream"], raw["downstream"] = [link], [{"neighbour": "gw-east", "exits": ["out1"]}]
    return raw


def told(dice: random.Random, utc: float) -> dict[str, Any]:
    """A forecast that is well formed, and little else."""
    return {
        "loop": dice.choice(["west", "east"]),
        "made_utc": utc + dice.choice([0, 0, -5, -100, 1, 5, 1e6]),
        "ttl_s": dice.choice([0, 10, 120]),
        "bin_s": dice.choice([0.5, 2, 10]),
        "lanes": {"out:x": [dice.choice([0, 0.3, 1, 10]) for _ in range(dice.choice([0, 1, 20, 90]))]},
    }


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_nonsense_stops_nobody_and_replays_exactly(kind: str, seed: int) -> None:
    raw, dice = junction(seed), random.Random(seed)
    chain: list[tuple[str, dict[str, Any]]] = [(kind, {}), ("signal.actuated", {})]
    one, toy = Drive(raw, chain, step_s=1.0), Toy([0.1] * len(raw["phases"]), seed)
    two: Drive | None = None
    served: set[int] = set()
    failed: set[str] = set()
    for scan in range(SECONDS):
        mood = scan // 60 % 4
        if scan % 37 == 11:
            two = Drive(raw, chain, step_s=1.0)
            two.now, two.values, two.bad = one.now, dict(one.values), set(one.bad)
            two.loop.resume(json.loads(json.dumps(one.loop.snapshot())))
        toy.step(one.now, one.greens())
        shown = dict.fromkeys(one.values, 0) | toy.roles()
        if mood == 1:
            shown |= {role: dice.choice(ODD) for role in shown if dice.random() < 0.1}
        dark = {role for role in shown if dice.random() < (0.4 if mood == 3 else 0.02)}
        clock = Quality.BAD if mood == 2 and dice.random() < 0.3 else Quality.GOOD
        shift = dice.choice([0.0, 3600.0, -3600.0]) if mood == 2 else 0.0
        late = 7.3 if mood == 2 and dice.random() < 0.1 else 0.0
        said = [told(dice, UTC0 + one.now + shift) for _ in range(dice.choice([0, 1, 3]))]
        drives = [one] if two is None else [one, two]
        for drive in drives:
            drive.put({role: value for role, value in shown.items() if role not in dark})
            drive.put({role: shown[role] for role in dark}, bad=True)
            drive.clock, drive.utc_shift, drive.now = clock, shift, drive.now + late
            drive.decisions.clear()
            for message in said:
                drive.domain.hear("gw-west", message)
            drive.scan()
        served |= one.greens()
        failed |= set(one.domain.guard.bank.failed)
        kept = [drive.loop.snapshot() for drive in drives]
        assert not any((*kept[0]["faults"], kept[0]["observer_fault"])), (
            "a controller, or the observer, failed"
        )
        if two is not None:
            assert one.decisions == two.decisions
            assert one.written == two.written
            first, second = (json.dumps(state, sort_keys=True) for state in kept)
            assert first == second
    assert served == {row["id"] for row in raw["phases"]}
    assert failed, "nonsense must be found out"
