"""Coordination: transitions, plans by time of day, what a lost clock does, what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.signals.drive import UTC0, Drive, build, points
from tests.controllers.signals.monitor import Monitor
from tests.controllers.signals.sites import frame, one_ring

from vigie_controllers.loops import ParamError
from vigie_controllers.policy.document import PolicyRefused, check_params
from vigie_controllers.registry import KINDS
from vigie_controllers.signals.coordination import CycleClock
from vigie_controllers.signals.cycle import Cycle, TimingPlan
from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.heldclock import HeldClock
from vigie_controllers.signals.words import PhaseState, PhaseStatus, SignalInputs, Status
from vigie_protocols.points import Quality, Reading

SPLITS = {"1": 30.0, "2": 25.0, "3": 35.0}
FRAME = frame([0, 0, 0])
STATUS = Status("run", "running", tuple(PhaseStatus(n) for n in (1, 2, 3)))


def timing(**more: object) -> dict[str, Any]:
    return {"cycle_s": 90.0, "splits_s": SPLITS, **more}


def cycle(**more: object) -> Cycle:
    raw = one_ring(3, ped=False)
    plan = SignalDomain.of(raw, points(raw)).guard.plan
    return Cycle("plans.x", TimingPlan.model_validate(timing(**more)), plan, 0)


# -- transitions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dwell", "add", "subtract", "shortway"])
@settings(max_examples=40, deadline=None)
@given(
    off=st.floats(0.5, 89.5), pct=st.sampled_from([5.0, 20.0, 50.0]), step=st.sampled_from([0.1, 0.5, 1.0])
)
def test_every_transition_ends_in_step_and_cuts_no_minimum(
    method: str, off: float, pct: float, step: float
) -> None:
    one = cycle(transition=method, transition_pct=pct)
    clock = CycleClock()
    clock.step(0.0, one, 0.0)
    clock.move(off)
    now, lasted, owned, whole = 0.0, 0.0, one.owners(off), False
    slowest, fastest = 1 / (1 + pct / 100), 1 / (1 - pct / 100)
    while not clock.in_step:
        now += step
        before = clock.at
        at = clock.step(now, one, now % one.length)
        moved = (at - before) % one.length
        assert moved <= step * fastest + 0.1 + 1e-6  # the last 0.1 s are taken at once
        assert method == "dwell" or moved >= step * slowest - 0.1 - 1e-6
        lasted += step
        if one.owners(at) != owned:
            # The time a phase owned its ring in the street holds all that it needs.
            assert not whole or lasted >= one.need[owned.bit_length() - 1] - step - 0.1
            owned, lasted, whole = one.owners(at), 0.0, True
        assert now < one.length * (4 + 100 / pct * 2)
    assert clock.at == pytest.approx(now % one.length)


def test_shortway_takes_the_quicker_way() -> None:
    took: dict[tuple[str, float], float] = {}
    for off in (10.0, 40.0, 80.0):
        for method in ("add", "subtract", "shortway"):
            one, clock = cycle(transition=method), CycleClock()
            clock.step(0.0, one, 0.0)
            clock.move(off)
            now = 0.0
            while not clock.in_step:
                now += 0.5
                clock.step(now, one, now % 90.0)
            took[method, off] = now
        assert took["shortway", off] <= min(took["add", off], took["subtract", off]) + 1.0
    assert took["shortway", 10.0] < took["subtract", 10.0]
    assert took["shortway", 80.0] < took["add", 80.0]


def test_where_nothing_can_be_shortened_cycles_are_lengthened() -> None:
    one = cycle(cycle_s=33.0, splits_s={"1": 11.0, "2": 12.0, "3": 10.0}, transition="subtract")
    assert one.mean_spare == pytest.approx(0.0)
    clock = CycleClock()
    clock.step(0.0, one, 0.0)
    clock.move(30.0)
    clock.step(0.5, one, 0.5)
    assert clock.method == "add"


def test_a_set_clock_makes_no_green_short() -> None:
    raw = one_ring(3, ped=False)
    drive = Drive(raw, [("signal.fixed", {"plans": {"normal": timing()}})])
    monitor = Monitor(raw)
    jump = {300: 40.0, 700: -13.0}
    shift = 0.0
    for second in range(1600):
        shift += jump.get(second, 0.0)
        drive.utc_shift = shift
        drive.run(1)
        monitor.see(drive.now, [int(v) for v in drive.written.values()])
    assert not monitor.faults and not drive.interventions
    told = [(one.what, one.reason) for _, one in drive.decisions if one.what in ("transition", "in-step")]
    assert [what for what, _ in told][-4:] == ["transition", "in-step", "transition", "in-step"]
    assert "cycles are" in told[-2][1]
    starts = []
    for _ in range(360):
        green = drive.state(1) is PhaseState.GREEN
        drive.scan()
        if not green and drive.state(1) is PhaseState.GREEN:
            starts.append((UTC0 + shift + drive.now) % 90.0)
    assert starts and starts == pytest.approx([0.0] * len(starts), abs=0.6)


# -- plans by time of day ----------------------------------------------------------------------------

LOCAL_8H = 1_750_075_200.0  # Monday 2025-06-16, 12:00 UTC, 08:00 in Toronto


def scheduled(**more: object) -> Drive:
    params = {
        "plans": {
            "day": timing(),
            "peak": {"cycle_s": 70.0, "splits_s": {"1": 30.0, "2": 20.0, "3": 20.0}, "offset_s": 11.0},
            "fair": {"cycle_s": 60.0, "splits_s": {"1": 20.0, "2": 20.0, "3": 20.0}},
            "night": {"free": True},
        },
        "plan": "day",
        "day_plans": {"work": [{"at": "00:00", "plan": "night"}, {"at": "06:00", "plan": "day"},
                               {"at": "08:05", "plan": "peak"}]},
        "schedule": [{"day_plan": "work"}],
        **more,
    }  # fmt: skip
    drive = Drive(one_ring(3, ped=False), [("signal.fixed", params), ("signal.actuated", {})])
    drive.utc_shift = LOCAL_8H - UTC0 - drive.now
    return drive


def plans(drive: Drive) -> list[tuple[str, str]]:
    return [(one.what, one.reason) for _, one in drive.decisions if one.what in ("plan", "free")]


def test_a_new_plan_begins_where_the_old_cycle_ends_and_comes_into_step() -> None:
    drive = scheduled()
    monitor = Monitor(one_ring(3, ped=False))
    for _ in range(1200):
        drive.run(1)
        monitor.see(drive.now, [int(v) for v in drive.written.values()])
    assert plans(drive) == [
        ("plan", "plan day in force: day plan work, from 06:00 local time"),
        ("plan", "plan peak in force: day plan work, from 08:05 local time"),
    ]
    taken = next(at for at, one in drive.decisions if "peak in force" in one.reason)
    assert 300 <= taken - 1000.0 <= 391
    assert not monitor.faults and not drive.interventions
    drive.until(1, state=PhaseState.YELLOW)
    drive.until(1)
    assert (drive.now + UTC0 + drive.utc_shift - 11.0) % 70.0 == pytest.approx(0.0, abs=0.6)


def test_a_free_plan_leaves_the_junction_to_the_next_controller() -> None:
    drive = scheduled()
    drive.utc_shift -= 4 * 3600.0
    drive.put({"detector.d2": True})
    drive.run(120)
    assert plans(drive) == [("free", "plan night in force: day plan work, from 00:00 local time")]
    assert drive.greens() == {2}  # rests where the demand is, as actuated control does
    assert not drive.interventions


def test_an_event_plan_by_policy_goes_before_the_schedule() -> None:
    drive = scheduled()
    drive.run(100)
    drive.loop.adopt(drive.loop.stage({"signal.fixed": {"event_plan": "fair"}}))
    drive.run(100)
    assert plans(drive)[-1] == ("plan", "plan fair in force: event plan")
    drive.loop.adopt(drive.loop.stage({}))
    drive.run(100)
    assert plans(drive)[-1][1].startswith("plan day in force: day plan work")
    assert not drive.interventions


def test_a_plan_changed_by_policy_goes_on_from_what_is_green() -> None:
    drive = scheduled()
    drive.run(120)
    drive.until(2)
    drive.run(5)
    longer = {"day": {"cycle_s": 110.0, "splits_s": {"1": 40.0, "2": 40.0, "3": 30.0}}, "peak": timing(),
              "night": {"free": True}}  # fmt: skip
    drive.loop.adopt(drive.loop.stage({"signal.fixed": {"plans": longer}}))
    assert drive.until(2, state=PhaseState.YELLOW) > 15  # its green goes on, longer than before
    assert not drive.interventions


def test_holidays_by_policy_count_from_the_next_minute() -> None:
    drive = scheduled(plan="fair")
    drive.run(100)
    quiet = {"work": [{"at": "00:00", "plan": "day"}], "off": [{"at": "00:00", "plan": "fair"}]}
    drive.loop.adopt(
        drive.loop.stage({"signal.fixed": {"day_plans": quiet, "holidays": {"2025-06-16": "off"}}})
    )
    drive.run(160)
    assert plans(drive)[-1] == ("plan", "plan fair in force: day plan off, from 00:00 local time")


# -- clocks ------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    ppm=st.floats(-150, 150),
    jitter=st.lists(st.floats(-0.01, 0.01), min_size=7, max_size=7),
    hours=st.integers(2, 30),
)
def test_cut_off_for_a_day_the_held_clock_errs_by_less_than_a_second(
    ppm: float, jitter: list[float], hours: int
) -> None:
    held = HeldClock()
    rate = 1.0 + ppm * 1e-6

    def monotonic(true: float) -> float:
        return 500.0 + true * rate

    for k in range(hours * 60):
        true = 60.0 * k
        held.read(monotonic(true), Reading(UTC0 + true + jitter[k % 7]))
    for hour in range(1, 25):
        now = true + 3600.0 * hour
        trust = Quality.UNCERTAIN if hour < 20 else Quality.BAD
        system = UTC0 + true + 3600.0 * hour * rate  # the system's own clock drifts with the oscillator
        utc = held.read(monotonic(now), Reading(system, trust))
        assert held.state == "held"
        assert utc is not None and abs(utc - UTC0 - now) < 1.0


def test_a_day_without_utc_moves_the_greens_by_less_than_a_second() -> None:
    one = build("signal.fixed", {"plans": {"normal": timing(offset_s=17.0)}}, one_ring(3, ped=False))
    rate = 1.0 + 40e-6
    calls: list[tuple[float, frozenset[int]]] = []

    def step(true: float, quality: Quality) -> None:
        wants = one.step(
            100.0 + true * rate, SignalInputs(Reading(UTC0 + true, quality), False, FRAME, STATUS)
        )
        if not calls or calls[-1][1] != wants.call:
            calls.append((true, wants.call))

    for k in range(12 * 120):
        step(30.0 * k, Quality.GOOD)
    for k in range(12 * 120, 36 * 120):
        step(30.0 * k, Quality.BAD)
        if k == 24 * 120:  # a restart of the agent in the middle; the machine goes on
            state = json.loads(json.dumps(one.snapshot()))
            one = build("signal.fixed", {"plans": {"normal": timing(offset_s=17.0)}}, one_ring(3, ped=False))
            one.restore(state)
    calls.clear()
    for k in range(1800):
        step(36 * 3600.0 + 0.1 * k, Quality.BAD)
    begins = [(UTC0 + at - 17.0) % 90.0 for at, call in calls[1:] if call == {1}]
    assert len(begins) == 2
    assert begins == pytest.approx([85.0, 85.0], abs=1.0)  # owns from the yellow and red of the one before


def test_clock_states_are_told_and_a_clock_that_never_was_runs_the_default_plan() -> None:
    drive = scheduled(plan="fair")
    drive.clock = Quality.BAD
    drive.run(200)
    assert plans(drive) == [("plan", "plan fair in force: UTC is not known: out of step with its neighbours")]
    assert len(drive.greens()) <= 1 and not drive.interventions
    drive.clock = Quality.GOOD
    drive.run(90)
    assert plans(drive)[-1][1].startswith("plan day in force")
    drive.clock = Quality.UNCERTAIN
    drive.run(10)
    drive.clock = Quality.BAD
    drive.run(400)
    told = [one.what for _, one in drive.decisions if one.subject == "clock"]
    assert told == ["synced", "held"]
    assert plans(drive)[-1][1].startswith("plan peak")  # the time of day goes on without UTC
    assert not drive.interventions


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (timing(splits_s={**SPLITS, "9": 20.0}), r"plans.x.splits_s.9: bad-plan: phase 9 is not declared"),
        (timing(splits_s={"1": 30.0, "2": 25.0}), r"plans.x.splits_s: bad-plan: phase 3 has no split"),
        (timing(splits_s={**SPLITS, "1": 9.0}), r"plans.x.splits_s.1: split-overrun: 9 s .* or more"),
        (timing(cycle_s=80.0), r"plans.x: split-overrun: the splits of ring 1 sum to 90 s, not to 80 s"),
        (timing(offset_s=95.0), r"plans.x.offset_s: invalid-offset: 95 s .*; take 5 s"),
        (
            {"splits_s": {"1": 100.0, "2": 25.0, "3": 30.0}},
            r"plans.x.splits_s.2: bad-plan: phase 2 would be red for 135 s, longer than its max_red_s of 120 s",
        ),
        (timing(coordinated=[7]), r"plans.x.coordinated: bad-plan: phase 7"),
        (timing(coordinated=[1, 2]), r"plans.x.coordinated: bad-plan: phase 2 cannot be on with"),
        (timing(actuated=True), r"plans.x.coordinated: bad-plan: an actuated plan has no coordinated phase"),
        ({"cycle_s": 20.0}, r"plans.x.cycle_s: split-overrun"),
    ],
)
def test_a_plan_outside_the_envelope_is_refused_before_it_is_ever_chosen(
    plan: dict[str, Any], text: str
) -> None:
    with pytest.raises(ParamError, match=text):
        build("signal.fixed", {"plans": {"normal": {}, "x": plan}, "plan": "normal"}, one_ring(3, ped=False))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"plan": "fog"}, r"plan: bad-plan: no plan 'fog'; name one of normal"),
        ({"event_plan": "fog"}, r"event_plan: bad-plan"),
        ({"schedule": [{"day_plan": "w"}]}, r"schedule.0.day_plan: no day plan 'w'"),
        ({"day_plans": {"w": [{"at": "25:00", "plan": "normal"}]}}, r"day_plans.w.0.at"),
        ({"schedule": [{"day_plan": "w", "weekdays": ["lundi"]}]}, r"schedule.0.weekdays.0"),
    ],
)
def test_wrong_names_and_times_are_refused(params: dict[str, Any], text: str) -> None:
    with pytest.raises(ParamError, match=text):
        build("signal.fixed", params, one_ring(3, ped=False))


@pytest.mark.parametrize(
    ("plan", "field"),
    [({"free": True}, "plans.x.free"), (timing(actuated=True, coordinated=[1]), "plans.x.actuated")],
)
def test_a_plan_that_leans_on_others_needs_one_behind_it(plan: dict[str, Any], field: str) -> None:
    raw, params = one_ring(3, ped=False), {"plans": {"normal": {}, "x": plan}}
    Drive(raw, [("signal.fixed", params), ("signal.actuated", {})])
    with pytest.raises(
        ParamError, match=f"{field}: nobody calls the phases then; put signal.actuated behind"
    ):
        Drive(raw, [("signal.fixed", params)])
    alone = Drive(raw, [("signal.fixed", {})])
    alone.run(100)
    with pytest.raises(ParamError, match=field):  # a policy is refused, the running plan goes on
        alone.loop.stage({"signal.fixed": params})
    alone.run(100)
    assert alone.loop.effective() == {"signal.fixed": {}} and not alone.interventions


def test_a_zone_nobody_knows_is_refused_with_the_site() -> None:
    with pytest.raises(ValueError, match=r"site.time_zone: 'Mars'"):
        Drive({**one_ring(3), "time_zone": "Mars"}, [("signal.fixed", {})])


def test_a_policy_with_a_wrong_entry_is_refused_by_field() -> None:
    kind = KINDS["signal.fixed"]
    check_params(kind, {"event_plan": "fair", "holidays": {"2026-12-25": "rest"}})
    with pytest.raises(PolicyRefused, match=r"params.day_plans: w.0.at"):
        check_params(kind, {"day_plans": {"w": [{"at": "7h", "plan": "day"}]}})


def test_the_cycle_survives_a_restart_in_the_middle_of_a_transition() -> None:
    drive = scheduled()
    drive.run(420)
    again = scheduled()
    again.now, again.utc_shift = drive.now, drive.utc_shift
    state = json.loads(json.dumps(drive.loop.snapshot()))
    again.loop.resume(state)
    for _ in range(900):
        drive.scan()
        again.scan()
        assert drive.written == again.written
