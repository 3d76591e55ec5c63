"""A gateway with its coordinator in wall-clock time, and every fault that the tests and the benches do to it."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.gateway import Place
from tests.edge.wallclock import ROOT, Agent, WaterSite, until, water_gateway

from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.memory.board import Board
from vigie_edge.records import Readings, Scan, decode_control, decode_field
from vigie_protocols.broker import Broker
from vigie_sim.coordinator import Coordinator
from vigie_sim.faults.proxy import Mode, Proxy

GATEWAY = "gw-pompage"
SHIFTED_CLOCK = '''"""UTC of this process is what the file VIGIE_TEST_SHIFT says beside the truth, in seconds."""

import os
import time

_true = time.time
_file = os.environ["VIGIE_TEST_SHIFT"]


def _shifted():
    with open(_file) as file:
        return _true() + float(file.read() or 0)


time.time = _shifted
'''


class Tap:
    """The simulator's proxy between uplink and broker, on a loop and a thread of its own."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = Proxy("127.0.0.1", port)
        self.port = int(self._run(self.proxy.start()).rpartition(":")[2])

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def mode(self, mode: Mode) -> None:
        async def turn() -> None:
            self.proxy.mode = mode

        self._run(turn())

    def close(self) -> None:
        self._run(self.proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@dataclass
class Count:
    """What went in and what came out. published: samples in the journal; stored: at the coordinator."""

    published: int
    stored: int
    duplicates: int
    missing: int

    @property
    def lost(self) -> int:
        return self.published - self.stored


@dataclass
class Stand:
    """Everything that can be broken."""

    folder: Path
    site: WaterSite
    places: list[Place]
    broker: Broker
    tap: Tap
    central: Coordinator
    agent: Agent
    chance: random.Random
    told: list[str] = field(default_factory=list)

    # -- life that goes on -----------------------------------------------------------------------------

    def live(self, samples: int = 10) -> None:
        """Water moves until so many more samples are in the journal."""
        wanted = self.count_published() + samples
        until(lambda: self._stir() or self.count_published() >= wanted, why=f"for {samples} samples")

    def _stir(self) -> bool:
        self.site.level = self.chance.uniform(0.9, 2.1)
        return False

    def count_published(self) -> int:
        return self.board()["recorder.samples"]

    def board(self) -> dict[str, int]:
        return Board(self.agent.runtime).all()

    def connected(self, whether: bool = True) -> None:
        until(
            lambda: bool(self.board()["uplink.connected"]) is whether, why=f"for a link that is up: {whether}"
        )

    def count(self) -> Count:
        """Counted in a moment in which nothing is on its way, at either end."""
        self.site.frozen = True
        try:
            return until(self._counted, why="for a moment of quiet")
        finally:
            self.site.frozen = False

    def _counted(self) -> Count | None:
        before = self.board()
        until(lambda: self.board()["recorder.turns"] >= before["recorder.turns"] + 2, why="for the recorder")
        published = self.count_published()
        if not drained(self.board()):
            return None
        told = self.central.call("GET", "counters?verify=true")
        row = told["gateways"][GATEWAY]
        if (
            self.count_published() != published
            or self.board()["recorder.last_index"] != before["recorder.last_index"]
        ):
            return None
        return Count(published, row["samples_stored"], told["duplicate_rows"], row["missing"])

    # -- faults --------------------------------------------------------------------------------------

    def broker_stopped(self) -> None:
        """A clean stop: every connection is closed in order."""
        self.broker.stop()
        self._without_broker()

    def broker_killed(self) -> None:
        self.broker.kill()
        self._without_broker()

    def _without_broker(self) -> None:
        self.connected(False)
        self.live()
        self.broker.start()
        self.connected()

    def black_hole(self) -> None:
        """Sockets stay open and every byte is swallowed, until the uplink has noticed by itself and beyond."""
        self.tap.mode(Mode.BLACKHOLE)
        swallowed = self.tap.proxy.counters.swallowed
        self.live()
        self.connected(False)
        self.live()
        assert self.tap.proxy.counters.swallowed > swallowed
        self.tap.mode(Mode.PASS)
        self.connected()

    def coordinator_killed(self) -> None:
        self.central.kill()
        self.live()
        asyncio.run(self.central.start())

    def all_killed(self) -> list[str]:
        """SIGKILL of every process of the agent, each at a random instant of its own, in a random order.

        Whoever dies before the supervisor may be started again by it, whoever dies after it waits for the
        next supervisor, which takes over those that live. Returns the order.
        """
        told = self.agent.status()
        pids = {name: int(row["pid"]) for name, row in told["processes"].items()}
        pids["supervisor"] = int(told["supervisor"])
        assert all(pids.values()), pids
        order = self.chance.sample(sorted(pids), len(pids))
        for name in order:
            threading.Event().wait(self.chance.uniform(0.0, 0.06))
            os.kill(pids[name], signal.SIGKILL)
        assert self.agent.process is not None
        self.agent.process.wait()
        self.start_agent()

        def all_new() -> bool:
            now = self.agent.status()["processes"]
            return all(now[name]["pid"] not in (0, pids[name]) for name in now)

        until(all_new, why="for every process to be another")
        self.live(5)
        return order

    def clock_jumps(self, seconds: float) -> None:
        """UTC of every process of the agent is another from one instant to the next, and then right again."""
        (self.folder / "shift").write_text(str(seconds))
        self.live()
        (self.folder / "shift").write_text("0")
        self.live()

    def devices_come_and_go(self, times: int) -> None:
        """A reconnect storm: both devices cut again and again, as soon as they are connected."""
        for _ in range(times):
            seen = [self._connects(), self._connects()]
            for place in self.places:
                place.take_away()
                place.there = True
            until(lambda seen=seen: self._stir() or self._connects() > seen[0] + 1, why="for both links")

    def _connects(self) -> int:
        links = self.agent.status()["links"]
        return sum(int(link["counters"]["connects"]) for link in links.values())

    def disk_full(self, disk: Path) -> None:
        """Not a byte is left for the journal, for a while."""
        filler = disk / "filler"
        failures = self.board()["recorder.write_failures"]
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        refused = "for the disk to refuse"
        until(lambda: self._stir() or self.board()["recorder.write_failures"] > failures + 2, why=refused)
        filler.unlink()
        self.live()

    def bits_flipped(self) -> int:
        """One bit in every segment of a stopped agent's journals; how many segments that were."""
        assert self.agent.stop() == 0
        paths = [
            path
            for name in ("telemetry", "replay")
            for _, _, path in list_segments(self.agent.journal / name)
        ]
        for path in paths:
            data = bytearray(path.read_bytes())
            data[self.chance.randrange(len(data) // 4, len(data) // 2)] ^= 1 << self.chance.randrange(8)
            path.write_bytes(data)
        self.start_agent()
        self.connected()
        return len(paths)

    def start_agent(self) -> None:
        self.agent.start(PYTHONPATH=str(self.folder / "clock"), VIGIE_TEST_SHIFT=str(self.folder / "shift"))

    # -- what the journal says -------------------------------------------------------------------------

    def in_replay_journal(self) -> "Replayed":
        """What the replay journal holds, once all is in it that was handed over before this was asked."""
        board = self.board()
        until(lambda: self.board()["recorder.turns"] >= board["recorder.turns"] + 2, why="for the recorder")
        scans: Counter[int] = Counter()
        readings: Counter[bytes] = Counter()
        changes = 0
        for _, _, path in list_segments(self.agent.journal / "replay"):
            for record in read_committed(path)[1]:
                if record.kind is Kind.SCAN:
                    scan = decode_control(record.payload)
                    assert isinstance(scan, Scan)
                    scans[scan.scan] += 1
                elif record.kind is Kind.READINGS:
                    found = decode_field(record.payload)
                    readings[record.payload] += 1
                    changes += sum(len(run[0]) for run in found.runs) if isinstance(found, Readings) else 0
        return Replayed(scans, readings, changes, board["field.readings"])


@dataclass
class Replayed:
    """Scans by number, field's records by content, readings in them, and those field had handed over."""

    scans: Counter[int]
    records: Counter[bytes]
    readings: int
    handed_over: int


def drained(board: dict[str, int]) -> bool:
    """Every record is in the journal, and the coordinator has acknowledged the last of them."""
    whole = board["recorder.backlog"] == 0 and board["uplink.acked_epoch"] == board["recorder.epoch"]
    return whole and board["uplink.acked_through"] >= board["recorder.last_index"]


@contextlib.contextmanager
def stand(folder: Path, seed: int, journal: Path | None = None) -> Iterator[Stand]:
    """A running stand in ``folder``; journal: another place for it than there."""
    central = Coordinator(folder / "central", folder / "log" / "central.log")
    central.initialise()
    central.enrol([GATEWAY], "centre", folder / "keys")
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(SHIFTED_CLOCK)
    (folder / "shift").write_text("0")
    places = [Place(), Place()]
    with Broker(folder / "broker") as broker, WaterSite() as site, contextlib.ExitStack() as ends:
        tap = Tap(broker.port)
        ends.callback(tap.close)
        central.broker = f"127.0.0.1:{broker.port}"
        ends.callback(central.stop)
        asyncio.run(central.start())
        for place, endpoint in zip(places, site.endpoints, strict=True):
            ends.callback(place.close)
            place.put(endpoint)
        agent = Agent(_gateway_file(folder, site, places, tap.port, journal or folder / "journal"))
        ends.callback(agent.end)
        made = Stand(folder, site, places, broker, tap, central, agent, random.Random(seed))
        made.start_agent()
        made.connected()
        yield made


def _gateway_file(folder: Path, site: WaterSite, places: list[Place], port: int, journal: Path) -> Path:
    quick = {"first_s": 0.1, "max_s": 0.5}
    uplink = {"host": "127.0.0.1", "port": port, "keyring": str(folder / "keys" / f"{GATEWAY}.json")}
    more: dict[str, Any] = {
        "uplink": {**uplink, "keepalive_s": 5, "retry": quick},
        "journal": {"directory": str(journal), "commit_ms": 50},
    }
    file = water_gateway(folder, site, **more)
    for name in ("pump-station-duplex", "retention-basin"):
        _talkative(folder, name)
    data = yaml.safe_load(file.read_text())
    data["loops"][0]["site"]["basin"]["gate_rate_pct_per_s"] = (
        100.0  # or it would move on when all else is quiet
    )
    through = dict(zip(site.endpoints, places, strict=True))
    for link in data["links"].values():
        link.update(port=through[f"{link['host']}:{link['port']}"].port, retry=quick)
    file.write_text(yaml.safe_dump(data))
    return file


def _talkative(folder: Path, name: str) -> None:
    """The built-in profile, polled ten times a second, every change published."""
    data = yaml.safe_load((ROOT / "firmware-config" / "profiles" / f"{name}.yaml").read_text())
    for point in data["points"]:
        point["rate_s"] = 0.1
        if point.get("publish"):
            del point["publish"]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path | None]:
    """A file system of its own in memory, None where nobody may make one."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
