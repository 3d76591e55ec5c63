"""kill -9 of every part of the stack, one after the other, in the middle of a run.

What stands outside the tick (uplink, recorder, broker, coordinator) may die without a trace: the run's outcomes
equal, to the last digit, those of the same run in one process, where nothing can be killed. That is the proof of
both: of the kills' harmlessness and of the equality of the two ways to run the district.
"""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.stack import in_loop, until

from vigie_sim.district import DistrictScenario
from vigie_sim.inprocess import gateways_in_process, run_in_process
from vigie_sim.wire import Counts, WireRun

SEED = 3
SECONDS = 210
SCANS_PER_TICK = {"gw-boulevard": 10, "gw-mixte": 10, "gw-pompage": 1, "gw-eclairage": 1}


def city_broker(run: WireRun) -> int:
    """Process id of the broker that the coordinator keeps; 0 while there is none."""
    assert run.coordinator is not None
    try:
        return int(json.loads((run.coordinator.state / "broker" / "broker.json").read_text())["pid"])
    except (OSError, ValueError):
        return 0


def restarts(run: WireRun, gateway: str, child: str) -> int:
    return int(run.agents[gateway].status()["processes"][child]["restarts"])


def connected(run: WireRun) -> bool:
    return all(agent.status()["counters"]["uplink.connected"] for agent in run.agents.values())


async def killed_run(folder: Path) -> tuple[Counts, dict[str, float], list[dict[str, Any]]]:
    """A run of the district in which everything outside the tick is killed once."""
    scenario = DistrictScenario(SECONDS)
    scenario.open_bus(folder / "bus")
    broker_before = 0
    coming_back: asyncio.Task[None] | None = None

    async def on_tick(run: WireRun, tick: int) -> None:
        nonlocal broker_before, coming_back
        central = run.coordinator
        assert central is not None
        if tick == 30:
            for agent in run.agents.values():
                agent.kill_child("uplink")
        elif tick == 50:
            await until(
                lambda: all(restarts(run, name, "uplink") for name in run.agents), "uplinks started again"
            )
            await until(lambda: connected(run), "uplinks connected again")
        elif tick == 60:
            for agent in run.agents.values():
                agent.kill_child("recorder")
        elif tick == 80:
            await until(
                lambda: all(restarts(run, name, "recorder") for name in run.agents), "recorders started again"
            )
        elif tick == 90:
            broker_before = city_broker(run)
            os.kill(broker_before, signal.SIGKILL)
        elif tick == 120:
            await until(lambda: city_broker(run) not in (0, broker_before), "the broker started again")
            await until(lambda: connected(run), "uplinks connected to the new broker")
        elif tick == 130:
            central.kill()
            coming_back = asyncio.create_task(central.start())

    run = WireRun(scenario, folder, SEED, on_tick=on_tick)
    try:
        await run.start()
        assert run.coordinator is not None
        addresses = run.coordinator.http, run.coordinator.broker_address
        await run.run()
        assert coming_back is not None
        await coming_back
        assert (run.coordinator.http, run.coordinator.broker_address) == addresses
        counts = await run.finish()
        told = (await run.coordinator.ask("GET", "gateways"))["gateways"]
    finally:
        await run.stop()
        scenario.close_bus()
    return counts, run.world.outcomes(), told


def test_nothing_outside_the_tick_can_be_missed(folder: Path) -> None:
    counts, outcomes, told = in_loop(killed_run(folder))
    scans = {name: counters["control.scans"] for name, counters in counts.gateways.items()}
    assert scans == {name: SECONDS * each for name, each in SCANS_PER_TICK.items()}
    assert counts.scans_missed == 0
    assert counts.samples_published > 500
    assert (counts.samples_lost, counts.samples_duplicated) == (0, 0)
    for counters in counts.gateways.values():
        for name in ("field.readings_lost", "control.scans_lost", "recorder.dropped", "recorder.quarantined"):
            assert counters[name] == 0
    assert {row["id"] for row in told} == set(SCANS_PER_TICK)
    for row in told:
        assert row["online"]
        assert (row["counters"]["missing"], row["counters"]["lost"]) == (0, 0)
    assert outcomes["monitor_trips"] == 0

    scenario = DistrictScenario(SECONDS)
    world = scenario.world(SEED)
    gateways = gateways_in_process(scenario.write_gateways(folder / "in-process", {}, lambda _: {}), world)
    run_in_process(world, gateways)
    assert outcomes == world.outcomes()
    assert counts.guard_interventions == sum(one.interventions for one in gateways)
    assert counts.scans == sum(one.scans for one in gateways)
