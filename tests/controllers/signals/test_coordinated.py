"""Coordination over actuated phases: force-offs in the cycle, time given back, rings that rest."""

import json
from typing import Any

import pytest
from tests.controllers.signals.drive import UTC0, Drive
from tests.controllers.signals.sites import dual_ring

from vigie_controllers.signals.words import PhaseState

ARTERIAL = {
    "splits_s": {"1": 15, "2": 35, "3": 15, "4": 25, "5": 15, "6": 35, "7": 15, "8": 25},
    "cycle_s": 90.0, "coordinated": [2, 6], "actuated": True,
}  # fmt: skip


def coordinated(**more: object) -> Drive:
    drive = Drive(
        dual_ring(),
        [
            ("signal.fixed", {"plans": {"normal": {**ARTERIAL, **more}}}),
            ("signal.actuated", {"recall": {"2": "min", "6": "min"}, "default_max_green_s": 60.0}),
        ],
    )
    drive.run(200)
    return drive


def windows(
    drive: Drive, phase: int, seconds: float = 270.0, cycle: float = 90.0
) -> list[tuple[float, float]]:
    """Greens of a phase as positions in the cycle, begin and end."""
    found, begun = [], None
    for _ in range(round(seconds / drive.step_s)):
        before = drive.state(phase)
        drive.scan()
        at = (UTC0 + drive.now) % cycle
        if drive.state(phase) is PhaseState.GREEN and before is not PhaseState.GREEN:
            begun = at
        if before is PhaseState.GREEN and drive.state(phase) is not PhaseState.GREEN and begun is not None:
            found.append((begun, at))
            begun = None
    return found


def test_nobody_else_leaves_the_cycle_to_the_coordinated_phases() -> None:
    drive = coordinated()
    for _ in range(400):
        drive.scan()
        assert drive.greens() == {2, 6}
    assert not drive.interventions


def test_coordinated_greens_yield_only_at_their_instant() -> None:
    drive = coordinated()
    drive.put({"detector.d4": True, "detector.d8": True})
    ends = [end for _, end in windows(drive, 2)]
    # Its green begins the cycle of which its split is 35 s, 30 s of it green.
    assert ends == pytest.approx([30.0] * len(ends), abs=0.6) and len(ends) >= 2
    assert not drive.interventions


@pytest.mark.parametrize(("force_off", "green"), [("fixed", 35.0), ("floating", 20.0)])
def test_time_left_over_goes_to_the_next_phase_or_to_the_coordinated_ones(
    force_off: str, green: float
) -> None:
    drive = coordinated(force_off=force_off)
    drive.put({"detector.d4": True, "detector.d8": True})  # nobody in 3 and 7: their 15 s are free
    rows = windows(drive, 4)
    lasted = [(end - begin) % 90.0 for begin, end in rows]
    assert len(lasted) >= 2
    assert lasted == pytest.approx([green] * len(lasted), abs=1.1)
    if force_off == "fixed":
        assert [end for _, end in rows] == pytest.approx([70.0] * len(rows), abs=0.6)
    assert not drive.interventions


def test_a_side_phase_ends_in_its_gap_and_gives_the_time_back() -> None:
    drive = coordinated()
    drive.until(2, state=PhaseState.GREEN)
    drive.put({"detector.d4": True})
    drive.until(4)
    drive.put({"detector.d4": False})
    assert drive.until(4, state=PhaseState.YELLOW) < 15
    drive.until(2, 30)
    assert any("a gap in its traffic" in text for text in drive.reasons("signal.actuated"))


def test_a_call_that_comes_too_late_waits_for_the_next_cycle() -> None:
    drive = coordinated()
    while not 62.0 <= (UTC0 + drive.now) % 90.0 < 62.5:  # 70 s is the end of its split
        drive.scan()
    drive.put({"detector.d4": True})
    drive.run(20)
    assert drive.state(2) is PhaseState.GREEN
    drive.until(2, state=PhaseState.YELLOW)
    assert (UTC0 + drive.now) % 90.0 == pytest.approx(30.0, abs=0.6)


def tee() -> dict[str, Any]:
    """A T-junction: the side street has phase 4 of ring 1 alone."""
    raw = dual_ring()
    keep = (2, 4, 5, 6)
    raw["phases"] = [one for one in raw["phases"] if one["id"] in keep]
    raw["channels"] = [one for one in raw["channels"] if set(one["phases"]) <= set(keep)]
    names = {one["id"] for one in raw["channels"]}
    raw["conflicts"] = [pair for pair in raw["conflicts"] if set(pair) <= names]
    raw["detectors"] = [one for one in raw["detectors"] if set(one["phases"]) <= set(keep)]
    return raw


TEE = {"cycle_s": 80.0, "splits_s": {"2": 50, "5": 18, "6": 32, "4": 30}}


def test_a_ring_without_phases_on_one_side_rests_there() -> None:
    drive = Drive(tee(), [("signal.fixed", {"plans": {"normal": TEE}, "pedestrians": False})])
    drive.run(200)
    for phase, begin, end in ((2, 0.0, 45.0), (4, 50.0, 75.0), (5, 0.0, 13.0), (6, 18.0, 45.0)):
        rows = windows(drive, phase, 250.0, cycle=80.0)
        assert rows and [one for row in rows for one in row] == pytest.approx(
            [begin, end] * len(rows), abs=0.6
        )
    assert not drive.interventions
    restored = Drive(tee(), [("signal.fixed", {"plans": {"normal": TEE}, "pedestrians": False})])
    restored.loop.restore(json.loads(json.dumps(drive.loop.snapshot())))


def test_a_ring_that_rests_is_coordinated_as_well() -> None:
    plan = {**TEE, "coordinated": [2, 6], "actuated": True}
    behind = ("signal.actuated", {"recall": {"2": "min", "6": "min"}})
    drive = Drive(tee(), [("signal.fixed", {"plans": {"normal": plan}, "pedestrians": False}), behind])
    drive.run(200)
    drive.put({"detector.d4": True, "detector.d5": True})
    rows = windows(drive, 4, 250.0, cycle=80.0)
    assert [one for row in rows for one in row] == pytest.approx([50.0, 75.0] * len(rows), abs=0.6)
    assert len(windows(drive, 5, 170.0, cycle=80.0)) == 2
    assert not drive.interventions
