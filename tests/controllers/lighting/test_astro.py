"""``lighting.astro`` and ``lighting.full_night``: tables of instants."""

import json
from typing import Any

import pytest
from tests.controllers.lighting.cabinets import DUSK, MIDNIGHT, NOON, Cabinet, loop, utc

from vigie_controllers.loops import ParamError
from vigie_protocols.points import Quality

DIMS = [
    {"from_h": -1.0, "to_h": 2.0, "level_pct": 20},
    {"from_h": -3.0, "to_h": 4.0, "level_pct": 60.0},
]


@pytest.mark.parametrize(
    ("instant", "levels"),
    [
        (NOON, (0.0, 0.0)),
        (DUSK, (0.0, 0.0)),
        (utc(10, 22, 25), (80.0, 80.0)),
        (MIDNIGHT - 3.2 * 3600, (80.0, 80.0)),
        (MIDNIGHT - 2.8 * 3600, (60.0, 60.0)),
        (MIDNIGHT - 0.8 * 3600, (50.0, 20.0)),
        (MIDNIGHT + 1.8 * 3600, (50.0, 20.0)),
        (MIDNIGHT + 2.2 * 3600, (60.0, 60.0)),
        (MIDNIGHT + 4.2 * 3600, (80.0, 80.0)),
        (utc(11, 12), (0.0, 0.0)),
    ],
)
def test_the_night_s_program(instant: float, levels: tuple[float, float]) -> None:
    cabinet = Cabinet(loop({"level_pct": 80.0, "dims": DIMS}), utc=instant)
    assert cabinet.levels() == levels
    assert cabinet.rules() == set(), "the controller asks for nothing that the guard must mend"


def test_an_event_lifts_the_night_to_at_least_its_level() -> None:
    cabinet = Cabinet(loop({"dims": DIMS, "boost_pct": 90.0}), utc=MIDNIGHT)
    assert cabinet.levels() == (90.0, 90.0)
    cabinet.utc = NOON
    assert cabinet.levels() == (0.0, 0.0)


def test_each_switching_is_explained_once() -> None:
    cabinet = Cabinet(loop({"dims": DIMS}), utc=DUSK)
    for _ in range(600):
        cabinet.scan(100.0)
    said = [(one.what, one.reason) for one in cabinet.decisions]
    assert [what for what, _ in said] == ["off", "on", "level", "level", "level", "level", "off"]
    assert said[1][1] == "100 %: the sun is down"


def test_dawn_has_a_hysteresis() -> None:
    cabinet = Cabinet(loop({"hysteresis_deg": 0.5}), utc=utc(11, 10, 30))
    fresh = Cabinet(loop({"hysteresis_deg": 0.5}), utc=utc(11, 10, 30))
    on_until = off_from = 0.0
    while cabinet.levels(5.0) == (100.0, 100.0):
        on_until = cabinet.utc
    while fresh.loop.domain._sun is not None and fresh.utc < on_until:
        fresh.loop = loop({"hysteresis_deg": 0.5})
        if fresh.levels(5.0) == (0.0, 0.0):
            off_from = off_from or fresh.utc
    assert 100.0 < on_until - off_from < 400.0, "half a degree of dawn"


@pytest.mark.parametrize(
    ("lux", "quality", "lit"),
    [
        (0.0, Quality.BAD, True),
        (5000.0, Quality.GOOD, False),
        (5000.0, Quality.UNCERTAIN, True),
        (100.0, Quality.GOOD, True),
        (float("nan"), Quality.GOOD, True),
        (-5.0, Quality.GOOD, True),
    ],
)
@pytest.mark.parametrize("kind", ["lighting.astro", "lighting.full_night"])
def test_without_a_clock_the_light_is_on_unless_a_good_photocell_says_day(
    kind: str, lux: float, quality: Quality, lit: bool
) -> None:
    cabinet = Cabinet(loop(kind=kind), clock=Quality.BAD, lux=lux, lux_quality=quality)
    full = 100.0 if lit else 0.0
    assert cabinet.levels() == (full, full)
    assert cabinet.scan()["contactor"] is lit
    assert cabinet.rules() == {"clock-untrusted"}


def test_an_impossible_clock_is_no_clock() -> None:
    assert Cabinet(loop(), utc=0.0).levels() == (100.0, 100.0)
    assert Cabinet(loop(), utc=NOON, clock=Quality.UNCERTAIN).levels() == (0.0, 0.0), "holdover will do"


def test_a_dark_dusk_puts_the_light_on_early_and_a_bright_night_is_not_believed() -> None:
    cabinet = Cabinet(loop(), utc=DUSK, lux=10.0, lux_quality=Quality.GOOD)
    for _ in range(60):
        assert cabinet.levels() == (0.0, 0.0)
    assert cabinet.levels(2.0) == (100.0, 100.0)
    assert "photocell" in cabinet.decisions[-1].reason
    cabinet.lux = 60.0
    assert cabinet.levels() == (100.0, 100.0), "between the two levels it stays"
    cabinet.lux = 90.0
    assert cabinet.levels() == (0.0, 0.0)
    cabinet.lux = 10.0
    cabinet.levels()
    cabinet.lux = 50.0
    cabinet.levels(100.0)
    cabinet.lux = 10.0
    assert cabinet.levels() == (0.0, 0.0), "the dark must hold"
    at_night = Cabinet(loop(), utc=MIDNIGHT, lux=9000.0, lux_quality=Quality.GOOD)
    assert at_night.levels() == (100.0, 100.0)
    at_noon = Cabinet(loop(), utc=NOON, lux=1.0, lux_quality=Quality.GOOD)
    at_noon.levels(100.0)
    assert at_noon.levels(100.0) == (0.0, 0.0), "a covered photocell at noon lights nothing"
    without = Cabinet(loop({"photocell_on_lux": None}), utc=DUSK, lux=1.0, lux_quality=Quality.GOOD)
    without.levels(100.0)
    assert without.levels(100.0) == (0.0, 0.0)


def test_full_night_is_full_all_night() -> None:
    cabinet = Cabinet(loop(kind="lighting.full_night"), utc=NOON)
    assert cabinet.levels() == (0.0, 0.0)
    cabinet.utc = MIDNIGHT
    assert cabinet.levels() == (100.0, 100.0)
    assert [one.what for one in cabinet.decisions] == ["off", "on"]


@pytest.mark.parametrize("kind", ["lighting.astro", "lighting.full_night"])
def test_a_restart_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    cabinet = Cabinet(loop(kind=kind), utc=DUSK, lux=10.0, lux_quality=Quality.GOOD)
    cabinet.scan(30.0)
    twin = Cabinet(loop(kind=kind), utc=cabinet.utc, now=cabinet.now, lux=10.0, lux_quality=Quality.GOOD)
    twin.loop.restore(json.loads(json.dumps(cabinet.loop.snapshot())))
    for _ in range(100):
        assert twin.scan(20.0) == cabinet.scan(20.0)
    assert twin.loop.snapshot() == cabinet.loop.snapshot()
    twin.now = 5.0
    twin.scan()


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"on_below_deg": -7.0}, "on_below_deg"),
        ({"level_pct": 15.0}, "level_pct"),
        ({"dims": [{"from_h": -1, "to_h": 1, "level_pct": 10}]}, "dims.0.level_pct"),
        ({"dims": [{"from_h": 1, "to_h": 1, "level_pct": 50}]}, "dims.0"),
        ({"dims": [{"from_h": -1, "to_h": 1, "level_pct": 0}]}, "dims.0.level_pct"),
        ({"photocell_off_lux": 10.0}, "params"),
        ({"colour": 3}, "colour"),
    ],
)
def test_parameters_outside_the_envelope_are_refused_by_name(params: dict[str, Any], field: str) -> None:
    with pytest.raises(ParamError) as error:
        loop(params)
    assert error.value.field == field


def test_full_night_has_the_same_dusk_limit() -> None:
    with pytest.raises(ParamError, match="must be lit"):
        loop({"on_below_deg": -8.0}, kind="lighting.full_night")
