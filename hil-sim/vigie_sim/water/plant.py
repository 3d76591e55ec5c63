"""The water plant: a sewer network in SWMM with the station and the basin that work in it."""

import random
from pathlib import Path

from pydantic import Field

from vigie_protocols.errors import InputError, Problem
from vigie_protocols.gateway import PathBeside
from vigie_protocols.strict import Strict
from vigie_protocols.yamlfile import load_model
from vigie_sim.water.basin import Basin, BasinSpec
from vigie_sim.water.engine import PumpSpec, State
from vigie_sim.water.station import PumpStation, StationSpec
from vigie_sim.water.swmm import SwmmPlant


class PumpModel(Strict):
    """One pump: its link in the network and its efficiency (see ``engine.PumpSpec``)."""

    link: str
    best_flow: float = Field(gt=0)
    best: float = Field(default=0.74, gt=0, le=1)
    motor: float = Field(default=0.92, gt=0, le=1)


class WaterScenario(Strict):
    """The water part of a scenario (``water.yaml``).

    inp: the SWMM network, flows in m3/s. rain_scale: multiplies the storm; rain_spread: standard deviation
    of a further factor drawn from the seed. well, basin_node: storage nodes; gate: link; discharge: link
    whose flow is the station's discharge; *_spill: overflow links; gauge_area: subcatchment whose rain the
    basin's gauge shows.
    """

    inp: PathBeside
    rain_scale: float = Field(default=1.0, gt=0, le=10)
    rain_spread: float = Field(default=0.0, ge=0, le=0.5)
    well: str
    basin_node: str
    gate: str
    discharge: str
    station_spill: str
    basin_spill: str
    gauge_area: str
    pumps: tuple[PumpModel, ...] = Field(min_length=1)
    station: StationSpec
    basin: BasinSpec


def load_water(file: Path) -> WaterScenario:
    """The water part of a scenario; raises InputError."""
    return load_model(file, WaterScenario)


class WaterPlant:
    """Network, station and basin, stepped together.

    The station's and the gate's motors move first, with the water as it stood; then the water moves.

    Without any gateway it is its own reference: the station pumps by its floats, the gate stands open.
    """

    def __init__(self, scenario: WaterScenario, seed: int) -> None:
        self.scenario = scenario
        rng = random.Random(f"water {seed}")
        self.rain_factor = max(0.1, scenario.rain_scale * (1.0 + rng.gauss(0.0, scenario.rain_spread)))
        self._links = tuple(pump.link for pump in scenario.pumps)
        specs = {pump.link: PumpSpec(pump.best_flow, pump.best, pump.motor) for pump in scenario.pumps}
        self.swmm = SwmmPlant(scenario.inp, specs, self.rain_factor)
        self.station = PumpStation(scenario.station, len(scenario.pumps), random.Random(f"station {seed}"))
        self.basin = Basin(scenario.basin, random.Random(f"basin {seed}"))
        self.now = 0.0
        self.state: State | None = None

    def start(self) -> None:
        """Start SWMM and show its first state; raises InputError for a bad network."""
        state = self.swmm.start()
        try:
            self._check_names(state)
        except InputError:
            self.stop()
            raise
        self._take(state, 0.0)

    def _check_names(self, state: State) -> None:
        scenario = self.scenario
        wanted = {
            "well": state.depths,
            "basin_node": state.depths,
            "gate": state.flows,
            "discharge": state.flows,
            "station_spill": state.flows,
            "basin_spill": state.flows,
            "gauge_area": state.rain,
        }
        problems = [
            Problem(
                str(scenario.inp), field, repr(name), "the network has no such object", "Correct water.yaml."
            )
            for field, known in wanted.items()
            if (name := getattr(scenario, field)) not in known
        ]
        if problems:
            raise InputError(problems)

    def step(self, now: float) -> None:
        """Advance to ``now`` seconds; raises EngineError when SWMM dies."""
        seconds = now - self.now
        state = self.state
        if state is None:
            raise RuntimeError("the water plant is not started")
        turning = self.station.step(now, seconds, state.depths[self.scenario.well])
        settings = {link: float(on) for link, on in zip(self._links, turning, strict=True)}
        settings[self.scenario.gate] = self.basin.step(now, seconds) / 100.0
        self.now = now
        self._take(self.swmm.advance(now, settings), seconds)

    def _take(self, state: State, seconds: float) -> None:
        self.state = state
        scenario = self.scenario
        self.station.measure(
            state.depths[scenario.well],
            seconds,
            tuple(state.watts[link] for link in self._links),
            {
                "flow": state.flows[scenario.discharge],
                "energy": sum(state.energy[link] for link in self._links),
                "overflow": state.flows[scenario.station_spill],
                "overflow.volume": state.volumes[scenario.station_spill],
            },
        )
        self.basin.measure(
            state.depths[scenario.basin_node],
            seconds,
            {
                "rain": state.rain[scenario.gauge_area],
                "outflow": state.flows[scenario.gate],
                "overflow": state.flows[scenario.basin_spill],
                "overflow.volume": state.volumes[scenario.basin_spill],
            },
        )

    def outcomes(self) -> dict[str, float]:
        """The score so far; volumes and energy integrated over every solver step."""
        state = self.state
        if state is None:
            return {}
        scenario = self.scenario
        return {
            "overflow_m3": state.volumes[scenario.station_spill] + state.volumes[scenario.basin_spill],
            "overflow_station_m3": state.volumes[scenario.station_spill],
            "overflow_basin_m3": state.volumes[scenario.basin_spill],
            "flooded_m3": sum(state.flooded.values()),
            "basin_held_m3": state.depths[scenario.basin_node] * scenario.basin.area_m2,
            "pumped_m3": sum(state.volumes[link] for link in self._links),
            "pump_energy_kwh": sum(state.energy.values()),
            "pump_starts": float(sum(motor.starts for motor in self.station.motors)),
            "burnt_pumps": float(sum(motor.burnt for motor in self.station.motors)),
            "station_fallback_s": self.station.fallback_s,
            "float_rescue_s": self.station.rescue_s,
        }

    def stop(self) -> None:
        """End the SWMM process."""
        self.swmm.stop()
