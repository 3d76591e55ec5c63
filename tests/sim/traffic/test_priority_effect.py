"""What transit priority brings the buses and costs the others, on SUMO's traffic: one hour, one seed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SPLITS = {"1": 15, "2": 42, "3": 15, "4": 28, "5": 15, "6": 42, "7": 15, "8": 28}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "actuated": ("signal.actuated", {"default_max_green_s": 40.0, "dual_entry": [2, 4, 6, 8]}),
    "fixed": ("signal.fixed", {"plans": {"normal": {"splits_s": SPLITS}}}),
}
FLOWS = {str(n): 90 if n % 2 else 450 if n in (2, 6) else 200 for n in range(1, 9)}


def hour(folder: Path, controllers: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    settings = {"flows": FLOWS, "seed": 1, "controllers": controllers}
    command = [sys.executable, "-m", "tests.sim.traffic.priority_run", str(folder), json.dumps(settings)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=240)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("base", BASES)
def test_buses_gain_much_and_the_others_lose_little(base: str, tmp_path: Path) -> None:
    without = hour(tmp_path, [BASES[base]])
    given = hour(tmp_path, [("signal.priority", {}), BASES[base]])
    print(base, without, given)
    assert given["granted"] >= 5
    assert given["bus"] < 0.75 * without["bus"]
    assert given["others"] < 1.25 * without["others"]
    assert given["longest_red"] <= 120
    assert set(given["interventions"]) <= {"max-red"}  # nothing was asked that the guard had to refuse
