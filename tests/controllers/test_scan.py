"""The scan as a whole: what it does when it was late."""

from typing import Any

import pytest
from tests.controllers.signals.sites import one_ring

from vigie_controllers.assembly import Assembly
from vigie_controllers.image import Image
from vigie_controllers.loops import LoopSpec
from vigie_controllers.policy.document import Place
from vigie_controllers.scan import ScanEngine
from vigie_protocols.points import ClockTrust, Quality, Reading, ValueType


class Lamp:
    """A declared point, as a profile has it."""

    type, low, high, writable, safe, read_back, alarm = ValueType.ENUM, 0.0, 6.0, True, 4, None, None
    urgent = False
    read_back_within, read_back_after_s, max_change_per_s = 0.0, 5.0, None

    def __init__(self, name: str, **more: Any) -> None:
        self.name = name
        vars(self).update(more)


def junctions(*names: str) -> ScanEngine:
    site = one_ring(2, ped=False)
    site["detectors"] = []
    channels = [f"channel.{one['id']}" for one in site["channels"]]
    specs = [
        LoopSpec.model_validate(
            {
                "name": name,
                "domain": "signal",
                "period_s": 0.5,
                "site": site,
                "points": {role: f"{name}/{role}" for role in channels},
                "controllers": [{"kind": "signal.fixed"}],
            }
        )
        for name in names
    ]
    points = [Lamp(f"{name}/{role}") for name in names for role in channels]
    return Assembly.of(Place(gateway="gw", district="d", city="c"), points, specs, 0.5, 1.0).engine()


@pytest.fixture
def engine() -> ScanEngine:
    return junctions("jct")


def test_what_two_junctions_of_a_gateway_say_is_told_apart(engine: ScanEngine) -> None:
    def said(one: ScanEngine) -> set[tuple[str, str]]:
        one.scan(0.0, 0.0, ClockTrust.SYNCED, one.table.empty())
        late = one.scan(600.0, 600.0, ClockTrust.SYNCED, one.table.empty())
        return {(each.rule, each.subject) for each in late.interventions}

    alone = said(engine)
    assert {subject for _, subject in alone} == {"junction"}
    both = said(junctions("north", "south"))
    assert both == {(rule, f"{name}: junction") for rule, _ in alone for name in ("north", "south")}


def run(engine: ScanEngine, now: float, until: float) -> tuple[float, list[tuple[Any, ...]], set[str]]:
    shown, rules = [], set()
    while now < until:
        out = engine.scan(now, now, ClockTrust.SYNCED, engine.table.empty())
        shown.append(out.values)
        rules |= {one.rule for one in out.interventions}
        now += 0.5
    return now, shown, rules


@pytest.mark.parametrize(("pause", "expired"), [(0.5, False), (1.0, False), (1.6, True), (600.0, True)])
def test_a_junction_whose_outputs_have_expired_starts_up_anew(
    engine: ScanEngine, pause: float, expired: bool
) -> None:
    now, shown, _ = run(engine, 100.0, 125.0)
    while 3 not in shown[-1]:
        now, shown, _ = run(engine, now, now + 0.5)
    _, after, rules = run(engine, now - 0.5 + pause, now + pause)
    assert ("interrupted" in rules) is expired
    assert (set(after[0]) == {4}) is expired  # what field has shown meanwhile is where it begins


def station() -> ScanEngine:
    """One pump, scans every 0.1 s, its loop every second; its switch and its level, of which the switch is urgent."""
    site = {"level_max_m": 6.0, "dry_run_m": 0.5, "alarm_high_m": 5.0, "high_float_m": 5.5, "pumps": [{}]}
    levels = {"lead_start_m": 2.0, "lead_stop_m": 1.0, "lag_start_m": 4.0, "lag_stop_m": 1.2}
    spec = LoopSpec.model_validate(
        {
            "name": "well",
            "domain": "water",
            "period_s": 1.0,
            "site": site,
            "points": {"level": "a/level", "pump.1.mode": "a/mode", "pump.1.run": "a/run"},
            "controllers": [{"kind": "water.level", "params": levels}],
        }
    )
    points = [
        Lamp("a/level", type=ValueType.FLOAT, writable=False, safe=None),
        Lamp("a/mode", writable=False, safe=None, urgent=True),
        Lamp("a/run", type=ValueType.BOOL, safe=False),
    ]
    return Assembly.of(Place(gateway="gw", district="d", city="c"), points, [spec], 0.1, 1.0).engine()


def image_of(engine: ScanEngine, frame: int, now: float, level: float, mode: int) -> Image:
    values = {"a/level": level, "a/mode": mode, "a/run": False}
    readings = [Reading(values.get(name, 0), Quality.GOOD, now, now) for name in engine.table.names]
    return Image(frame, 0, now, now, readings)


def test_an_urgent_point_calls_its_loop_out_of_turn_and_no_other_does() -> None:
    engine = station()
    ran = []

    def scan(now: float, frame: int, level: float, mode: int) -> None:
        ran.append(engine.scan(now, now, ClockTrust.SYNCED, image_of(engine, frame, now, level, mode)).loops)

    scan(100.0, 1, 1.5, 2)
    scan(100.1, 2, 1.6, 2)  # the level alone has changed
    scan(100.13, 3, 1.6, 0)  # between two scans of the grid: somebody turns the switch
    scan(100.17, 3, 1.6, 0)
    scan(100.2, 4, 1.6, 0)
    scan(101.0, 5, 1.6, 0)  # its own turn has not moved
    assert ran == [("well",), (), ("well",), (), (), ("well",)]


def test_an_urgent_call_goes_on_from_a_snapshot() -> None:
    first = station()
    first.scan(100.0, 100.0, ClockTrust.SYNCED, image_of(first, 1, 100.0, 1.5, 2))
    second = station()
    second.resume(first.snapshot(), 100.0, 100.0)
    for engine in (first, second):
        same = engine.scan(100.1, 100.1, ClockTrust.SYNCED, image_of(engine, 7, 100.1, 1.5, 2))
        turned = engine.scan(100.2, 100.2, ClockTrust.SYNCED, image_of(engine, 8, 100.2, 1.5, 0))
        assert (same.loops, turned.loops) == ((), ("well",))
    assert first.snapshot() == second.snapshot()
