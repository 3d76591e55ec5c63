"""A run through the whole stack: rigs on real sockets, real agents paced in lock-step, a real coordinator."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vigie_protocols.errors import VigieError
from vigie_protocols.lockstep import Done, Grant
from vigie_sim.agents import Agent
from vigie_sim.coordinator import Coordinator
from vigie_sim.pacing import LockstepServer
from vigie_sim.scenario import Scenario, World

DISTRICT = "centre"
DRAIN_S = 120.0


@dataclass
class Counts:
    """What came of the samples and the scans. Filled when the run has drained."""

    samples_published: int = 0
    samples_stored: int = 0
    samples_duplicated: int = 0
    scans: int = 0
    scans_missed: int = 0
    guard_interventions: int = 0
    gateways: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def samples_lost(self) -> int:
        """Published and never stored."""
        return max(0, self.samples_published - self.samples_stored)


@dataclass
class Spent:
    """Wall seconds of the ticks so far: showing the state, the agents' turn, physics."""

    rigs: float = 0.0
    agents: float = 0.0
    physics: float = 0.0


TickHook = Callable[["WireRun", int], Awaitable[None]]


class WireRun:
    """One run over sockets.

    folder: everything the run writes. uplinks: gateway -> HOST:PORT its uplink shall use instead of the
    broker's (a proxy). on_tick: called before each tick is granted.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        seed: int,
        *,
        central: bool = True,
        listen: str = "127.0.0.1:0",
        on_tick: TickHook | None = None,
        wall_limit_s: float = 60.0,
    ) -> None:
        self.scenario = scenario
        self.folder = folder
        self.seed = seed
        self.on_tick = on_tick
        self.world: World = scenario.world(seed)
        self.server = LockstepServer(wall_limit_s)
        self.agents: dict[str, Agent] = {}
        self.coordinator: Coordinator | None = None
        if central:
            self.coordinator = Coordinator(folder / "central", folder / "log" / "central.log", listen=listen)
        self.endpoints: dict[str, str] = {}
        self.done: Mapping[str, Done] = {}
        self.counts = Counts()
        self.spent = Spent()
        self.tick = 0
        self.started_at = 0.0
        self.wall_s = 0.0
        self.uplinks: Callable[[str, str], Awaitable[str]] | None = None
        """(gateway, broker) -> HOST:PORT its uplink shall use; asked while gateway files are written."""

    @property
    def now(self) -> float:
        """Simulated seconds at the coming tick."""
        return self.tick * self.world.step_s

    @property
    def utc(self) -> float:
        """Simulated UTC seconds at the coming tick."""
        return self.world.epoch + self.now

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second so far."""
        wall = time.monotonic() - self.started_at
        return self.now / wall if wall > 0 else 0.0

    async def start(self) -> None:
        """Physics, rigs, coordinator, agents: everything up to the first tick."""
        self.world.start()
        for rig in self.world.rigs:
            self.endpoints[rig.device] = await rig.start()
        lockstep = await self.server.start()
        names = [
            path.stem
            for path in self.scenario.write_gateways(self.folder / "gateways", self.endpoints, _no_more)
        ]
        uplinks = await self._start_central(names)

        def more(name: str) -> dict[str, Any]:
            found: dict[str, Any] = {
                "runtime_dir": str(self.folder / "run" / name),
                "state_dir": str(self.folder / "state" / name),
                "journal": {"directory": str(self.folder / "journal" / name), "commit_ms": 100},
            }
            if name in uplinks:
                host, _, port = uplinks[name].rpartition(":")
                keyring = str(self.folder / "keys" / f"{name}.json")
                found["uplink"] = {"host": host, "port": int(port), "keyring": keyring, "keepalive_s": 5}
            return found

        for file in self.scenario.write_gateways(self.folder / "gateways", self.endpoints, more):
            agent = Agent(file, lockstep, self.folder / "log" / f"{file.stem}.log")
            self.agents[agent.name] = agent
            agent.start()
        await self._await_agents()
        self.started_at = time.monotonic()

    async def _start_central(self, names: list[str]) -> dict[str, str]:
        if self.coordinator is None:
            return {}
        central = self.coordinator
        await asyncio.to_thread(central.initialise)
        await asyncio.to_thread(central.enrol, names, DISTRICT, self.folder / "keys")
        await central.start()
        if self.uplinks is None:
            return dict.fromkeys(names, central.broker_address)
        return {name: await self.uplinks(name, central.broker_address) for name in names}

    async def _await_agents(self) -> None:
        waiting = asyncio.create_task(self.server.wait_agents(self.agents))
        while not waiting.done():
            for agent in self.agents.values():
                agent.check()
            await asyncio.wait([waiting], timeout=0.2)
        waiting.result()

    async def run(self, ticks: int | None = None) -> None:
        """All ticks, or so many more."""
        last = self.world.ticks if ticks is None else self.tick + ticks
        while self.tick < last:
            if self.on_tick is not None:
                await self.on_tick(self, self.tick)
            await self.one()

    async def one(self) -> None:
        """One tick."""
        world, now, utc, spent = self.world, self.now, self.utc, self.spent
        begun = time.perf_counter()
        for rig in world.rigs:
            await rig.refresh(now, utc)
        shown = time.perf_counter()
        self.done = await self.server.tick(Grant(self.tick + 1, now, utc, world.step_s))
        wanted: dict[str, int] = {}
        for done in self.done.values():
            wanted.update(done.commands)
        for rig in world.rigs:
            if rig.device in wanted:
                await rig.wait_commands(wanted[rig.device])
        answered = time.perf_counter()
        self.tick += 1
        world.step(now + world.step_s)
        spent.rigs += shown - begun
        spent.agents += answered - shown
        spent.physics += time.perf_counter() - answered

    async def finish(self) -> Counts:
        """Wait until everything published is stored and acknowledged, then stop all parts."""
        self.wall_s = time.monotonic() - self.started_at
        counts = self.counts
        if self.coordinator is not None:
            for name, agent in self.agents.items():
                counters = await agent.drained(DRAIN_S)
                counts.gateways[name] = counters
                counts.samples_published += counters["recorder.samples"]
            told = await self.coordinator.ask("GET", "counters?verify=true")
            counts.samples_stored = told["samples_stored"]
            counts.samples_duplicated = told["duplicate_rows"]
        counts.scans = sum(agent["control.scans"] for agent in counts.gateways.values())
        counts.scans_missed = sum(done.missed for done in self.done.values())
        counts.guard_interventions = sum(done.interventions for done in self.done.values())
        return counts

    async def stop(self) -> None:
        """Stop agents, coordinator, rigs and physics; may be called at any point of a run."""
        await self.server.stop("the run is over")
        stops = [asyncio.to_thread(agent.stop) for agent in self.agents.values()]
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(error, VigieError):
                with (self.folder / "log" / "simulator.log").open("a") as log:
                    log.write(f"{error}\n")
            elif isinstance(error, BaseException):
                raise error
        for rig in self.world.rigs:
            await rig.stop()
        if self.coordinator is not None:
            await asyncio.to_thread(self.coordinator.stop)
        self.world.stop()


def _no_more(_gateway: str) -> Mapping[str, Any]:
    return {}
