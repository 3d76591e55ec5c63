"""High-resolution events and measures, by what is shown and what must be told of it."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.sites import dual_ring, one_ring
from tests.controllers.signals.test_priority import Bus
from tests.controllers.signals.test_priority import site as bus_site
from tests.controllers.signals.toy import Toy, site

from vigie_controllers.loops import Observed
from vigie_controllers.signals.measures.codes import Code, Flash
from vigie_controllers.signals.measures.figures import NAMES
from vigie_controllers.signals.words import PhaseState
from vigie_protocols.points import Reading


def of(drive: Drive, phase: int, start: float = 0.0) -> list[tuple[float, int]]:
    """Instants after ``start`` and codes of one phase."""
    phases = [code for code in Code if code <= Code.DONT_WALK_BEGIN or code in (Code.PED_CALL, Code.CALL)]
    return [
        (round(at - start, 1), code)
        for at, code, who in drive.events
        if code in phases and who == phase and at >= start
    ]


def test_a_service_from_call_to_red_in_the_public_codes() -> None:
    drive = Drive(one_ring(2, ped=True), [("signal.actuated", {})], step_s=0.1)
    drive.put({"detector.d2": True})
    drive.until(2)
    drive.run(10)
    start = drive.now
    drive.put({"detector.b1": True})
    drive.run(0.1)
    drive.put({"detector.b1": False})
    drive.run(3)
    drive.put({"detector.d2": False})
    drive.until(1)
    drive.run(20)
    assert of(drive, 2, start)[:8] == [
        (0.1, Code.PHASE_CHECK),
        (5.2, Code.GREEN_END),  # two seconds after the scan that saw the last vehicle leave
        (5.2, Code.YELLOW_BEGIN),
        (5.2, Code.GAP_OUT),
        (8.2, Code.YELLOW_END),
        (8.2, Code.RED_CLEAR_BEGIN),
        (10.2, Code.RED_CLEAR_END),
        (10.2, Code.PHASE_OFF),
    ]
    assert of(drive, 1, start) == [
        (0.1, Code.PED_CALL),
        (10.2, Code.PHASE_ON),
        (10.2, Code.GREEN_BEGIN),
        (10.2, Code.WALK_BEGIN),
        (15.2, Code.PED_CLEAR_BEGIN),
        (16.2, Code.MIN_COMPLETE),
        (23.2, Code.DONT_WALK_BEGIN),
    ]
    own = [(round(at - start, 1), code, who) for at, code, who in drive.events if at >= start and code > 80]
    assert own == [(0.1, Code.BUTTON_ON, 1), (0.2, Code.BUTTON_OFF, 1), (3.2, Code.DETECTOR_OFF, 2)]


def test_max_out_and_what_a_plan_ends() -> None:
    drive = Drive(one_ring(2, ped=False), [("signal.actuated", {"max_green_s": {"1": 20}})])
    drive.put({"detector.d1": True, "detector.d2": True})
    drive.run(200)
    assert {code for _, code in of(drive, 1)} >= {Code.MAX_OUT}
    fixed = Drive(one_ring(2, ped=False), [("signal.fixed", {})])
    fixed.run(200)
    assert Code.FORCE_OFF in {code for _, code in of(fixed, 1)}
    assert not {Code.MAX_OUT, Code.GAP_OUT} & {code for _, code in of(fixed, 1)}


ROUND = [
    Code.PHASE_ON, Code.GREEN_BEGIN, Code.GREEN_END, Code.YELLOW_BEGIN, Code.YELLOW_END, Code.RED_CLEAR_BEGIN,
    Code.RED_CLEAR_END, Code.PHASE_OFF,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["signal.actuated", "signal.adaptive"])
def test_every_service_is_told_whole_and_in_order_with_one_reason(kind: str) -> None:
    drive, _ = busy(kind, 900)
    for phase in range(1, 9):
        codes = [code for _, code in of(drive, phase)]
        rounds = [code for code in codes if code in ROUND]
        assert rounds == [ROUND[k % len(ROUND)] for k in range(len(rounds))]
        ends = codes.count(Code.GREEN_END)
        assert ends > 3
        why = sum(codes.count(code) for code in (Code.GAP_OUT, Code.MAX_OUT, Code.FORCE_OFF))
        assert ends - 1 <= why <= ends
        assert codes.count(Code.MIN_COMPLETE) in (
            codes.count(Code.GREEN_BEGIN),
            codes.count(Code.GREEN_BEGIN) - 1,
        )
    barriers = [who for _, code, who in drive.events if code == Code.BARRIER]
    assert len(barriers) > 5 and all(one != other for one, other in itertools.pairwise(barriers))


def busy(kind: str, seconds: int, drive: Drive | None = None, toy: Toy | None = None) -> tuple[Drive, Toy]:
    """An eight-phase junction with traffic."""
    raw = {**site(8, dual=True), "measures_s": 300.0}
    drive = drive or Drive(raw, [(kind, {}), ("signal.actuated", {})] if "ad" in kind else [(kind, {})])
    toy = toy or Toy([0.05, 0.12] * 4, seed=4)
    for _ in range(seconds):
        toy.step(drive.now, drive.greens())
        drive.put(toy.roles())
        drive.run(1.0)
    return drive, toy


def test_replay_from_any_snapshot_tells_the_same_events_and_figures() -> None:
    first, toy = busy("signal.actuated", 370)
    state = json.loads(json.dumps(first.loop.snapshot()))
    again = Drive({**site(8, dual=True), "measures_s": 300.0}, [("signal.actuated", {})])
    again.loop.resume(state)
    assert json.loads(json.dumps(again.loop.snapshot())) == state
    again.now = first.now
    known = len(first.events)
    rows = []
    for _ in range(700):
        toy.step(first.now, first.greens())
        rows.append(toy.roles())
        for one in (first, again):
            one.put(rows[-1])
            one.run(1.0)
    assert again.events == first.events[known:] and len(again.events) > 500
    assert again.figures == first.figures[1:] and len(again.figures) >= 2
    assert json.dumps(again.loop.snapshot()) == json.dumps(first.loop.snapshot())


def test_figures_of_a_period_agree_with_its_events() -> None:
    drive, _ = busy("signal.actuated", 1000)
    ends, figures = drive.figures[1]
    assert set(figures) == {f"{phase}/{name}" for phase in range(1, 9) for name in NAMES}
    for phase in range(1, 9):
        codes = [
            code
            for at, code, who in drive.events
            if who == phase and ends - 300 < at <= ends and code <= Code.PHASE_OFF
        ]
        assert figures[f"{phase}/greens"] == codes.count(Code.GREEN_BEGIN)
        for name, code in (("gap_outs", Code.GAP_OUT), ("max_outs", Code.MAX_OUT)):
            assert abs((figures[f"{phase}/{name}"] or 0) - codes.count(code)) <= 1
        share = figures[f"{phase}/arrivals_on_green"]
        assert share is None or 0 <= share <= 1
    greens = sum(figures[f"{phase}/green_s"] or 0 for phase in range(1, 9))
    assert 200 < greens < 600  # of two rings


class Lane:
    """One phase under a fixed plan of 20 s green, with detectors of our own."""

    def __init__(self, *detectors: dict[str, Any], phases: int = 2) -> None:
        raw = one_ring(phases, ped=False)
        raw["detectors"] = [{"phases": [1], "lanes": ["in"], **one} for one in detectors]
        raw["lanes"] = [{"id": "in", "length_m": 150.0, "speed_mps": 10.0}]
        raw["measures_s"] = 3600.0
        plan = {"plans": {"normal": {"splits_s": {"1": 25, "2": 35}}}}
        self.drive = Drive(raw, [("signal.fixed", plan)], step_s=0.1)
        self.drive.until(2)
        self.drive.until(1)

    def figures(self) -> Mapping[str, float | None]:
        told = self.drive.domain.measures(self.drive.now)["so_far"]
        return {name[2:]: value for name, value in told.items() if name.startswith("1/")}


def test_a_split_failure_is_a_stop_line_full_in_green_and_still_full_in_red() -> None:
    lane = Lane({"id": "stop", "from_m": 2})
    drive = lane.drive
    drive.put({"detector.stop": True})
    drive.until(2)
    drive.run(3)  # five seconds of red
    drive.put({"detector.stop": False})
    drive.until(1)
    drive.put({"detector.stop": True})
    assert lane.figures()["split_failures"] == 1
    drive.run(10)  # served: empty from the middle of green on
    drive.put({"detector.stop": False})
    drive.until(2)
    drive.run(6)
    told = lane.figures()
    assert told["split_failures"] == 1 and told["greens"] == 3
    assert told["green_occupancy"] == pytest.approx((0 + 1 + 0.5) / 3, abs=0.01)
    assert told["red_occupancy"] == pytest.approx((0 + 1 + 0) / 3, abs=0.01)
    drive.until(1)
    drive.put({"detector.stop": "broken"})  # nothing is judged by a detector that is not believed
    drive.until(2)
    drive.run(6)
    assert lane.figures()["green_occupancy"] == told["green_occupancy"]


def test_arrivals_on_green_count_where_the_vehicle_comes_to_the_stop_line() -> None:
    lane = Lane({"id": "far", "from_m": 100})  # ten seconds before the stop line
    drive = lane.drive

    def car() -> None:
        drive.put({"detector.far": True})
        drive.run(0.2)
        drive.put({"detector.far": False})
        drive.run(0.2)

    car()  # arrives 10 s into 20 s of green
    drive.run(12)
    car()  # seen in green, arrives after it
    assert drive.state(1) is PhaseState.GREEN
    drive.until(2)
    drive.until(1)
    drive.run(1)
    told = lane.figures()
    assert told["arrivals"] == 2 and told["arrivals_on_green"] == 0.5
    assert told["queue_max"] == 1
    assert told["delay_veh_s"] == pytest.approx(60 - 22.8, abs=1.0)  # from its arrival to the next green


def test_standing_vehicles_give_queue_and_delay() -> None:
    lane = Lane({"id": "h", "kind": "halting", "to_m": 50})
    lane.drive.put({"detector.h": 3})
    lane.drive.run(10)
    lane.drive.put({"detector.h": 1})
    lane.drive.run(5)
    told = lane.figures()
    assert told["queue_max"] == 3
    assert told["delay_veh_s"] == pytest.approx(35, abs=0.5)


def test_pedestrian_delay_from_the_button_to_walk() -> None:
    drive = Drive(one_ring(2, ped=True), [("signal.actuated", {})], step_s=0.1)
    drive.put({"detector.d2": True})
    drive.until(2)
    drive.run(3)
    pressed = drive.now
    drive.put({"detector.b1": True})
    drive.run(0.3)
    drive.put({"detector.b1": False})
    drive.until(1)
    drive.run(0.2)
    told = drive.domain.measures(drive.now)["so_far"]
    assert told["1/ped_services"] == 1
    assert told["1/ped_delay_s"] == pytest.approx(drive.now - 0.2 - pressed - 0.1, abs=0.2)
    assert told["1/ped_delay_max_s"] == told["1/ped_delay_s"]
    assert told["2/ped_delay_s"] is None


def test_overlaps_flash_and_failed_detectors_have_their_codes() -> None:
    drive = Drive(dual_ring(), [("signal.actuated", {"default_recall": "min"})], extra=("monitor.fault",))
    drive.put({"monitor.fault": False})
    drive.run(120)
    drive.put({"detector.d3": -7, "detector.b2": "x"})
    drive.run(1)
    drive.put({"detector.d3": 0, "detector.b2": 0})
    drive.run(1)
    drive.put({"monitor.fault": True})
    drive.run(2)
    drive.put({"monitor.fault": False})
    drive.run(30)
    told = [(code, who) for _, code, who in drive.events]
    flash = [who for code, who in told if code == Code.FLASH_STATUS]
    assert flash == [Flash.STARTUP, Flash.NOT_FLASH, Flash.MMU, Flash.STARTUP, Flash.NOT_FLASH]
    cycle = [code for code, who in told if who == 1 and 61 <= code <= 65]
    assert cycle[:5] == [
        Code.OVERLAP_GREEN, Code.OVERLAP_YELLOW, Code.OVERLAP_RED_CLEAR, Code.OVERLAP_OFF, Code.OVERLAP_GREEN,
    ]  # fmt: skip
    for one in (
        (Code.DETECTOR_WATCHDOG, 3),
        (Code.DETECTOR_RESTORED, 3),
        (Code.BUTTON_FAILED, 2),
        (Code.BUTTON_RESTORED, 2),
    ):
        assert told.count(one) == 1


def test_an_observer_that_breaks_costs_no_scan_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(one_ring(2, ped=False), [("signal.fixed", {})])
    sound = Drive(one_ring(2, ped=False), [("signal.fixed", {})])

    def broken(*_: object) -> Observed:
        raise ZeroDivisionError("measures")

    monkeypatch.setattr(drive.domain, "observe", broken)
    drive.run(60)
    sound.run(60)
    assert drive.shown == sound.shown
    assert [one.what for _, one in drive.decisions if one.source == "observer"] == ["observer-fault"]


REQUESTS = (Code.HOLD_ON, Code.HOLD_OFF, Code.OMIT_ON, Code.OMIT_OFF)


@pytest.mark.parametrize("green", [1, 2], ids=["another has green", "entry and dwell in one scan"])
def test_preemption_from_its_call_to_its_exit(green: int) -> None:
    row = {"id": "fire", "kind": "emergency", "dwell_phases": [2], "dwell_s": 8.0, "exit_phases": [1]}
    raw = {**one_ring(3, ped=False), "preemptions": [row]}
    drive = Drive(raw, [("signal.actuated", {"default_recall": "min"})], extra=("preempt.fire",))
    drive.put({"preempt.fire": False})
    drive.until(green)
    drive.put({"preempt.fire": True})
    drive.run(1)
    assert "preemptIsActive" in drive.loop.outlook(drive.now, Reading(0.0), 0.5)["status"]
    drive.run(20)
    drive.put({"preempt.fire": False})
    drive.run(40)
    told = [code for _, code, who in drive.events if 102 <= code <= 111 and who == 1]
    assert told == [
        Code.PREEMPT_ON, Code.PREEMPT_ENTRY, Code.PREEMPT_DWELL, Code.PREEMPT_OFF, Code.PREEMPT_EXIT,
    ]  # fmt: skip
    asked = {
        who: [code for _, code, at in drive.events if at == who and code in REQUESTS] for who in (1, 2, 3)
    }
    assert asked[2][:1] == [Code.HOLD_ON] and asked[1][:1] == asked[3][:1] == [Code.OMIT_ON]
    assert all(codes[::2] != codes[1::2] and len(codes) % 2 == 0 for codes in asked.values()), (
        "each has an end"
    )
    forced = [who for _, code, who in drive.events if code == Code.PREEMPT_FORCE_OFF]
    assert forced == ([1, 2] if green == 1 else [2])
    assert "preemptIsActive" not in drive.loop.outlook(drive.now, Reading(0.0), 0.5)["status"]


def test_transit_priority_from_its_grant_to_its_end() -> None:
    drive = Bus(bus_site())
    drive.until(1)
    drive.until(2)
    drive.ask(30.0)
    active = False
    for _ in range(160):
        drive.scan()
        active |= "signalPriorityIsActive" in drive.loop.outlook(drive.now, Reading(0.0), 0.5)["status"]
    told = [code for _, code, who in drive.events if 112 <= code <= 115 and who == 1]
    assert told[:1] == [Code.PRIORITY_IN] and told[-1] == Code.PRIORITY_OUT
    assert active and {Code.PRIORITY_EARLY, Code.PRIORITY_EXTENDED} & set(told)
