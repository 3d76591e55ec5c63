"""SUMO as the plant: the reference's figures, determinism, a clean terminal, refusals in words."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.sim.traffic.conftest import shared_scenario

from vigie_protocols.errors import InputError, PermanentError
from vigie_sim.apart import apart
from vigie_sim.traffic.district import district_field, district_run
from vigie_sim.traffic.metrics import TrafficFigures, percentile
from vigie_sim.traffic.plant import SumoPlant
from vigie_sim.traffic.sumoconfig import read_run


def hour(path: Path, seed: int) -> TrafficFigures:
    plant = SumoPlant(read_run(path), seed=seed)
    plant.start()
    plant.step(plant.duration)
    return plant.figures()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "delay", "spread", "arrived", "loaded"),
    [
        ("cologne1", 42.9, 0.5, 1999, 2015),
        ("cologne3", 36.1, 1.2, 2811, 2856),
        ("ingolstadt1", 29.7, 0.9, 1692, 1716),
    ],
)
def test_fixed_time_gives_the_reference_figures(
    name: str, delay: float, spread: float, arrived: int, loaded: int
) -> None:
    """Means over seeds 1-5 as measured for the references; spread is the standard deviation between seeds."""
    path = shared_scenario(name)
    runs = [apart(hour, path, seed) for seed in range(1, 6)]
    mean = sum(run.delay_s for run in runs) / 5
    assert abs(mean - delay) <= max(0.1, spread)
    assert round(sum(run.arrived for run in runs) / 5) == pytest.approx(arrived, abs=6)
    assert {run.loaded for run in runs} == {loaded}
    assert sum(run.teleports + run.collisions for run in runs) == 0


@pytest.mark.shared
def test_a_seed_gives_one_course_whatever_this_process_simulated_before() -> None:
    path = shared_scenario("cologne1")
    for seed in (1, 2):  # later simulations of a process may take another course
        hour(path, seed)
    assert len({apart(hour, path, 1).delay_s for _ in range(3)}) == 1


def short(seed: int) -> tuple[TrafficFigures, list[int]]:
    field = district_field(seed=seed, own_programs=True)
    field.start()
    rows = []
    for second in range(1, 181):
        field.step(float(second))
        rows.append(sum(field.plant.counts) * 1000 + sum(field.plant.halting))
    return field.figures(), rows


def test_a_seed_gives_one_trajectory_and_another_seed_another() -> None:
    first, again, other = short(3), short(3), short(4)
    assert first == again
    assert first[1] != other[1]


def test_pedestrians_press_the_buttons() -> None:
    field = district_field(seed=1, own_programs=True)
    field.start()
    pressed = 0
    for second in range(1, 241):
        field.step(float(second))
        pressed += sum(field.plant.waiting)
    assert pressed > 20
    assert field.figures().walked > 20


def test_one_simulation_per_process() -> None:
    plant = SumoPlant(district_run())
    plant.start()
    try:
        with pytest.raises(PermanentError, match="one simulation per process"):
            SumoPlant(district_run()).start()
    finally:
        plant.stop()
    plant.stop()


def test_a_stopped_plant_says_so() -> None:
    plant = SumoPlant(district_run())
    with pytest.raises(PermanentError, match="not running"):
        plant.step(1.0)
    with pytest.raises(PermanentError, match="never started"):
        plant.figures()


def test_demand_that_sumo_refuses_is_named(tmp_path: Path) -> None:
    routes = tmp_path / "bad.rou.xml"
    routes.write_text('<routes><vehicle id="v" depart="0"><route edges="no-such-edge"/></vehicle></routes>')
    config = tmp_path / "bad.sumocfg"
    net = district_run().net
    (tmp_path / "n.net.xml").write_bytes(net.read_bytes())
    config.write_text(
        '<configuration><net-file value="n.net.xml"/><route-files value="bad.rou.xml"/></configuration>'
    )
    plant = SumoPlant(read_run(config))
    with pytest.raises(InputError, match="no-such-edge"):
        plant.start()
    # The process is free again.
    good = SumoPlant(district_run())
    good.start()
    good.stop()


def test_the_terminal_stays_clean() -> None:
    code = (
        "from vigie_sim.traffic.district import district_field\n"
        "f = district_field(own_programs=True); f.start(); f.step(5.0); f.stop()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def test_percentile_is_linear_between_ranks() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
