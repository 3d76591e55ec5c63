"""The controllers that look ahead, on a junction with cars in it."""

import itertools
import json
import math
from typing import Any

import pytest
from tests.controllers.signals.drive import UTC0, Drive, build
from tests.controllers.signals.toy import Toy, site

from vigie_controllers.signals.learn import Learner
from vigie_controllers.signals.model import Model, View
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.predict import (
    IMPATIENCE_S,
    LEFT_COST,
    PATIENCE_S,
    START_UP,
    STOP_COST,
    LanePrediction,
    LaneState,
    Rate,
)
from vigie_controllers.signals.search import HOLDS, Search
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import SignalWants
from vigie_protocols.points import Reading

RATES = [0.14, 0.10, 0.04]


def drive_through(
    kind: str, rates: list[float], seconds: int = 1200, seed: int = 1, raw: dict[str, Any] | None = None
) -> tuple[Toy, Drive]:
    raw = raw or site(len(rates))
    chain: list[tuple[str, dict[str, Any]]] = [(kind, {})]
    if kind != "signal.actuated":
        chain.append(("signal.actuated", {}))
    drive, toy = Drive(raw, chain, step_s=1.0), Toy(rates, seed)
    for _ in range(seconds):
        toy.step(drive.now, drive.greens())
        drive.put(toy.roles())
        drive.scan()
    return toy, drive


@pytest.mark.parametrize(
    "kind", ["signal.adaptive", "signal.max_pressure", "signal.greedy", "signal.actuated"]
)
def test_everyone_gets_through_without_the_guard_stepping_in(kind: str) -> None:
    toy, drive = drive_through(kind, RATES)
    assert toy.left > 0.9 * sum(RATES) * 1200 - 20
    assert not [rule for rule in drive.rules() if rule in ("min-green", "ped-clearance", "unknown-phase")]
    assert max(map(len, toy.cars)) < 20


def test_looking_ahead_beats_a_fixed_plan() -> None:
    def delay(kind: str) -> float:
        return sum(drive_through(kind, RATES, seed=seed)[0].delay for seed in (1, 2, 3))

    assert delay("signal.adaptive") < 0.8 * delay("signal.fixed")


def test_every_end_of_a_phase_has_a_reason_to_read() -> None:
    _, drive = drive_through("signal.adaptive", RATES, 600)
    reasons = drive.reasons("signal.adaptive")
    assert len(reasons) > 10
    ends = [text for text in reasons if "planned for phase" in text or "waited long enough" in text]
    assert len(ends) > 10
    goes_on = [text for text in reasons if "goes on: to end it now would cost" in text]
    assert goes_on and len(ends) + len(goes_on) == len(reasons)
    assert len(goes_on) < 100, "told when a green could first end and every ten seconds, not at every scan"


def test_an_empty_junction_rests() -> None:
    _, drive = drive_through("signal.adaptive", [0.0, 0.0], 300)
    assert len(drive.shown) < 8


def test_eight_phases_in_two_rings() -> None:
    rates = [0.03, 0.1, 0.03, 0.06, 0.03, 0.1, 0.03, 0.06]
    toy, drive = drive_through("signal.adaptive", rates, 900, raw=site(8, dual=True))
    assert toy.left > 0.85 * sum(rates) * 900 - 20
    assert "min-green" not in drive.rules()


def test_a_button_gets_its_walk_in_time() -> None:
    raw = site(3, ped=True)
    drive, toy = Drive(raw, [("signal.adaptive", {})], step_s=1.0), Toy([0.2, 0.0, 0.0], 1)
    walked = None
    for second in range(300):
        toy.step(drive.now, drive.greens())
        drive.put({**toy.roles(), "detector.b": second == 60})
        drive.scan()
        if drive.written["channel.p"] == 3 and walked is None:
            walked = second
    assert walked is not None
    assert 60 <= walked < 160
    assert "max-red" not in drive.rules()


def test_it_is_silent_when_it_cannot_see_and_actuated_takes_over() -> None:
    drive, toy = Drive(site(3), [("signal.adaptive", {}), ("signal.actuated", {})], step_s=1.0), Toy(RATES, 1)
    active: list[int] = []
    step = drive.loop.step
    drive.loop.step = lambda *a: active.append((out := step(*a)).active) or out  # type: ignore[method-assign, func-returns-value]
    for second in range(400):
        toy.step(drive.now, drive.greens())
        drive.put(toy.roles(), bad=100 <= second < 200)
        drive.scan()
    assert set(active[40:99]) == {0}
    assert set(active[101:199]) == {1}
    assert set(active[202:]) == {0}


@pytest.mark.parametrize("kind", ["signal.max_pressure", "signal.greedy"])
def test_a_queue_behind_one_who_must_stay_red_is_no_pressure(kind: str) -> None:
    raw = site(3)
    # Lane 1 goes straight on in phase 1 and left in phase 3: whoever goes straight holds up the left turns.
    raw["movements"].append({"channel": "v3", "lane": "in1", "turn": "left"})
    drive = Drive(raw, [(kind, {})], step_s=1.0)
    roles = dict.fromkeys(Toy([0.0] * 3, 1).roles(), 0)
    jam = {f"detector.{letter}1.{z}": 3 for letter in "dh" for z in range(5)}
    shown: set[int] = set()
    for _ in range(55):
        drive.put({**roles, **jam, "detector.d3.0": 1, "detector.h3.0": 1})
        drive.scan()
        shown |= drive.greens()
    assert shown == {1}


def test_who_may_stand_where_nothing_is_seen_is_served_in_time() -> None:
    drive, toy = Drive(site(2), [("signal.adaptive", {})], step_s=1.0), Toy([0.15, 0.05], 1)
    greens: list[set[int]] = []
    for _ in range(600):
        toy.step(drive.now, drive.greens())
        drive.put(toy.roles())
        drive.put({"detector.d2.0": 0, "detector.h2.0": 0}, bad=True)  # the zone at the stop line
        drive.scan()
        greens.append(drive.greens())
    begun = [second for second in range(1, 600) if 2 in greens[second] and 2 not in greens[second - 1]]
    # They are seen to come, and not to stand: without reckoning with them some wait until they are urgent.
    assert max(later - one for one, later in itertools.pairwise(begun)) < 75


def test_an_overrun_silences_it_for_a_while() -> None:
    raw = site(2)
    controller = build("signal.adaptive", {}, raw)
    drive = Drive(raw, [("signal.actuated", {})], step_s=1.0).run(30)
    readings = drive._readings or ()
    domain = drive.domain

    def step(now: float, overrun: bool) -> Any:
        return controller.step(now, domain.inputs(Reading(0.0), overrun, readings))

    assert step(1000.0, False) is not None
    told = step(1001.0, True)
    assert told == SignalWants(decisions=told.decisions), "it asks for nothing, and says why"
    assert told.decisions[0].reason == "the last scan came too late: others decide"
    assert step(1002.0, True) is None
    assert step(1005.0, False) is None
    assert step(1012.0, False) is not None


def test_what_was_noted_before_a_reboot_is_not_waited_for() -> None:
    """The monotonic clock begins anew with the machine; the snapshot on its disk is of the clock before."""
    raw = site(2)
    drive = Drive(raw, [("signal.adaptive", {})], step_s=1.0)
    drive.now = 1e6
    drive.run(60)
    drive.loop.step(drive.now + 1.0, Reading(UTC0), True, drive._readings or (), {})
    kept = json.loads(json.dumps(drive.loop.snapshot()))
    assert kept["controllers"][0]["state"]["silent"]

    after = Drive(raw, [("signal.adaptive", {})], step_s=1.0)
    after.now, toy = 30.0, Toy([0.1, 0.1], 4)
    after.loop.restore(kept)
    for _ in range(120):
        toy.step(after.now, after.greens())
        after.put(toy.roles())
        after.scan()
    told = {one.what for _, one in after.decisions if one.source == "signal.adaptive"}
    assert "planned" in told
    assert "silent" not in told


@pytest.mark.parametrize(
    "kind", ["signal.adaptive", "signal.max_pressure", "signal.actuated", "signal.fixed"]
)
def test_replay_from_a_snapshot_is_exact(kind: str) -> None:
    raw = site(3)
    one, toy = Drive(raw, [(kind, {})], step_s=1.0), Toy(RATES, 5)
    two: Drive | None = None
    for second in range(500):
        toy.step(one.now, one.greens())
        roles = toy.roles()
        if second == 211:
            two = Drive(raw, [(kind, {})], step_s=1.0)
            two.now = one.now
            state = json.loads(json.dumps(one.loop.snapshot()))
            two.loop.resume(state)
            one.decisions.clear()
        for drive in (one, two):
            if drive is not None:
                drive.put(roles)
                drive.scan()
    assert two is not None
    assert one.decisions == two.decisions
    assert one.loop.snapshot() == two.loop.snapshot()


def test_the_budget_of_plans_holds() -> None:
    raw = site(8, dual=True)
    checked = SignalSite.model_validate(raw)
    plan = Plan(checked)
    model = Model(checked, plan)
    lanes = [LanePrediction(4.0, [0.1] * 120, 20.0) for _ in model.lanes]  # no plan ends early
    rates = [[(0.5, 0.5) if one else (0.0, 0.0) for one in lane.service] for lane in model.lanes]
    services = [lane.service for lane in model.lanes]
    most = [[math.inf] * len(model.stages) for _ in model.lanes]
    for budget in (20, 50, 150, 300, 600, 2000):
        for many in range(1, len(model.stages)):
            search = Search(model, lanes, services, rates, most, 0, 0)
            choice = search.best(HOLDS, tuple(range(1, 1 + many)), budget)
            assert choice.plans <= max(73, 2 * budget)
            assert choice.next <= many


def test_a_lane_costs_what_a_second_by_second_count_gives() -> None:
    arrivals = [0.3 if 5 <= t < 15 else 0.1 for t in range(40)]
    red_s = PATIENCE_S - 4.0
    lane = LanePrediction(6.0, arrivals, red_s)
    state = LaneState(0, 6.0, 0.0, True)
    state = lane.wait(state, 10)
    state = lane.run(state, 25, Rate(0.1, 0.5, 14), True)
    total = lane.finish(state)
    queue, cost = 6.0, 0.0
    for t, come in enumerate(arrivals):
        if 10 <= t < 25:
            serve = 0.1 if t < 14 else 0.5
            serve *= START_UP[t - 10] if t - 10 < len(START_UP) else 1.0
            cost += STOP_COST * come if queue > 0.5 else 0.0
            queue = max(0.0, queue + come - serve)
            cost += queue
        else:
            queue += come
            weight = 1.0 + max(0.0, red_s + t - PATIENCE_S) / IMPATIENCE_S if t < 10 else 1.0
            cost += weight * queue + STOP_COST * come
    assert total == pytest.approx(cost + LEFT_COST * queue)


def test_a_lane_that_shares_its_stop_line_with_a_red_movement_is_soon_held_up() -> None:
    lane = LanePrediction(6.0, [0.1] * 40, 30.0)
    begun = LaneState(0, 6.0, 0.0, True)
    short = lane.run(begun, 8, Rate(0.5, 0.5, 0, 2.0), True)
    long = lane.run(begun, 30, Rate(0.5, 0.5, 0, 2.0), True)
    # One in two is held up: n vehicles per second at first, and 2 (1 - exp(-n t / 2)) after t seconds.
    assert 6.0 + 0.8 - short.queue == pytest.approx(2.0 * (1.0 - math.exp(-0.25 * 7)), abs=0.1)
    assert 6.0 + 3.0 - long.queue == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("left", "grows"), [(3, True), (0, False)])
def test_who_comes_first_in_a_shared_lane_is_learnt(left: int, grows: bool) -> None:
    raw = site(3)
    raw["movements"].append({"channel": "v3", "lane": "in1", "turn": "left"})
    checked = SignalSite.model_validate(raw)
    model = Model(checked, Plan(checked))
    view, learner = View(model, tuple(one.id for one in checked.detectors)), Learner(model)
    view.blind = [False] * 3
    believed = learner.most(0, 2)
    for _ in range(12):  # three stand at the beginning of a green for who turns left; so many of them leave
        for second in range(14):
            green = 2 <= second < 12
            view.halting[0][0] = 3.0 - left if second >= 6 else 3.0
            learner.learn(view, 2 if green else -1)
    assert (learner.most(0, 2) > 2.0 * believed) if grows else (learner.most(0, 2) < believed)
    assert learner.most(0, 0) == pytest.approx(3.0), "straight on was not watched"
    assert learner.most(1, 1) == math.inf, "nobody shares that lane"
