"""Circuit breakers of a line as a table of cycles: what a dead device costs, and how soon one is found again."""

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_protocols.backoff import Backoff
from vigie_protocols.driver import devices_of
from vigie_protocols.gateway import load_gateway
from vigie_protocols.modbus.breaker import BREAK, Breakers
from vigie_protocols.modbus.station import Station

TIMEOUT_S = 0.5
PERIOD_S = 1.0
TURN_S = 0.005
PROFILE = """
profile: unit
title: {fr: Essai, en: Test}
protocol: modbus
domain: general
watchdog: {none: "a test device"}
points: [{name: level, type: int, rate_s: 1.0, modbus: {address: 0}}]
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], list[Station]]:
    folder = tmp_path_factory.mktemp("line")
    (folder / "unit.yaml").write_text(PROFILE)

    devices = "".join(
        f"  - {{name: u{unit}, profile: unit, link: bus, unit: {unit}}}\n" for unit in range(1, 21)
    )
    (folder / "gateway.yaml").write_text(
        "gateway: gw\nsite: {name: Essai, lat: 0, lon: 0}\nlinks:\n"
        f"  bus: {{protocol: modbus, serial: {{port: /dev/ttyS9}}, timeout_s: {TIMEOUT_S}}}\ndevices:\n{devices}"
    )
    configuration = load_gateway(folder / "gateway.yaml")
    link, rows = configuration.gateway.links["bus"], devices_of(configuration, "bus")

    def stations(count: int, seed: int) -> list[Station]:
        jitter = random.Random(seed).random
        return [Station(row, link, jitter) for row in rows[:count]]

    return stations


class Bus:
    """A line with one request at a time: a turn for a device that lives, a time-out for one that does not."""

    def __init__(self, stations: list[Station]) -> None:
        self.stations, self.breakers = stations, Breakers(stations)
        self.now = 0.0
        self.lost_s = dict.fromkeys((one.name for one in stations), 0.0)
        self.asked = dict.fromkeys(self.lost_s, 0)
        self.probes: list[float] = []

    def cycle(self, lives: Mapping[str, bool]) -> None:
        begun = self.now
        for one in self.stations:
            if not self.breakers.may_ask(one, self.now):
                continue
            if self.breakers.asking(one, self.now):
                self.probes.append(self.now)
            self.asked[one.name] += 1
            if lives[one.name]:
                self.now += TURN_S
                self.breakers.answered(one, self.now)
            else:
                self.now += TIMEOUT_S
                self.lost_s[one.name] += TIMEOUT_S
                self.breakers.missed(one, self.now, "silent")
        self.now = max(self.now, begun + PERIOD_S)

    def until(self, true: Callable[[], bool], lives: Mapping[str, bool]) -> float:
        begun = self.now
        while not true():
            self.cycle(lives)
            assert self.now < begun + 1e5
        return self.now - begun


def test_one_dead_device_among_living_ones_costs_a_hundredth(
    make: Callable[[int, int], list[Station]],
) -> None:
    bus = Bus(make(20, 1))
    lives = {one.name: one.name != "u7" for one in bus.stations}
    bus.until(lambda: bus.now >= 3600.0, lives)
    assert 0.0 < bus.lost_s["u7"] - BREAK * TIMEOUT_S <= 0.01 * bus.now
    assert all(bus.asked[name] == 3600 for name, up in lives.items() if up)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 12), seed=st.integers(0, 2**32), dark_s=st.floats(1.0, 600.0))
def test_a_line_that_comes_back_is_found_within_seconds(
    make: Callable[[int, int], list[Station]], count: int, seed: int, dark_s: float
) -> None:
    bus = Bus(make(count, seed))
    up = {one.name: True for one in bus.stations}
    bus.until(lambda: bus.now >= 10.0, up)
    dark = bus.now
    bus.until(lambda: bus.now >= dark + dark_s, dict.fromkeys(up, False))
    bus.until(lambda: bus.breakers.silent, dict.fromkeys(up, False))
    first = bus.until(lambda: not bus.breakers.silent, up)
    rest = bus.until(lambda: not any(one.open for one in bus.stations), up)
    assert first <= 5.0 + 2 * PERIOD_S  # the back-off's longest step, and no hundred time-outs
    assert rest <= count * (PERIOD_S + TURN_S)  # one probe a cycle


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_whatever_lives_there_is_one_probe_a_cycle_at_most(
    make: Callable[[int, int], list[Station]], seed: int, data: st.DataObject
) -> None:
    bus = Bus(make(8, seed))
    for _ in range(data.draw(st.integers(1, 6))):
        lives = {one.name: data.draw(st.booleans()) for one in bus.stations}
        for _ in range(50):
            bus.cycle(lives)
    spaces = [after - before for before, after in zip(bus.probes, bus.probes[1:], strict=False)]
    assert all(space >= PERIOD_S for space in spaces)


def test_a_device_that_dies_alone_waits_and_one_whose_line_dies_does_not(
    make: Callable[[int, int], list[Station]],
) -> None:
    bus = Bus(make(3, 1))
    names = [one.name for one in bus.stations]
    bus.until(lambda: bus.stations[0].open, dict.fromkeys(names, True) | {"u1": False})
    assert bus.stations[0].probe_at - bus.now >= 100 * TIMEOUT_S - PERIOD_S
    bus.until(lambda: bus.breakers.silent, dict.fromkeys(names, False))
    assert all(one.probe_at <= bus.now + 5.0 for one in bus.stations)
    bus.breakers.back(bus.now)
    assert all(one.probe_at <= bus.now for one in bus.stations)


def test_a_back_off_doubles_up_to_its_end_with_full_jitter():
    longest = Backoff(0.5, 5.0, lambda: 1.0)
    assert [longest.delay() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    longest.reset()
    assert longest.delay() == 0.5
    shortest = Backoff(0.5, 5.0, lambda: 0.0)
    assert [shortest.delay() for _ in range(3)] == [0.0, 0.0, 0.0]
    worn = Backoff(0.5, 5.0, lambda: 1.0)
    assert [worn.delay() for _ in range(2000)][-1] == 5.0  # no power of two grows without end
