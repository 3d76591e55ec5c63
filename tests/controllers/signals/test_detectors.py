"""Detector diagnostics by tables of what a detector shows and what becomes of it."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.signals.drive import Drive, points
from tests.controllers.signals.sites import one_ring

from vigie_controllers.alarms import AlarmWatch
from vigie_controllers.signals.demand import DetectorBank
from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.profile import HOURS, Profile
from vigie_controllers.signals.site import SignalSite
from vigie_protocols.points import Quality, Reading, Value

RED = (0, 0)
GREEN = (1, 0)
UTC = 1_750_000_000.0 // 604_800 * 604_800 + 4 * 86_400  # the beginning of an hour
WEEK = HOURS * 3600
BAD: Reading[Value] = Reading(False, Quality.BAD)


class Bank:
    """Two phases; the first has the detectors under test."""

    def __init__(self, *detectors: dict[str, Any]) -> None:
        rows = [{"id": f"d{k}", "phases": [1], **one} for k, one in enumerate(detectors)]
        raw = {**one_ring(2, ped=False), "detectors": [*rows, {"id": "other", "phases": [2]}]}
        self.site = SignalSite.model_validate(raw)
        self.bank = DetectorBank(self.site, Plan(self.site))
        self.now = 0.0
        self.trusted = True

    def show(
        self, at: float, *values: Value | Reading[Value], states: tuple[int, int] = RED
    ) -> dict[str, str]:
        """A frame at ``at`` seconds; why each detector but the bystander has failed."""
        self.now = at
        readings = tuple(one if isinstance(one, Reading) else Reading(one) for one in (*values, False))
        clock = Reading(UTC + at, Quality.GOOD if self.trusted else Quality.BAD)
        self.bank.update(at, readings, clock, states)
        return {name: why for name, why in self.bank.failed.items() if name != "other"}

    def vehicles(self, start: float, seconds: float, count: int, *rest: Value) -> None:
        """``count`` vehicles pass the first detector, evenly."""
        for k in range(count):
            at = start + (k + 0.5) * seconds / count
            assert self.show(at, True, *rest) == {}
            assert self.show(at + 0.4, False, *rest) == {}


TABLE: list[tuple[str, dict[str, Any], list[tuple[float, Value, str]]]] = [
    ("stuck on", {"stuck_on_s": 60}, [(0, 1, ""), (59, 1, ""), (60, 1, "stuck on"), (90, 0, ""), (91, 1, "")]),
    ("frozen", {"kind": "count", "stuck_on_s": 60}, [(0, 3, ""), (30, 3, ""), (61, 3, "stuck on"), (62, 2, "")]),
    ("no activity", {"no_activity_s": 100}, [(0, 0, ""), (99, 0, ""), (100, 0, "no activity"), (101, 1, "")]),
    ("chatter", {"chatter_per_min": 4}, [(0, 0, ""), (1, 1, ""), (2, 0, ""), (3, 1, ""), (4, 0, "chatter"),
                                        (100, 0, "chatter"), (121, 0, "")]),
    ("leaps", {"kind": "count"}, [(0, 0, ""), (1, 12, ""), (2, 0, ""), (3, 9, "implausible counts"),
                                  (100, 9, "implausible counts"), (123, 9, "")]),
    ("a platoon", {"kind": "count"}, [(0, 0, ""), (1, 4, ""), (2, 9, ""), (3, 3, ""), (4, 8, ""), (5, 2, "")]),
    ("half a vehicle", {"kind": "count"}, [(0, 1, ""), (1, 1.5, "absurd value"), (2, 2, "")]),
    ("too many", {"kind": "count", "max_value": 5}, [(0, 5, ""), (1, 6, "absurd value"), (2, 5, "")]),
]  # fmt: skip


@pytest.mark.parametrize(("one", "rows"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_a_detector_shows_and_what_is_thought_of_it(one: dict[str, Any], rows) -> None:
    bank = Bank(one)
    assert [bank.show(at, value).get("d0", "") for at, value, _ in rows] == [why for _, _, why in rows]
    assert bool(bank.bank.recall & 1) == bool(rows[-1][2])


def test_stuck_off_while_the_lane_is_busy() -> None:
    """200 vehicles pass the loop before it and none is seen at the stop line."""
    lane = {"lanes": ["in"], "from_m": 0}
    bank = Bank(lane, {**lane, "from_m": 30}, {"lanes": ["elsewhere"]})
    for k in range(200):
        assert bank.show(k * 3.0, False, True, False) == {}
        failed = bank.show(k * 3.0 + 0.4, False, False, False)
    assert failed == {}  # the last of them is only just told
    assert bank.show(600.4, False, True, False) == {"d0": "stuck off"}
    assert bank.bank.recall & 1
    assert bank.show(601.0, True, False, False) == {}  # it lives


def learnt(per_hour: int = 300, **detector: Any) -> Bank:
    """A bank that has watched one week: ``per_hour`` vehicles in the hour tested, again a week after UTC."""
    bank = Bank(detector)
    bank.show(-3700.0, False)  # the hour before, met in its middle
    bank.show(-1.0, False)
    bank.show(0.5, False)
    if per_hour:
        bank.vehicles(1.0, 3590.0, per_hour)
    bank.show(3600.5, False)
    return bank


def test_silence_is_judged_by_what_the_hour_of_the_week_should_bring() -> None:
    bank = learnt(300)
    begin = float(WEEK)
    assert bank.show(begin, True) == {}
    assert bank.show(begin + 1.0, False) == {}
    assert bank.show(begin + 179.0, False) == {}  # 15 vehicles at 300 an hour take 180 s
    assert bank.show(begin + 181.5, False) == {"d0": "no activity"}
    assert bank.show(begin + 200.0, True) == {}


def test_an_hour_that_brings_nobody_is_believed_when_it_is_silent() -> None:
    bank = learnt(0)
    assert bank.show(float(WEEK), True) == {}
    assert bank.show(WEEK + 1.0, False) == {}
    assert bank.show(WEEK + 3599.0, False) == {}


def test_without_a_trusted_clock_nothing_is_learnt_and_nothing_expected() -> None:
    bank = learnt(300)
    bank.trusted = False
    bank.show(WEEK - 7200.0, True)
    bank.show(WEEK - 7199.0, False)
    assert bank.show(WEEK + 3000.0, False) == {}


def test_the_profile_stands_in_as_the_volume_would() -> None:
    """At 300 vehicles an hour one is expected after 12 s, and a green of some seconds lets the queue go."""
    bank = learnt(300, fallback="profile")
    begin = WEEK + 10.0
    bank.show(begin, BAD)
    assert bank.bank.stand_in == {"d0": False}
    assert not bank.bank.recall & 1
    waited, at = [], begin
    while at < begin + 60.0:
        at += 1.0
        bank.show(at, BAD, states=RED)
        waited.append(bank.bank.on & 1)
    assert waited.index(1) == 11
    served = 0
    while bank.bank.on & 1:
        at += 1.0
        served += 1
        bank.show(at, BAD, states=GREEN)
    assert 10 <= served <= 14  # five vehicles at one each two seconds, and who comes meanwhile
    assert bank.show(at + 1.0, False) == {}
    assert bank.bank.stand_in == {}


def test_a_profile_never_starves_a_phase() -> None:
    """At an hour that brings next to nobody the phase is still called once per maximum red."""
    bank = learnt(0, fallback="profile")
    bank.show(WEEK + 10.0, BAD)
    bank.show(WEEK + 10.0 + 119.0, BAD)
    assert not bank.bank.on & 1
    bank.show(WEEK + 10.0 + 120.0, BAD)
    assert bank.bank.on & 1


def test_where_nothing_is_learnt_a_profile_is_recall() -> None:
    bank = Bank({"fallback": "profile"})
    bank.show(0.0, BAD)
    assert bank.bank.stand_in == {}
    assert bank.bank.recall & 1


def test_what_was_learnt_outlives_a_restart_and_replay_is_exact() -> None:
    bank = learnt(300, fallback="profile")
    state = json.loads(json.dumps(bank.bank.snapshot()))
    assert len(json.dumps(state)) < 2000
    again = DetectorBank(bank.site, Plan(bank.site))
    again.resume(state)
    assert again.snapshot() == bank.bank.snapshot()
    fresh = Bank({"fallback": "profile"})
    fresh.bank.restore(state)
    fresh.show(float(WEEK), BAD)
    assert fresh.bank.stand_in == {"d0": False}
    with pytest.raises(ValueError, match="another site"):
        Profile(5, Zone("UTC")).restore(state["diagnosis"]["profile"])


def test_a_failed_hour_is_not_learnt() -> None:
    bank = Bank({"fallback": "profile"})
    for at in (-3700.0, -1.0, 0.5):
        bank.show(at, False)
    bank.show(100.0, BAD)
    bank.show(3600.5, False)
    bank.show(float(WEEK), BAD)
    assert bank.bank.stand_in == {}


def test_an_actuated_junction_serves_who_is_expected_and_nobody_more() -> None:
    """Recall gives the failed phase a turn in every cycle, the profile only when somebody should have come."""
    greens = {}
    for fallback in ("recall", "profile"):
        raw = one_ring(2, ped=False)
        raw["detectors"][1]["fallback"] = fallback
        drive = Drive(raw, [("signal.actuated", {})])
        profile = drive.domain.guard.bank._diagnosis.profile  # what weeks would have taught it
        profile.restore({"rows": ["", f"{30:04x}" * HOURS]})
        drive.until(1)
        drive.put({"detector.d2": False}, bad=True)
        apart = []
        for _ in range(4):
            drive.put({"detector.d1": False})
            apart.append(drive.until(2, 200))
            drive.put({"detector.d1": True})
            apart[-1] += drive.until(1)
        greens[fallback] = sum(apart[1:]) / 3
    assert greens["recall"] < 60
    assert 115 < greens["profile"] < 140  # 30 an hour: one in two minutes, and a change of phases


def test_every_failed_detector_is_an_alarm_of_its_own_and_goes_with_it() -> None:
    raw = one_ring(3, ped=False)
    domain = SignalDomain.of(raw, points(raw))
    watch = AlarmWatch((), ["jct"])
    drive = Drive(raw, [("signal.actuated", {})])
    drive.domain = domain
    drive.loop.domain = domain
    told: list[tuple[str, bool, str]] = []

    def scan() -> None:
        drive.scan()
        told.extend((one.point, one.active, one.reason) for one in watch.report("jct", domain.conditions()))

    scan()
    drive.put({"detector.d1": "broken", "detector.d3": -4})
    scan()
    scan()
    assert told == [
        ("jct/detector.d1", True, "is not believed (detector d1: no usable reading)"),
        ("jct/detector.d3", True, "is not believed (detector d3: no usable reading)"),
    ]
    assert [one.point for one in watch.active()] == ["jct/detector.d1", "jct/detector.d3"]
    again = AlarmWatch((), ["jct"])
    again.restore(json.loads(json.dumps(watch.snapshot())))
    assert again.active() == watch.active()
    drive.put({"detector.d1": True})
    scan()
    assert told[2:] == [("jct/detector.d1", False, "is believed again")]
    drive.put({"detector.d1": 0, "detector.d2": 0, "detector.d3": 0}, bad=True)
    scan()
    assert told[3:] == []  # nothing can be read: their device is down, and that is told as such


anything = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.just(10**400),
    st.just(math.nan),
    st.just(-0.0),
)
KINDS = ("presence", "count", "halting", "button", "exit")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0.1, 1.0, 70.0, 4000.0)),
            st.lists(anything, min_size=5, max_size=5),
            st.sampled_from(list(Quality)),
            st.sampled_from((0.0, 1.75e9, -1.0, math.nan, math.inf, 1e300)),
        ),
        max_size=25,
    )
)
def test_absurd_values_never_raise_and_are_never_believed(rows) -> None:
    raw = {**one_ring(2, ped=True), "lanes": [{"id": "in", "length_m": 100}]}
    raw["detectors"] = [
        {"id": f"d{k}", "kind": kind, "phases": [1], "lanes": ["in"], "to_m": 9.0, "fallback": "profile"}
        for k, kind in enumerate(KINDS)
    ]
    drive = Drive(raw, [("signal.actuated", {})])
    drive.values = dict.fromkeys(drive.values, 0)
    bank = drive.domain.guard.bank
    for step, values, quality, utc in rows:
        drive.now += step
        readings = tuple(Reading(one, quality) for one in values)
        result = drive.loop.step(drive.now, Reading(utc, quality), False, readings, {})
        assert not [one for one in result.interventions if one.rule == "guard-fault"]
        assert not [one for one in result.decisions if one.what == "controller-fault"]
        for k, value in enumerate(values):
            sound = not isinstance(value, str) and quality is not Quality.BAD and 0 <= value <= 1000
            if not sound:
                assert f"d{k}" in bank.failed
        again = DetectorBank(drive.domain.site, drive.domain.guard.plan)
        again.resume(json.loads(json.dumps(bank.snapshot())))
        assert again.snapshot() == bank.snapshot()
