"""Brokers as child processes: start, stop, kill, take over, and what is said when they cannot start."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protocols.wire.links import Client, close, until

from vigie_protocols.broker import Broker, Kind, find_mosquitto
from vigie_protocols.errors import LinkDown
from vigie_protocols.mqttevents import Acked, Received

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
KINDS = [pytest.param("mosquitto", marks=[pytest.mark.mosquitto, needs_mosquitto]), "amqtt"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def broker(kind: Kind, tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path / "broker", kind=kind)
    yield made
    made.stop()


def test_start_stop_and_start_again(broker: Broker) -> None:
    assert not broker.alive and broker.pid is None
    broker.start()
    pid, port = broker.pid, broker.port
    assert pid is not None and port
    broker.start()
    assert broker.pid == pid, "starting twice changes nothing"
    broker.stop()
    broker.stop()
    assert not broker.alive and broker.pid is None
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((broker.host, port), timeout=5)
    broker.start()
    assert broker.port == port and broker.pid != pid


def test_killed_it_comes_back_on_the_same_port(broker: Broker) -> None:
    broker.start()
    pid, port = broker.pid, broker.port
    broker.kill()
    assert not broker.alive
    broker.start()
    assert (broker.port, broker.pid != pid) == (port, True)


def test_a_successor_takes_over_what_a_killed_one_left(broker: Broker, kind: Kind) -> None:
    broker.start()
    heir = Broker(broker.directory, kind=kind)
    heir.start()
    assert (heir.pid, heir.port) == (broker.pid, broker.port)
    heir.stop()
    assert not broker.alive


def test_a_stale_note_misleads_nobody(broker: Broker) -> None:
    broker.start()
    note = (broker.directory / "broker.json").read_text()
    broker.stop()
    (broker.directory / "broker.json").write_text(note.replace(f'"port": {broker.port}', '"port": 1'))
    broker.start()
    assert broker.alive
    (broker.directory / "broker.json").write_text("nonsense")


def test_a_port_in_use_is_told(tmp_path: Path, kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = Broker(tmp_path, taken.getsockname()[1], kind=kind)
        with pytest.raises(LinkDown, match=f"{kind} did not start on port {broker.port}"):
            broker.start(timeout=3.0)
        assert not broker.alive


@pytest.mark.mosquitto
@needs_mosquitto
def test_mosquitto_keeps_retained_messages_over_a_restart(tmp_path: Path) -> None:
    with Broker(tmp_path, kind="mosquitto") as broker:
        client = Client(broker.port, "one")
        until(lambda: client.link.connected, client)
        client.link.publish("kept", b"still here", 1, retain=True)
        until(lambda: client.all(Acked), client)
        close(client)
        broker.stop()
        broker.start()
        again = Client(broker.port, "two")
        until(lambda: again.link.connected, again)
        again.link.subscribe([("kept", 1)])
        until(lambda: again.all(Received), again)
        assert again.all(Received)[0].payload == b"still here"
        close(again)


def test_by_hand(tmp_path: Path, kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "vigie_protocols.broker",
        "--port",
        str(port),
        "--directory",
        str(tmp_path),
    ]
    if kind == "amqtt":
        command.append("--amqtt")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        client = Client(port, "one", protocols=(4,), max_delay=0.1)
        try:
            until(lambda: client.link.connected, client)
            close(client)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_which_broker_is_chosen(tmp_path: Path) -> None:
    assert Broker(tmp_path).kind == ("mosquitto" if find_mosquitto() else "amqtt")
    assert Broker(tmp_path, kind="amqtt").protocols == (4,)


def test_a_broker_that_ends_by_itself_is_noticed(broker: Broker) -> None:
    broker.start()
    pid = broker.pid
    assert pid is not None
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], 10.0)[0]
    os.close(handle)
    broker.join()
    assert not broker.alive
