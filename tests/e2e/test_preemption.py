"""A train and a fire truck at two junctions of one gateway, over OPC UA, in lock-step: at bare lamps the agent's guard
clears the way, and a cabinet that pre-empts by itself is asked for nothing meanwhile."""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stack import in_loop, run_command

from vigie_controllers.loops import ControllerSpec
from vigie_controllers.signals.measures.codes import Code
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.preemption import Preemption
from vigie_protocols.localsocket import ask
from vigie_protocols.lockstep import Grant
from vigie_sim.agents import Agent
from vigie_sim.pacing import LockstepServer
from vigie_sim.traffic.cabinet import Cabinet, LampCabinet, PhaseCabinet, program_card
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.district import district_junctions, district_run
from vigie_sim.traffic.documents import profile_of, write_gateway
from vigie_sim.traffic.judge import GREEN, Judge
from vigie_sim.traffic.monitor import Monitor
from vigie_sim.traffic.network import read_network
from vigie_sim.traffic.rig import IntersectionRig, Sensors

EPOCH = 1_800_000_000.0
SCAN_S = 0.2
"""Ticks are of one second."""
REQUESTS = ("Hold", "ForceOff", "Omit", "Call")


@dataclass
class Corner:
    """One junction on a socket with a vehicle before every stop line, and what its street showed, change by change."""

    junction: Junction
    cabinet: Cabinet = field(init=False)
    shown: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        one, seen = self.junction, self.shown
        monitor = Monitor(program_card(one.site))
        if one.site.actuation == "cabinet":
            everybody = {phase.id for phase in one.site.phases}
            self.cabinet = PhaseCabinet(one.site, monitor, lambda: (everybody, set()))
        else:

            class Watched(LampCabinet):
                def command(self, instant: float, node: str, values: Sequence[Any]) -> None:
                    super().command(instant, node, values)
                    seen.append((instant, self.lamps))

            self.cabinet = Watched(one.site, monitor)
        zones, exits, crossings = len(one.zones), len(one.exits), len(one.crossings)
        sensors = Sensors((0, zones), (zones, zones + exits), (0, crossings))
        sensors.take([1] * (zones + exits), [1] * zones + [0] * exits, [1] * crossings)
        self.rig = IntersectionRig(one.device, profile_of(one), self.cabinet, sensors)

    def green_at(self, phase: int, since: float) -> float:
        """When the vehicle lamps of a phase were first all green, not before ``since``."""
        plan = Plan(self.junction.site)
        lights = [c for c in plan.channels[plan.place[phase]] if plan.vehicle[c]]
        before: tuple[int, ...] = ()
        for at, lamps in self.shown:
            if at > since and before and all(before[c] == GREEN for c in lights):
                return since
            before = lamps
            if at >= since and all(lamps[c] == GREEN for c in lights):
                return at
        raise AssertionError(f"phase {phase} was not green after {since}")


def corners() -> tuple[Corner, Corner]:
    """Bare lamps with a railway and a fire station, and a cabinet that says when it pre-empts."""
    found = district_junctions(read_network(district_run().net))
    lamps = next(one for one in found if one.site.actuation == "lamps")
    cabinet = next(one for one in found if one.site.actuation == "cabinet")
    first, *_, last = (phase.id for phase in lamps.site.phases)
    rows = (
        Preemption(
            id="train", kind="rail", calls_when=False, track_phases=(first,), track_green_s=8, dwell_phases=(last,),
            entry_min_green_s=3, entry_walk_s=0,
        ),
        Preemption(id="pompiers", kind="emergency", delay_s=2, dwell_phases=(first,), exit_phases=(last,)),
    )  # fmt: skip
    own = (Preemption(id="propre", kind="rail"),)
    return (
        Corner(replace(lamps, site=lamps.site.model_copy(update={"preemptions": rows}))),
        Corner(replace(cabinet, site=cabinet.site.model_copy(update={"preemptions": own}))),
    )


@dataclass
class Run:
    """What came of it. called: who called, tick by tick; requests: whether the cabinet was asked for anything then;
    spat: as told before the train and in its dwell."""

    lamps: Corner
    cabinet: Corner
    file: Path
    journal: Path
    called: list[frozenset[str]] = field(default_factory=list)
    requests: list[bool] = field(default_factory=list)
    spat: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return in_loop(_run(tmp_path_factory.mktemp("preemption")))


class Drive:
    """The gateway and its two junctions, tick by tick. calls: who calls from the next tick on."""

    def __init__(self, told: Run, agent: Agent, server: LockstepServer) -> None:
        self.told, self.agent, self.server = told, agent, server
        self.calls: set[str] = set()

    async def run(self, ticks: int) -> None:
        for _ in range(ticks):
            await self.one()

    async def until_green(self) -> None:
        """Until the last phase, which stands in the train's way, has green."""
        lamps = self.told.lamps
        plan = Plan(lamps.junction.site)
        lights = [c for c in plan.channels[len(plan.ids) - 1] if plan.vehicle[c]]
        for _ in range(200):
            if all(lamps.cabinet.lamps[c] == GREEN for c in lights):
                return
            await self.one()
        raise AssertionError("the last phase was never green")

    async def ask(self) -> None:
        """SPaT as it is told now: control answers in a scan, so that ticks go on until it has."""
        answer = asyncio.create_task(asyncio.to_thread(ask, self.agent.runtime, "spat"))
        while not answer.done():
            await self.one()
        self.told.spat.append((await answer)["result"]["intersections"])

    async def one(self) -> None:
        told, tick = self.told, len(self.told.called)
        lamps, cabinet, now = told.lamps, told.cabinet, float(tick)
        told.called.append(frozenset(self.calls))
        for name in ("train", "pompiers"):
            lamps.rig.preempt(name, name in self.calls)
        cabinet.rig.preempt("propre", "propre" in self.calls)
        assert isinstance(cabinet.cabinet, PhaseCabinet)
        cabinet.cabinet.preempted = frozenset({2, 6}) if "propre" in self.calls else frozenset()
        for one in (lamps, cabinet):
            await one.rig.refresh(now, EPOCH + now)
        done = await self.server.tick(Grant(tick + 1, now, EPOCH + now, 1.0))
        for one in (lamps, cabinet):
            await one.rig.wait_commands(done[self.agent.name].commands.get(one.junction.device, 0))
            one.shown.append((now + 0.999, one.cabinet.advance(now + 0.999)))
        nodes = cabinet.cabinet.nodes()
        told.requests.append(any(any(nodes[f"Phases.{word}"]) for word in REQUESTS))


async def _run(folder: Path) -> Run:
    lamps, cabinet = both = corners()
    urls = {one.junction.name: await one.rig.start() for one in both}
    more = {
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
        "scan_s": SCAN_S,
    }
    kinds = {one.junction.name: [ControllerSpec(kind="signal.actuated")] for one in both}
    file = write_gateway(folder, "gw-rail", [one.junction for one in both], urls, kinds, more)
    server = LockstepServer(wall_limit_s=60)
    agent = Agent(file, await server.start(), folder / "agent.log")
    told = Run(lamps, cabinet, file, folder / "journal")
    drive = Drive(told, agent, server)
    try:
        agent.start()
        await server.wait_agents([agent.name])
        await drive.run(50)
        await drive.ask()
        await drive.until_green()
        drive.calls = {"train", "propre"}
        await drive.run(50)
        await drive.ask()
        drive.calls = set()
        await drive.run(30)
        drive.calls = {"pompiers"}
        await drive.run(30)
        drive.calls = set()
        await drive.run(30)
        await server.stop("over")
        assert await asyncio.to_thread(agent.stop) == 0
    finally:
        await asyncio.to_thread(agent.stop)
        for one in both:
            await one.rig.stop()
    return told


def ticks_of(run: Run, name: str) -> range:
    """The ticks in which somebody called."""
    found = [tick for tick, names in enumerate(run.called) if name in names]
    return range(found[0], found[-1] + 1)


def bounds(run: Run) -> dict[str, float]:
    """What ``vigie-edge check`` prints: seconds within which each pre-emption's first phases are green."""
    said = run_command("vigie-edge", "check", run.file, VIGIE_LANG="en")
    assert said.code == 0, said.err + said.out
    return {
        line.split("pre-emption ")[1].split(":")[0]: float(line.split(" within ")[1].split()[0])
        for line in said.out.splitlines()
        if "pre-emption" in line and " within " in line
    }


def test_tracks_and_dwell_are_green_within_the_printed_bound(run: Run) -> None:
    told = bounds(run)
    first, *_, last = (phase.id for phase in run.lamps.junction.site.phases)
    for name in ("train", "pompiers"):
        begun = float(ticks_of(run, name).start)
        assert 0.0 <= run.lamps.green_at(first, begun) - begun <= told[name] + 1.0, (
            "the image is taken once a second"
        )
    train = ticks_of(run, "train")
    assert run.lamps.green_at(last, train.start + 8.0) < train.stop - 5
    assert "propre" not in told, "a cabinet's own times are not ours to promise"


def test_nothing_was_cut_and_no_monitor_tripped(run: Run) -> None:
    judge = Judge(run.lamps.junction.site.model_dump())
    for at, lamps in run.lamps.shown:
        judge.see(at, lamps, preempted=bool(run.called[int(at)]))
    assert judge.faults == []
    assert judge.changes > 40
    for one in (run.lamps, run.cabinet):
        assert one.cabinet.monitor.trips == []


def test_the_stages_are_among_the_events_and_in_spat(run: Run) -> None:
    said = run_command("vigie-edge", "events", run.journal, "--loop", run.lamps.junction.name)
    assert said.code == 0, said.err
    rows = [(int(row["event_code"]), int(row["parameter"])) for row in csv.DictReader(io.StringIO(said.out))]
    wanted = (
        Code.PREEMPT_ON, Code.PREEMPT_ENTRY, Code.PREEMPT_TRACK, Code.PREEMPT_DWELL,
        Code.PREEMPT_OFF, Code.PREEMPT_EXIT,
    )  # fmt: skip
    of = {
        place: [code for code, parameter in rows if parameter == place and code in wanted] for place in (1, 2)
    }
    assert of[1] == [102, 105, 106, 107, 104]
    assert of[2] == [102, 105, 107, 104, 111]
    name = run.lamps.junction.name
    before, within = (told[name]["status"] for told in run.spat)
    assert "preemptIsActive" in within
    assert "preemptIsActive" not in before


def test_a_cabinet_that_pre_empts_is_asked_for_nothing_and_for_everything_again_afterwards(run: Run) -> None:
    own = ticks_of(run, "propre")
    assert all(run.requests[own.start - 5 : own.start])
    assert not any(run.requests[own.start : own.stop])
    assert all(run.requests[own.stop + 1 : own.stop + 20])
    plan = Plan(run.cabinet.junction.site)
    held = [lamps for at, lamps in run.cabinet.shown if own.start + 30 < at < own.stop]
    for phase in (2, 6):
        assert all(
            lamps[c] == GREEN for lamps in held for c in plan.channels[plan.place[phase]] if plan.vehicle[c]
        )


def test_the_run_replays_bit_for_bit(run: Run) -> None:
    said = run_command("vigie-edge", "replay", run.journal, "--config", run.file)
    assert said.code == 0, said.out + said.err
