"""What is asked of a cabinet whose reports are late, wrong or missing, and of one that has calls of its own."""

import json
from typing import Any

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.sites import checked, dual_ring, inputs, one_ring, reading

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.words import Frame, SignalWants
from vigie_protocols.points import Quality, Reading, Value

RED, YELLOW, GREEN, WALK, CLEARANCE = 1, 2, 3, 3, 6
EVERY = frozenset(range(1, 9))


class Desk:
    """A guard at a cabinet whose reports the test writes."""

    def __init__(self, raw: dict[str, Any], **wants: frozenset[int]) -> None:
        own = [{"id": "own", "kind": "rail"}]
        self.site = checked({**raw, "actuation": "cabinet", "preemptions": own})
        self.guard = SignalGuard(self.site, heartbeat=True)
        self.wants = SignalWants(**wants)
        self.now = 100.0
        self.on: set[str] = set()
        self.shows: dict[int, Value] = {phase.id: RED for phase in self.site.phases}
        self.walks: dict[int, Value] = {phase.id: RED for phase in self.site.phases}
        self.unread: set[int] = set()
        self.preempted = self.flash = False
        self.asked = SignalWants()
        self.rules: list[str] = []

    def run(self, seconds: float, step_s: float = 0.5) -> SignalWants:
        states = tuple(
            reading(lamp, Quality.BAD if number in self.unread else Quality.GOOD)
            for number, lamp in self.shows.items()
        )
        frame = Frame(
            tuple(reading(one.id in self.on) for one in self.site.detectors),
            cabinet=states,
            cabinet_ped=tuple(map(Reading, self.walks.values())),
            cabinet_flash=reading(self.flash),
            preempts=(reading(self.preempted),),
        )
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            verdict = self.guard.permit(self.now, self.wants, inputs(frame, self.guard.status))
            self.asked = verdict.outputs
            self.rules += [one.rule for one in verdict.interventions]
        return self.asked

    def nothing(self) -> bool:
        one = self.asked
        return not (one.hold | one.force_off | one.omit | one.call | one.ped_call)


def at_green(raw: dict[str, Any], *numbers: int, **wants: frozenset[int]) -> Desk:
    desk = Desk(raw, **wants)
    desk.shows.update(dict.fromkeys(numbers, GREEN))
    return desk


def test_a_hold_outlasts_no_maximum_red_whatever_is_reported() -> None:
    desk = at_green(one_ring(2, ped=False), 1, hold=frozenset({1}))
    assert desk.run(119).hold == {1}
    assert desk.run(60).hold == frozenset()
    desk.wants = SignalWants()
    desk.run(1)
    desk.wants = SignalWants(hold=frozenset({1}))
    assert desk.run(1).hold == {1}, "withdrawn once, it may hold again"


def test_a_hold_outranks_a_force_off_as_in_our_own_engine_and_a_green_is_not_omitted() -> None:
    desk = at_green(one_ring(2, ped=False), 1, hold=frozenset({1}), force_off=EVERY, omit=EVERY)
    asked = desk.run(30)
    assert (asked.hold, asked.force_off, asked.omit) == ({1}, frozenset(), {2})


@pytest.mark.parametrize("second", [GREEN, YELLOW])
def test_states_that_cannot_be_are_not_believed_until_they_have_settled(second: int) -> None:
    desk = at_green(one_ring(3, ped=False), 1, call=EVERY)
    assert desk.run(10).call == {1, 2, 3}
    desk.shows[2] = second
    desk.run(0.5)
    assert desk.nothing()
    assert desk.guard.status.mode == "unknown"
    desk.shows[2] = RED
    desk.run(2.5)
    assert desk.nothing()
    desk.run(1)
    assert desk.asked.call == {1, 2, 3}


@pytest.mark.parametrize("value", [4, 17, -1, 2.5, "x", float("nan")])
def test_what_is_no_state_is_as_good_as_unread(value: Value) -> None:
    desk = at_green(one_ring(3), 1, call=EVERY)
    desk.run(10)
    desk.shows[3] = value
    desk.run(1)
    assert desk.nothing()
    desk.shows[3] = RED
    desk.walks[1] = value
    desk.run(1)
    assert desk.nothing()
    desk.walks[1] = RED
    desk.run(1)
    assert desk.asked.call == {1, 2, 3}


def test_a_green_that_was_not_watched_has_just_begun() -> None:
    desk = at_green(one_ring(2, ped=False), 1, force_off=EVERY, call=EVERY)
    assert desk.run(30).force_off == {1}
    desk.unread = {2}
    desk.run(60)
    assert desk.nothing()
    desk.unread = set()  # green as before: it may be another green than the one that was seen
    assert desk.run(5.5).force_off == frozenset()
    assert desk.run(1).force_off == {1}


def test_no_force_off_in_a_walk_or_a_clearance() -> None:
    desk = at_green(one_ring(4), 1, force_off=EVERY, call=EVERY)
    desk.walks[1] = WALK
    assert desk.run(60).force_off == frozenset()
    desk.walks[1] = CLEARANCE
    assert desk.run(60).force_off == frozenset()
    desk.walks[1] = RED
    assert desk.run(1).force_off == {1}


def test_the_heart_rests_while_nothing_may_be_asked_so_that_the_cabinet_runs_by_itself() -> None:
    desk = at_green(one_ring(2, ped=False), 1, call=EVERY)
    desk.run(10)
    for hand in ("preempted", "flash"):
        setattr(desk, hand, True)
        desk.run(1)
        rests = desk.asked.heartbeat
        desk.run(20)
        assert desk.nothing()
        assert desk.asked.heartbeat == rests, hand
        setattr(desk, hand, False)
        desk.run(5)
        assert desk.asked.call == {1, 2}
        assert desk.asked.heartbeat > rests


def test_overdue_demand_is_come_to_at_once_although_the_cabinet_has_calls_of_its_own() -> None:
    """Else a ring that is to go round again would wait at the barrier for one that need not end."""
    desk = at_green(dual_ring(), 2, 6)
    desk.on = {"d1", "d4"}
    desk.run(130)
    assert "max-red" in desk.rules
    assert desk.asked.omit == {3, 4, 7, 8}
    assert (desk.asked.call, desk.asked.force_off) == ({1}, {2}), "6 may be on beside 1"
    desk.run(60)
    assert desk.asked.omit == frozenset(), "it cannot be moved so: everything ends early, nothing is omitted"
    assert desk.asked.force_off == {2, 6}
    assert desk.asked.call >= {1, 4}


def test_a_button_that_only_we_see_does_not_hold_up_the_others() -> None:
    desk = at_green(one_ring(3), 1)
    desk.on = {"b1", "d2"}
    desk.run(200)
    assert desk.asked.force_off == {1}
    desk.shows.update({1: YELLOW})
    desk.run(3)
    desk.shows.update({1: RED, 2: GREEN})
    desk.on = {"b1", "d3"}
    desk.run(60)
    waits = {one.id: one.ped_waiting for one in desk.guard.status.phases}
    assert waits[1] is not None and desk.now - waits[1] < 65, "it had its green: its wait begins anew"


def test_the_exact_state_is_resumed_with_holds_doubts_and_greens() -> None:
    desk = at_green(one_ring(3), 1, hold=frozenset({1}), call=EVERY)
    desk.on = {"b1", "d2"}
    desk.run(60)
    twin = Desk(one_ring(3), hold=frozenset({1}), call=EVERY)
    twin.guard.resume(json.loads(json.dumps(desk.guard.snapshot())))
    twin.now, twin.on, twin.shows, twin.walks = desk.now, desk.on, dict(desk.shows), dict(desk.walks)
    changes: list[dict[int, Value]] = [{2: GREEN}, {2: RED}, {1: YELLOW}, {1: RED}, {2: GREEN}, {}]
    for change in changes:
        for one in (desk, twin):
            one.shows.update(change)
            for _ in range(20):
                one.run(0.5)
        assert desk.asked == twin.asked
        assert desk.guard.status == twin.guard.status
        assert desk.guard.snapshot() == twin.guard.snapshot()


@pytest.mark.parametrize("bound", [False, True])
def test_pedestrians_are_called_at_a_cabinet_that_takes_such_calls(bound: bool) -> None:
    raw = {**one_ring(2), "actuation": "cabinet"}
    extra = ("phase.1.ped_call",) if bound else ()
    drive = Drive(raw, [("signal.actuated", {"recall": {"1": "ped"}})], extra=extra)
    drive.put({"phase.1.state": RED, "phase.2.state": GREEN})
    drive.run(1)
    assert drive.written.get("phase.1.ped_call") == (True if bound else None)
    assert drive.written["phase.1.call"]
    if bound:
        forced = drive.domain.force(None, "jct/phase.1.ped_call", True)
        assert forced.ped_call == {1}
        assert drive.domain.force(forced, "jct/phase.1.ped_call", False).ped_call == frozenset()
        assert drive.domain.force(forced, "jct/phase.2.omit", True) == SignalWants(
            ped_call=frozenset({1}), omit=frozenset({2})
        )


def test_a_phase_without_pedestrians_has_no_call_of_theirs() -> None:
    raw = {**one_ring(2), "actuation": "cabinet"}
    with pytest.raises(ValueError, match=r"^points\.phase\.2\.ped_call: unknown role"):
        Drive(raw, [("signal.actuated", {})], extra=("phase.2.ped_call",))


def test_no_walk_is_called_in_a_green_that_is_to_end() -> None:
    desk = at_green(one_ring(4), 1, call=EVERY, ped_call=EVERY)
    assert desk.run(1).ped_call == {1, 3}
    desk.wants = SignalWants(call=EVERY, ped_call=EVERY, force_off=EVERY)
    assert desk.run(1).ped_call == {3}
