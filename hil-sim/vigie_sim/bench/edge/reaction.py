"""From an urgent input at one device to an output written at another, through scan, guard and gate.

A pump runs; somebody turns its switch to off; the guard stops it. The switch is polled every 5 ms and wakes
control at once, on a grid of 100 ms scans. Reference: two bare sockets, poll and write, nothing between.
Run as a process with ``INPUT_PORT OUTPUT_PORT`` this module is that reference.
"""

import asyncio
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from vigie_sim.agents import Agent
from vigie_sim.bench.figures import Figures, percentile
from vigie_sim.traffic.documents import write_yaml

_POLL_S = 0.005
_LIMIT_S = 30.0
_LEVEL_MM = 3000
_MODE, _RUNNING = 1, 2
_OFF, _AUTO = 0, 2
_SUBJECT = "two bare sockets"


class _Plant:
    """Registers of the input device, the coil of the output device, and who waits for it."""

    def __init__(self) -> None:
        self.registers = [_LEVEL_MM, _AUTO, 0]
        self.coil = False
        self.changed_at = 0.0
        self.changed = asyncio.Event()

    def answer(self, frame: bytes) -> bytes:
        """One Modbus request (FC 1, 3, 5, 15) and what it does."""
        head, function = frame[:4], frame[7]
        if function == 3:
            first, count = struct.unpack_from(">HH", frame, 8)
            row = struct.pack(f">{count}H", *self.registers[first : first + count])
            body = bytes((frame[6], 3, len(row))) + row
        elif function == 1:
            body = bytes((frame[6], 1, 1, self.coil))
        else:
            self._write(bool(frame[10] if function == 5 else frame[13] & 1))
            body = frame[6:12]
        return head + struct.pack(">H", len(body)) + body

    def _write(self, on: bool) -> None:
        if on != self.coil:
            self.coil = on
            self.changed_at = time.perf_counter()
            self.registers[_RUNNING] = int(on)
            self.changed.set()

    async def becomes(self, on: bool) -> float:
        """The instant at which the coil had become ``on``."""
        async with asyncio.timeout(_LIMIT_S):
            while self.coil != on:
                self.changed.clear()
                await self.changed.wait()
        return self.changed_at


class _Connection(asyncio.Protocol):
    def __init__(self, plant: _Plant) -> None:
        self._plant = plant

    def connection_made(self, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        # One request at a time is in flight, and a small one comes whole.
        self._transport.write(self._plant.answer(data))


def reaction(figures: Figures) -> None:
    """Fill the figures."""
    uvloop.run(_reaction(figures))


async def _reaction(figures: Figures) -> None:
    rounds = 3 if figures.quick else 25  # a stopped pump starts again after 5 s
    loop = asyncio.get_running_loop()
    case = f"reaction, input polled every {1000 * _POLL_S:g} ms, scans every 100 ms"
    for ours in (True, False):
        plant = _Plant()
        serve = partial(_Connection, plant)
        servers = [await loop.create_server(serve, "127.0.0.1", 0) for _ in range(2)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        stop = await asyncio.to_thread(_start, figures.folder / "reaction", ports, ours)
        try:
            took = await _rounds(plant, rounds, random.Random(figures.seed))
        finally:
            await asyncio.to_thread(stop)
            for server in servers:
                server.close()
        for share, target in ((0.5, ""), (0.99, "<= 20"), (1.0, "")):
            metric = f"input to output p{100 * share:g}"
            value = 1000 * percentile(took, share)
            if ours:
                figures.ours(case, metric, value, "ms", rounds, target)
            else:
                figures.reference(case, _SUBJECT, metric, value, "ms", rounds)


async def _rounds(plant: _Plant, rounds: int, chance: random.Random) -> list[float]:
    took = []
    for _ in range(rounds):
        await plant.becomes(True)
        await asyncio.sleep(chance.uniform(0.3, 0.5))  # at any phase of poll and scan
        plant.registers[_MODE] = _OFF
        begun = time.perf_counter()
        took.append(await plant.becomes(False) - begun)
        plant.registers[_MODE] = _AUTO
    return took


def _start(folder: Path, ports: list[int], ours: bool) -> Callable[[], object]:
    if ours:
        agent = Agent(_gateway(folder, *ports), "", folder / "agent.log")
        agent.start()
        return agent.stop
    line = [sys.executable, "-m", "vigie_sim.bench.edge.reaction", *map(str, ports)]
    process = subprocess.Popen(line)

    def stop() -> None:
        process.terminate()
        process.wait()

    return stop


def _gateway(folder: Path, inputs: int, outputs: int) -> Path:
    title = {"fr": "Essai", "en": "Bench"}
    common = {"title": title, "protocol": "modbus", "domain": "water"}
    labels = {
        0: {"fr": "Arrêt", "en": "Off"},
        1: {"fr": "Manuel", "en": "Hand"},
        2: {"fr": "Auto", "en": "Auto"},
    }
    fast = {"rate_s": _POLL_S, "publish": False, "stale_s": 5}
    urgent = {**fast, "urgent": True}
    write_yaml(
        folder / "bench-inputs.yaml",
        {
            "profile": "bench-inputs", **common,
            "points": [
                {"name": "level", "type": "float", **fast, "modbus": {"address": 0, "scale": 0.001}},
                {"name": "mode", "type": "enum", "labels": labels, **urgent, "modbus": {"address": _MODE}},
                {"name": "running", "type": "bool", **fast, "modbus": {"address": _RUNNING, "bit": 0}},
            ],
        },
    )  # fmt: skip
    run = {"name": "run", "type": "bool", "writable": True, "safe": False, "publish": False}
    write_yaml(
        folder / "bench-outputs.yaml",
        {
            "profile": "bench-outputs", **common, "watchdog": {"none": "a bench"},
            "points": [{**run, "modbus": {"table": "coil", "address": 0}}],
        },
    )  # fmt: skip
    pump = {"min_run_s": 0, "min_off_s": 0, "max_starts_per_hour": 60}
    loop = {
        "name": "station", "domain": "water", "period_s": 0.1,
        "site": {"level_max_m": 6.0, "dry_run_m": 0.5, "alarm_high_m": 5.0, "high_float_m": 5.5, "pumps": [pump]},
        "points": {
            "level": "inputs/level", "pump.1.mode": "inputs/mode", "pump.1.running": "inputs/running",
            "pump.1.run": "outputs/run",
        },
        "controllers": [{"kind": "water.level", "params": {
            "lead_start_m": 2.0, "lead_stop_m": 1.0, "lag_start_m": 4.0, "lag_stop_m": 1.2}}],
    }  # fmt: skip
    links = {"inputs": inputs, "outputs": outputs}
    return write_yaml(
        folder / "gateway.yaml",
        {
            "gateway": "gw-reaction",
            "site": {"name": title, "lat": 45.5, "lon": -73.6},
            "links": {
                name: {"protocol": "modbus", "host": "127.0.0.1", "port": port}
                for name, port in links.items()
            },
            "devices": [{"name": name, "profile": f"bench-{name}", "link": name} for name in links],
            "loops": [loop],
            "runtime_dir": str(folder / "run"),
            "state_dir": str(folder / "state"),
            "journal": {"directory": str(folder / "journal")},
            "scan_s": 0.1,
        },
    )


def _bare(inputs: int, outputs: int) -> None:
    reading, writing = (socket.create_connection(("127.0.0.1", port)) for port in (inputs, outputs))
    for one in (reading, writing):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    due, shown = time.monotonic(), None
    while True:
        due += _POLL_S
        time.sleep(max(0.0, due - time.monotonic()))
        reading.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, _MODE, 1))
        wanted = reading.recv(64)[-1] == _AUTO
        if wanted != shown:
            shown = wanted
            writing.sendall(struct.pack(">HHHBBHH", 2, 0, 6, 1, 5, 0, 0xFF00 if wanted else 0))
            writing.recv(64)


if __name__ == "__main__":
    _bare(int(sys.argv[1]), int(sys.argv[2]))
