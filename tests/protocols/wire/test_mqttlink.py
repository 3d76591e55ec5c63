"""The MQTT link in a select loop: against real brokers, and against servers that misbehave."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.protocols.wire.links import Client, close, until

from vigie_protocols.broker import Broker, find_mosquitto
from vigie_protocols.errors import LinkDown
from vigie_protocols.mqttevents import (
    MQTT5,
    MQTT311,
    NOT_AUTHORISED,
    Acked,
    Connected,
    Denied,
    Disconnected,
    LinkState,
    Received,
    Subscribed,
    Will,
)
from vigie_protocols.sparkplug.actions import Born, Data, Died, Publish, Subscribe
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.host import Host, HostAction, HostConfig
from vigie_protocols.sparkplug.model import DataType, Metric

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.fixture(
    scope="module",
    params=[pytest.param("mosquitto", marks=[pytest.mark.mosquitto, needs_mosquitto]), "amqtt"],
)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp(request.param), kind=request.param) as running:
        yield running


@contextlib.contextmanager
def clients(broker: Broker, *names: str, **config: object) -> Iterator[list[Client]]:
    made = [Client(broker.port, name, protocols=broker.protocols, **config) for name in names]
    try:
        until(lambda: all(client.link.connected for client in made), *made)
        yield made
    finally:
        close(*made)


def subscribe(client: Client, *topics: str, qos: int = 1) -> None:
    client.link.subscribe([(topic, qos) for topic in topics])
    until(lambda: client.take(Subscribed), client)


# -- against real brokers ----------------------------------------------------------------------------


def test_publish_and_receive(broker: Broker) -> None:
    with clients(broker, "one", "two") as (one, two):
        assert one.all(Connected) == [Connected(broker.protocols[0])]
        subscribe(two, "t/+", qos=1)
        numbers = [one.link.publish(f"t/{qos}", b"x" * 1000, qos) for qos in (0, 1)]
        until(lambda: len(two.all(Received)) == 2 and len(one.all(Acked)) == 2, one, two)
        assert {event.id for event in one.all(Acked)} == set(numbers)
        assert [(event.topic, event.payload) for event in two.all(Received)] == [
            ("t/0", b"x" * 1000),
            ("t/1", b"x" * 1000),
        ]
        assert one.link.queued == (0, 0)


def test_retained_messages_wait_for_those_who_come_later(broker: Broker) -> None:
    with clients(broker, "one", "two") as (one, two):
        one.link.publish("kept", b"1", 1, retain=True)
        one.link.publish("kept", b"2", 1, retain=True)
        until(lambda: len(one.all(Acked)) == 2, one)
        subscribe(two, "kept")
        until(lambda: two.all(Received), two)
        (event,) = two.all(Received)
        assert (event.payload, event.retain) == (b"2", True)
        one.link.publish("kept", b"", 1, retain=True)
        until(lambda: len(two.all(Received)) == 2, one, two)


def test_many_at_once_keep_their_order(broker: Broker) -> None:
    with clients(broker, "one", "two") as (one, two):
        subscribe(two, "n")
        for number in range(1000):
            one.link.publish("n", str(number).encode(), 1)
        until(lambda: len(two.all(Received)) == 1000 and len(one.all(Acked)) == 1000, one, two)
        assert [int(event.payload) for event in two.all(Received)] == list(range(1000))


def test_a_big_message(broker: Broker) -> None:
    body = bytes(range(256)) * 4096
    with clients(broker, "one", "two") as (one, two):
        subscribe(two, "big")
        one.link.publish("big", body, 1)
        until(lambda: two.all(Received), one, two)
        assert two.all(Received)[0].payload == body


def test_the_will_comes_when_the_connection_breaks_and_not_when_it_is_closed(broker: Broker) -> None:
    with clients(broker, "watch") as (watch,):
        subscribe(watch, "wills/#")
        with clients(broker, "polite", will=Will("wills/polite", b"gone")):
            pass
        with clients(broker, "broken", will=Will("wills/broken", b"gone", 1, False)) as (broken,):
            number = broken.link.fileno()
            assert number is not None
            with socket.socket(fileno=socket.dup(number)) as twin:
                twin.shutdown(socket.SHUT_RDWR)
            until(lambda: watch.all(Received), watch, broken)
        assert [event.topic for event in watch.all(Received)] == ["wills/broken"]


def test_an_end_with_the_will(broker: Broker) -> None:
    with clients(broker, "watch") as (watch,), clients(broker, "other") as (other,):
        subscribe(watch, "wills/#")
        leaving = Client(broker.port, "leaving", Will("wills/leaving", b"bye"), protocols=broker.protocols)
        until(lambda: leaving.link.connected, leaving)
        leaving.events += leaving.link.close(with_will=True)
        until(lambda: leaving.link.state is LinkState.IDLE, leaving)
        # MQTT 3.1.1 cannot say it: there the machine publishes its NDEATH before.
        other.link.publish("wills/after", b"", 1)
        until(lambda: any(event.topic == "wills/after" for event in watch.all(Received)), watch, other)
        expected = ["wills/leaving", "wills/after"] if broker.kind == "mosquitto" else ["wills/after"]
        assert sorted(event.topic for event in watch.all(Received)) == sorted(expected)


def test_sessions_are_clean(broker: Broker) -> None:
    with clients(broker, "same") as (first,):
        subscribe(first, "s")
    with clients(broker, "same") as (second,), clients(broker, "other") as (other,):
        other.link.publish("s", b"x", 1)
        until(lambda: other.all(Acked), other, second)
        subscribe(second, "unrelated")
        assert second.all(Received) == []


def test_edge_and_host_over_a_broker(broker: Broker) -> None:
    """The two pure machines, carried by two links: births, data, a broken edge, its death, its return."""
    clock = 1_800_000_000_000
    host = Host(HostConfig("scada"))
    edge = EdgeNode(EdgeConfig("city", "gw-1"), [], {"jct": [Metric("phase", 2, DataType.INT32)]})
    learned: list[HostAction] = []

    def as_will(message: Publish) -> Will:
        return Will(message.topic, message.payload, message.qos, message.retain)

    def carry(client: Client, actions: object) -> None:
        assert isinstance(actions, list)
        for action in actions:
            if isinstance(action, Subscribe):
                client.link.subscribe(action.filters)
            elif isinstance(action, Publish):
                client.link.publish(action.topic, action.payload, action.qos, action.retain)
            elif isinstance(action, Born | Data | Died):
                learned.append(action)

    host_client = Client(broker.port, "host", as_will(host.will(clock)), protocols=broker.protocols)
    edge_client = Client(broker.port, "edge", protocols=broker.protocols)
    edge_client.link._will = lambda: as_will(edge.will(clock))

    def pump() -> None:
        for event in host_client.take(Connected):
            assert event
            carry(host_client, host.connected(0.0, clock))
        for message in host_client.take(Received):
            carry(host_client, host.received(message.topic, message.payload, 0.0, clock))
        for _ in edge_client.take(Disconnected):
            edge.disconnected()
        for _ in edge_client.take(Connected):
            carry(edge_client, edge.connected(clock))
        for message in edge_client.take(Received):
            carry(edge_client, edge.received(message.topic, message.payload, clock))

    def learn(*kinds: type) -> None:
        until(
            lambda: [type(action) for action in learned] == list(kinds), host_client, edge_client, also=pump
        )
        learned.clear()

    try:
        until(lambda: host_client.take(Subscribed), host_client, also=pump)
        learn(Born, Born)
        carry(edge_client, edge.data("jct", [Metric("phase", -6)], clock))
        learn(Data)
        number = edge_client.link.fileno()
        assert number is not None
        with socket.socket(fileno=socket.dup(number)) as twin:
            twin.shutdown(socket.SHUT_RDWR)
        learn(Died, Born, Born)
        assert host.nodes["city", "gw-1"].bdseq == 1
        carry(host_client, host.request_rebirth(("city", "gw-1"), 100.0, clock))
        learn(Born, Born)
        assert host.nodes["city", "gw-1"].bdseq == 1
    finally:
        close(host_client, edge_client)


def test_a_killed_broker_and_its_return(tmp_path: Path, broker: Broker) -> None:
    own = Broker(tmp_path / "own", kind=broker.kind)
    own.start()
    client = Client(own.port, "one", protocols=own.protocols, max_delay=0.2)
    try:
        until(lambda: client.link.connected, client)
        own.kill()
        with contextlib.suppress(LinkDown):
            number = client.link.publish("t", b"lost", 1)
        until(lambda: client.all(Disconnected), client)
        assert client.all(Disconnected)[0].was_connected
        assert client.all(Disconnected)[0].lost == (number,)
        with pytest.raises(LinkDown):
            client.link.publish("t", b"x", 1)
        until(lambda: len(client.all(Disconnected)) >= 3, client)
        own.start()
        until(lambda: len(client.all(Connected)) == 2, client)
        client.link.publish("t", b"again", 1)
        until(lambda: client.all(Acked), client)
    finally:
        close(client)
        own.stop()


def test_mqtt_5_falls_back_where_it_is_not_spoken(tmp_path: Path) -> None:
    with Broker(tmp_path, kind="amqtt") as old:
        # With a will amqtt says nothing at all to MQTT 5, without one it refuses.
        plain, willed = Client(old.port, "plain"), Client(old.port, "willed", Will("w", b"x"))
        until(lambda: plain.link.connected and willed.link.connected, plain, willed)
        assert plain.all(Connected) == willed.all(Connected) == [Connected(MQTT311)]
        close(plain, willed)


@pytest.mark.mosquitto
@needs_mosquitto
def test_a_denied_publish_is_told(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write allowed/#\ntopic read #\n")
    (tmp_path / "acl").chmod(0o600)
    with Broker(tmp_path / "b", kind="mosquitto", extra=[f"acl_file {tmp_path / 'acl'}"]) as strict:
        client = Client(strict.port, "one")
        until(lambda: client.link.connected, client)
        assert client.all(Connected) == [Connected(MQTT5)]
        fine, denied = client.link.publish("allowed/x", b"1", 1), client.link.publish("other/x", b"1", 1)
        until(lambda: client.all(Acked) and client.all(Denied), client)
        assert client.all(Denied) == [Denied(denied, NOT_AUTHORISED, "other/x")]
        assert [event.id for event in client.all(Acked)] == [fine]
        close(client)


# -- TLS ---------------------------------------------------------------------------------------------


def certificates(directory: Path) -> None:
    """A CA, a server and a client certificate."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    for name, key in (("ca", ca_key), ("server", None), ("gw-1", None)):
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = ca_name if name == "ca" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(local, critical=False)
            .sign(ca_key, SHA256())
        )
        (directory / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


@pytest.mark.mosquitto
@needs_mosquitto
def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    certificates(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    extra = [
        f"listener {port} 127.0.0.1",
        f"cafile {tmp_path / 'ca.crt'}",
        f"certfile {tmp_path / 'server.crt'}",
        f"keyfile {tmp_path / 'server.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ]
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    trust.load_cert_chain(tmp_path / "gw-1.crt", tmp_path / "gw-1.key")
    stranger = ssl.create_default_context()
    with Broker(tmp_path / "b", kind="mosquitto", extra=extra):
        good = Client(port, "gw-1", tls=trust)
        until(lambda: good.link.connected, good)
        subscribe(good, "t")
        body = b"x" * 300_000
        good.link.publish("t", body, 1)
        until(lambda: good.all(Received), good)
        assert good.all(Received)[0].payload == body
        bad = Client(port, "gw-1", tls=stranger)
        until(lambda: bad.all(Disconnected), bad)
        assert "TLS" in bad.all(Disconnected)[0].reason
        assert good.link.connected
        close(good, bad)
