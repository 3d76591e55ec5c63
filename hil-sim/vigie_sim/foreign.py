"""Any SUMO scenario with traffic lights: every signal under a real agent, or the same in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vigie_controllers.loops import ControllerSpec
from vigie_sim.scenario import More, World
from vigie_sim.traffic.derive import Clearances, derive
from vigie_sim.traffic.documents import write_gateway
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.neighbours import with_neighbours
from vigie_sim.traffic.network import read_network
from vigie_sim.traffic.sumoconfig import read_run
from vigie_sim.traffic.timing import fixed_controller

EPOCH = 1_794_830_400.0
"""2026-11-16 12:00 UTC, a Monday: the simulated second 0 of a foreign scenario."""
SCAN_S = 1.0


class ForeignScenario:
    """A scenario that others made.

    controllers: of every junction, first in rank first. neighbours: junctions tell each other what they let
    out, where the network joins them.
    """

    def __init__(
        self,
        path: Path,
        controllers: Sequence[ControllerSpec] = (),
        times: Clearances | None = None,
        *,
        neighbours: bool = False,
    ) -> None:
        self.run = read_run(path)
        self.network = read_network(self.run.net)
        self.junctions = derive(self.network, times or Clearances())
        if neighbours:
            self.junctions = with_neighbours(self.network, self.junctions)
        self.controllers = tuple(controllers) or (ControllerSpec(kind="signal.actuated"),)
        self.name = path.name.removesuffix(".sumocfg")
        self.field: TrafficField | None = None

    def world(self, seed: int, *, controlled: bool = True) -> World:
        """A fresh world; uncontrolled: the network's own programs."""
        self.field = TrafficField(
            self.run, seed=seed, network=self.network, junctions=self.junctions, own_programs=not controlled
        )
        return World([self.field], self.field.rigs, EPOCH, 1.0, self.run.duration)

    def write_gateways(self, folder: Path, endpoints: Mapping[str, str], more: More) -> list[Path]:
        """One gateway per junction."""
        files = []
        for junction in self.junctions:
            name = f"gw-{junction.name}"
            url = endpoints.get(junction.device, "opc.tcp://127.0.0.1:4840")
            extra = {"scan_s": SCAN_S, **more(name)}
            # Fixed time without parameters means the network's own plan, which differs by junction.
            chain = [
                fixed_controller(junction) if one.kind == "signal.fixed" else one for one in self.controllers
            ]
            files.append(
                write_gateway(folder, name, [junction], {junction.name: url}, {junction.name: chain}, extra)
            )
        return files
