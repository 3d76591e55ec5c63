"""A real agent in wall-clock time on the simulator's water devices: what the tests of this folder share."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vigie_protocols.errors import VigieError
from vigie_protocols.localsocket import ask
from vigie_sim.modbusrig import ModbusRig
from vigie_sim.profiles import builtin_profile
from vigie_sim.water.basin import Basin, BasinSpec
from vigie_sim.water.station import PumpStation, StationSpec

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
T = TypeVar("T")


def until(what: Callable[[], T], limit_s: float = LIMIT_S, why: str = "") -> T:
    """The first true answer of ``what``; asks again and again, fails after ``limit_s``."""
    end = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(VigieError, FileNotFoundError, KeyError):
            found = what()
            if found:
                return found
        assert time.monotonic() < end, f"waited {limit_s} s in vain {why}"
        time.sleep(0.02)


class WaterSite:
    """Station and basin on sockets, stepped in real time by a thread of their own.

    level: metres in the wet well, as the test wants it. steps: how often the devices were stepped. frozen: they
    answer and nothing moves. stalled: they take what comes and answer nothing until it ends.
    """

    def __init__(self, seed: int = 1) -> None:
        spec = StationSpec(device="s", dry_m=0.35, low_m=0.8, lead_m=2.2, lag_m=3.0, high_m=3.6, noise_m=0.0)
        self.station = PumpStation(spec, 2, random.Random(seed))
        self.basin = Basin(
            BasinSpec(device="basin", area_m2=500, high_m=3.3, noise_m=0.0), random.Random(seed + 1)
        )
        self.rigs = [
            ModbusRig("pump-station", builtin_profile("pump-station-duplex"), self.station),
            ModbusRig("basin", builtin_profile("retention-basin"), self.basin),
        ]
        self.level = 1.5
        self.frozen = self.stalled = False
        self.steps = 0
        self.endpoints: list[str] = []
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self.endpoints = [await rig.start() for rig in self.rigs]
        begun = last = time.monotonic()
        try:
            while not self._stop.is_set():
                while self.stalled and not self._stop.is_set():
                    time.sleep(0.005)  # the servers stand still with their loop
                now = time.monotonic()
                seconds, last = now - last, now
                if not self.frozen:
                    self.step(now - begun, seconds, self.level)
                for rig in self.rigs:
                    await rig.refresh(now - begun, time.time())
                self.steps += 1
                self._ready.set()
                await asyncio.sleep(0.05)
        finally:
            for rig in self.rigs:
                await rig.stop()

    def step(self, now: float, seconds: float, level: float) -> None:
        """Let ``seconds`` pass with the wet well at ``level`` metres."""
        self.station.step(now, seconds, level)
        self.station.measure(level, seconds, (10.0, 10.0), {"flow": 0.1})
        self.basin.step(now, seconds)
        self.basin.measure(0.5, seconds, {"rain": 0.0})

    def values(self) -> dict[str, Any]:
        """Every point of both devices."""
        rows = [(rig.device, rig.equipment.values()) for rig in self.rigs]
        return {f"{device}/{point}": value for device, shown in rows for point, value in shown.items()}

    def __enter__(self) -> "WaterSite":
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)


def water_gateway(folder: Path, site: WaterSite, **more: Any) -> Path:
    """The built-in gateway file of the station with real endpoints and its own folders."""
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    for link, end in zip(data["links"].values(), site.endpoints, strict=True):
        link["host"], port = end.split(":")
        link["port"] = int(port)
    loop = data["loops"][0]
    loop["period_s"] = 0.1
    # A test's water rises at once, and nobody waits for pumps to cool.
    loop["site"] |= {"restart_delay_s": 0, "start_gap_s": 0, "level_rate_m_per_s": 100, "level_settle_s": 0}
    loop["controllers"][0]["params"]["start_hold_s"] = 0
    for pump in loop["site"]["pumps"]:
        pump.update(min_run_s=1, min_off_s=1, max_starts_per_hour=60)
    folder.mkdir(parents=True, exist_ok=True)
    data |= {
        "scan_s": 0.1,
        "safety": {"expiry_scans": 10},
        "metrics_port": 0,
        "journal": {"directory": str(folder / "journal"), "commit_ms": 50},
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        **more,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


class Agent:
    """``vigie-edge run`` as a process; whatever is left of it is ended on leaving."""

    def __init__(self, file: Path) -> None:
        self.file = file
        data = yaml.safe_load(file.read_text())
        self.runtime = Path(data["runtime_dir"])
        self.journal = Path(data["journal"]["directory"])
        self.log = file.with_name("agent.log")
        self.process: subprocess.Popen[bytes] | None = None
        self._pids: set[int] = set()

    def start(self, *words: str, keeper: bool = False, **environment: str) -> None:
        """Start it and wait until it scans on good readings. words: more of ``run``'s options."""
        command = [sys.executable, "-m", "vigie_edge.cli", "run", "--config", str(self.file)]
        before = [sys.executable, "-m", "vigie_edge.keeper"] if keeper else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, *command, "--clock-trusted", *words],
                stderr=log,
                env={**os.environ, **environment},
            )
        begun = until(lambda: self.alive() and self.counters(), why="for its socket")["control.scans"]
        until(lambda: self.alive() and self.counters()["control.scans"] > begun + 2, why="for its scans")

    def alive(self) -> bool:
        """Fails with the agent's own words if it has ended."""
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        return True

    def ask(self, action: str, holder: str = "local", **args: Any) -> dict[str, Any]:
        """One request over the command socket; the whole answer."""
        answer = ask(self.runtime, action, args, holder)
        if action == "status":
            self._pids |= {row["pid"] for row in answer["result"]["processes"].values()} - {0}
        return answer

    def status(self) -> dict[str, Any]:
        """What ``vigie-edge status`` shows."""
        result: dict[str, Any] = self.ask("status")["result"]
        return result

    def counters(self) -> dict[str, int]:
        """The board."""
        counters: dict[str, int] = self.status()["counters"]
        return counters

    def pid(self, name: str) -> int:
        """A running child's process number."""
        return int(until(lambda: self.status()["processes"][name]["pid"], why=f"for {name}"))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal a child; its process number."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def cli(self, *words: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
        """Another command of ``vigie-edge`` on this gateway file."""
        return subprocess.run(
            [sys.executable, "-m", "vigie_edge.cli", *words],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={**os.environ, "COLUMNS": "200", "VIGIE_LANG": language},
        )

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        with contextlib.suppress(VigieError):
            self.status()
        self.process.terminate()
        return self.process.wait(LIMIT_S)

    def left_over(self) -> list[int]:
        """Children of this agent that still run."""
        found = []
        for pid in self._pids:
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
                if "(vigie:" in words[0] and words[2].split()[0] != "Z":
                    found.append(pid)
        return found

    def end(self) -> None:
        """End whatever is left."""
        process = self.process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def water_agent(folder: Path, **more: Any) -> Iterator[tuple[WaterSite, Agent]]:
    """Devices and a running agent on them."""
    with WaterSite() as site:
        agent = Agent(water_gateway(folder, site, **more))
        try:
            agent.start()
            yield site, agent
        finally:
            agent.end()


def outputs(agent: Agent) -> dict[str, Any]:
    """What control wants written now, from its memory."""
    from vigie_edge.config import load_plan
    from vigie_edge.wiring import Bells, Wiring

    plan = load_plan(agent.file)
    wiring = Wiring(plan, agent.runtime, Bells())
    found = wiring.outputs().read()
    values = () if found is None else wiring.output_codec.unpack(found[1]).values
    return {decl.name: value for decl, value in zip(plan.outputs, values, strict=False)}


def events(agent: Agent) -> list[dict[str, Any]]:
    """Every event in the telemetry journal."""
    from vigie_edge.journal.journal import list_segments, read_committed
    from vigie_edge.journal.segment import Kind

    found = []
    for _, _, path in list_segments(agent.journal / "telemetry"):
        for record in read_committed(path)[1]:
            if record.kind is Kind.EVENT:
                found.append(json.loads(record.payload))
    return found
