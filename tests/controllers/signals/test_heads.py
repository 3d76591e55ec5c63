"""What stands on the poles: leading pedestrian interval, bicycle signals, display tables."""

import json
import random
from typing import Any

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.monitor import Monitor
from tests.controllers.signals.sites import CLOCK, checked, dual_ring, frame, inputs, one_ring

from vigie_controllers.contract import Verdict
from vigie_controllers.loops import ParamError
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.invariant import Invariant
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Ped, PhaseState, SignalWants

RED, YELLOW, GREEN, CLEARANCE = 1, 2, 3, 6
LEAD = 5.0


def leading(raw: dict[str, Any], lead: float = LEAD) -> dict[str, Any]:
    for phase in raw["phases"]:
        if phase.get("walk_s"):
            phase["lead_walk_s"] = lead
    return raw


def changes(drive: Drive, channel: str, seconds: float) -> list[tuple[float, int]]:
    """When a channel came to show what, after the first scan."""
    found: list[tuple[float, int]] = []
    before = drive.written.get(f"channel.{channel}")
    for _ in range(round(seconds / drive.step_s)):
        drive.scan()
        lamp = drive.written[f"channel.{channel}"]
        if lamp != before:
            found.append((drive.now, int(lamp)))
            before = lamp
    return found


# -- leading pedestrian interval ---------------------------------------------------------------------


def test_the_walk_begins_before_the_green_beside_it() -> None:
    drive = Drive(leading(one_ring(4)), [("signal.actuated", {})], step_s=0.1)
    drive.until(1)
    drive.put({"detector.b3": True, "detector.d3": True})
    drive.run(0.1)
    drive.put({"detector.b3": False})
    while drive.written["channel.p3"] != GREEN:
        drive.scan()
    walked = drive.now
    assert drive.written["channel.v3"] == RED and drive.written["channel.ov"] == RED
    while drive.written["channel.v3"] != GREEN:
        drive.scan()
    assert drive.now - walked == pytest.approx(LEAD)
    assert drive.written["channel.ov"] == GREEN
    drive.put({"detector.d1": True, "detector.d3": False})
    lit = drive.now
    drive.until(3, state=PhaseState.YELLOW)
    assert drive.now - lit >= 5.0 - 1e-6  # the minimum green counts from the vehicles' green
    assert drive.now - walked >= 5.0 + 8.0 - 1e-6
    assert not drive.interventions


def test_without_pedestrians_nobody_waits_for_them() -> None:
    drive = Drive(leading(one_ring(4)), [("signal.actuated", {})], step_s=0.1)
    drive.until(1)
    drive.put({"detector.d3": True})
    drive.until(3)
    assert drive.written["channel.v3"] == GREEN and drive.written["channel.p3"] == RED


def test_whatever_is_asked_the_walk_leads_and_no_minimum_is_cut() -> None:
    raw = leading(dual_ring(), 4.0)
    site = checked(raw)
    guard, monitor, dice = SignalGuard(site), Monitor(raw), random.Random(11)
    names = [channel.id for channel in site.channels]
    led = dict.fromkeys((2, 4, 6, 8), 0)
    now, before, wanted = 0.0, dict.fromkeys(names, 0), SignalWants()
    for _ in range(8000):
        now += dice.choice((0.1, 0.5, 1.0))
        if dice.random() < 0.3:
            hold, end, omit, call, walk = (
                frozenset(n for n in range(1, 9) if dice.random() < share)
                for share in (0.1, 0.6, 0.1, 0.4, 0.4)
            )
            wanted = SignalWants(hold, end, omit, call, walk)
        seen = frame([dice.random() < 0.2 for _ in site.detectors])
        lamps = guard.permit(now, wanted, inputs(seen, guard.status)).outputs.lamps
        monitor.see(now, lamps)
        shown = dict(zip(names, lamps, strict=True))
        for n in led:
            if shown[f"v{n}"] == GREEN and before[f"v{n}"] == RED and before[f"p{n}"] == GREEN:
                since = guard.status.phases[n - 1].since
                assert since - 1e-6 <= now <= since + 1.0 + 1e-6
                led[n] += 1
        before = shown
    assert not monitor.faults
    assert min(led.values()) > 5


def test_whatever_is_asked_a_walk_that_rests_is_cleared_and_nobody_waits_for_ever() -> None:
    raw = dual_ring()
    for phase in raw["phases"]:
        phase["rest_in_walk"] = phase["id"] % 2 == 0
    site = checked(raw)
    guard, monitor, dice = SignalGuard(site), Monitor(raw), random.Random(5)
    now, wanted = 0.0, SignalWants()
    walked, longest = 0.0, 0.0
    for _ in range(12000):
        now += 0.5
        if dice.random() < 0.05:
            hold, end, omit, call, walk = (
                frozenset(n for n in range(1, 9) if dice.random() < share)
                for share in (0.6, 0.4, 0.3, 0.3, 0.7)
            )
            wanted = SignalWants(hold, end, omit, call, walk)
        seen = frame([one.kind != "button" and one.id != "d1" for one in site.detectors])
        lamps = guard.permit(now, wanted, inputs(seen, guard.status)).outputs.lamps
        monitor.see(now, lamps)
        if guard.status.mode == "run":
            waits = [now - phase.waiting for phase in guard.status.phases if phase.waiting is not None]
            longest = max([longest, *waits])
        walks = [now - phase.ped_since for phase in guard.status.phases if phase.ped == Ped.WALK]
        walked = max([walked, *walks])
    assert not monitor.faults
    assert walked > 20.0  # the configured walk is 5 s: some rested
    assert longest < 4 * 120.0 + 60.0


def test_a_restart_inside_the_lead_ends_it_by_its_clearance() -> None:
    raw = leading(one_ring(4))
    extra = tuple(f"lamp.{one['id']}" for one in raw["channels"])
    drive = Drive(raw, [("signal.actuated", {})], extra=extra)
    monitor = Monitor(raw)
    drive.put(dict.fromkeys(extra, 0))

    def run(one: Drive, until: int) -> None:
        for _ in range(200):
            one.scan()
            shown = {f"lamp.{role.removeprefix('channel.')}": value for role, value in one.written.items()}
            one.put(shown)
            monitor.see(one.now, [int(value) for value in one.written.values()])
            if one.written["channel.p3"] == until:
                return
        raise AssertionError("never")

    drive.put({"detector.b3": True})
    run(drive, GREEN)
    assert drive.written["channel.v3"] == RED
    again = Drive(raw, [("signal.actuated", {})], extra=extra)
    again.now = drive.now
    again.values.update(drive.values)
    again.put({"detector.b3": False})
    run(again, CLEARANCE)
    run(again, RED)
    assert not monitor.faults


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lead_walk_s": 9.0}, "lead_walk_s of 9 s is longer than the walk it leads with, 5 s"),
        (
            {"lead_walk_s": 3.0, "walk_s": 0.0, "ped_clear_s": 0.0},
            "lead_walk_s of 3 s is longer than the walk",
        ),
    ],
)
def test_a_lead_that_cannot_be_is_refused(change: dict[str, float], text: str) -> None:
    raw = one_ring(4, ped=True)
    raw["phases"][0].update(change)
    raw["channels"] = [one for one in raw["channels"] if one["id"] != "p1"]
    raw["detectors"] = [one for one in raw["detectors"] if one["id"] != "b1"]
    raw["conflicts"] = [pair for pair in raw["conflicts"] if "p1" not in pair]
    with pytest.raises(ValueError, match=text):
        Drive(raw, [("signal.actuated", {})])


# -- bicycles ----------------------------------------------------------------------------------------


def with_bicycles() -> dict[str, Any]:
    raw = one_ring(3, ped=False)
    raw["channels"].append(
        {
            "id": "b1",
            "kind": "bicycle",
            "phases": [1],
            "min_green_s": 9.0,
            "yellow_s": 3.0,
            "red_clear_s": 5.0,
        }
    )
    raw["conflicts"] += [["b1", "v2"], ["b1", "v3"], ["b1", "ov"]]
    return raw


def test_bicycles_have_their_own_minimum_green_and_clearance() -> None:
    raw = with_bicycles()
    drive = Drive(raw, [("signal.actuated", {})], step_s=0.1)
    monitor = Monitor(raw)
    drive.put({"detector.d2": True})
    drive.until(1)
    lit = drive.now
    drive.until(1, state=PhaseState.YELLOW)
    ended = drive.now
    assert ended - lit == pytest.approx(9.0, abs=0.11)
    assert drive.written["channel.b1"] == YELLOW
    drive.until(2)
    assert drive.now - ended == pytest.approx(3.0 + 5.0, abs=0.11)
    monitor.see(drive.now, [int(value) for value in drive.written.values()])
    assert not drive.interventions


def test_a_plan_must_leave_room_for_bicycles() -> None:
    plan = {"plans": {"normal": {"splits_s": {"1": 16.0, "2": 25.0, "3": 20.0}}}}
    with pytest.raises(ParamError, match=r"16 s is below the 17 s"):
        Drive(with_bicycles(), [("signal.fixed", plan)])


def test_only_bicycles_have_a_minimum_green_of_their_own() -> None:
    raw = one_ring(2, ped=False)
    raw["channels"][0]["min_green_s"] = 9.0
    with pytest.raises(ValueError, match="min_green_s is for bicycles"):
        Drive(raw, [("signal.actuated", {})])


# -- displays ----------------------------------------------------------------------------------------

PRIORITY_LEFT = {
    "priority-left": [
        {"state": "green", "phases": [1], "shows": "flashing-green", "write": "flash-green"},
        {"state": "green", "shows": "green"},
    ],
    "white-bar": [{"state": "green", "shows": "white-bar-vertical"}, {"state": "red", "shows": "red"}],
}


def flashing() -> dict[str, Any]:
    """Phase 1: one approach alone, its left turn protected; phase 2: both approaches."""
    return {
        "phases": [{"id": 1}, {"id": 2}, {"id": 3}],
        "channels": [
            {"id": "north", "phases": [1, 2], "display": "priority-left"},
            {"id": "south", "phases": [2]},
            {"id": "bus", "phases": [3], "display": "white-bar"},
        ],
        "conflicts": [["north", "bus"], ["south", "bus"]],
        "detectors": [{"id": f"d{n}", "phases": [n]} for n in (1, 2, 3)],
        "displays": PRIORITY_LEFT,
    }


def test_flashing_green_while_the_left_turn_has_priority_then_steady_green() -> None:
    raw = flashing()
    drive = Drive(raw, [("signal.actuated", {})])
    drive.put(dict.fromkeys(drive.values, True))
    drive.until(3)
    assert drive.domain.heads() == {"north": "red", "south": "red", "bus": "white-bar-vertical"}
    seen = [lamp for _, lamp in changes(drive, "north", 250)]
    assert seen[:5] == [CLEARANCE, GREEN, YELLOW, RED, CLEARANCE]  # 6: flashing green
    drive.until(1)
    assert drive.domain.heads()["north"] == "flashing-green"
    drive.until(2)
    assert drive.domain.heads()["north"] == "green" and drive.written["channel.north"] == GREEN
    assert not drive.interventions


def test_guard_and_invariant_judge_the_state_not_the_display() -> None:
    raw = flashing()
    drive = Drive(raw, [("signal.actuated", {})])
    drive.until(1)
    verdict: Verdict[SignalWants] = drive.domain.guard.permit(
        drive.now, None, drive.domain.inputs(CLOCK, False, drive._readings or ())
    )
    assert verdict.outputs.lamps[0] == GREEN and drive.written["channel.north"] == CLEARANCE
    check = Invariant(SignalSite.model_validate(raw))
    assert check.unlawful((CLEARANCE, RED, GREEN)) and check.unlawful((GREEN, RED, GREEN))
    assert check.unlawful((CLEARANCE, GREEN, RED)) is None


def test_a_restart_takes_over_a_flashing_green() -> None:
    raw = flashing()
    extra = tuple(f"lamp.{one['id']}" for one in raw["channels"])
    drive = Drive(raw, [("signal.actuated", {})], extra=extra)
    drive.put(dict(zip(extra, (CLEARANCE, RED, RED), strict=True)))
    drive.scan()
    assert drive.domain.guard.status.mode == "takeover"
    seen = changes(drive, "north", 20)
    assert [lamp for _, lamp in seen][:2] == [YELLOW, RED]


def test_displays_do_not_change_what_is_written_without_write() -> None:
    raw = flashing()
    plain = {**raw, "displays": {}, "channels": [{**one} for one in raw["channels"]]}
    for one in plain["channels"]:
        one.pop("display", None)
    table = json.loads(json.dumps(raw).replace('"write": "flash-green"', '"write": null'))
    a, b = Drive(plain, [("signal.fixed", {})]), Drive(table, [("signal.fixed", {})])
    for _ in range(400):
        a.scan()
        b.scan()
        assert a.written == b.written


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"displays": {}}, "no display 'priority-left'; name one of displays: none"),
        (
            {"displays": {**PRIORITY_LEFT, "x": [{"state": "red", "shows": "x", "write": "flash-green"}]}},
            "only a green may be written as flash-green",
        ),
        ({"displays": {**PRIORITY_LEFT, "x": [{"state": "green", "phases": [9], "shows": "x"}]}}, "phase 9"),
        ({"displays": {**PRIORITY_LEFT, "x": [{"state": "blue", "shows": "x"}]}}, "state"),
        ({"displays": {**PRIORITY_LEFT, "x": [{"state": "green", "shows": "x", "write": "red"}]}}, "write"),
    ],
)
def test_tables_that_cannot_be_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Drive({**flashing(), **change}, [("signal.actuated", {})])


def test_pedestrians_never_get_a_flashing_green_for_a_walk() -> None:
    raw = flashing()
    raw["phases"][0].update(walk_s=5, ped_clear_s=5)
    raw["channels"].append({"id": "p", "kind": "pedestrian", "phases": [1], "display": "priority-left"})
    with pytest.raises(ValueError, match="means clearance"):
        Drive(raw, [("signal.actuated", {})])
