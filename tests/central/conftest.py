"""A coordinator as a real process, a real broker, and an edge node that follows a script."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vigie_protocols import channel
from vigie_protocols.broker import Broker
from vigie_protocols.envelope import load_key_ring, verify
from vigie_protocols.errors import LinkDown, SignatureError
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import Connected, Disconnected, LinkConfig, LinkEvent, Received, Will
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.points import ValueType
from vigie_protocols.ranges import IndexSet
from vigie_protocols.sparkplug.actions import Disconnect, Publish, Subscribe
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.model import DataType, Metric, metric_of

WAIT = 30.0
"""The one wall limit of every wait on a condition."""

MAIN = {
    "vigie-central": "from vigie_central.server_cli import main; main()",
    "vigie": "from vigie_central.cli import main; main()",
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Central:
    """``vigie-central`` in a state directory of its own."""

    def __init__(self, state: Path, broker: str) -> None:
        self.state = state
        self.broker = broker
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.ready: dict[str, Any] = {}
        self.log = state.parent / f"{state.name}.log"

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", MAIN[words[0]], *words[1:]],
            env={**os.environ, "VIGIE_STATE": str(self.state)},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def init(self) -> "Central":
        done = self.command("vigie-central", "init")
        assert done.returncode == 0, done.stderr
        return self

    def enrol(self, gateway: str, district: str | None = None) -> Path:
        ring = self.state.parent / f"{gateway}.ring"
        more = ["--district", district] if district else []
        done = self.command("vigie-central", "enrol", gateway, "--out", str(ring), *more)
        assert done.returncode == 0, done.stderr
        return ring

    def start(self) -> "Central":
        ready = self.state.parent / f"{self.state.name}.ready"
        ready.unlink(missing_ok=True)
        words = ["run", "--http", "127.0.0.1:0", "--broker", self.broker]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN["vigie-central"], *words, "--ready-file", str(ready)],
                env={**os.environ, "VIGIE_STATE": str(self.state)},
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: ready.exists() or self.process.poll() is not None)
        assert ready.exists(), self.log.read_text()
        self.ready = json.loads(ready.read_text())
        self.url = self.ready["http"]
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(WAIT) == 0, self.log.read_text()

    @property
    def token(self) -> str:
        return (self.state / "operator.token").read_text().strip()

    def call(
        self, method: str, path: str, body: Any = None, *, token: bool = True, raw: bytes | None = None
    ) -> tuple[int, Any]:
        """(status, JSON) of a request."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WAIT) as answer:
                text = answer.read()
                return answer.status, _loads(text)
        except urllib.error.HTTPError as error:
            return error.code, _loads(error.read())

    def get(self, path: str) -> Any:
        status, body = self.call("GET", "/api/v1" + path)
        assert status == 200, body
        return body


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not true():
            await asyncio.sleep(0.01)


class ScriptedEdge:
    """A gateway's uplink: journal in memory, trimmed by acknowledgements alone, policies by its key ring."""

    def __init__(
        self,
        broker: Broker,
        name: str,
        devices: dict[str, dict[str, ValueType]],
        *,
        epoch: int = 1,
        ring: Path | None = None,
        answer: Callable[[channel.Bundle], channel.Reported] | None = None,
    ) -> None:
        self.name = name
        self.devices = devices
        self.epoch = epoch
        self.journal: dict[int, tuple[str, list[Metric]]] = {}
        self.next = 1
        self.acked = IndexSet(first=1)
        self.bundles: list[channel.Bundle] = []
        self.refused: list[str] = []
        self.births = 0
        self.connections = 0
        self.answer = answer
        self.historical = False
        """What is journalled now is sent as what was, as backfill is."""
        self._ring = load_key_ring(ring, name) if ring else None
        node = [
            Metric(channel.EPOCH_METRIC, 0, DataType.UINT64),
            Metric(channel.INDEX_METRIC, 0, DataType.UINT64),
        ]
        event = Metric(channel.EVENT_METRIC, None, DataType.STRING)
        self.edge = EdgeNode(
            EdgeConfig("vigie", name, primary_host="vigie"),
            [*node, event],
            {
                device: [*node, *(metric_of(point, kind, None, now_ms()) for point, kind in points.items())]
                for device, points in devices.items()
            },
        )
        self.link = MqttLink(
            LinkConfig(broker.host, broker.port, name, first_delay=0.0, min_delay=0.05, max_delay=0.2),
            time.monotonic,
            random.Random(name).random,
            self._will,
        )
        self.driver = AsyncMqttLink(self.link, self._event)

    def _will(self) -> Will:
        will = self.edge.will(now_ms())
        return Will(will.topic, will.payload, will.qos, will.retain)

    def start(self) -> None:
        self.driver.start()

    async def stop(self) -> None:
        await self.driver.close(with_will=True)

    def sample(self, device: str, utc_ms: int | None = None, **values: Any) -> int:
        """Journal one record of a device and send it when that is possible now."""
        stamp = now_ms() if utc_ms is None else utc_ms
        points = self.devices[device]
        return self._add(
            device, [metric_of(name, points[name], value, stamp) for name, value in values.items()], stamp
        )

    def tell(self, body: dict[str, Any], utc_ms: int | None = None) -> int:
        """Journal one event."""
        stamp = now_ms() if utc_ms is None else utc_ms
        text = msgspec.json.encode(body).decode()
        return self._add("", [Metric(channel.EVENT_METRIC, text, DataType.STRING, None, stamp)], stamp)

    def _add(self, device: str, metrics: list[Metric], stamp: int) -> int:
        index, self.next = self.next, self.next + 1
        self.journal[index] = (device, metrics)
        self._send(index, historical=self.historical)
        return index

    def _send(self, index: int, *, historical: bool) -> None:
        if not self.edge.born:
            return
        device, metrics = self.journal[index]
        carriers = channel.journal_metrics(self.epoch, index, now_ms(), historical=historical)
        if historical:
            metrics = [msgspec.structs.replace(metric, is_historical=True) for metric in metrics]
        with contextlib.suppress(LinkDown):
            self._do(self.edge.data(device, [*carriers, *metrics], now_ms()))

    def resend(self) -> None:
        """Everything that is not acknowledged, again."""
        for index in list(self.journal):
            self._send(index, historical=True)

    def _do(self, actions: Any) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.births += action.topic.split("/")[2] == "NBIRTH"
                self.driver.publish(action.topic, action.payload, action.qos, action.retain)
            elif isinstance(action, Subscribe):
                self.driver.subscribe(action.filters)
            elif isinstance(action, Disconnect):
                self.driver.reconnect(action.reason)

    def _event(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self.connections += 1
            self._do(self.edge.connected(now_ms()))
            own = [(channel.topic(self.name, what), 1) for what in (channel.ACK, channel.DESIRED)]
            self.driver.subscribe(own)
        elif isinstance(event, Disconnected):
            self.edge.disconnected()
        elif isinstance(event, Received):
            if event.topic.startswith("spBv1.0/"):
                born = self.births
                self._do(self.edge.received(event.topic, event.payload, now_ms()))
                if self.births > born:
                    self.resend()
            elif event.topic.endswith("/ack"):
                self._take_ack(channel.decode_ack(event.payload))
            elif event.topic.endswith("/desired"):
                self._take_bundle(event.payload)

    def _take_ack(self, ack: channel.Ack) -> None:
        if ack.epoch != self.epoch:
            return
        self.acked.merge(ack.through, ack.ranges)
        for index in [index for index in self.journal if index in self.acked]:
            del self.journal[index]

    def _take_bundle(self, payload: bytes) -> None:
        if self._ring is None:
            return
        try:
            verified = verify(payload, self._ring, channel.PAYLOAD_TYPES["bundle"], channel.MAX_BUNDLE)
        except SignatureError as why:
            self.refused.append(str(why))
            return
        bundle = channel.decode_bundle(verified.payload)
        self.bundles.append(bundle)
        if self.answer is not None:
            report = self.answer(bundle)
            self.driver.publish(
                channel.topic(self.name, channel.REPORTED), channel.encode(report), 1, retain=True
            )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's own: its parents are closed to the user that the database takes when root runs us."""
    with tempfile.TemporaryDirectory(prefix="vigie-central-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Broker]:
    with Broker(folder / "broker") as running:
        yield running


@pytest.fixture(scope="module")
def central(folder: Path, broker: Broker) -> Iterator[Central]:
    """One coordinator per test file."""
    made = Central(folder / "state", f"{broker.host}:{broker.port}").init()
    made.enrol("gw-a", "nord")
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def make_central(folder: Path, broker: Broker) -> Iterator[Callable[[str], Central]]:
    """Coordinators of one test."""
    made: list[Central] = []

    def make(name: str) -> Central:
        made.append(Central(folder / name, f"{broker.host}:{broker.port}").init())
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def make_edge(broker: Broker) -> Callable[..., ScriptedEdge]:
    """Edge nodes; the test starts and stops them in its own loop."""

    def make(name: str, devices: dict[str, dict[str, ValueType]], **more: Any) -> ScriptedEdge:
        return ScriptedEdge(broker, name, devices, **more)

    return make
