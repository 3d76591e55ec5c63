"""The district in wall-clock time, for real gateways: rigs on sockets, physics paced by the clock."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vigie_sim.district import DistrictScenario
from vigie_sim.scenario import World


async def serve_district(
    folder: Path, seed: int, speed: float, stop: asyncio.Event, told: Callable[[World, list[Path]], None]
) -> World:
    """Serve until ``stop`` or the scenario's end; gateway files with the real endpoints go to ``folder``.

    Devices stamp their readings with real UTC. speed: physics seconds per real second. A late step is made
    up for: physics falls behind the clock rather than jump. told: called once all rigs serve.
    """
    scenario = DistrictScenario()
    scenario.open_bus(folder / "bus")
    world = replace(scenario.world(seed), epoch=time.time())
    world.start()
    try:
        endpoints = {rig.device: await rig.start() for rig in world.rigs}
        files = scenario.write_gateways(
            folder,
            endpoints,
            lambda name: {
                "runtime_dir": str(folder / "run" / name),
                "state_dir": str(folder / "state" / name),
                "journal": {"directory": str(folder / "journal" / name)},
            },
        )
        told(world, files)
        begun = asyncio.get_running_loop().time()
        for number in range(world.ticks):
            now = number * world.step_s
            for rig in world.rigs:
                await rig.refresh(now, time.time())
            due = begun + (now + world.step_s) / speed
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, due - asyncio.get_running_loop().time()))
                break
            except TimeoutError:
                world.step(now + world.step_s)
    finally:
        for rig in world.rigs:
            await rig.stop()
        world.stop()
        scenario.close_bus()
    return world
