"""One agent on the district's rigs in wall-clock time: what it weighs and how soon it scans.

Cases: ``all drivers`` (the mixed gateway: OPC UA, Modbus and MQTT at once, with its uplink) and
``without OPC UA`` (a lighting gateway). References of the same run: an interpreter that imports nothing,
and one that imports the same libraries and does nothing with them.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop

from vigie_protocols.broker import Broker
from vigie_protocols.errors import TransientError, VigieError
from vigie_sim.agents import Agent
from vigie_sim.bench.figures import Figures, median
from vigie_sim.bench.processes import memory
from vigie_sim.district import DistrictScenario

_MIB = float(1 << 20)
_SETTLE_S = 20.0
_STARTS = 7
_LIMIT_S = 60.0
CASES = (
    ("all drivers", "gw-mixte", "<= 114.4 (120 MB)", ("asyncua", "pymodbus.client", "paho.mqtt.client")),
    ("without OPC UA", "gw-eclairage", "<= 85.8 (90 MB)", ("pymodbus.client", "paho.mqtt.client")),
)
COMMON = ("asyncio", "uvloop", "pydantic", "yaml", "msgspec", "typer")
"""What an agent needs beside its drivers."""


def agent(figures: Figures) -> None:
    """Fill the figures of this area."""
    uvloop.run(_agent(figures))


async def _agent(figures: Figures) -> None:
    asyncio.get_running_loop().set_exception_handler(_quiet)
    async with _rigs(figures.folder, figures.seed) as files:
        for case, gateway, target, libraries in CASES:
            starts = []
            for _ in range(1 if figures.quick else _STARTS):
                starts.append(await _cold_start(files[gateway]))
            figures.ours(case, "cold start to first scan", median(starts), "s", len(starts), "<= 2")
            weights = await _weigh(files[gateway], 3.0 if figures.quick else _SETTLE_S)
            figures.ours(case, "memory (PSS) of all processes", sum(weights.values()), "MiB", 1, target)
            for name, weight in weights.items():
                figures.ours(case, f"memory (PSS), {name}", weight, "MiB")
            await _references(figures, case, libraries)


def _quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A rig's server may be publishing to an agent that is just leaving: that says nothing about the agent."""
    if "handler is closed" not in str(context.get("exception")):
        loop.default_exception_handler(context)


async def _references(figures: Figures, case: str, libraries: tuple[str, ...]) -> None:
    count = 1 if figures.quick else 3
    for subject, names in (
        ("bare interpreter", ()),
        ("interpreter with the same imports", COMMON + libraries),
    ):
        found = [await asyncio.to_thread(_imported, names) for _ in range(count)]
        figures.reference(
            case, subject, "cold start to first scan", median([one[0] for one in found]), "s", count
        )
        weight = median([one[1] for one in found])
        figures.reference(case, subject, "memory (PSS) of all processes", weight, "MiB", count)
    if figures.quick:
        return
    for name in COMMON + libraries:
        wall, weight = await asyncio.to_thread(_imported, (name,))
        figures.reference(case, f"import {name} alone", "cold start to first scan", wall, "s")
        figures.reference(case, f"import {name} alone", "memory (PSS) of all processes", weight, "MiB")


def _imported(names: tuple[str, ...]) -> tuple[float, float]:
    """(seconds until the imports are done, MiB of the process then) of an interpreter of its own."""
    code = (
        "import sys\n" + "".join(f"import {name}\n" for name in names) + "print(flush=True)\nsys.stdin.read()"
    )
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        wall = time.perf_counter() - begun
        weight = memory(process.pid).get("Pss", 0) / _MIB
        process.stdin.close()
    return wall, weight


async def _cold_start(file: Path) -> float:
    """Seconds from the start of the command to the first scan, on fresh state."""
    one = Agent(file, "", file.with_suffix(".log"))
    begun = time.perf_counter()
    one.start()
    try:
        while (now := time.perf_counter()) - begun < _LIMIT_S:
            one.check()
            with contextlib.suppress(VigieError):
                if (await asyncio.to_thread(one.status))["counters"]["control.scans"]:
                    return now - begun
            await asyncio.sleep(0.005)
        raise TransientError(f"{one.name} did not scan in {_LIMIT_S:.0f} s")
    finally:
        await asyncio.to_thread(one.stop)


async def _weigh(file: Path, seconds: float) -> dict[str, float]:
    """MiB of each process of an agent that has worked for a while."""
    one = Agent(file, "", file.with_suffix(".log"))
    one.start()
    try:
        await asyncio.sleep(seconds)
        told: dict[str, Any] = await asyncio.to_thread(one.status)
        counters = told["counters"]
        if counters["field.links_down"] or not counters["control.scans"]:
            raise TransientError(f"{one.name} does not work: {counters}")
        pids = {"supervisor": told["supervisor"]}
        pids.update({name: row["pid"] for name, row in told["processes"].items()})
        return {name: memory(pid).get("Pss", 0) / _MIB for name, pid in pids.items()}
    finally:
        await asyncio.to_thread(one.stop)


@contextlib.asynccontextmanager
async def _rigs(folder: Path, seed: int) -> AsyncIterator[dict[str, Path]]:
    """The district's devices in wall-clock time, and gateway files for them."""
    scenario = DistrictScenario()
    scenario.open_bus(folder / "bus")
    city = Broker(folder / "city")
    city.start()
    world = scenario.world(seed)
    world.start()
    begun = time.time()
    try:
        endpoints = {rig.device: await rig.start() for rig in world.rigs}

        def more(name: str) -> dict[str, Any]:
            return {
                "runtime_dir": str(folder / "run" / name),
                "state_dir": str(folder / "state" / name),
                "journal": {"directory": str(folder / "journal" / name)},
                "uplink": {"host": "127.0.0.1", "port": city.port},
            }

        files = {path.stem: path for path in scenario.write_gateways(folder / "gateways", endpoints, more)}

        async def turn() -> None:
            number = 0
            while True:
                now = float(number)
                for rig in world.rigs:
                    await rig.refresh(now, begun + now)
                number += 1
                await asyncio.sleep(max(0.0, begun + number - time.time()))
                world.step(now + 1.0)

        turning = asyncio.create_task(turn())
        try:
            yield files
        finally:
            turning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turning
    finally:
        for rig in world.rigs:
            await rig.stop()
        world.stop()
        city.stop()
        scenario.close_bus()
