"""Lock-step through the whole stack: how much faster than real time, and what each process costs.

Cases: ``cologne3`` (an hour of somebody else's network, three agents, 1 s scans) and ``district`` (four
agents, 100 ms scans for signals), both with a coordinator. References of the same run: the same thing in
one process without sockets, and bare asyncua pairs doing one exchange a round.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from vigie_protocols.errors import input_error
from vigie_sim import report as reports
from vigie_sim.bench.figures import Figures
from vigie_sim.bench.processes import CpuMeter, descendants, name_of
from vigie_sim.bench.rounds import bare_rounds
from vigie_sim.district import DistrictScenario
from vigie_sim.foreign import ForeignScenario
from vigie_sim.inprocess import gateways_in_process, run_in_process
from vigie_sim.scenario import Scenario
from vigie_sim.wire import WireRun

IN_PROCESS = "in process"
BARE = "bare asyncua"
PAIRS = 3
_DISTRICT_S = 900
_QUICK_S = 60
_ROUNDS_S = 5.0
_SETTLE = 20
"""Ticks before the clock starts: the first ones connect and import."""


@dataclass
class Measured:
    """One run. wall_s: without start and drain; cpu: seconds of each group of processes; parts: wall seconds."""

    ticks: int
    step_s: float
    wall_s: float
    outcomes: dict[str, float]
    cpu: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    samples_lost: int = 0

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second."""
        return self.ticks * self.step_s / self.wall_s


def cologne3() -> Path:
    """The shared scenario beside the repository, or what ``VIGIE_SCENARIOS`` names."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "scenarios"
    folder = Path(os.environ.get("VIGIE_SCENARIOS", str(beside)))
    path = folder / "traffic" / "cologne3" / "cologne3.sumocfg"
    if not path.is_file():
        reason = "the shared scenarios are not there"
        raise input_error("environment", "VIGIE_SCENARIOS", str(folder), reason, "Set it to their folder.")
    return path


def lockstep(figures: Figures) -> None:
    """Fill the figures of this area."""
    rate, rounds = uvloop.run(bare_rounds(PAIRS, 1.0 if figures.quick else _ROUNDS_S))
    ticks = _QUICK_S if figures.quick else None
    foreign = ForeignScenario(cologne3())
    alone = in_process(foreign, figures.seed, ticks, figures.folder / "c3-in")
    wire = uvloop.run(over_sockets(foreign, figures.seed, ticks, figures.folder / "c3"))
    _told(figures, "cologne3", wire, alone, rate, rounds, ">= 30, aim 100")
    same = wire.outcomes == alone.outcomes
    figures.ours("cologne3", "all figures equal to in process", float(same), "", wire.ticks, "1")

    ticks = _QUICK_S if figures.quick else _DISTRICT_S
    district = DistrictScenario()
    district.open_bus(figures.folder / "bus")
    try:
        alone = in_process(district, figures.seed, ticks, figures.folder / "d-in")
        wire = uvloop.run(over_sockets(district, figures.seed, ticks, figures.folder / "d"))
    finally:
        district.close_bus()
    _told(figures, "district", wire, alone, rate, rounds, ">= 30")
    same = wire.outcomes == alone.outcomes
    figures.ours("district", "all figures equal to in process", float(same), "", wire.ticks, "1")


def _told(
    figures: Figures, case: str, wire: Measured, alone: Measured, rate: float, rounds: int, target: str
) -> None:
    figures.ours(case, "real-time factor", wire.speed, "x", wire.ticks, target)
    figures.reference(case, IN_PROCESS, "real-time factor", alone.speed, "x", alone.ticks)
    figures.reference(case, f"{BARE}, {PAIRS} pairs", "real-time factor", rate * wire.step_s, "x", rounds)
    for name, value in alone.outcomes.items():
        figures.ours(case, name, wire.outcomes.get(name, float("nan")), "", wire.ticks)
        figures.reference(case, IN_PROCESS, name, value, "", alone.ticks)
    figures.ours(case, "samples lost", wire.samples_lost, "", wire.ticks, "0")
    for name, seconds in wire.parts.items():
        figures.ours(case, f"wall, {name}", 1e3 * seconds / wire.ticks, "ms/tick", wire.ticks)
    for name, seconds in sorted(wire.cpu.items(), key=lambda one: -one[1]):
        figures.ours(case, f"CPU, {name}", 1e3 * seconds / wire.ticks, "ms/tick", wire.ticks)
    for name, seconds in alone.cpu.items():
        figures.reference(
            case, IN_PROCESS, f"CPU, {name}", 1e3 * seconds / alone.ticks, "ms/tick", alone.ticks
        )


def in_process(scenario: Scenario, seed: int, ticks: int | None, folder: Path) -> Measured:
    """The run without sockets."""
    world = scenario.world(seed)
    gateways = gateways_in_process(scenario.write_gateways(folder, {}, lambda _: {}), world)
    meter = CpuMeter({"simulator": [os.getpid()]})
    begun = time.perf_counter()
    run_in_process(world, gateways, ticks)
    wall = time.perf_counter() - begun
    count = world.ticks if ticks is None else ticks
    return Measured(count, world.step_s, wall, reports.outcomes_of(world.outcomes()), meter.spent())


async def over_sockets(scenario: Scenario, seed: int, ticks: int | None, folder: Path) -> Measured:
    """The run through real agents and a real coordinator."""
    run = WireRun(scenario, folder, seed)
    try:
        await run.start()
        total = run.world.ticks if ticks is None else ticks
        settle = min(_SETTLE, total // 2)
        await run.run(settle)
        meter = CpuMeter(_groups(run))
        before = vars(run.spent).copy()
        begun = time.perf_counter()
        await run.run(total - settle)
        wall = time.perf_counter() - begun
        cpu = meter.spent()
        parts = {name: value - before[name] for name, value in vars(run.spent).items()}
        counts = await run.finish()
    finally:
        await run.stop()
    found = Measured(total - settle, run.world.step_s, wall, {}, cpu, parts, counts.samples_lost)
    found.outcomes = reports.outcomes_of(run.world.outcomes())
    return found


def _groups(run: WireRun) -> dict[str, list[int]]:
    """Process ids by what they are: the simulator, each kind of process of all agents, the coordinator."""
    groups: dict[str, list[int]] = {"simulator": [os.getpid()]}
    seen = {os.getpid()}
    for agent in run.agents.values():
        told: dict[str, Any] = agent.status()
        for name, row in told["processes"].items():
            groups.setdefault(f"agents' {name}", []).append(int(row["pid"]))
            seen.add(int(row["pid"]))
        groups.setdefault("agents' supervisor", []).append(int(told["supervisor"]))
        seen.add(int(told["supervisor"]))
    for pid in descendants(os.getpid()):
        if pid not in seen:
            groups.setdefault(name_of(pid) or "gone", []).append(pid)
    return groups
