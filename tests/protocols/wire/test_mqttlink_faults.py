"""The MQTT link against servers that misbehave, and its waits on a clock of our own."""

import contextlib
import random
import socket
from collections.abc import Callable, Iterator

import pytest
from tests.protocols.wire.links import Client, close, serve, until

from vigie_protocols.errors import FrameError
from vigie_protocols.mqttevents import (
    MQTT5,
    MQTT311,
    Acked,
    Disconnected,
    LinkConfig,
    LinkState,
    QueueFull,
    Received,
)
from vigie_protocols.mqttlink import MqttLink


class Server:
    """A TCP server in the hand of the test; it serves one connection at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.peer: socket.socket | None = None

    def accept(self) -> socket.socket:
        self.listener.settimeout(10.0)
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(10.0)
        return self.peer

    def greet(self, client: Client, answer: bytes = b"\x20\x03\x00\x00\x00") -> socket.socket:
        """Take the client's CONNECT and answer it."""
        until(lambda: client.link.state in (LinkState.CONNECTING, LinkState.GREETING), client)
        peer = self.accept()
        until(lambda: client.link.state is LinkState.GREETING, client)
        # A link of an earlier turn may have begun to connect just before it was closed: its socket says nothing.
        while not (greeting := peer.recv(1000)):
            peer = self.accept()
        assert greeting[:1] == b"\x10"
        peer.sendall(answer)
        return peer

    def close(self) -> None:
        if self.peer is not None:
            self.peer.close()
        self.listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\xff\xff\xff\x7f",  # 256 MB announced
        b"\x20\x01\x00",  # CONNACK cut short
        b"\x00\x00",  # no such packet
        b"\x30\x02\x00\x09",  # a topic longer than the packet
        b"\x40\x01\x00",  # PUBACK without an id
        b"\x90\x01\x00",
        b"\xff\x00",
    ],
)
def test_malformed_packets_end_the_connection_and_nothing_else(server: Server, packet: bytes) -> None:
    client = Client(server.port, "one", protocols=(MQTT5,))
    peer = server.greet(client)
    until(lambda: client.link.connected, client)
    peer.sendall(packet)
    until(lambda: client.all(Disconnected), client)
    assert client.all(Disconnected)[0].was_connected
    peer.close()
    server.greet(client)
    until(lambda: client.link.connected, client)
    client.link.close()
    serve([client], 0.0)


@pytest.mark.parametrize(
    ("version", "answer", "words"),
    [(MQTT311, b"\x20\x02\x00\x05", "[Nn]ot authori"), (MQTT5, b"\x20\x03\x00\x87\x00", "[Nn]ot authori")],
)
def test_a_refusal_is_told_and_tried_again(server: Server, version: int, answer: bytes, words: str) -> None:
    client = Client(server.port, "one", protocols=(version,))
    server.greet(client, answer).close()
    until(lambda: client.all(Disconnected), client)
    event = client.all(Disconnected)[0]
    assert not event.was_connected and event.next_try is not None
    assert "refused" in event.reason
    close(client)


def test_a_topic_that_is_no_text_is_dropped(server: Server) -> None:
    client = Client(server.port, "one", protocols=(MQTT311,))
    peer = server.greet(client, b"\x20\x02\x00\x00")
    until(lambda: client.link.connected, client)
    peer.sendall(b"\x30\x04\x00\x01\xffx" + b"\x30\x04\x00\x01tx")
    until(lambda: client.all(Received), client)
    assert [event.topic for event in client.all(Received)] == ["t"] and client.link.dropped == 1
    client.link.close()
    serve([client], 0.0)


def test_noise_from_a_broker_never_raises(server: Server) -> None:
    noise = random.Random(20261123)
    packets = [
        b"\x30\x06\x00\x01t\x00xy",
        b"\x32\x08\x00\x01t\x00\x01\x00xy",
        b"\x40\x04\x00\x01\x10\x00",
        b"\x90\x04\x00\x01\x00\x01",
        b"\xd0\x00",
        b"\xe0\x02\x8e\x00",
        b"\x20\x09\x00\x00\x06\x21\x00\x14\x22\x00\x0a",
        b"\x30\x0b\x00\x01t\x05\x26\x00\x00\x00\x00xy",
        b"\x62\x02\x00\x01",
    ]
    for _ in range(500):
        client = Client(server.port, "one", protocols=(MQTT5,))
        peer = server.greet(client)
        until(lambda: client.link.connected, client)  # noqa: B023
        client.link.publish("t", b"x", 1)
        data = bytearray(b"".join(noise.choices(packets, k=3)))
        for _ in range(3):
            data[noise.randrange(len(data))] = noise.randrange(256)
        peer.sendall(data)
        peer.close()
        until(lambda: client.all(Disconnected), client)  # noqa: B023
        client.link.close()


def test_what_waits_is_bounded(server: Server) -> None:
    client = Client(server.port, "one", protocols=(MQTT5,), max_queued=100, max_queued_bytes=50_000)
    server.greet(client)
    until(lambda: client.link.connected, client)
    for _ in range(100):
        client.link.publish("t", b"x", 1)
    with pytest.raises(QueueFull):
        client.link.publish("t", b"x", 1)
    lost = client.link.queued
    assert lost[0] == 100
    client.events += client.link.reconnect("test")
    assert len(client.all(Disconnected)[0].lost) == 100
    assert client.link.queued == (0, 0)
    server.greet(client)
    until(lambda: client.link.connected, client)
    client.link.publish("t", b"x" * 49_000, 1)
    with pytest.raises(QueueFull):
        client.link.publish("t", b"x" * 1000, 0)
    close(client)


def test_a_reader_that_stops_reading_bounds_qos_0_too(server: Server) -> None:
    client = Client(server.port, "one", protocols=(MQTT5,), max_queued=10**6, max_queued_bytes=1 << 20)
    server.greet(client)
    until(lambda: client.link.connected, client)
    sent = 0
    with contextlib.suppress(QueueFull):
        for sent in range(10_000):
            client.link.publish("t", b"x" * 10_000, 0)
            serve([client], 0.0)
    assert 100 < sent < 9_999
    assert client.link.queued[1] <= 1 << 20
    assert len(client.all(Acked)) + client.link.queued[0] == sent
    client.link.close()
    until(lambda: client.link.state is LinkState.IDLE, client)


def test_bad_topics_are_refused_at_once(server: Server) -> None:
    client = Client(server.port, "one", protocols=(MQTT5,))
    server.greet(client)
    until(lambda: client.link.connected, client)
    for topic in ("a/+", "#", "x" * 70_000):
        with pytest.raises(FrameError):
            client.link.publish(topic, b"", 0)
    assert client.link.queued == (0, 0)
    client.link.close()
    serve([client], 0.0)


def test_no_answer_is_given_up(server: Server) -> None:
    client = Client(server.port, "one", protocols=(MQTT5,), connect_timeout=0.05)
    until(lambda: client.all(Disconnected), client)
    assert client.all(Disconnected)[0].reason == "no answer in time"
    client.link.close()


# -- the waits, on a clock of our own ----------------------------------------------------------------


def dead_link(jitter: Callable[[], float], clock: list[float], **config: float) -> MqttLink:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return MqttLink(
        LinkConfig("127.0.0.1", port, "one", **config),  # type: ignore[arg-type]
        lambda: clock[0],
        jitter,
    )


def fail_once(link: MqttLink, clock: list[float]) -> Disconnected:
    """Let the next try come and fail (nobody listens)."""
    due = link.deadline()
    assert due is not None
    clock[0] = due
    events = link.housekeeping()
    while not events:
        number = link.fileno()
        assert number is not None
        with socket.socket(fileno=socket.dup(number)):
            events = link.on_writable()
    (event,) = events
    assert isinstance(event, Disconnected) and not event.was_connected
    return event


def test_full_jitter_from_the_first_try_on() -> None:
    clock = [1000.0]
    link = dead_link(lambda: 0.5, clock, first_delay=8.0, min_delay=1.0, max_delay=60.0)
    assert link.deadline() is None
    link.start()
    assert link.deadline() == 1004.0
    waits = []
    for _ in range(9):
        event = fail_once(link, clock)
        assert event.next_try is not None and event.next_try == link.deadline()
        waits.append(event.next_try - clock[0])
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    (event,) = link.close()
    assert isinstance(event, Disconnected) and event.next_try is None
    assert link.deadline() is None and link.housekeeping() == []


def test_an_unknown_host_is_a_failure_like_others() -> None:
    clock = [0.0]
    link = MqttLink(LinkConfig("host.invalid", 1883, "x"), lambda: clock[0], lambda: 0.0)
    link.start()
    (event,) = link.housekeeping()
    assert isinstance(event, Disconnected) and "host.invalid" in event.reason


def test_passwords_are_not_shown() -> None:
    assert "hush" not in repr(LinkConfig("h", 1, "c", username="u", password="hush"))
