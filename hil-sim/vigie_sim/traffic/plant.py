"""SUMO as the physics, through libsumo in the calling process (one simulation per process).

Signals are set by link states, detectors are read as counts. Nothing else of the vehicles is seen.
"""

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from vigie_protocols.errors import InputError, PermanentError, input_error
from vigie_sim.traffic.detectors import HALTING_SPEED, Counter, Crossing, Zone
from vigie_sim.traffic.metrics import TrafficFigures, read_figures
from vigie_sim.traffic.sumoconfig import SumoRun

STEP_S = 1.0


def load_libsumo() -> ModuleType:
    """libsumo, without its note on pyarrow.

    The note concerns Parquet output alone, which Vigie never asks of SUMO; whatever else the import
    prints is passed on to the standard error stream.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        import libsumo
    for line in said.getvalue().splitlines():
        if "pyarrow" not in line:
            print(line, file=sys.stderr)  # noqa: T201 - libsumo's own words
    module: ModuleType = libsumo
    return module


class SumoPlant:
    """One SUMO simulation.

    run: the scenario; zones: what ``counts`` and ``halting`` report, in this order; crossings: what
    ``waiting`` reports; seed: of SUMO; step: seconds of physics per step; programs: the network's own
    programs stay in force until ``set_state`` takes a signal over.
    """

    def __init__(
        self,
        run: SumoRun,
        zones: Sequence[Zone] = (),
        crossings: Sequence[Crossing] = (),
        *,
        seed: int = 1,
        step: float = STEP_S,
    ) -> None:
        self.run = run
        self.zones = tuple(zones)
        self.crossings = tuple(crossings)
        self.seed = seed
        self.step_s = step
        self.now = 0.0
        """Simulated seconds since the start."""
        self.counts: list[int] = [0] * len(self.zones)
        self.halting: list[int] = [0] * len(self.zones)
        self.waiting: list[int] = [0] * len(self.crossings)
        """Pedestrians that stand before each crossing and want to cross it."""
        self.warnings: tuple[str, ...] = ()
        """What SUMO warned of, filled by ``stop``."""
        self._sumo: ModuleType | None = None
        self._folder: Path | None = None
        self._counter: Counter | None = None
        self._figures: TrafficFigures | None = None
        self._arrived = 0
        self._collisions = 0

    def start(self) -> None:
        """Load the network and the demand; raises InputError with SUMO's reason when it refuses them."""
        sumo = load_libsumo()
        if sumo.isLoaded():
            raise PermanentError("libsumo holds one simulation per process, and one is running here")
        self._folder = Path(tempfile.mkdtemp(prefix="vigie-sumo-"))
        options = [
            "sumo", *self.run.arguments(),
            "--seed", str(self.seed), "--step-length", f"{self.step_s:g}",
            "--time-to-teleport", "-1", "--collision.action", "warn",
            "--no-step-log", "--duration-log.disable", "--no-warnings",
            "--error-log", str(self._folder / "sumo.log"),
            "--tripinfo-output", str(self._folder / "tripinfo.xml"),
            "--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted",
            "--statistic-output", str(self._folder / "statistic.xml"),
        ]  # fmt: skip
        try:
            sumo.start(options)
        except (sumo.TraCIException, sumo.FatalTraCIError) as error:
            if sumo.isLoaded():
                sumo.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            raise self._refusal(error) from error
        self._sumo = sumo
        self._counter = Counter(
            self.zones, sumo.lane.getLastStepVehicleIDs, sumo.vehicle.getLanePosition, sumo.vehicle.getSpeed
        )
        self.now = 0.0
        self._read()

    def _refusal(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split()).rstrip(".")
        where = f"SUMO refuses it at {self.now:g} s" if self.now else "SUMO refuses it"
        return input_error(
            str(self.run.source), "scenario", None, f"{where}: {reason}", "Correct the file that it names."
        )

    def set_state(self, signal: str, state: str) -> None:
        """Show ``state`` (one of SUMO's letters per link) at ``signal`` from the next step on."""
        self._running.trafficlight.setRedYellowGreenState(signal, state)

    def state_of(self, signal: str) -> str:
        """What ``signal`` shows now, one of SUMO's letters per link."""
        return str(self._running.trafficlight.getRedYellowGreenState(signal))

    def lonlat(self, x: float, y: float) -> tuple[float, float]:
        """Degrees of a place in network metres, by SUMO's own projection."""
        lon, lat = self._running.simulation.convertGeo(x, y)
        return float(lon), float(lat)

    def step(self, now: float) -> None:
        """Advance to ``now`` (simulated seconds since the start) and read all detectors.

        Raises InputError for demand that SUMO meets on its way and refuses.
        """
        sumo = self._running
        while self.now + self.step_s <= now + 1e-9:
            try:
                sumo.simulationStep()
            except (sumo.TraCIException, sumo.FatalTraCIError) as error:
                raise self._refusal(error) from error
            self.now += self.step_s
            self._arrived += sumo.simulation.getArrivedNumber()
            self._collisions += sumo.simulation.getCollidingVehiclesNumber()
        self._read()

    def vehicles(self) -> int:
        """Vehicles in the network now."""
        return int(self._running.vehicle.getIDCount())

    def pending(self) -> int:
        """Vehicles that should have entered by now and found no room."""
        return len(self._running.simulation.getPendingVehicles())

    def queue(self) -> int:
        """Vehicles that stand before the stop lines now."""
        return sum(count for zone, count in zip(self.zones, self.halting, strict=True) if not zone.exit)

    def positions(self) -> list[tuple[str, float, float, float]]:
        """(id, x, y, angle) of every vehicle in the network's metres: for a map, not for control."""
        vehicle = self._running.vehicle
        return [(name, *vehicle.getPosition(name), vehicle.getAngle(name)) for name in vehicle.getIDList()]

    @property
    def duration(self) -> float:
        """Seconds the scenario lasts."""
        return self.run.duration

    def figures(self) -> TrafficFigures:
        """The figures of the run; ends the simulation, since SUMO writes unfinished trips at its end."""
        self.stop()
        if self._figures is None:
            raise PermanentError("the simulation was never started")
        return self._figures

    def outcomes(self) -> dict[str, float]:
        """The figures by name once stopped; while running what is known so far (arrived, collisions)."""
        if self._figures is not None:
            return self._figures.as_dict()
        return {"arrived": float(self._arrived), "collisions": float(self._collisions)}

    def stop(self) -> None:
        """End the simulation and remove its files; may be called twice."""
        if self._sumo is None:
            return
        self._sumo.close()
        self._sumo = None
        folder = self._folder
        if folder is not None:
            self._figures = read_figures(folder / "tripinfo.xml", folder / "statistic.xml")
            log = folder / "sumo.log"
            if log.is_file():
                self.warnings = tuple(
                    line for line in log.read_text(errors="replace").splitlines() if line.strip()
                )
            shutil.rmtree(folder, ignore_errors=True)
            self._folder = None

    @property
    def _running(self) -> ModuleType:
        if self._sumo is None:
            raise PermanentError("the simulation is not running")
        return self._sumo

    def _read(self) -> None:
        if self._counter is not None and self.zones:
            self.counts, self.halting = self._counter.read()
        if self.crossings:
            self.waiting = [self._waiting(crossing) for crossing in self.crossings]

    def _waiting(self, crossing: Crossing) -> int:
        sumo = self._running
        person = sumo.person
        return sum(
            1
            for area in crossing.areas
            for one in sumo.edge.getLastStepPersonIDs(area)
            if person.getNextEdge(one) == crossing.edge and person.getSpeed(one) < HALTING_SPEED
        )
