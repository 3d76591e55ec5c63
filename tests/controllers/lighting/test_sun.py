"""The sun against published figures."""

import calendar
import math

import pytest

from vigie_controllers.lighting.sun import sun_at

MONTREAL = (45.5019, -73.5674)


def utc(*fields: int) -> float:
    return float(calendar.timegm((*fields, 0, 0, 0)[:6]))


def test_against_the_worked_example_of_the_solar_position_algorithm() -> None:
    """Reda and Andreas, NREL/TP-560-34302, appendix: 39.872046 degrees before refraction."""
    sun = sun_at(utc(2003, 10, 17, 19, 30, 30), 39.742476, -105.1786)
    assert sun.elevation_deg == pytest.approx(39.872046, abs=0.013)


@pytest.mark.parametrize(
    ("when", "name"),
    [
        ((2026, 6, 21, 9, 6, 30), "sunrise 05:06 EDT"),
        ((2026, 6, 22, 0, 47, 0), "sunset 20:47 EDT"),
        ((2026, 12, 21, 12, 31, 30), "sunrise 07:31 EST"),
        ((2026, 12, 21, 21, 14, 30), "sunset 16:14 EST"),
    ],
)
def test_against_montreal_almanac(when: tuple[int, ...], name: str) -> None:
    """One minute of almanac rounding is 0.17 degrees here."""
    assert sun_at(utc(*when), *MONTREAL).elevation_deg == pytest.approx(-0.833, abs=0.17), name


def test_the_virtual_midnight_is_half_way_between_dusk_and_dawn() -> None:
    def crossing(start: float, rising: bool) -> float:
        instant = start
        while (sun_at(instant, *MONTREAL).elevation_deg > -0.833) is not rising:
            instant += 10.0
        return instant

    dusk = crossing(utc(2026, 10, 1, 20), rising=False)
    dawn = crossing(dusk + 3600.0, rising=True)
    assert sun_at((dusk + dawn) / 2, *MONTREAL).midnight_h == pytest.approx(0.0, abs=0.03)
    assert sun_at(dusk, *MONTREAL).midnight_h < 0.0 < sun_at(dawn, *MONTREAL).midnight_h


def test_hours_and_heights_run_without_a_break() -> None:
    before = sun_at(utc(2026, 1, 1), *MONTREAL)
    for minute in range(1, 3 * 1440):
        sun = sun_at(utc(2026, 1, 1) + 60.0 * minute, *MONTREAL)
        assert abs(sun.elevation_deg - before.elevation_deg) < 0.2
        ahead = (sun.midnight_h - before.midnight_h) % 24.0
        assert ahead == pytest.approx(1 / 60, abs=1e-4)
        assert -12.0 <= sun.midnight_h < 12.0
        before = sun


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf, -math.inf, 5e9])
def test_an_impossible_instant_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="no plausible UTC"):
        sun_at(wrong, *MONTREAL)
