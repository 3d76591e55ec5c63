"""A whole scenario under the guard: no trip, the same lamps as the program, the same run every time."""

from collections.abc import Mapping

import pytest
from tests.sim.traffic.conftest import shared_scenario

from vigie_controllers.loops import GuardedLoop
from vigie_controllers.signals.domain import SignalDomain
from vigie_protocols.points import Quality, Reading, Value
from vigie_sim.traffic.channels import LampMap
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.district import district_field
from vigie_sim.traffic.documents import loop_points
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.lamps import Lamp


class Guarded:
    """The guard alone at one rig, in scans of 100 ms on the image of the tick."""

    def __init__(self, field: TrafficField, place: int) -> None:
        junction, self.rig = field.junctions[place], field.rigs[place]
        domain = SignalDomain.of(junction.site.model_dump(mode="json"), loop_points(junction))
        self.loop = GuardedLoop(junction.name, 0.1, domain, [])
        self.reads = [name.partition("/")[2] for name in domain.reads]
        self.writes = [name.partition("/")[2] for name in domain.writes]
        self.last: Mapping[str, Value] = {}

    def tick(self, second: int) -> None:
        now = float(second)
        self.rig.begin(now, now)
        self.rig.apply(now, {"heartbeat": second + 1})
        shown = self.rig.read_values()
        readings = tuple(Reading(shown[name], Quality.GOOD, now, now) for name in self.reads)
        for scan in range(10):
            instant = round(now + scan / 10, 1)
            step = self.loop.step(instant, Reading(now), False, readings, {})
            values = dict(zip(self.writes, step.values, strict=True))
            changed = {name: value for name, value in values.items() if self.last.get(name) != value}
            self.last = values
            if changed:
                self.rig.apply(instant, changed)


def guarded(field: TrafficField, seconds: int) -> list[str]:
    field.start()
    gateways = [Guarded(field, place) for place in range(len(field.rigs))]
    states = []
    for second in range(seconds):
        for gateway in gateways:
            gateway.tick(second)
        field.step(float(second + 1))
        states.append("".join(map(str, (lamp for rig in field.rigs for lamp in rig.cabinet.lamps))))
    return states


def test_the_guard_and_the_monitor_agree_in_the_district() -> None:
    field = district_field(seed=2)
    states = guarded(field, 600)
    figures = field.figures()
    assert field.trips == []
    assert figures.collisions == 0
    assert figures.arrived > 100
    assert len(set(states)) > 20
    assert field.longest_red < 120.0
    again = district_field(seed=2)
    assert guarded(again, 600) == states
    assert again.figures() == figures
    assert again.outcomes() == field.outcomes()


@pytest.mark.shared
def test_the_guard_and_the_monitor_agree_on_a_foreign_network() -> None:
    field = TrafficField.load(shared_scenario("ingolstadt7"), seed=1)
    guarded(field, 400)
    field.stop()
    assert field.trips == []
    assert field.outcomes()["collisions"] == 0


def played(field: TrafficField, junction: Junction, second: float) -> tuple[str, list[int]]:
    """The program's state at a second, and the lamps that stand for it."""
    signal = field.network.signals[junction.signal]
    left = (second - signal.offset) % sum(stage.duration for stage in signal.stages)
    for stage in signal.stages:
        if left < stage.duration:
            break
        left -= stage.duration
    lamp = {"G": Lamp.GREEN, "g": Lamp.GREEN, "y": Lamp.YELLOW, "r": Lamp.RED}
    return stage.state, [int(lamp[stage.state[group.links[0]]]) for group in junction.head.groups]


def test_lamps_become_the_links_that_the_program_would_show() -> None:
    field = district_field()
    seen: set[str] = set()
    for junction in field.junctions:
        lamp_map = LampMap(junction.head)
        foes = {
            one: {b for a, b in junction.head.matrix.yields if a == one} for one in range(junction.head.links)
        }
        for second in range(300):
            wanted, lamps = played(field, junction, float(second))
            shown = lamp_map.state(lamps, float(second))
            assert shown.lower() == wanted.lower()
            seen |= set(shown)
            for link, letter in enumerate(shown):
                if letter in "GY":
                    assert all(shown[foe] == "r" for foe in foes[link]), "who may have to yield must know it"
    assert seen >= set("gGyY"), "in yellow too, some go first and some give way"


@pytest.mark.parametrize(
    ("lamp", "letters"),
    [(Lamp.FLASH_RED, {"s"}), (Lamp.DARK, {"o", "O"}), (Lamp.RED, {"r"}), (Lamp.YELLOW, {"y", "Y"})],
)
def test_every_lamp_has_a_meaning_for_the_physics(
    intersections: dict[str, Junction], lamp: Lamp, letters: set[str]
) -> None:
    head = intersections["passerelle"].head
    feet = {link for group in head.groups if group.pedestrian for link in group.links}
    state = LampMap(head).state([int(lamp)] * len(head.groups), 0.0)
    assert {letter for link, letter in enumerate(state) if link not in feet} <= letters
