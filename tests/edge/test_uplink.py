"""The uplink on a real broker: what a host that was away, or a broker that says no, makes of it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client
import pytest
import yaml

from vigie_edge import clock
from vigie_edge.config import load_plan
from vigie_edge.journal.journal import Journal, list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.processes.recorder import Recorder
from vigie_edge.processes.uplink import Uplink
from vigie_edge.telemetry_records import Event, event_decoder, samples_of
from vigie_edge.wiring import Bells, Wiring, prepare_runtime
from vigie_protocols import channel
from vigie_protocols.broker import Broker, find_mosquitto
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.model import DataType, Metric, Payload

ROOT = Path(__file__).parents[2]
GATEWAY, GROUP = "gw-pompage", "vigie"
LIMIT_S = 30.0


class StoppableClock:
    """The monotonic clock, until it is stopped: from then on no time-out can help anybody."""

    def __init__(self) -> None:
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.stopped_at is None else self.stopped_at

    def stop(self) -> None:
        self.stopped_at = time.monotonic()


class Listener:
    """A bare MQTT client in the place of the host: what it heard, by verb; it acknowledges nothing."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, Payload]] = []
        self._known: dict[str, dict[int | str, Metric]] = {}
        self.client = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
        self.client.on_message = self._take
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"spBv1.0/{GROUP}/+/{GATEWAY}/#")
        self.ready = False
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)

    def _take(self, _client: Any, _data: Any, message: paho.mqtt.client.MQTTMessage) -> None:
        verb, source = message.topic.split("/")[2], message.topic.split("/")[3:]
        known = self._known.setdefault("/".join(source), {})
        payload = SparkplugB().decode(message.payload, known)
        if verb.endswith("BIRTH"):
            known.update((one.alias, one) for one in payload.metrics if one.alias is not None)
        if verb != "NCMD":
            self.heard.append((verb, payload))

    def turn(self) -> None:
        self.client.loop(0.01)

    def ask_for_births(self) -> None:
        rebirth = Metric("Node Control/Rebirth", True, int(DataType.BOOLEAN))
        body = SparkplugB().encode(Payload((rebirth,), round(time.time() * 1000), None))
        self.client.publish(f"spBv1.0/{GROUP}/NCMD/{GATEWAY}", body, 0)

    def indexes(self, since: int = 0) -> list[tuple[int, bool]]:
        """(journal index, historical) of every record heard, in order."""
        found = []
        for verb, payload in self.heard[since:]:
            if verb in ("NDATA", "DDATA"):
                key = channel.journal_key(payload.metrics)
                assert key is not None
                found.append((key[1], payload.metrics[0].is_historical))
        return found


class Bench:
    """An uplink in this process with a journal to fill, turned by the test beside its listener."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
        data |= {
            "state_dir": str(folder / "state"),
            "journal": {"directory": str(folder / "journal")},
            "runtime_dir": str(folder / "run"),
            "uplink": {"host": "127.0.0.1", "port": broker.port},
        }
        file = folder / "gateway.yaml"
        file.write_text(yaml.safe_dump(data))
        plan = load_plan(file)
        self.wiring = Wiring(plan, prepare_runtime(plan), Bells())
        self.journal = Journal(folder / "journal" / "telemetry", 1 << 20, b"", 1000)
        self.uplink = Uplink(self.wiring)
        self.listener = Listener(broker.port)
        self.until(lambda: self.listener.ready)
        self.uplink.link.start()

    def write(self, count: int) -> None:
        for number in range(count):
            rows = [("level", float(number), 2)]
            record = samples_of("basin", time.time(), time.monotonic(), "", 2, rows)
            self.journal.append(Kind.SAMPLES, msgspec.msgpack.encode(record))
        self.journal.commit(b"")

    def until(self, true: Any) -> None:
        end = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < end, "never came true"
            self.wiring.bells.uplink.ring()  # as the recorder does: no turn waits
            self.uplink.turn(self.wiring.bells.uplink.fd)
            self.wiring.bells.uplink.answer()
            self.listener.turn()

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.listener.heard]

    def close(self) -> None:
        self.uplink.link.close()
        self.listener.client.disconnect()
        self.journal.close()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> StoppableClock:
    made = StoppableClock()
    monkeypatch.setattr(clock, "monotonic", made)
    return made


@pytest.fixture
def bench(tmp_path: Path, stopped: StoppableClock) -> Iterator[Bench]:
    with Broker(tmp_path / "broker") as broker:
        made = Bench(tmp_path, broker)
        try:
            yield made
        finally:
            made.close()


def test_a_host_that_asks_for_births_gets_what_it_missed_without_waiting(
    bench: Bench, stopped: StoppableClock
) -> None:
    """Published while the host was away and never acknowledged: no time-out is left to bring it again."""
    bench.write(20)
    bench.until(lambda: len(bench.listener.indexes()) == 20)
    stopped.stop()
    before = len(bench.listener.heard)
    bench.listener.ask_for_births()
    bench.until(lambda: len(bench.listener.indexes(before)) == 20)
    assert bench.verbs()[before] == "NBIRTH", "births come before what needs their aliases"
    assert bench.listener.indexes(before) == [(index, True) for index in range(1, 21)]


def test_what_was_acknowledged_does_not_come_again_with_the_births(
    bench: Bench, stopped: StoppableClock
) -> None:
    bench.write(20)
    bench.until(lambda: len(bench.listener.indexes()) == 20)
    ack = channel.encode(channel.Ack(bench.journal.epoch, 15, ((18, 18),)))
    bench.listener.client.publish(channel.topic(GATEWAY, channel.ACK), ack, 1)
    bench.until(lambda: bench.uplink.sender.waiting == 4)
    stopped.stop()
    before = len(bench.listener.heard)
    bench.listener.ask_for_births()
    bench.write(1)
    bench.until(lambda: len(bench.listener.indexes(before)) == 5)
    assert sorted(index for index, _ in bench.listener.indexes(before)) == [16, 17, 19, 20, 21]


def test_a_coordinator_that_acknowledges_nothing_is_told_until_it_does(
    bench: Bench, stopped: StoppableClock
) -> None:
    bench.write(3)
    bench.until(lambda: len(bench.listener.indexes()) == 3)
    board = bench.wiring.board()
    assert not board.get("uplink.unheard") and board.get("uplink.unacked") == 3
    stopped.stop()
    assert stopped.stopped_at is not None
    stopped.stopped_at += 31.0
    bench.until(lambda: board.get("uplink.unheard"))
    bench.uplink._acknowledged(channel.Ack(bench.journal.epoch, 3))
    bench.until(lambda: not board.get("uplink.unheard"))


@pytest.mark.mosquitto
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_a_broker_that_denies_is_an_alarm_until_it_takes_what_comes(tmp_path: Path) -> None:
    """0x87 comes for what goes at QoS 1; told by the recorder as an alarm, tried again, cleared when taken."""
    acl, topic = tmp_path / "acl", channel.topic(GATEWAY, channel.REPORTED)
    denying = f"topic deny {topic}\ntopic readwrite #\n"
    acl.write_text(denying)
    acl.chmod(0o644)
    with Broker(tmp_path / "broker", kind="mosquitto", extra=[f"acl_file {acl}"]) as broker:
        bench = Bench(tmp_path, broker)
        try:
            shelf = tmp_path / "state" / "policies"
            shelf.mkdir(exist_ok=True)
            (shelf / "reported.json").write_text("{}")
            board = bench.wiring.board()
            bench.until(lambda: board.get("uplink.denied_now"))
            recorder = Recorder(bench.wiring)
            recorder.turn()
            acl.write_text("topic readwrite #\n")
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGHUP)
            (shelf / "reported.json").write_text('{"generation": 1}')
            bench.until(lambda: not board.get("uplink.denied_now"))
            recorder = Recorder(bench.wiring)  # another one, as after a kill: it knows what stands
            recorder.turn()
        finally:
            bench.close()
    told = [event for event in journalled(tmp_path / "journal") if event.kind == "alarm"]
    assert [(one.subject, one.what, one.active, one.severity) for one in told] == [
        ("broker", "denied", True, "high"),
        ("broker", "denied", False, "high"),
    ]
    assert board.get("uplink.denied") >= 1


def journalled(directory: Path) -> list[Event]:
    """Every event of the telemetry journal."""
    return [
        event_decoder.decode(record.payload)
        for _, _, path in list_segments(directory / "telemetry")
        for record in read_committed(path)[1]
        if record.kind is Kind.EVENT
    ]
