"""Actuated and fixed-time control by tables of what happens and when."""

import json

import pytest
from tests.controllers.signals.drive import UTC0, Drive
from tests.controllers.signals.sites import dual_ring, one_ring

from vigie_controllers.signals.words import PhaseState
from vigie_protocols.points import Quality


def actuated(phases: int = 2, **params: object) -> Drive:
    drive = Drive(one_ring(phases, ped=False), [("signal.actuated", dict(params))])
    drive.until(1)
    return drive


def test_green_rests_while_nobody_else_is_called() -> None:
    assert actuated().run(200).greens() == {1}


def test_gap_out_after_the_passage_time() -> None:
    drive = actuated()
    drive.put({"detector.d1": True})
    drive.run(10)
    drive.put({"detector.d2": True})
    drive.run(5)
    assert drive.state(1) is PhaseState.GREEN
    drive.put({"detector.d1": False})
    took = drive.until(1, state=PhaseState.YELLOW)
    assert took == pytest.approx(2.5)  # seen at the first scan, passage of 2 s after it
    drive.until(2)
    assert any("a gap in its traffic" in text for text in drive.reasons("signal.actuated"))
    assert not drive.interventions


def test_max_out_counts_from_the_first_opposing_call() -> None:
    drive = actuated(max_green_s={"1": 25})
    drive.put({"detector.d1": True})
    drive.run(60)
    drive.put({"detector.d2": True})
    took = drive.until(1, state=PhaseState.YELLOW)
    assert took == pytest.approx(25.5)
    drive.run(1)
    assert any("had its maximum green" in text for text in drive.reasons("signal.actuated"))


def test_event_plan_has_its_own_maximum() -> None:
    drive = actuated(plan="event", event_max_green_s={"1": 50}, max_green_s={"1": 25})
    drive.put({"detector.d1": True, "detector.d2": True})
    assert drive.until(1, state=PhaseState.YELLOW) > 45


def test_gap_reduction_lets_go_of_thin_traffic() -> None:
    took = {}
    for least in (4.0, 0.5):
        drive = actuated(
            default_passage_s=4.0, default_min_gap_s=least, reduce_before_s=5.0, reduce_over_s=10.0,
            max_green_s={"1": 90},
        )  # fmt: skip
        drive.put({"detector.d2": True})
        start = drive.now
        while drive.state(1) is PhaseState.GREEN and drive.now - start < 100:
            drive.put({"detector.d1": (drive.now % 3.0) < 0.5})  # one vehicle each 3 s
            drive.scan()
        took[least] = drive.now - start
    assert took[4.0] > 85
    assert took[0.5] < 25


@pytest.mark.parametrize("recall", ["min", "max"])
def test_recall_serves_without_any_vehicle(recall: str) -> None:
    drive = actuated(recall={"2": recall})
    assert drive.until(2, 30) < 15


def test_a_phase_that_maxes_out_again_and_again_gets_more_and_loses_it_by_gaps() -> None:
    drive = actuated(
        max_green_s={"1": 15, "2": 10}, dynamic_max_s={"1": 30}, dynamic_step_s=5.0, recall={"1": "min"}
    )
    drive.put({"detector.d2": True})
    lasted = []
    for heavy in (*[True] * 6, *[False] * 5, True):
        drive.put({"detector.d1": heavy})
        drive.until(1)
        lasted.append(drive.until(1, state=PhaseState.YELLOW))
        drive.until(2)
    assert lasted[1:6] == pytest.approx([15.0, 20.0, 25.0, 30.0, 30.0], abs=0.6)
    assert max(lasted[6:11]) < 8  # gaps
    assert lasted[11] == pytest.approx(15.0, abs=0.6)  # what it had gained is lost


@pytest.mark.parametrize(("recycle", "walks"), [(True, 2), (False, 1)])
def test_a_second_walk_in_one_green_only_where_it_is_wanted(recycle: bool, walks: int) -> None:
    drive = Drive(one_ring(4), [("signal.actuated", {"ped_recycle": recycle})])
    seen = 0
    before: object = None
    for second in range(60):
        drive.put({"detector.b1": second in (2, 30)})
        drive.run(1)
        if drive.written["channel.p1"] == 3 and before != 3:
            seen += 1
        before = drive.written["channel.p1"]
    assert seen == walks


def test_without_any_call_the_junction_rests_in_red_where_it_is_told_to() -> None:
    drive = Drive(dual_ring(), [("signal.actuated", {"red_rest": True})])
    drive.until(1)
    drive.run(40)
    assert drive.greens() == set()
    assert set(drive.written.values()) == {1}
    drive.put({"detector.d8": True})
    assert drive.until(8, 10) < 3
    drive.run(60)
    assert drive.greens() == {8}  # for as long as somebody comes
    drive.put({"detector.d8": False})
    drive.run(20)
    assert drive.greens() == set()
    drive.put({"detector.b2": True})
    drive.scan()
    drive.put({"detector.b2": False})
    assert drive.until(2, 10) < 3
    assert drive.written["channel.p2"] == 3
    assert any("nobody calls" in text for text in drive.reasons("signal.actuated"))
    assert not drive.interventions


def test_rest_in_walk_until_somebody_else_comes() -> None:
    raw = one_ring(4)
    raw["phases"][0]["rest_in_walk"] = True
    drive = Drive(raw, [("signal.actuated", {})])
    drive.until(1)
    drive.put({"detector.b1": True})
    drive.run(1)
    drive.put({"detector.b1": False})
    drive.run(100)
    assert drive.written["channel.p1"] == 3
    drive.put({"detector.d2": True})
    begin = drive.now
    while drive.written["channel.p1"] == 3:
        drive.scan()
    assert drive.now - begin <= 1.0
    assert drive.until(1, state=PhaseState.YELLOW) == pytest.approx(8.0, abs=0.6)  # its clearance, whole
    assert not drive.interventions


def test_soft_recall_waits_for_silence() -> None:
    drive = actuated(3, recall={"3": "soft"})
    drive.put({"detector.d2": True})
    drive.until(2)
    drive.put({"detector.d2": False})
    assert drive.until(3, 30) < 20


def test_a_button_is_remembered_and_served_with_walk() -> None:
    drive = Drive(one_ring(4), [("signal.actuated", {})])
    drive.until(1)
    drive.put({"detector.b3": True})
    drive.scan()
    drive.put({"detector.b3": False})
    drive.until(3, 60)
    assert drive.written["channel.p3"] == 3
    drive.put({"detector.d1": True})
    drive.until(1, 60)
    drive.until(1, state=PhaseState.GREEN)
    assert drive.written["channel.p3"] == 1


def test_a_failed_detector_gives_its_phase_a_fixed_green() -> None:
    drive = actuated(blind_green_s=12)
    drive.put({"detector.d2": False}, bad=True)
    drive.until(2, 30)
    drive.put({"detector.d1": True})
    assert drive.until(2, state=PhaseState.YELLOW) == pytest.approx(12.5, abs=0.6)


def test_both_rings_cross_the_barrier_together() -> None:
    drive = Drive(dual_ring(), [("signal.actuated", {"recall": {"2": "min", "6": "min"}})])
    drive.run(60)
    assert drive.greens() == {2, 6}
    drive.put({"detector.d4": True})
    drive.until(4, 60)
    assert drive.greens() <= {4, 8}
    drive.put({"detector.d5": True, "detector.d4": False})
    drive.until(5, 60)
    assert drive.greens() <= {1, 2, 5}
    assert not drive.interventions


def test_a_snapshot_survives_other_parameters() -> None:
    drive = actuated()
    drive.put({"detector.d1": True, "detector.d2": True})
    drive.run(10)
    state = json.loads(json.dumps(drive.loop.snapshot()))
    staged = drive.loop.stage({"signal.actuated": {"default_max_green_s": 15.0}})
    drive.loop.adopt(staged)
    assert drive.until(1, state=PhaseState.YELLOW) < 10
    again = actuated()
    again.loop.restore(state)
    assert again.loop.effective()["signal.actuated"] == {}


# -- fixed time --------------------------------------------------------------------------------------

SPLITS = {"1": 30.0, "2": 25.0, "3": 35.0}


def fixed(offset: float = 0.0, **more: object) -> Drive:
    plan = {"cycle_s": 90.0, "splits_s": SPLITS, "offset_s": offset}
    return Drive(one_ring(3, ped=False), [("signal.fixed", {"plans": {"normal": plan}, **more})])


@pytest.mark.parametrize("offset", [0.0, 17.0])
def test_greens_fall_into_their_splits(offset: float) -> None:
    drive = fixed(offset)
    drive.run(200)
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    on: set[int] = set()
    for _ in range(360):
        drive.scan()
        at = (UTC0 + drive.now - offset) % 90.0
        for phase in drive.greens() - on:
            starts[phase] = at
        for phase in on - drive.greens():
            ends[phase] = at
        on = drive.greens()
    assert starts == pytest.approx({1: 0.0, 2: 30.0, 3: 55.0}, abs=0.6)
    assert ends == pytest.approx({1: 25.0, 2: 50.0, 3: 85.0}, abs=0.6)
    assert not drive.interventions


def test_a_clock_that_cannot_be_trusted_keeps_the_cycle() -> None:
    trusted, cut_off = fixed().run(200), fixed().run(200)
    cut_off.clock = Quality.BAD
    for _ in range(2000):
        trusted.scan()
        cut_off.scan()
        assert cut_off.written == trusted.written


def test_dual_ring_fixed_time_shares_the_cycle() -> None:
    drive = Drive(dual_ring(), [("signal.fixed", {"pedestrians": False})])
    served: set[int] = set()
    for _ in range(600):
        drive.scan()
        served |= drive.greens()
    assert served == set(range(1, 9))
    assert not drive.interventions
