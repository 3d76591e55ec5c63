"""Cabinets: watchdog, panel and monitor outrank what is written; a NEMA cabinet keeps its own clearances."""

import random
from collections.abc import Callable

import pytest

from vigie_protocols.errors import DeviceRefused
from vigie_sim.traffic.cabinet import HEARTBEAT_TIMEOUT_S, LampCabinet, Panel, PhaseCabinet, program_card
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.monitor import Monitor

R, G, FR, D = int(Lamp.RED), int(Lamp.GREEN), int(Lamp.FLASH_RED), int(Lamp.DARK)


@pytest.fixture
def bare(intersections: dict[str, Junction]) -> LampCabinet:
    site = intersections["passerelle"].site
    return LampCabinet(site, Monitor(program_card(site)))


def all_of(cabinet: LampCabinet, lamp: int) -> list[int]:
    return [lamp] * len(cabinet.site.channels)


def one_green(cabinet: LampCabinet) -> list[int]:
    return [G, *all_of(cabinet, R)[1:]]


def test_bare_lamps_flash_until_they_are_told_otherwise(bare: LampCabinet) -> None:
    assert set(bare.advance(5.0)) == {FR, D}
    bare.command(6.0, "Lamps", all_of(bare, R))
    assert list(bare.lamps) == all_of(bare, R)
    bare.command(8.0, "Lamps", one_green(bare))
    assert bare.nodes() == {"Lamps": one_green(bare), "LampReadback": one_green(bare)}


def test_a_silent_heart_brings_flash_and_red_before_green(bare: LampCabinet) -> None:
    bare.beat(0.0, 1)
    bare.command(0.0, "Lamps", all_of(bare, R))
    bare.command(1.0, "Lamps", one_green(bare))
    bare.advance(HEARTBEAT_TIMEOUT_S)
    assert bare.lamps[0] == G
    bare.advance(HEARTBEAT_TIMEOUT_S + 0.1)
    assert bare.lamps[0] == FR
    assert bare.watchdog_trips == 1
    bare.beat(10.0, 1)  # the same number is no beat
    bare.advance(10.0)
    assert bare.lamps[0] == FR
    bare.beat(11.0, 2)
    bare.command(11.0, "Lamps", one_green(bare))
    assert bare.lamps[0] == FR, "no green straight out of flash"
    bare.command(12.0, "Lamps", all_of(bare, R))
    bare.command(13.0, "Lamps", one_green(bare))
    assert bare.lamps[0] == G
    assert bare.monitor.fault is None


def test_without_a_first_beat_the_watchdog_sleeps(bare: LampCabinet) -> None:
    bare.command(0.0, "Lamps", all_of(bare, R))
    bare.advance(1000.0)
    assert list(bare.lamps) == all_of(bare, R)
    assert bare.watchdog_trips == 0


@pytest.mark.parametrize(
    ("mode", "lamp"), [(Panel.FLASH, FR), (Panel.OFF, D), (Panel.HAND, FR), (Panel.POLICE, FR)]
)
def test_the_panel_outranks_the_wire(bare: LampCabinet, mode: Panel, lamp: int) -> None:
    bare.command(0.0, "Lamps", all_of(bare, R))
    bare.command(1.0, "Lamps", one_green(bare))
    bare.panel = mode
    assert bare.advance(2.0)[0] == lamp
    bare.panel = Panel.AUTO
    assert bare.advance(3.0)[0] == FR
    assert bare.monitor.fault is None


def test_a_broken_lamp_and_a_stuck_one_trip_the_monitor(bare: LampCabinet) -> None:
    bare.command(0.0, "Lamps", all_of(bare, R))
    bare.faults.out[0] = 1
    bare.advance(0.5)
    assert bare.monitor.fault is None
    bare.advance(2.0)
    assert bare.monitor.fault is not None
    assert bare.monitor.fault.kind == "red-fail"
    bare.faults.out.clear()
    bare.reset(3.0)
    bare.faults.stuck[1] = 4
    bare.advance(4.0)
    bare.advance(5.0)
    assert bare.monitor.fault is not None
    assert bare.monitor.fault.kind == "dual-indication"


@pytest.mark.parametrize(
    ("node", "values"), [("Nothing", [1]), ("Lamps", [1]), ("Lamps", None), ("Lamps", [9] * 14)]
)
def test_wrong_commands_are_refused(bare: LampCabinet, node: str, values: list[int] | None) -> None:
    with pytest.raises(DeviceRefused):
        bare.command(0.0, node, values if values is not None else [R])


Vehicles = set[int]


def nema(
    intersections: dict[str, Junction],
    sensing: Callable[[], tuple[Vehicles, Vehicles]] = lambda: (set(), set()),
) -> PhaseCabinet:
    site = intersections["tisserands"].site
    return PhaseCabinet(site, Monitor(program_card(site)), sensing)


def ask(cabinet: PhaseCabinet, now: float, **words: set[int]) -> None:
    for word, numbers in words.items():
        cabinet.command(now, f"Phases.{word}", [number in numbers for number in range(1, 9)])


def green(cabinet: PhaseCabinet) -> set[int]:
    return {number for number, lamp in enumerate(cabinet.nodes()["Phases.State"], start=1) if lamp == G}


def until(cabinet: PhaseCabinet, wanted: set[int], now: float, limit: float = 60.0) -> float:
    """Simulated time at which the greens are ``wanted``."""
    end = now + limit
    while now < end:
        now = round(now + 0.1, 3)
        cabinet.beat(now, int(now * 10))
        cabinet.advance(now)
        if green(cabinet) == wanted:
            return now
    raise AssertionError(f"still {green(cabinet)}, not {wanted}")


def test_a_cabinet_serves_called_phases_with_its_own_clearances(intersections: dict[str, Junction]) -> None:
    cabinet = nema(intersections)
    ask(cabinet, 0.0, Call={2, 6})
    assert cabinet.nodes()["Cabinet.Flash"] is True
    at = until(cabinet, {2, 6}, 0.0)
    ask(cabinet, at, Call={4, 8}, Hold={2, 6})
    for _ in range(300):
        at = round(at + 0.1, 3)
        cabinet.beat(at, int(at * 10))
        cabinet.advance(at)
    assert green(cabinet) == {2, 6}, "held"
    ask(cabinet, at, Hold=set(), ForceOff={2, 6})
    over = until(cabinet, {4, 8}, at)
    assert over - at >= 5.0 - 0.2, "yellow and red clearance lie between"
    ask(cabinet, over, ForceOff={4, 8}, Call={2, 6, 1, 5}, Omit={1, 5})
    until(cabinet, {2, 6}, over)
    assert cabinet.monitor.fault is None


def test_a_pedestrian_call_of_the_gateway_serves_its_phase_with_a_walk(
    intersections: dict[str, Junction],
) -> None:
    cabinet = nema(intersections)
    ask(cabinet, 0.0, PedCall={4, 1}, ForceOff={2, 6})
    at = until(cabinet, {4}, 0.0)
    assert cabinet.nodes()["Peds.State"][3] == G
    assert cabinet.nodes()["Peds.State"][0] == R, "phase 1 has no pedestrians"
    ask(cabinet, at, PedCall=set(), ForceOff=set())
    until(cabinet, {4}, at + 60.0)
    assert cabinet.nodes()["Peds.State"][3] == R
    assert cabinet.monitor.fault is None


def test_a_cabinet_without_a_gateway_runs_by_itself(intersections: dict[str, Junction]) -> None:
    waiting: list[set[int]] = [{2, 6}]
    cabinet = nema(intersections, lambda: (waiting[0], {2}))
    cabinet.advance(30.0)
    assert green(cabinet) == {2, 6}
    assert cabinet.nodes()["Peds.State"][1] != R, "somebody asked to walk beside phase 2"
    waiting[0] = {4}
    cabinet.advance(75.0)
    assert green(cabinet) == {4}
    assert not cabinet.remote


def test_no_request_whatever_makes_a_cabinet_unsafe(intersections: dict[str, Junction]) -> None:
    """A malicious gateway: random hold, force-off, omit and call at every scan for an hour."""
    source = random.Random(7)
    waiting: list[set[int]] = [set()]
    cabinet = nema(intersections, lambda: (waiting[0], {2, 4, 6, 8}))
    seen: set[int] = set()
    for scan in range(36_000):
        now = scan / 10
        if scan % 3 == 0:
            for word in ("Hold", "ForceOff", "Omit", "Call"):
                cabinet.command(now, f"Phases.{word}", [source.random() < 0.4 for _ in range(8)])
            waiting[0] = {number for number in (1, 2, 4, 5, 6, 8) if source.random() < 0.5}
        cabinet.beat(now, scan)
        cabinet.advance(now)
        seen |= green(cabinet)
    assert cabinet.monitor.trips == []
    assert seen == {1, 2, 4, 5, 6, 8}
