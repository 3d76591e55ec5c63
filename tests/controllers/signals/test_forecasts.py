"""What a junction tells its neighbours, and what it makes of what they tell: two junctions on a street."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.signals.drive import UTC0, Drive
from tests.controllers.signals.toy import EDGES, SPEED, Toy, site

from vigie_controllers.signals.coming import MOST_FLOW, TAIL_S, Coming
from vigie_controllers.signals.leaving import Leaving
from vigie_controllers.signals.model import Model, View
from vigie_controllers.signals.neighbours import Forecast, read_forecast
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.predict import LanePrediction
from vigie_controllers.signals.search import Choice
from vigie_controllers.signals.site import SignalSite
from vigie_protocols.points import Quality, Reading

TRAVEL_S = 25.0
RATE = 0.1
AT_THE_EDGE_S = 0.5 * (EDGES[-2] + EDGES[-1]) / SPEED
"""Seconds from the middle of the last zone to the stop line."""


def downstream(travel_s: float = TRAVEL_S) -> dict[str, Any]:
    """Lane in1 is fed by the junction ``west`` of gateway ``gw-west``."""
    raw = site(3)
    raw["upstream"] = [
        {"neighbour": "gw-west", "loop": "west", "exit": "out:x", "lanes": ["in1"], "travel_s": travel_s}
    ]
    return raw


def upstream() -> dict[str, Any]:
    """Lanes in1 and in2 lead to the neighbour ``gw-east``; in2 half of its traffic, in3 none."""
    raw = site(3)
    raw["lanes"] += [{"id": f"out:{n}", "kind": "exit", "length_m": 200.0} for n in "xy"]
    for way in raw["movements"]:
        way["to"] = "out:y" if way["lane"] == "in3" else "out:x"
    raw["movements"].append({"channel": "v2", "lane": "in2", "to": "out:y"})
    raw["downstream"] = [{"neighbour": "gw-east", "exits": ["out:x"]}]
    return raw


def model(raw: dict[str, Any]) -> tuple[SignalSite, Plan, Model]:
    checked = SignalSite.model_validate(raw)
    plan = Plan(checked)
    return checked, plan, Model(checked, plan)


def forecast(made: float, flow: Callable[[float], float], ttl_s: float = 10.0, bins: int = 20) -> Forecast:
    """flow: vehicles per second that leave the stop line there, by UTC."""
    rows = tuple(2.0 * flow(made + 2.0 * n) for n in range(bins))
    return read_forecast(
        {"loop": "west", "made_utc": made, "ttl_s": ttl_s, "bin_s": 2.0, "lanes": {"out:x": rows}}
    )


def platoons(utc: float) -> float:
    """Ten seconds of every fifty at half a vehicle a second."""
    return 0.5 if utc % 50.0 < 10.0 else 0.0


class Street:
    """Coming fed with forecasts of one flow while another arrives."""

    def __init__(
        self, came: Callable[[float], float], told: Callable[[float], float], travel_s: float = TRAVEL_S
    ) -> None:
        checked, _, made = model(downstream(travel_s))
        self.travel_s = travel_s
        self.coming, self.view = Coming(checked, made), View(made, ())
        self.came, self.told, self.utc = came, told, UTC0

    def run(self, seconds: int, silent: bool = False) -> "Street":
        for _ in range(seconds):
            self.utc += 1.0
            heard = () if silent else (("gw-west", forecast(self.utc, self.told)),)
            self.coming.hear(Reading(self.utc), heard)
            flow = self.came(self.utc + AT_THE_EDGE_S - self.travel_s)
            self.view.moving[0][-1] = flow * (EDGES[-1] - EDGES[-2]) / SPEED
            self.coming.learn(self.view)
        return self

    def arrivals(self) -> list[float]:
        """From second 11 to 40."""
        expected = self.coming.arrivals(0, RATE, 11, 40 + TAIL_S)
        assert expected[29:] == [RATE] * TAIL_S
        return expected[:29]


# -- what is told ----------------------------------------------------------------------------------------


def test_departures_follow_the_plan() -> None:
    checked, plan, made = model(upstream())
    leaving = Leaving(checked, plan, made)
    assert leaving.told
    lanes = [LanePrediction(queue, [0.0] * 40, None) for queue in (6.0, 4.0, 9.0)]
    rates = [[(0.5, 0.5) if one else (0.0, 0.0) for one in lane.service] for lane in made.lanes]
    choice = Choice(stage=0, next=1, hold_s=4, then_s=9, third=2, cost=0.0, saved=0.0, plans=1)
    leaving.follow(100.0, 0, choice)
    most = [[math.inf] * len(made.stages) for _ in made.lanes]
    told = leaving.forecast(100.0, UTC0, 0, lanes, rates, most, 40)
    assert (told.made_utc, told.bin_s) == (UTC0, 2.0)
    assert [name for name, _ in told.lanes] == ["out:x"]  # nobody is told of what goes elsewhere
    bins = told.lanes[0][1]
    # Four seconds of green and one of yellow at half a vehicle a second; five of clearance and one to start up;
    # then in2, half of whose traffic goes elsewhere.
    assert bins[:9] == (1.0, 1.0, 0.5, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5)
    assert not any(bins[9:])
    # Later the same plan is still in force, only nearer.
    later = leaving.forecast(102.0, UTC0 + 2.0, 0, lanes, rates, most, 40)
    assert later.lanes[0][1][:2] == (1.0, 0.5)
    assert read_forecast({**later.message(), "loop": "west"}).lanes == later.lanes
    # Who must stay red comes first in lane 1 after one vehicle or so: the others wait behind it.
    held = leaving.forecast(100.0, UTC0, 0, lanes, rates, [[1.0, math.inf, math.inf], *most[1:]], 40)
    assert held.lanes[0][1][:3] == (0.75, 0.188, 0.031)


def test_a_plan_that_the_junction_does_not_follow_is_forgotten() -> None:
    checked, plan, made = model(upstream())
    leaving = Leaving(checked, plan, made)
    lanes = [LanePrediction(queue, [0.0] * 40, None) for queue in (0.0, 8.0, 0.0)]
    rates = [[(0.5, 0.5) if one else (0.0, 0.0) for one in lane.service] for lane in made.lanes]
    leaving.follow(100.0, 0, Choice(0, 2, 4, 9, 0, 0.0, 0.0, 1))
    most = [[math.inf] * len(made.stages) for _ in made.lanes]
    told = leaving.forecast(100.0, UTC0, 1, lanes, rates, most, 40)  # it is stage 1 that is green
    assert told.lanes[0][1][:4] == (0.5,) * 4
    assert leaving.forecast(100.0, UTC0, -1, lanes, rates, most, 40).lanes[0][1][:4] == (0.5,) * 4


def test_a_junction_says_each_second_what_it_will_let_out() -> None:
    drive, toy = Drive(upstream(), [("signal.adaptive", {})], step_s=0.5), Toy([0.14, 0.1, 0.04], 1)
    said: list[Any] = []
    step = drive.loop.step
    drive.loop.step = lambda *a: said.append((out := step(*a)).said) or out  # type: ignore[method-assign, func-returns-value]
    for second in range(300):
        toy.step(drive.now, drive.greens())
        drive.put(toy.roles())
        drive.run(1.0)
        assert second < 30 or sum(one is not None for one in said[-2:]) == 1
    told = [read_forecast(one) for one in said if one is not None]
    assert all(one.loop == "jct" for one in told)
    assert max(sum(bins) for one in told for _, bins in one.lanes) > 3.0
    drive.clock = Quality.BAD
    before = len(said)
    drive.run(5.0)
    assert not any(said[before:])  # it does not know what time it is


def test_who_has_no_neighbours_says_nothing() -> None:
    drive = Drive(site(3), [("signal.adaptive", {})], step_s=1.0)
    for _ in range(60):
        drive.scan()
    checked, plan, made = model(site(3))
    assert not Leaving(checked, plan, made).told


# -- what is heard ---------------------------------------------------------------------------------------


def test_a_forecast_that_comes_true_is_believed() -> None:
    street = Street(platoons, platoons).run(1500)
    inside: list[float] = []
    outside: list[float] = []
    for _ in range(10):
        street.run(7)
        real = (platoons(street.utc + t - TRAVEL_S) for t in range(11, 40))
        for expected, come in zip(street.arrivals(), real, strict=True):
            (inside if come else outside).append(expected)
    assert sum(inside) / len(inside) > 0.3
    assert sum(outside) / len(outside) < 0.05


def test_one_that_never_comes_true_is_not() -> None:
    dice = random.Random(4)
    street = Street(platoons, lambda utc: 5.0 if dice.random() < 0.5 else 0.0).run(1500)
    assert street.arrivals() == [RATE] * 29
    constant = Street(platoons, lambda utc: 5.0).run(1500)
    assert constant.arrivals() == [RATE] * 29


def test_one_that_comes_true_at_the_last_moment_only_is_not() -> None:
    """Plans use what is foretold for ten or twenty seconds ahead: who changes his mind until then is no help."""
    street = Street(platoons, platoons, travel_s=14.0)
    street.told = lambda utc: platoons(utc) if utc < street.utc + 2.0 else 0.5 - platoons(utc)
    assert street.run(1500).arrivals() == [RATE] * 29


def test_a_link_that_is_seen_whole_needs_no_forecast() -> None:
    assert Street(platoons, platoons, travel_s=12.0).run(1500).arrivals() == [RATE] * 29


def test_a_friend_who_turns_into_a_liar_is_bounded_and_then_left() -> None:
    street = Street(platoons, platoons).run(1500)
    street.told = lambda utc: 5.0
    street.run(1)
    assert max(street.arrivals()) <= MOST_FLOW
    assert street.run(300).arrivals() == [RATE] * 29


def test_a_forecast_is_forgotten_when_it_is_too_old_or_the_clock_is_lost() -> None:
    street = Street(platoons, platoons).run(1500)
    assert street.arrivals() != [RATE] * 29
    assert street.run(9, silent=True).arrivals() != [RATE] * 29
    assert street.run(2, silent=True).arrivals() == [RATE] * 29
    street.run(5)
    assert street.arrivals() != [RATE] * 29
    street.coming.hear(Reading(street.utc, Quality.BAD), ())
    assert street.arrivals() == [RATE] * 29


def test_what_was_made_in_another_time_or_elsewhere_is_left() -> None:
    street = Street(platoons, platoons).run(1500).run(11, silent=True)
    wrong = [
        ("gw-west", forecast(street.utc + 60.0, platoons)),
        ("gw-west", forecast(street.utc - 11.0, platoons)),
        ("gw-west", Forecast("east", street.utc, 10.0, 2.0, (("out:x", (1.0,) * 20),))),
        ("gw-east", forecast(street.utc, platoons)),
        ("gw-west", Forecast("west", street.utc, 10.0, 2.0, (("out:z", (1.0,) * 20),))),
        ("gw-west", Forecast("west", street.utc, 10.0, 2.0, (("out:x", ()),))),
    ]
    for one in wrong:
        street.coming.hear(Reading(street.utc), (one,))
        assert street.arrivals() == [RATE] * 29


number = st.floats(0.0, 10.0)
words = st.builds(
    Forecast,
    st.just("west"),
    st.floats(-300.0, 300.0).map(lambda shift: UTC0 + shift) | st.floats(0.0, 1e11),
    st.floats(0.0, 120.0),
    st.floats(0.5, 10.0),
    st.lists(number, max_size=90).map(lambda bins: (("out:x", tuple(bins)),)),
)


@given(
    st.lists(st.tuples(st.sampled_from([1.0, 0.1, 40.0, -200.0]), st.lists(words, max_size=3)), max_size=40)
)
def test_whatever_is_said_what_is_expected_stays_within_a_lane(
    steps: list[tuple[float, list[Forecast]]],
) -> None:
    street = Street(platoons, platoons)
    for seconds, said in steps:
        street.utc += seconds
        street.coming.hear(Reading(street.utc), tuple(("gw-west", one) for one in said))
        street.view.moving[0][-1] = platoons(street.utc)
        street.coming.learn(street.view)
        expected = street.arrivals()
        assert len(expected) == 29
        assert all(0.0 <= one <= MOST_FLOW for one in expected)
    kept = json.loads(json.dumps(street.coming.snapshot()))
    assert len(kept["heard"][0][1]) < 600


# -- the whole junction ----------------------------------------------------------------------------------


def test_forecasts_change_decisions_and_replay_from_a_snapshot_is_exact() -> None:
    def fresh() -> Drive:
        return Drive(downstream(), [("signal.adaptive", {})], step_s=1.0)

    rates = [0.0, 0.1, 0.04]
    one, deaf, two, toy = fresh(), fresh(), fresh(), Toy(rates, 5)
    drives = [one, deaf]
    for second in range(900):
        rates[0] = platoons(UTC0 + one.now + 1.0 + EDGES[-1] / SPEED - TRAVEL_S)
        toy.step(one.now, one.greens())
        roles = toy.roles()
        if second == 711:
            two.now = one.now
            two.loop.resume(json.loads(json.dumps(one.loop.snapshot())))
            one.decisions.clear()
            deaf.decisions.clear()
            drives.append(two)
        for drive in drives:
            drive.put(roles)
            if drive is not deaf:
                assert drive.domain.hear("gw-west", forecast(UTC0 + drive.now, platoons).message())
            drive.scan()
    assert one.decisions == two.decisions
    assert one.loop.snapshot() == two.loop.snapshot()
    assert one.decisions != deaf.decisions
