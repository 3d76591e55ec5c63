"""kill -9 of each of an agent's processes at random instants: what becomes of its samples and scans.

One agent polls four lean Modbus devices ten times a second, 800 changing values a second, and publishes them to a
real coordinator. Which process is killed and when is drawn from the seed. References of the same run: the same
agent for as long with nobody killed.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from vigie_protocols.errors import TransientError, VigieError
from vigie_sim.agents import Agent
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.figures import Figures
from vigie_sim.coordinator import Coordinator
from vigie_sim.traffic.documents import write_yaml

_KILLS = 200
_LIMIT_S = 60.0
_PROCESSES = ("field", "control", "recorder", "uplink", "supervisor")
_COUNTED = ("field.readings_lost", "control.scans_lost", "recorder.dropped", "recorder.quarantined")
_GATEWAY = "gw-kills"


def kills(figures: Figures) -> None:
    """Fill the figures of this area."""
    uvloop.run(_kills(figures))


async def _kills(figures: Figures) -> None:
    wanted = 20 if figures.quick else _KILLS
    devices = Devices()
    central = Coordinator(figures.folder / "central", figures.folder / "log" / "central.log")
    await asyncio.to_thread(central.initialise)
    await asyncio.to_thread(central.enrol, [_GATEWAY], "bench", figures.folder / "keys")
    await central.start()
    agent = Agent(
        _gateway_file(figures.folder, devices.port, central), "", figures.folder / "log" / "agent.log"
    )
    agent.start()
    case = f"{wanted} kills of its processes"
    try:
        await _until(agent, lambda told: told["counters"]["uplink.acked_through"], "published")
        chance = random.Random(figures.seed)
        begun = time.monotonic()
        counts = dict.fromkeys(_PROCESSES, 0)
        for _ in range(wanted):
            name = chance.choice(_PROCESSES)
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            await _kill(agent, name)
            counts[name] += 1
        spent = time.monotonic() - begun
        before = await _counted(agent, central, devices)
        await _until(agent, lambda told: not _all_silent(told), "found its devices again")
        await asyncio.sleep(min(spent, 5.0 if figures.quick else 30.0))
        after = await _counted(agent, central, devices)
    finally:
        await asyncio.to_thread(agent.stop)
        await asyncio.to_thread(central.stop)
        devices.stop()
    for name, count in counts.items():
        figures.ours(case, f"kills of {name}", count, "", count)
    for metric, value in before.items():
        target = "" if metric.startswith("samples pub") else "0"
        figures.ours(case, metric, value, "", wanted, target)
        figures.reference(case, "the same, nobody killed", metric, after[metric] - before[metric], "")


async def _kill(agent: Agent, name: str) -> None:
    """SIGKILL, and wait until its next one is there."""
    told = await _told(agent)
    old = _pid(told, name)
    with contextlib.suppress(ProcessLookupError):  # it may be between two lives
        if old:
            os.kill(old, signal.SIGKILL)
    await _until(agent, lambda told: _pid(told, name) not in (0, old), f"got its {name} back")


def _pid(told: dict[str, Any], name: str) -> int:
    return int(told["supervisor"] if name == "supervisor" else told["processes"][name]["pid"])


async def _told(agent: Agent) -> dict[str, Any]:
    """The agent's status; one without a supervisor is started again first, as systemd does."""
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        if agent.process is not None and agent.process.poll() is not None:
            agent.start()
        with contextlib.suppress(VigieError):
            return await asyncio.to_thread(agent.status)
        await asyncio.sleep(0.02)
    raise TransientError(f"{agent.name} did not answer in {_LIMIT_S:.0f} s")


async def _until(agent: Agent, true: Callable[[dict[str, Any]], object], what: str) -> None:
    """Wait for something to be true of the agent's status."""
    until = time.monotonic() + _LIMIT_S
    while not true(await _told(agent)):
        if time.monotonic() > until:
            raise TransientError(f"{agent.name} has not {what} in {_LIMIT_S:.0f} s")
        await asyncio.sleep(0.05)


def _all_silent(told: dict[str, Any]) -> bool:
    return not any(row["up"] for link in told["links"].values() for row in link["devices"].values())


async def _counted(agent: Agent, central: Coordinator, devices: Devices) -> dict[str, float]:
    """Figures in a moment in which nothing is on its way: the devices are held still for it."""
    devices.hold(True)
    try:
        await _until(agent, _all_silent, "noticed that its devices are silent")
        counters = await agent.drained(_LIMIT_S)
        told = await central.ask("GET", "counters?verify=true")
    finally:
        devices.hold(False)
    row = told["gateways"][_GATEWAY]
    published = counters["recorder.samples"]
    return {
        "samples published": published,
        "samples lost": published - row["samples_stored"],
        "samples stored twice": told["duplicate_rows"],
        "journal indexes missing at the coordinator": row["missing"],
        "records lost or set aside at the gateway": sum(counters[name] for name in _COUNTED),
    }


def _gateway_file(folder: Path, port: int, central: Coordinator) -> Path:
    title = {"fr": "Essai", "en": "Bench"}
    point = {"name": "value.{i}", "type": "uint", "repeat": 20, "rate_s": 0.1, "modbus": {"address": 4}}
    profile = {
        "profile": "bench-unit", "title": title, "protocol": "modbus", "domain": "general", "points": [point],
    }  # fmt: skip
    write_yaml(folder / "bench-unit.yaml", profile)
    host, _, broker = central.broker_address.rpartition(":")
    keys = str(folder / "keys" / f"{_GATEWAY}.json")
    quick = {"first_s": 0.1, "max_s": 1.0}
    document: dict[str, Any] = {
        "gateway": _GATEWAY,
        "site": {"name": title, "lat": 45.5, "lon": -73.6},
        "links": {"line": {"protocol": "modbus", "host": "127.0.0.1", "port": port, "retry": quick}},
        "devices": [
            {"name": f"u{unit}", "profile": "bench-unit", "link": "line", "unit": unit}
            for unit in range(1, 5)
        ],
        "uplink": {"host": host, "port": int(broker), "keyring": keys, "retry": quick},
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
    }
    return write_yaml(folder / "gateway.yaml", document)
