"""SWMM in its child process, and the district's catchment: baseline against a simple level control."""

import os
import signal
from pathlib import Path

import pytest

from vigie_protocols.errors import InputError
from vigie_sim.water.engine import PumpSpec, scaled
from vigie_sim.water.plant import WaterPlant, load_water
from vigie_sim.water.rig import water_rigs
from vigie_sim.water.swmm import EngineError, SwmmPlant

DISTRICT = Path(__file__).parents[2] / "hil-sim" / "scenarios" / "district"
INP = DISTRICT / "water" / "catchment.inp"


def outcomes(controlled: bool, seed: int = 1, seconds: int = 3600) -> dict[str, float]:
    plant = WaterPlant(load_water(DISTRICT / "water.yaml"), seed)
    station, basin = water_rigs(plant)
    plant.start()
    try:
        on, gate = 0, 100.0
        for now in range(seconds):
            if controlled:
                level = float(station.read_values()["level"])
                on = 2 if level > 1.6 else max(on, 1) if level > 1.3 else 0 if level < 0.9 else on
                if now % 10 == 0:
                    aim = (3.4 - level) / 1.6 * 100.0
                    if float(basin.read_values()["level"]) > 3.45:
                        aim = 100.0
                    gate += min(max(min(max(aim, 0.0), 100.0) - gate, -10.0), 10.0)
                station.apply(
                    float(now), {"pump.1.command": on >= 1, "pump.2.command": on >= 2, "heartbeat": now}
                )
                basin.apply(float(now), {"gate.command": gate, "heartbeat": now})
            plant.step(now + 1.0)
        return plant.outcomes()
    finally:
        plant.stop()


def test_uncontrolled_the_storm_overflows_and_simple_control_saves_most_of_it() -> None:
    baseline, control = outcomes(False), outcomes(True)
    assert baseline["overflow_m3"] > 500.0
    assert control["overflow_m3"] < 0.4 * baseline["overflow_m3"]
    for each in (baseline, control):
        assert each["flooded_m3"] == 0.0
        assert each["burnt_pumps"] == 0.0
    assert baseline["station_fallback_s"] == 3600.0
    assert control["station_fallback_s"] <= 1.0


def test_two_runs_of_a_seed_are_equal_and_seeds_differ() -> None:
    first = outcomes(False, 4, 2400)
    assert outcomes(False, 4, 2400) == first
    assert outcomes(False, 5, 2400)["overflow_m3"] != first["overflow_m3"]


def test_volumes_are_integrated_over_solver_steps_not_sampled_at_ticks() -> None:
    # The same hour in one call and in 3,600 must give the same volumes, and water must not vanish.
    settings = {"P1": 1.0, "P2": 1.0, "GATE": 1.0}
    pumps = {"P1": PumpSpec(0.2), "P2": PumpSpec(0.2)}
    once, often = SwmmPlant(INP, pumps), SwmmPlant(INP, pumps)
    try:
        once.start()
        often.start()
        whole = once.advance(3600.0, settings)
        for now in range(1, 3601):
            last = often.advance(float(now), settings)
    finally:
        once.stop()
        often.stop()
    assert whole == last
    out = whole.volumes["W_STN"] + whole.volumes["P1"] + whole.volumes["P2"]
    stored = 26.0 * (whole.depths["WETWELL"] - 1.2)
    assert whole.volumes["C5"] == pytest.approx(out + stored, rel=0.02)
    assert whole.energy["P1"] > 1.0


def test_a_pumps_power_follows_flow_head_and_efficiency() -> None:
    spec = PumpSpec(best_flow=0.2, best=0.75, motor=0.9)
    assert spec.watts(0.2, 11.0) == pytest.approx(9806.65 * 0.2 * 11.0 / (0.75 * 0.9))
    assert spec.watts(0.1, 11.0) > spec.watts(0.2, 11.0) / 2
    assert spec.watts(0.0, 11.0) == 0.0


def test_rain_scale_scales_the_gauges_series_and_nothing_else() -> None:
    text = INP.read_text(encoding="utf-8") + "\n[TIMESERIES]\nOTHER 0:00 5\n"
    twice = scaled(text, 2.0)
    assert "STORM 0:35 176.0" in twice
    assert "OTHER 0:00 5" in twice
    assert scaled(
        "[RAINGAGES]\nG INTENSITY 1:00 1 TIMESERIES T\n[TIMESERIES]\nT 1/1/2026 0:00 2 1:00 4\n", 0.5
    ) == (
        "[RAINGAGES]\nG INTENSITY 1:00 1 TIMESERIES T\n[TIMESERIES]\nT 1/1/2026 0:00 1.0 1:00 2.0\n"
        "[OPTIONS]\nTHREADS 1\n"
    )


def test_more_rain_overflows_more() -> None:
    volumes = []
    for scale in (0.5, 1.0, 1.5):
        plant = SwmmPlant(INP, {}, rain_scale=scale)
        try:
            plant.start()
            volumes.append(plant.advance(3600.0, {"P1": 1.0, "P2": 1.0, "GATE": 1.0}).volumes["W_STN"])
        finally:
            plant.stop()
    assert volumes[0] < volumes[1] < volumes[2]


def test_a_wrong_network_names_file_and_fault(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.inp"
    wrong.write_text(
        INP.read_text(encoding="utf-8").replace("C1      J1     J3", "C1      J1     J9"), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"wrong\.inp.*undefined object J9"):
        SwmmPlant(wrong, {}).start()
    with pytest.raises(InputError, match="no pump P9"):
        SwmmPlant(INP, {"P9": PumpSpec(0.2)}).start()
    with pytest.raises(InputError, match="No such file"):
        SwmmPlant(tmp_path / "none.inp", {}).start()
    scenario = load_water(DISTRICT / "water.yaml").model_copy(update={"gate": "GOAT"})
    with pytest.raises(InputError, match="GOAT"):
        WaterPlant(scenario, 1).start()


def test_a_dead_engine_is_named_and_leaves_nothing_behind() -> None:
    plant = SwmmPlant(INP, {})
    plant.start()
    pid = plant.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"catchment\.inp: the SWMM process ended by itself with code -9"):
        plant.advance(1.0, {})
    plant.stop()
    plant.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(EngineError, match="not started"):
        plant.advance(2.0, {})


def test_an_unknown_link_and_the_end_of_the_network_are_said() -> None:
    plant = SwmmPlant(INP, {})
    plant.start()
    with pytest.raises(EngineError, match="the network has no 'P9'"):
        plant.advance(1.0, {"P9": 1.0})
    plant.stop()
    plant = SwmmPlant(INP, {})
    plant.start()
    with pytest.raises(EngineError, match="END_TIME is over"):
        plant.advance(90_000.0, {})
    plant.stop()


def test_two_networks_run_at_once() -> None:
    plants = [SwmmPlant(INP, {}, rain_scale=scale) for scale in (1.0, 2.0)]
    try:
        for plant in plants:
            plant.start()
        states = [plant.advance(2000.0, {"GATE": 1.0}) for plant in plants]
    finally:
        for plant in plants:
            plant.stop()
    assert states[1].volumes["C3"] > states[0].volumes["C3"]
