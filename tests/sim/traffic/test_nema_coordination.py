"""Our coordination over the actuated core beside SUMO's NEMA controller in its coordinated mode.

The same detector calls, one run without any help in between, as the cycle brings both together again. What still
differs comes from calls in a clearance, by which SUMO yet changes its choice and we do not. The first cycle, which
SUMO begins with a coordinated green of its own length, is left out.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.signals.drive import UTC0, Drive
from tests.sim.traffic.test_nema_agreement import BARRIER, HERE, STEP, flows, site

CYCLE = 90.0
SPLITS = {1: 15, 2: 35, 3: 15, 4: 25, 5: 15, 6: 35, 7: 15, 8: 25}
PHASES = {str(n): {"min": 5 if n % 2 else 8, "max": split - 5, "ext": 3.0} for n, split in SPLITS.items()}


def junction(force_off: str) -> Drive:
    actuated = {
        "passage_s": {n: one["ext"] - STEP for n, one in PHASES.items()}, "default_min_gap_s": 10.0,
        "default_max_green_s": 80.0, "dual_entry": [2, 4, 6, 8], "simultaneous_gap": False,
        "recall": {"2": "min", "6": "min"},
    }  # fmt: skip
    plan = {
        "cycle_s": CYCLE, "splits_s": SPLITS, "coordinated": [2, 6], "actuated": True, "force_off": force_off,
    }  # fmt: skip
    controllers = [("signal.fixed", {"plans": {"normal": plan}}), ("signal.actuated", actuated)]
    return Drive(site(PHASES, [2, 6]), controllers, step_s=STEP)


def begun(drive: Drive) -> Drive:
    while drive.greens() != {2, 6}:
        drive.scan()
    return drive


def ends(shown: list[list[int]], phase: int) -> list[int]:
    return [k for k in range(1, len(shown)) if phase in shown[k - 1] and phase not in shown[k]]


@pytest.mark.parametrize(
    ("force_off", "left", "through"),
    [("floating", 120, 400), ("fixed", 120, 400), ("floating", 300, 700), ("fixed", 60, 200)],
)
def test_the_same_calls_give_the_same_coordinated_greens(
    force_off: str, left: int, through: int, tmp_path: Path
) -> None:
    params = {
        "minRecall": "2,6", "maxRecall": "", "coordinate-mode": "true", "total-cycle-length": f"{CYCLE:g}",
        "fixForceOff": str(force_off == "fixed").lower(), "ignore-errors": "false",
    }  # fmt: skip
    settings: dict[str, Any] = {
        "params": params, "phases": PHASES, "flows": flows(left, through), "seed": 3, "step": STEP, "steps": 5400,
    }  # fmt: skip
    command = [sys.executable, str(HERE / "nema_reference.py"), str(tmp_path), json.dumps(settings)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    rows = json.loads((tmp_path / "seen.json").read_text())
    start = begun(junction(force_off)).now
    drive = junction(force_off)
    drive.utc_shift = -(UTC0 + start) % CYCLE  # SUMO's second 0 begins the coordinated green
    mine = [sorted(begun(drive).greens())]
    for seen, _, _ in rows[:-1]:
        drive.put({f"detector.d{n}": n in seen for n in BARRIER})
        drive.scan()
        mine.append(sorted(drive.greens()))
    assert not drive.interventions
    first = round(CYCLE / STEP)
    theirs = [green for _, green, _ in rows]
    pairs = list(zip(theirs[first:], mine[first:], strict=True))
    same = sum(a == b for a, b in pairs) / len(pairs)
    yields = {n: (ends(theirs[first:], n), ends(mine[first:], n)) for n in (2, 6)}
    print(
        force_off,
        left,
        through,
        f"{same:.4f}",
        {n: (len(a), len(set(a) & set(b))) for n, (a, b) in yields.items()},
    )
    assert same >= 0.98
    for a, b in yields.values():  # a coordinated green ends when SUMO's does
        assert len(a) >= 15 and len(set(a) & set(b)) >= len(a) - 1
