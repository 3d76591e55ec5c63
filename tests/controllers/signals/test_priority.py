"""Transit priority by tables of requests: what is granted, what it costs the others, what it may never do."""

import json
import random
from typing import Any

import pytest
from tests.controllers.signals.drive import Drive, build
from tests.controllers.signals.monitor import Monitor
from tests.controllers.signals.sites import dual_ring, one_ring

from vigie_controllers.loops import ParamError
from vigie_controllers.signals.words import PhaseState

KIND = "signal.priority"
BUS = {"id": "bus", "phases": [1], "line": "80", "direction": "nord"}


def site(count: int = 4, ped: bool = False, **bus: object) -> dict[str, Any]:
    return {**one_ring(count, ped=ped), "priority": [{**BUS, **bus}]}


class Bus(Drive):
    """A junction with demand everywhere and one vehicle that may come."""

    def __init__(
        self,
        raw: dict[str, Any],
        params: dict[str, Any] | None = None,
        base: tuple[str, dict[str, Any]] = ("signal.actuated", {"default_max_green_s": 15.0}),
        roles: tuple[str, ...] = ("lateness",),
    ) -> None:
        extra = tuple(f"priority.{one['id']}.{role}" for one in raw["priority"] for role in roles)
        super().__init__(raw, [(KIND, params or {}), base], extra=extra)
        self.monitor = Monitor(raw)
        self.comes: dict[str, float] = {}
        self.put({f"priority.{one['id']}.eta": -1.0 for one in raw["priority"]})
        self.put({role: True for role in self.values if role.startswith("detector.d")})

    def scan(self) -> None:
        for name, at in self.comes.items():
            self.put({f"priority.{name}.eta": at - self.now})
        super().scan()
        self.monitor.see(self.now, [int(value) for value in self.written.values()])

    def ask(self, eta: float, late: float = 120.0, name: str = "bus") -> None:
        self.comes[name] = self.now + eta
        self.put({f"priority.{name}.eta": eta})
        if f"priority.{name}.lateness" in self.values:
            self.put({f"priority.{name}.lateness": late})

    def told(self) -> list[str]:
        return [one.what for _, one in self.decisions if one.source == KIND]

    def clean(self) -> None:
        assert not self.monitor.faults
        assert not [one for _, one in self.interventions if one.rule != "max-red"]


def test_nothing_is_asked_while_nobody_comes() -> None:
    with_bus = Bus(site())
    without = Drive(one_ring(4, ped=False), [("signal.actuated", {"default_max_green_s": 15.0})])
    without.put(dict.fromkeys(without.values, True))
    for _ in range(600):
        with_bus.scan()
        without.scan()
        assert with_bus.written == without.written


def test_a_green_is_kept_until_the_vehicle_has_passed() -> None:
    drive = Bus(site())
    drive.until(2)
    drive.until(1)
    drive.run(12)
    drive.ask(9.0)
    took = drive.until(1, state=PhaseState.YELLOW)
    assert 9.0 <= took <= 10.5  # its maximum of 15 s would have been over after 3
    assert drive.told() == ["granted-extension", "ended"]
    granted = next(text for text in drive.reasons(KIND))
    assert granted == "line 80 nord, 120 s late, arrives in 9 s: phase 1 is kept green, at most 15 s"
    assert drive.reasons(KIND)[-1] == "line 80 nord: passed"
    drive.clean()


def test_an_extension_has_an_end_even_if_nobody_comes() -> None:
    drive = Bus(site(), {"max_extension_s": 8.0})
    drive.until(2)
    drive.until(1)
    drive.run(14)
    drive.ask(5.0)
    drive.comes["bus"] += 1000.0
    drive.put({"priority.bus.eta": 5.0})
    drive.comes.clear()  # it stands somewhere and says 5 s for ever
    took = drive.until(1, state=PhaseState.YELLOW)
    assert took <= 10.0
    assert any("held for 8 s, the most allowed" in text for text in drive.reasons(KIND))
    drive.clean()


def test_the_green_comes_early_and_after_those_whose_turn_it_is() -> None:
    base = ("signal.actuated", {"default_max_green_s": 25.0})
    plain = Bus(site(), base=base)
    plain.until(3)
    usual = plain.until(1)
    drive = Bus(site(), base=base)
    drive.until(3)
    drive.ask(25.0)
    order: list[int] = []
    begin = drive.now
    while 1 not in drive.greens():
        drive.scan()
        order += [n for n in drive.greens() if not order or order[-1] != n]
    assert order == [3, 4, 1]  # nobody is left out
    assert drive.now - begin < usual - 10
    assert drive.now - begin <= 25.0 + 3.0
    drive.clean()


def test_insertion_leaves_others_out_and_goes_back_to_them() -> None:
    drive = Bus(site(5, phases=[4]), {"modes": ["insertion"], "min_lateness_s": 0})
    drive.until(1)
    drive.until(2)
    drive.run(5)
    drive.ask(10.0)
    order: list[int] = []
    for _ in range(140):
        drive.scan()
        order += [n for n in drive.greens() if not order or order[-1] != n]
    assert order[:4] == [2, 4, 3, 4]  # then the usual turn again
    assert drive.told()[0] == "granted-insertion"
    drive.clean()


@pytest.mark.parametrize(
    ("late", "people", "params", "text"),
    [
        (30.0, 40.0, {}, "30 s late, at least 60 s are asked"),
        (-20.0, 40.0, {"min_lateness_s": 0.0}, "-20 s late, at least 0 s are asked"),
        (300.0, 5.0, {"min_occupancy": 20.0}, "too few people aboard"),
    ],
)
def test_who_is_on_time_or_empty_waits(late: float, people: float, params: dict[str, Any], text: str) -> None:
    drive = Bus(site(), params, roles=("lateness", "occupancy"))
    drive.until(2)
    drive.put({"priority.bus.occupancy": people})
    drive.ask(10.0, late)
    drive.run(8)
    assert drive.told() == ["refused"]  # once, not in every scan
    assert text in drive.reasons(KIND)[0]


def test_a_lateness_that_cannot_be_read_is_not_granted() -> None:
    drive = Bus(site())
    drive.until(2)
    drive.ask(10.0)
    drive.put({"priority.bus.lateness": 0.0}, bad=True)
    drive.run(8)
    assert "its lateness is not known" in drive.reasons(KIND)[0]


def test_an_input_without_lateness_is_granted_by_itself() -> None:
    drive = Bus(site(), roles=())
    drive.until(2)
    drive.ask(30.0)
    drive.until(1, 40)
    assert drive.told()[0] == "granted-early"


@pytest.mark.parametrize("eta", [-1.0, float("nan"), 1e12])
def test_an_absurd_arrival_is_no_request(eta: float) -> None:
    drive = Bus(site())
    drive.until(2)
    drive.put({"priority.bus.eta": eta, "priority.bus.lateness": 500.0})
    drive.run(60)
    assert not drive.told()


def test_lockout_after_a_grant() -> None:
    drive = Bus(site(), {"lockout_s": 100.0, "horizon_s": 180.0})
    drive.until(2)
    drive.ask(30.0)
    drive.run(45)
    drive.ask(30.0)
    drive.run(25)
    assert drive.told() == ["granted-early", "ended", "refused"]
    assert "another grant ended shortly ago" in drive.reasons(KIND)[-1]


def test_others_are_not_made_to_wait_longer_than_allowed() -> None:
    drive = Bus(site(), {"max_wait_s": 30.0})
    drive.until(2)
    drive.until(1)
    drive.run(14)  # phase 2 has waited for about 60 s
    drive.ask(14.0)
    took = drive.until(1, state=PhaseState.YELLOW)
    assert took <= 2.0
    assert any("has waited" in text for text in drive.reasons(KIND))


def test_a_budget_bounds_what_many_vehicles_cost() -> None:
    spent: dict[float, float] = {}
    told: dict[float, str] = {}
    for budget in (5.0, 300.0):
        drive = Bus(site(), {"budget_s": budget, "window_s": 600.0, "lockout_s": 0.0, "max_wait_s": 120.0})
        drive.until(2)
        green = 0.0
        for _ in range(1200):
            if drive.values["priority.bus.eta"] < 0:
                drive.ask(20.0)
            drive.scan()
            green += 0.5 * (1 in drive.greens())
        spent[budget] = green
        drive.clean()
        told[budget] = " ".join(drive.reasons(KIND))
    assert spent[5.0] < spent[300.0]
    assert "5 s were spent in the last 600 s" in told[5.0]
    assert "were spent" not in told[300.0]


def test_pedestrians_and_minimum_greens_are_never_cut_short() -> None:
    raw = site(ped=True, phases=[2])
    drive = Bus(raw, {"lockout_s": 0.0, "budget_s": 300.0})
    dice = random.Random(3)
    for _ in range(4000):
        if drive.values["priority.bus.eta"] < 0 and dice.random() < 0.05:
            drive.ask(dice.uniform(1, 55))
        drive.put({"detector.b1": dice.random() < 0.1, "detector.b3": dice.random() < 0.1})
        drive.scan()
    drive.clean()
    assert drive.told().count("granted-early") > 10


def test_over_fixed_time_the_cycle_goes_on_beneath() -> None:
    raw = {**dual_ring(), "priority": [{"id": "bus", "phases": [4, 8], "line": "80"}]}
    plan = {"plans": {"normal": {}}, "pedestrians": False}
    drive = Bus(raw, {"min_lateness_s": 0.0}, ("signal.fixed", plan))
    usual = Drive(dual_ring(), [("signal.fixed", plan)])
    drive.until(2)
    drive.ask(20.0)
    begin = drive.now
    while not {4, 8} <= drive.greens():
        drive.scan()
    assert drive.now - begin <= 26
    drive.run(300)
    usual.run(drive.now - usual.now)
    drive.run(100)
    usual.run(100)
    assert drive.greens() == usual.greens()
    drive.clean()


def test_a_restart_in_a_grant_goes_on_with_it() -> None:
    drive = Bus(site())
    drive.until(2)
    drive.ask(30.0)
    drive.run(25)
    again = Bus(site())
    again.now, again.comes = drive.now, dict(drive.comes)
    again.put({"priority.bus.lateness": 120.0})
    again.loop.resume(json.loads(json.dumps(drive.loop.snapshot())))
    for _ in range(200):
        drive.scan()
        again.scan()
        assert again.written == drive.written


@pytest.mark.parametrize(
    ("raw", "params", "text"),
    [
        (one_ring(4, ped=False), {}, r"modes: this site has no priority input"),
        (site(), {"lines": ["99"]}, r"lines: no input of line '99'; name one of 80"),
        (site(), {"modes": ["teleport"]}, r"modes.0"),
    ],
)
def test_wrong_parameters_are_refused(raw: dict[str, Any], params: dict[str, Any], text: str) -> None:
    with pytest.raises(ParamError, match=text):
        build(KIND, params, raw)


def test_priority_alone_runs_no_junction() -> None:
    with pytest.raises(ParamError, match="modes: it only bends what others ask"):
        Drive(site(), [(KIND, {})])


@pytest.mark.parametrize(
    ("bus", "text"),
    [
        ({"phases": [9]}, "phase 9 is not declared"),
        ({"phases": [1, 2]}, "phases 1 and 2 may not be on together"),
    ],
)
def test_wrong_inputs_are_refused(bus: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Bus(site(**bus))
