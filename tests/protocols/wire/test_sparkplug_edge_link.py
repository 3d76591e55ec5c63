"""The MUSTs of Sparkplug 3.0 that concern an edge node's connection and its primary host, by assertion id.

What goes into CONNECT and DISCONNECT is read byte by byte at the other end of a socket.
"""

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
from tests.protocols.wire.links import Client, serve, until
from tests.protocols.wire.nodes import (
    STATE,
    T0,
    TOPIC,
    Checks,
    bdseq,
    born,
    edge,
    parse,
    rebirth_request,
    sent,
    state,
    verb,
    waiting,
)
from tests.protocols.wire.test_mqttlink_faults import Server

from vigie_protocols.errors import FrameError, LinkDown
from vigie_protocols.mqttevents import MQTT5, MQTT311, LinkState, Will
from vigie_protocols.profile import DEVICE_NAME, POINT_NAME
from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.actions import CommandReceived, Disconnect, Problem, Publish, Subscribe
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.host import Host
from vigie_protocols.sparkplug.model import DataType, Metric, Payload
from vigie_protocols.sparkplug.topics import parse_topic

CHECKS = Checks()
CONNACK = {MQTT5: b"\x20\x03\x00\x00\x00", MQTT311: b"\x20\x02\x00\x00"}
DISCONNECTS = (b"\xe0\x00", b"\xe0\x01\x04", b"\xe0\x02\x04\x00")
"""Of MQTT 3.1.1; of MQTT 5 with the reason "disconnect with will message", without and with properties."""
SESSION_EXPIRY = 0x11
MAXIMUM_PACKET = 0x27


class Wire:
    """An edge node, or a host, on a real link to a server that keeps every byte it gets."""

    def __init__(self, version: int, node: EdgeNode | Host) -> None:
        self.node = node
        self.server = Server()
        will = self.node.will(T0)
        self.client = Client(
            self.server.port,
            "gw-1",
            Will(will.topic, will.payload, will.qos, will.retain),
            protocols=(version,),
        )
        until(lambda: self.client.link.state is LinkState.CONNECTING, self.client)
        self.peer = self.server.accept()
        until(lambda: self.client.link.state is LinkState.GREETING, self.client)
        self.connect = self.peer.recv(10_000)
        self.peer.sendall(CONNACK[version])
        until(lambda: self.client.link.connected, self.client)

    def leave(self) -> bytes:
        """It stops of its own accord; everything that came of it until the socket ended."""
        for action in self.node.stop(T0 + 1):
            if isinstance(action, Publish):
                self.client.link.publish(action.topic, action.payload, action.qos, action.retain)
        self.client.events += self.client.link.close(with_will=True)
        got = bytearray()
        while self.client.link.state is not LinkState.IDLE:
            serve([self.client], 0.01)
            with contextlib.suppress(OSError):
                got += self.peer.recv(10_000)
                if got.endswith(DISCONNECTS):
                    self.peer.shutdown(socket.SHUT_RDWR)
        return bytes(got)


@contextlib.contextmanager
def wire(version: int, node: EdgeNode | Host | None = None) -> Iterator[Wire]:
    made = Wire(version, node or edge())
    made.peer.setblocking(False)
    try:
        yield made
    finally:
        made.client.link.close()
        made.server.close()


def connect_packet(packet: bytes) -> tuple[int, dict[int, int], bytes]:
    """Flags, properties (MQTT 5: those with a number of four bytes) and what follows, of a CONNECT."""
    assert packet[0] == 0x10 and packet[1] < 0x80, "a CONNECT of one length byte"
    assert packet[2:8] == b"\x00\x04MQTT"
    version, flags = packet[8], packet[9]
    rest = packet[12:]
    properties: dict[int, int] = {}
    if version == MQTT5:
        held, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        for at in range(0, len(held), 5):
            properties[held[at]] = int.from_bytes(held[at + 1 : at + 5], "big")
    return flags, properties, rest


# -- CONNECT and DISCONNECT, as bytes ----------------------------------------------------------------


@CHECKS.asserts("tck-id-principles-persistence-clean-session-311")
def check_clean_session() -> None:
    with wire(MQTT311) as made:
        flags, _, _ = connect_packet(made.connect)
        assert flags & 0x02


@CHECKS.asserts("tck-id-principles-persistence-clean-session-50")
def check_clean_start() -> None:
    with wire(MQTT5) as made:
        flags, properties, _ = connect_packet(made.connect)
        assert flags & 0x02
        assert properties[SESSION_EXPIRY] == 0
        assert set(properties) == {SESSION_EXPIRY, MAXIMUM_PACKET}


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-will-message",
    "tck-id-payloads-ndeath-will-message",
)
def check_will_in_connect() -> None:
    for version in (MQTT5, MQTT311):
        with wire(version) as made:
            flags, _, rest = connect_packet(made.connect)
            assert (flags & 0x04, flags >> 3 & 3, flags & 0x20) == (4, 1, 0), "a will, at QoS 1, not retained"
            topic = TOPIC.format("NDEATH").encode()
            assert len(topic).to_bytes(2, "big") + topic in rest
            payload = pb.Payload.FromString(rest[rest.index(topic) + len(topic) + 2 :])
            assert bdseq(payload) == 0 and not payload.HasField("seq")


@CHECKS.asserts(
    "tck-id-operational-behavior-edge-node-intentional-disconnect-packet",
    "tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311",
)
def check_disconnect_of_mqtt_311() -> None:
    with wire(MQTT311) as made:
        assert isinstance(made.node, EdgeNode) and made.node.connected(T0)
        said = made.leave()
        assert TOPIC.format("NDEATH").encode() in said and said.endswith(DISCONNECTS[0])


@CHECKS.asserts("tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50")
def check_disconnect_of_mqtt_5() -> None:
    with wire(MQTT5) as made:
        assert isinstance(made.node, EdgeNode) and made.node.connected(T0)
        said = made.leave()
        assert TOPIC.format("NDEATH").encode() in said
        assert said.endswith(DISCONNECTS[1:])


# -- names -------------------------------------------------------------------------------------------


def refused(make: str, *words: str) -> None:
    for word in words:
        ids = {"group": "city", "node": "gw", "device": "jct", make: word}
        with pytest.raises(FrameError):
            EdgeNode(EdgeConfig(ids["group"], ids["node"]), [], {ids["device"]: []})


def accepted(make: str, *words: str) -> None:
    for word in words:
        ids = {"group": "city", "node": "gw", "device": "jct", make: word}
        node = EdgeNode(EdgeConfig(ids["group"], ids["node"]), [], {ids["device"]: []})
        node.will(T0)
        nbirth, dbirth = sent(node.connected(T0))
        assert nbirth.topic.encode() == f"spBv1.0/{ids['group']}/NBIRTH/{ids['node']}".encode()
        assert dbirth.topic.split("/")[4] == ids["device"]
        assert parse_topic(dbirth.topic).device == ids["device"]


UNICODE = ("Montréal", "feu 12", "交叉口", "a" * 200)
NO_UTF8 = ("a\ud800b", "\udfff")
NO_TOPIC = ("a+b", "a#b", "a/b", "a\0b", "a\nb", "\x7f", "\x9f", "")


@CHECKS.asserts("tck-id-intro-group-id-string", "tck-id-intro-group-id-chars")
def check_group() -> None:
    accepted("group", *UNICODE)
    refused("group", *NO_UTF8, *NO_TOPIC)


@CHECKS.asserts("tck-id-intro-edge-node-id-string", "tck-id-intro-edge-node-id-chars")
def check_node() -> None:
    accepted("node", *UNICODE)
    refused("node", *NO_UTF8, *NO_TOPIC)


@CHECKS.asserts("tck-id-intro-device-id-string", "tck-id-intro-device-id-chars")
def check_device() -> None:
    accepted("device", *UNICODE)
    refused("device", *NO_UTF8, *NO_TOPIC)
    for word in (*NO_UTF8, *NO_TOPIC):
        with pytest.raises(FrameError):
            born()[0].device_back(word, T0)


@CHECKS.asserts("tck-id-topic-structure-namespace-duplicate-device-id-across-edge-node")
def check_the_same_device_at_two_nodes() -> None:
    topics = set()
    for name in ("gw-1", "gw-2"):
        node = EdgeNode(EdgeConfig("city", name), [], {"jct": []})
        node.will(T0)
        topics.add(sent(node.connected(T0))[1].topic)
    assert topics == {"spBv1.0/city/DBIRTH/gw-1/jct", "spBv1.0/city/DBIRTH/gw-2/jct"}


@CHECKS.asserts("tck-id-case-sensitivity-sparkplug-ids", "tck-id-case-sensitivity-metric-names")
def check_no_two_names_differ_by_case_alone() -> None:
    """Names of gateways, groups, devices and points have no capitals at all."""
    for word in ("GW-1", "gW-1", "É1", "é1"):
        assert not re.match(DEVICE_NAME, word) and not re.match(POINT_NAME, word)
    for word in ("gw-1", "1a"):
        assert re.match(DEVICE_NAME, word) and re.match(POINT_NAME, word)
    own = [metric.name for metric in parse(sent(born()[1])[0]).metrics]
    assert len({name.lower() for name in own}) == len(own)


# -- commands ----------------------------------------------------------------------------------------


@CHECKS.asserts("tck-id-payloads-name-cmd-requirement")
def check_a_command_may_leave_out_the_time_of_its_metrics() -> None:
    node, _ = born()
    for timestamp in (None, T0 + 5):
        metric = Metric("phase", 3, DataType.INT32, timestamp=timestamp)
        (action,) = node.received(
            TOPIC.format("DCMD") + "/jct-a", SparkplugB().encode(Payload((metric,), T0)), T0
        )
        assert isinstance(action, CommandReceived)
        assert [(one.name, one.value) for one in action.metrics] == [("phase", 3)]


# -- the primary host --------------------------------------------------------------------------------


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-phid-wait",
    "tck-id-message-flow-edge-node-birth-publish-phid-wait-online",
    "tck-id-operational-behavior-edge-node-birth-sequence-wait",
    "tck-id-operational-behavior-primary-application-state-with-multiple-servers-state-subs",
)
def check_wait() -> None:
    node = edge("scada")
    node.will(T0)
    (subscribe,) = node.connected(T0)
    assert isinstance(subscribe, Subscribe) and (STATE, 1) in subscribe.filters
    with pytest.raises(LinkDown):
        node.data("jct-a", [Metric("phase", 1)], T0)
    assert node.received(TOPIC.format("NCMD"), rebirth_request(), T0) == []
    births = node.received(STATE, state(True, T0), T0 + 1)
    assert [verb(message) for message in sent(births)] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert node.received(STATE, state(True, T0), T0 + 2) == [], "the same STATE again changes nothing"


@CHECKS.asserts("tck-id-message-flow-edge-node-birth-publish-phid-wait-id")
def check_wait_for_the_right_host() -> None:
    node = waiting()
    (problem,) = node.received("spBv1.0/STATE/other", state(True, T0), T0)
    assert isinstance(problem, Problem) and not node.born


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "tck-id-operational-behavior-edge-node-termination-host-offline-timestamp",
)
def check_state_timestamps() -> None:
    node = waiting()
    node.received(STATE, state(True, T0 + 10), T0)
    (problem,) = node.received(STATE, state(False, T0 + 9), T0)
    assert isinstance(problem, Problem) and node.born
    assert isinstance(node.received(STATE, state(False, T0 + 10), T0)[-1], Disconnect)


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-phid-offline",
    "tck-id-operational-behavior-edge-node-termination-host-offline",
    "tck-id-operational-behavior-edge-node-termination-host-offline-reconnect",
    "tck-id-operational-behavior-primary-application-state-with-multiple-servers-walk",
    "tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server",
)
def check_host_goes() -> None:
    node = waiting()
    node.received(STATE, state(True, T0), T0)
    death, leave = node.received(STATE, state(False, T0 + 1), T0 + 1)
    assert isinstance(death, Publish) and verb(death) == "NDEATH"
    assert isinstance(leave, Disconnect) and leave.next_server
    with pytest.raises(LinkDown):
        node.data("jct-a", [Metric("phase", 1)], T0 + 2)
    node.disconnected()
    assert bdseq(parse(node.will(T0 + 3))) == 1
    # A host that is away already when the node comes: nothing was born, so nothing dies.
    node.connected(T0 + 3)
    (leave,) = node.received(STATE, state(False, T0 + 4), T0 + 4)
    assert isinstance(leave, Disconnect) and leave.next_server


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_edge_node(name: str) -> None:
    CHECKS[name]()
