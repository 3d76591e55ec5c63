"""The program's own plan under the site's clearances."""

from dataclasses import replace

import pytest
from tests.sim.traffic.conftest import shared_scenario

from vigie_controllers.registry import build_loop
from vigie_sim.traffic.derive import Junction, derive, load_scenario
from vigie_sim.traffic.documents import loop_spec
from vigie_sim.traffic.timing import fixed_controller


def test_the_district_keeps_its_cycle_and_its_wave(intersections: dict[str, Junction]) -> None:
    for junction in intersections.values():
        spec = fixed_controller(junction)
        build_loop(loop_spec(junction, [spec]))
        plan = spec.params["plans"]["programme"]
        assert plan["cycle_s"] == 90.0
        assert plan["offset_s"] == junction.offset
    plan = fixed_controller(intersections["tisserands"]).params["plans"]["programme"]
    assert plan["splits_s"] == {1: 17.0, 2: 40.0, 5: 17.0, 6: 40.0, 4: 33.0, 8: 33.0}


def test_a_cycle_that_keeps_somebody_on_red_too_long_is_shortened(intersections: dict[str, Junction]) -> None:
    junction = intersections["tisserands"]
    slow = {number: split + (100.0 if number in (2, 6) else 0.0) for number, split in junction.splits.items()}
    long = replace(junction, splits=slow)
    spec = fixed_controller(long)
    build_loop(loop_spec(long, [spec]))
    plan = spec.params["plans"]["programme"]
    assert plan["cycle_s"] - plan["splits_s"][4] + 5.0 <= 120.0
    assert plan["cycle_s"] > 110.0


@pytest.mark.shared
@pytest.mark.parametrize("name", ["cologne1", "cologne3", "ingolstadt1", "ingolstadt7"])
def test_a_short_phase_is_raised_and_the_cycle_stays(name: str) -> None:
    for junction in derive(load_scenario(shared_scenario(name))):
        spec = fixed_controller(junction)
        build_loop(loop_spec(junction, [spec]))
        plan = spec.params["plans"]["programme"]
        assert plan["cycle_s"] == 90.0
        assert sum(plan["splits_s"].values()) == 90.0
        assert min(plan["splits_s"].values()) >= 10.0
