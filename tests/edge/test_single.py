"""All parts in one process: the same decisions as the agent of several processes, and the same life."""

import asyncio
from pathlib import Path
from typing import Any

from tests.edge.wallclock import Agent as WallAgent
from tests.edge.wallclock import WaterSite, events, until, water_gateway

from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.records import Scan, decode_control
from vigie_protocols.lockstep import Grant
from vigie_sim.agents import Agent
from vigie_sim.pacing import LockstepServer

TICKS = 90
EPOCH = 1_800_000_000.0


def level(tick: int) -> float:
    """A storm: up past every threshold and down again, with a sensor that fails for a while."""
    return 1.5 + 2.4 * max(0.0, 1.0 - abs(tick - 45) / 40)


async def run(folder: Path, single: bool) -> tuple[list[Any], list[dict[str, Any]]]:
    """A lock-step run; every scan as journalled (what was decided, and why), and the devices tick by tick."""
    site = WaterSite(seed=7)
    site.endpoints = [await rig.start() for rig in site.rigs]
    server = LockstepServer(wall_limit_s=60)
    file = water_gateway(folder, site)
    agent = Agent(file, await server.start(), folder / "agent.log", single=single)
    shown = []
    try:
        agent.start()
        await server.wait_agents([agent.name])
        for tick in range(TICKS):
            now = float(tick)
            for rig in site.rigs:
                await rig.refresh(now, EPOCH + now)
            done = await server.tick(Grant(tick + 1, now, EPOCH + now, 1.0))
            for rig in site.rigs:
                await rig.wait_commands(done[agent.name].commands.get(rig.device, 0))
            site.step(now, 1.0, level(tick))
            shown.append(site.values())
        await server.stop("over")
        assert await asyncio.to_thread(agent.stop) == 0
    finally:
        await asyncio.to_thread(agent.stop)
        for rig in site.rigs:
            await rig.stop()
    return scans(folder / "journal"), shown


def scans(journal: Path) -> list[Any]:
    found = []
    for _, _, path in list_segments(journal / "replay"):
        for record in read_committed(path)[1]:
            if record.kind is Kind.SCAN:
                scan = decode_control(record.payload)
                assert isinstance(scan, Scan)
                found.append(
                    (
                        scan.scan,
                        scan.tick,
                        scan.now,
                        scan.utc,
                        scan.decisions,
                        scan.interventions,
                        scan.outputs,
                        scan.alarms,
                    )
                )
    return found


def test_one_process_decides_as_several_do(tmp_path: Path) -> None:
    several, shown = asyncio.run(run(tmp_path / "several", single=False))
    one, shown_by_one = asyncio.run(run(tmp_path / "one", single=True))
    assert len(one) == TICKS * 10
    assert one == several
    assert shown_by_one == shown
    assert any(row["pump-station/pump.1.command"] for row in shown), (
        "a run in which nothing happens proves nothing"
    )
    assert any(row[4] for row in one) and any(row[7] for row in one)


def test_one_process_serves_in_wall_clock_time_and_stops_in_order(tmp_path: Path) -> None:
    with WaterSite() as site:
        agent = WallAgent(water_gateway(tmp_path, site))
        try:
            agent.start("--single")
            site.level = 2.0
            until(
                lambda: (
                    site.values()["pump-station/pump.1.command"]
                    or site.values()["pump-station/pump.2.command"]
                )
            )
            given = agent.ask("lease.take", forces={"basin/gate.command": 96.0}, reason="test", ttl_s=600)
            assert given["ok"]
            until(lambda: float(site.values()["basin/gate.command"]) == 96.0, why="for the lease")
            until(lambda: any(one["what"] == "granted" for one in events(agent)), why="for the journal")
            told = agent.status()
            assert list(told["processes"]) == ["single"]
            assert agent.process is not None and told["processes"]["single"]["pid"] == agent.process.pid
            assert not (agent.runtime / "inputs").exists(), "its memory is the heap"
            second = agent.cli("run", "--config", str(agent.file))
            assert second.returncode == 1 and "runs already" in second.stderr
            assert agent.stop() == 0
            values = site.values()
            assert float(values["basin/gate.command"]) == 100.0 and not values["pump-station/pump.1.command"]
            assert not (agent.runtime / "command").exists()
            # What it kept is found again by the other kind of agent: the lease goes on.
            agent.start()
            until(
                lambda: (
                    [one["forces"] for one in agent.ask("lease.list")["result"]["leases"]]
                    == [{"basin/gate.command": 96.0}]
                )
            )
            assert agent.stop() == 0
        finally:
            agent.end()
