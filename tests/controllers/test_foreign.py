"""Controllers of other packages: what may come in, and that nothing they say can harm guard or scan."""

import json
from dataclasses import replace

import pytest
from tests.controllers.water.wells import SITE

from vigie_controllers.contract import Decision
from vigie_controllers.foreign import Surroundings, admit, admit_all
from vigie_controllers.loops import ControllerKind, ParamError, Strict
from vigie_controllers.registry import KINDS
from vigie_controllers.signals.words import SignalWants
from vigie_controllers.trial import Trial
from vigie_controllers.water.words import WaterOutputs

NAME = "water.mine"
READS = {"level": 1.5}
WRITES = ["pump.1.run", "pump.2.run", "basin.gate"]
READS_ALL = {**READS, "basin.level": 1.0}
GOOD = WaterOutputs((True, False), (80.0, 80.0), 50.0)


def nested(depth):
    state = {}
    for _ in range(depth):
        state = {"a": state}
    return state


class Config(Strict):
    high_m: float = 1.0


class Says:
    """A controller that says what it is told to say."""

    def __init__(self, config, around):
        assert isinstance(around, Surroundings) and not hasattr(around, "guard")
        self.says = GOOD
        self.state = {"n": 0}

    def step(self, now, inputs):
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def snapshot(self):
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def restore(self, state):
        self.state = {"n": state["n"]}


class Untold(Exception):
    """An error whose text is one more error."""

    def __str__(self):
        raise RuntimeError


KIND = ControllerKind(NAME, "water", Config, Says)


def trial(kind=KIND, params=None):
    return Trial(kind, params or {}, SITE, READS_ALL, WRITES)


def mine(one):
    return one.loop._controllers[0]._inner


def test_it_speaks_and_the_guard_decides():
    one = trial()
    written = one.run(60)
    assert one.active == NAME
    assert written == {"pump.1.run": True, "pump.2.run": False, "basin.gate": 50.0}
    mine(one).says = replace(GOOD, gate=2.0)
    assert one.run(60)["basin.gate"] == 5.0  # the site's least opening
    assert "gate-range" in {row.rule for row in one.interventions}


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (RuntimeError("boom"), "boom"),
        ("run everything", "wanted"),
        (SignalWants(), "WaterOutputs"),
        (replace(GOOD, run=("yes", False)), "run.0"),
        (replace(GOOD, run=[True, False]), "run"),
        (replace(GOOD, speed=(float("nan"), 0.0)), "speed.0"),
        (replace(GOOD, gate=float("inf")), "gate"),
        (replace(GOOD, run=(True, True, True)), "zip"),
        (replace(GOOD, speed=(80.0,)), "zip"),
        (replace(GOOD, forced=frozenset({0})), "forced is not a controller's to say"),
        (replace(GOOD, heartbeat=7), "heartbeat is not a controller's to say"),
        (replace(GOOD, decisions=("so",)), "decisions.0"),
        (replace(GOOD, decisions=(Decision("guard", "pump 1", "start", "because"),)), "another's name"),
        (
            replace(GOOD, decisions=(Decision(NAME, "well", "start", "x" * 5000),)),
            "more than 4000 characters",
        ),
        (replace(GOOD, decisions=(Decision(NAME, "", "", ""),) * 500), "more than 4000 characters"),
        (Untold(), "Untold"),
    ],
)
def test_whatever_breaks_is_its_own_fault(says, why):
    one = trial()
    one.run(60)
    one.interventions.clear()
    mine(one).says = says
    one.run(3)
    assert one.active == ""  # it has no say, and nobody stands behind it
    assert not {"guard-fault", "invariant"} & {row.rule for row in one.interventions}
    faults = [row for row in one.decisions if row.what == "controller-fault"]
    assert len(faults) == 1 and faults[0].source == NAME and why in faults[0].reason
    mine(one).says = GOOD
    one.run(1)
    assert one.active == NAME


def test_what_it_says_of_its_fault_is_bounded():
    one = trial()
    mine(one).says = RuntimeError("x" * 100_000)
    one.run(3)
    (fault,) = (row for row in one.decisions if row.what == "controller-fault")
    assert len(fault.reason) < 400
    mine(one).state = RuntimeError("x" * 100_000)
    assert len(json.dumps(one.loop.snapshot()["controllers"])) < 1000


def test_a_fault_that_is_another_in_every_scan_is_told_once():
    one = trial()
    for number in range(5):
        mine(one).says = RuntimeError(f"number {number}")
        one.run(1)
    assert [row.reason for row in one.decisions if row.what == "controller-fault"] == [
        "ValueError: RuntimeError: number 0"
    ]


@pytest.mark.parametrize(
    "state",
    [RuntimeError("boom"), [1], {1: 2}, {"a": object()}, {"a": (1,)}, {"a": "x" * 70_000}, nested(40)],
)
def test_a_broken_snapshot_costs_its_state_alone(state):
    one = trial()
    one.run(10)
    mine(one).state = state
    whole = one.loop.snapshot()
    assert "snapshot" in whole["controllers"][0]["state"]["fault"]
    with pytest.raises((KeyError, ValueError)):
        trial().loop.restore(whole)
    mine(one).state = {"n": 4}
    other = trial()
    other.loop.restore(one.loop.snapshot())
    assert mine(other).state == {"n": 4}


def test_a_snapshot_of_another_build_begins_anew():
    one = trial()
    whole = one.loop.snapshot()
    whole["controllers"][0]["state"] = {"state": {"other": 1}}
    with pytest.raises(ValueError, match=r"water\.mine"):
        trial().loop.restore(whole)


JUNCTION = {
    "phases": [{"id": 1}, {"id": 2}],
    "channels": [{"id": "ns", "phases": [1]}, {"id": "ew", "phases": [2]}],
    "conflicts": [["ns", "ew"]],
}


def test_it_cannot_reach_what_the_guard_goes_by():
    def tamper(config, around):
        around.plan.place.clear()
        around.plan.min_green = around.plan.yellow = (0.0, 0.0)
        object.__setattr__(around.site.phases[0], "yellow_s", 0.0)
        return Says(config, around)

    kind = ControllerKind("signal.mine", "signal", Config, tamper)
    one = Trial(kind, {}, JUNCTION, {}, ["channel.ns", "channel.ew"])
    guard = one.loop.domain.guard
    assert (
        guard.plan.place == {1: 0, 2: 1}
        and min(guard.plan.yellow) == 3.0
        and min(guard.plan.min_green) == 5.0
    )
    assert one.loop.domain.site.phases[0].yellow_s == guard.plan.site.phases[0].yellow_s == 3.0


class NoStep(Says):
    step = None


class Breaks(Says):
    def __init__(self, config, around):
        raise TypeError("boom")


class Odd(Says):
    def snapshot(self):
        return {"a": {1}}


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (NoStep, "has no step"),
        (Breaks, "TypeError: boom"),
        (Odd, "plain JSON"),
        (lambda *_: 7, "not a Controller"),
    ],
)
def test_what_is_no_controller_is_refused_when_the_file_is_checked(build, says):
    with pytest.raises(ParamError, match=says):
        trial(ControllerKind(NAME, "water", Config, build))


def test_parameters_are_its_own():
    with pytest.raises(ParamError, match="high_m"):
        trial(params={"high_m": "much"})


class Loose:
    pass


@pytest.mark.parametrize(
    ("name", "thing", "says"),
    [
        (NAME, Says, "is a type, not a ControllerKind"),
        (NAME, None, "not a ControllerKind"),
        ("water.other", KIND, "calls itself 'water.mine'"),
        ("water.level", ControllerKind("water.level", "water", Config, Says), "built-in"),
        ("gas.mine", ControllerKind("gas.mine", "gas", Config, Says), "none of the domains"),
        ("signal.mine", ControllerKind("signal.mine", "water", Config, Says), "not with its own"),
        (NAME, ControllerKind(NAME, "water", Loose, Says), "no model"),
        (NAME, ControllerKind(NAME, "water", Config, None), "cannot be called"),
    ],
)
def test_what_may_not_come_in(name, thing, says):
    with pytest.raises(ValueError, match=says):
        admit(name, thing)


class Offer:
    def __init__(self, name, thing):
        self.name, self.thing = name, thing


def test_the_first_of_a_name_stays_and_built_in_kinds_stay_what_they_are():
    twice = [Offer(NAME, KIND), Offer(NAME, KIND), Offer("water.level", KIND)]
    kinds, refused = admit_all(twice)
    assert [(one is twice[1], one is twice[2]) for one, _ in refused] == [(True, False), (False, True)]
    assert "another package" in refused[0][1]
    assert {name: kinds[name] for name in KINDS} == dict(KINDS)
    assert set(kinds) - set(KINDS) == {NAME}
