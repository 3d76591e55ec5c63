"""The host application: what the specification asks of it, and what we ask beyond.

Nodes are real ``EdgeNode`` machines, so both sides are held against each other; bytes pass between them.
"""

import json
from collections.abc import Callable

import pytest
from tests.protocols.wire.test_sparkplug_edge_link import (
    DISCONNECTS,
    check_clean_session,
    check_clean_start,
    wire,
)

from vigie_protocols.errors import Refused
from vigie_protocols.mqttevents import MQTT5, MQTT311
from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.actions import (
    Born,
    Data,
    Died,
    EdgeAction,
    HostAction,
    Problem,
    Publish,
    Subscribe,
)
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.governor import RebirthGovernor
from vigie_protocols.sparkplug.host import Host, HostConfig
from vigie_protocols.sparkplug.model import DataType, Metric, Payload

T0 = 1_800_000_000_000
ID = ("city", "gw-1")
HOST_CHECKS: dict[str, Callable[[], None]] = {}


def asserts(*ids: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(check: Callable[[], None]) -> Callable[[], None]:
        for name in ids:
            assert name not in HOST_CHECKS, name
            HOST_CHECKS[name] = check
        return check

    return keep


def edge(node: str = "gw-1") -> EdgeNode:
    return EdgeNode(
        EdgeConfig("city", node),
        [Metric("uptime", 12, DataType.UINT64)],
        {
            "a": [Metric("phase", 2, DataType.INT32), Metric("fault", None, DataType.BOOLEAN)],
            "b": [Metric("flow", 1.5, DataType.DOUBLE)],
        },
    )


class Bench:
    """A host that is up, and a node whose messages can be held back."""

    def __init__(self, **config: float) -> None:
        self.host = Host(HostConfig("scada", **config))  # type: ignore[arg-type]
        self.will = self.host.will(T0)
        self.greeting = self.host.connected(0.0, T0)
        self.edge = edge()
        self.death = self.edge.will(T0)

    def give(self, actions: list[EdgeAction], now: float = 1.0) -> list[HostAction]:
        out: list[HostAction] = []
        for action in actions:
            if isinstance(action, Publish):
                out += self.host.received(action.topic, action.payload, now, T0 + int(now * 1000))
        return out

    def birth(self) -> list[HostAction]:
        return self.give(self.edge.connected(T0))

    def sample(self, value: int) -> list[EdgeAction]:
        return self.edge.data("a", [Metric("phase", value)], T0 + value)


def born() -> Bench:
    bench = Bench()
    bench.birth()
    return bench


def values(actions: list[HostAction]) -> list[object]:
    return [metric.value for action in actions if isinstance(action, Data) for metric in action.metrics]


def rebirths(actions: list[HostAction]) -> list[Publish]:
    return [action for action in actions if isinstance(action, Publish) and "/NCMD/" in action.topic]


# -- the session -------------------------------------------------------------------------------------


@asserts(
    "tck-id-operational-behavior-host-application-connect-will",
    "tck-id-operational-behavior-host-application-connect-will-topic",
    "tck-id-operational-behavior-host-application-connect-will-payload",
    "tck-id-operational-behavior-host-application-connect-will-qos",
    "tck-id-operational-behavior-host-application-connect-will-retained",
    "tck-id-host-topic-phid-death-qos",
    "tck-id-host-topic-phid-death-retain",
    "tck-id-host-topic-phid-death-topic",
    "tck-id-host-topic-phid-death-payload",
    "tck-id-host-topic-phid-death-required",
    "tck-id-host-topic-phid-death-payload-timestamp-connect",
    "tck-id-payloads-state-will-message",
    "tck-id-payloads-state-will-message-qos",
    "tck-id-payloads-state-will-message-retain",
    "tck-id-payloads-state-will-message-payload",
)
def check_will() -> None:
    will = Bench().will
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/STATE/scada", 1, True)
    assert json.loads(will.payload) == {"online": False, "timestamp": T0}


@asserts(
    "tck-id-message-flow-phid-sparkplug-subscription",
    "tck-id-message-flow-phid-sparkplug-state-publish",
    "tck-id-message-flow-phid-sparkplug-state-publish-payload",
    "tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "tck-id-host-topic-phid-birth-message",
    "tck-id-host-topic-phid-birth-qos",
    "tck-id-host-topic-phid-birth-retain",
    "tck-id-host-topic-phid-birth-topic",
    "tck-id-host-topic-phid-birth-sub-required",
    "tck-id-host-topic-phid-birth-required",
    "tck-id-host-topic-phid-birth-payload",
    "tck-id-host-topic-phid-birth-payload-timestamp",
    "tck-id-operational-behavior-host-application-connect-birth",
    "tck-id-operational-behavior-host-application-connect-birth-topic",
    "tck-id-operational-behavior-host-application-connect-birth-payload",
    "tck-id-operational-behavior-host-application-connect-birth-qos",
    "tck-id-operational-behavior-host-application-connect-birth-retained",
    "tck-id-operational-behavior-primary-application-state-with-multiple-servers-state",
    "tck-id-payloads-state-subscribe",
    "tck-id-payloads-state-birth",
    "tck-id-payloads-state-birth-payload",
    "tck-id-conformance-primary-host",
    "tck-id-intro-sparkplug-host-state",
    "tck-id-components-ph-state",
)
def check_greeting() -> None:
    subscribe, state = Bench().greeting
    assert isinstance(subscribe, Subscribe)
    assert ("spBv1.0/STATE/scada", 1) in subscribe.filters and ("spBv1.0/#", 1) in subscribe.filters
    assert isinstance(state, Publish)
    assert (state.topic, state.qos, state.retain) == ("spBv1.0/STATE/scada", 1, True)
    assert json.loads(state.payload) == {"online": True, "timestamp": T0}


@asserts(
    "tck-id-operational-behavior-host-application-termination",
    "tck-id-operational-behavior-host-application-death-topic",
    "tck-id-operational-behavior-host-application-death-payload",
    "tck-id-operational-behavior-host-application-death-qos",
    "tck-id-operational-behavior-host-application-death-retained",
    "tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean",
    "tck-id-host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet",
)
def check_stop() -> None:
    (state,) = Bench().host.stop(T0 + 60_000)
    assert isinstance(state, Publish)
    assert (state.topic, state.qos, state.retain) == ("spBv1.0/STATE/scada", 1, True)
    assert json.loads(state.payload) == {"online": False, "timestamp": T0 + 60_000}
    (state,) = Bench().host.stop(T0 - 1)
    assert isinstance(state, Publish)
    assert json.loads(state.payload)["timestamp"] == T0, (
        "a death older than the birth would count for nothing"
    )


@asserts(
    "tck-id-message-flow-phid-sparkplug-clean-session-311",
    "tck-id-message-flow-phid-sparkplug-clean-session-50",
)
def check_clean_sessions() -> None:
    """Host and node are carried by the same link."""
    check_clean_session()
    check_clean_start()


@asserts("tck-id-operational-behavior-host-application-disconnect-intentional")
def check_disconnect_after_the_death() -> None:
    for version in (MQTT5, MQTT311):
        with wire(version, Host(HostConfig("scada"))) as made:
            said = made.leave()
            assert b"spBv1.0/STATE/scada" in said and said.endswith(DISCONNECTS)


@asserts("tck-id-operational-behavior-host-application-multi-server-timestamp")
def check_a_host_per_server_keeps_its_own_time() -> None:
    one, other = Bench(), Host(HostConfig("scada"))
    other.will(T0 + 7)
    (_, state) = other.connected(0.0, T0 + 9)
    assert isinstance(state, Publish) and json.loads(state.payload)["timestamp"] == T0 + 7
    (_, state) = one.host.connected(0.0, T0 + 9)
    assert isinstance(state, Publish) and json.loads(state.payload)["timestamp"] == T0


@asserts("tck-id-message-flow-hid-sparkplug-state-message-delivered")
def check_own_death_is_contradicted() -> None:
    bench = Bench()
    (state,) = bench.host.received("spBv1.0/STATE/scada", b'{"online":false,"timestamp":5}', 1.0, T0)
    assert isinstance(state, Publish) and json.loads(state.payload) == {"online": True, "timestamp": T0}
    assert bench.host.received("spBv1.0/STATE/scada", state.payload, 1.0, T0) == []
    assert bench.host.received("spBv1.0/STATE/other", b'{"online":false,"timestamp":5}', 1.0, T0) == []


# -- deaths ------------------------------------------------------------------------------------------


@asserts(
    "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline",
    "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale",
    "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
    "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale",
)
def check_node_death() -> None:
    bench = born()
    assert bench.host.nodes[ID].devices == {"a", "b"}
    (died,) = bench.give([bench.death], now=9.0)
    assert isinstance(died, Died) and (died.node, died.device, died.timestamp) == (ID, "", T0 + 9000)
    assert not bench.host.nodes[ID].online and bench.host.nodes[ID].devices == set()


@asserts(
    "tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline",
    "tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale",
)
def check_device_death() -> None:
    bench = born()
    (died,) = bench.give(bench.edge.device_lost("a", T0 + 77))
    assert isinstance(died, Died) and (died.device, died.timestamp) == ("a", T0 + 77)
    assert bench.host.nodes[ID].devices == {"b"}
    assert isinstance(bench.give(bench.edge.device_back("a", T0 + 78))[0], Born)


# -- order -------------------------------------------------------------------------------------------


@asserts(
    "tck-id-operational-behavior-host-reordering-param", "tck-id-operational-behavior-host-reordering-start"
)
def check_gap_is_waited_for() -> None:
    bench = Bench(reorder_timeout=5.0)
    bench.birth()
    bench.sample(1)
    assert bench.give(bench.sample(2), now=10.0) == []
    assert bench.host.deadline() == 15.0
    assert bench.host.tick(14.9, T0) == []


@asserts(
    "tck-id-operational-behavior-host-reordering-rebirth",
    "tck-id-operational-behavior-data-commands-ncmd-rebirth-verb",
    "tck-id-operational-behavior-data-commands-ncmd-rebirth-name",
    "tck-id-operational-behavior-data-commands-ncmd-rebirth-value",
    "tck-id-topics-ncmd-topic",
    "tck-id-topics-ncmd-mqtt",
    "tck-id-topics-ncmd-timestamp",
    "tck-id-topics-ncmd-payload",
    "tck-id-payloads-ncmd-timestamp",
    "tck-id-payloads-ncmd-seq",
    "tck-id-payloads-ncmd-qos",
    "tck-id-payloads-ncmd-retain",
)
def check_gap_brings_a_rebirth() -> None:
    bench = born()
    bench.sample(1)
    bench.give(bench.sample(2))
    actions = bench.host.tick(100.0, T0 + 100_000)
    assert values(actions) == [2], "what was held is used"
    (request,) = rebirths(actions)
    assert (request.topic, request.qos, request.retain) == ("spBv1.0/city/NCMD/gw-1", 0, False)
    payload = pb.Payload.FromString(request.payload)
    assert payload.timestamp == T0 + 100_000 and not payload.HasField("seq")
    (metric,) = payload.metrics
    assert (metric.name, metric.boolean_value) == ("Node Control/Rebirth", True)
    # Until the births come, data are taken as they are; then all is in order again.
    assert values(bench.give(bench.sample(3), now=100.1)) == [3]
    again = bench.give(bench.edge.received(request.topic, request.payload, T0), now=100.2)
    assert [type(action) for action in again] == [Born, Born, Born]
    assert values(bench.give(bench.sample(4), now=100.3)) == [4]
    assert bench.host.deadline() is None


@asserts("tck-id-operational-behavior-host-reordering-success")
def check_gap_fills() -> None:
    bench = born()
    late, second, third = bench.sample(1), bench.sample(2), bench.sample(3)
    assert bench.give(third) == []
    assert bench.give(second) == []
    assert values(bench.give(late)) == [1, 2, 3]
    assert bench.host.deadline() is None and bench.host.tick(100.0, T0) == []


# -- commands ----------------------------------------------------------------------------------------


@asserts(
    "tck-id-topics-dcmd-topic",
    "tck-id-topics-dcmd-mqtt",
    "tck-id-topics-dcmd-timestamp",
    "tck-id-topics-dcmd-payload",
    "tck-id-payloads-dcmd-timestamp",
    "tck-id-payloads-dcmd-seq",
    "tck-id-payloads-dcmd-qos",
    "tck-id-payloads-dcmd-retain",
    "tck-id-operational-behavior-data-commands-ncmd-verb",
    "tck-id-operational-behavior-data-commands-dcmd-verb",
    "tck-id-operational-behavior-data-commands-ncmd-metric-name",
    "tck-id-operational-behavior-data-commands-ncmd-metric-value",
    "tck-id-operational-behavior-data-commands-dcmd-metric-name",
    "tck-id-operational-behavior-data-commands-dcmd-metric-value",
)
def check_commands() -> None:
    bench = born()
    for device, name, value, where in (
        ("a", "phase", -4, "spBv1.0/city/DCMD/gw-1/a"),
        ("", "uptime", 1, "spBv1.0/city/NCMD/gw-1"),
    ):
        command = bench.host.command(ID, device, {name: value}, T0 + 5)
        assert (command.topic, command.qos, command.retain) == (where, 0, False)
        payload = pb.Payload.FromString(command.payload)
        assert payload.timestamp == T0 + 5 and not payload.HasField("seq")
        assert not payload.metrics[0].HasField("name") and payload.metrics[0].HasField("alias")
        (request,) = bench.edge.received(command.topic, command.payload, T0 + 6)
        assert [(m.name, m.value) for m in request.metrics] == [(name, value)]  # type: ignore[union-attr]
    with pytest.raises(Refused, match="no metric"):
        bench.host.command(ID, "a", {"nonsense": 1}, T0)
    with pytest.raises(Refused, match="not online"):
        bench.host.command(("city", "gw-2"), "", {"x": 1}, T0)


@pytest.mark.parametrize("name", sorted(HOST_CHECKS))
def test_host(name: str) -> None:
    HOST_CHECKS[name]()


# -- our own rules on top ----------------------------------------------------------------------------


def test_births_and_data_come_with_names_and_types() -> None:
    bench = Bench()
    node, first, second = bench.birth()
    assert isinstance(node, Born) and [metric.name for metric in node.metrics] == ["uptime"]
    assert isinstance(first, Born) and first.device == "a" and isinstance(second, Born)
    (data,) = bench.give(bench.edge.data("a", [Metric("phase", -5), Metric("fault", True)], T0 + 3))
    assert isinstance(data, Data) and (data.node, data.device, data.timestamp) == (ID, "a", T0 + 3)
    assert [(m.name, m.value, m.datatype) for m in data.metrics] == [
        ("phase", -5, DataType.INT32),
        ("fault", True, DataType.BOOLEAN),
    ]


def test_a_death_of_another_session_changes_nothing() -> None:
    bench = born()
    bench.edge.disconnected()
    old = bench.death
    bench.edge.will(T0)
    actions = bench.birth()
    assert isinstance(actions[0], Died), "the old session is over even when its death never came"
    (problem,) = bench.give([old])
    assert isinstance(problem, Problem) and problem.code == "old-death"
    assert bench.host.nodes[ID].online


def test_devices_missing_from_a_rebirth_are_dead() -> None:
    bench = born()
    bench.edge._devices["b"].alive = False  # its DDEATH got lost
    bench.give(bench.edge.rebirth(T0))
    actions = bench.give(bench.sample(1))
    assert [type(action) for action in actions] == [Died, Data]
    assert actions[0].device == "b"  # type: ignore[union-attr]


def test_unknown_nodes_are_asked_for_their_births() -> None:
    bench = Bench()
    bench.edge.connected(T0)
    actions = bench.give(bench.sample(1))
    assert isinstance(actions[0], Problem) and actions[0].code == "not-born"
    assert len(rebirths(actions)) == 1
    assert rebirths(bench.give(bench.sample(2))) == [], "once is enough for a while"
    assert len(rebirths(bench.host.tick(60.0, T0))) == 1, "but not for ever"


def test_unknown_aliases_are_a_reason_for_a_rebirth_and_the_rest_is_used() -> None:
    bench = born()
    seq = 3
    alias = bench.host.nodes[ID].births["a"]["phase"].alias
    payload = Payload((Metric("", 5, DataType.INT32, alias), Metric("", 6, DataType.INT32, 99)), T0, seq)
    actions = bench.host.received(
        "spBv1.0/city/DDATA/gw-1/a", SparkplugB().encode(payload, lean=True), 1.0, T0
    )
    assert values(actions) == [5] and len(rebirths(actions)) == 1


def test_backfill_of_a_dead_device_is_taken() -> None:
    bench = born()
    bench.give(bench.edge.device_lost("a", T0))
    (data,) = bench.give(bench.edge.data("a", [Metric("phase", 1, timestamp=T0 - 5)], T0))
    assert isinstance(data, Data) and data.metrics[0].is_historical
    assert "a" not in bench.host.nodes[ID].devices


def test_after_an_absence_nothing_missed_needs_no_birth() -> None:
    bench = Host(HostConfig("scada"), RebirthGovernor(burst=1, rate=1e-6))
    bench.will(T0)
    bench.connected(0.0, T0)
    nodes = {name: edge(name) for name in ("x", "y", "z")}

    def give(actions: list[EdgeAction]) -> list[HostAction]:
        return [
            out
            for action in actions
            if isinstance(action, Publish)
            for out in bench.received(action.topic, action.payload, 1.0, T0)
        ]

    for node in nodes.values():
        node.will(T0)
        give(node.connected(T0))
    bench.disconnected()
    assert give(nodes["x"].data("", [Metric("uptime", 1)], T0)) == [], "away means deaf"
    bench.will(T0 + 1)
    actions = bench.connected(50.0, T0 + 1)
    assert len(rebirths(actions)) == 1, "one token: x is asked, y and z wait"
    assert values(give(nodes["y"].data("", [Metric("uptime", 7)], T0))) == [7]
    assert not bench.nodes["city", "y"].adrift
    z = nodes["z"]
    z.data("", [Metric("uptime", 7)], T0)
    give(z.data("", [Metric("uptime", 8)], T0))
    assert bench.nodes["city", "z"].adrift, "z missed something and waits for its turn"
    died = [action for action in bench.tick(81.0, T0 + 9) if isinstance(action, Died)]
    assert [(action.node, action.timestamp) for action in died] == [(("city", "x"), T0 + 9)]


def test_a_flood_out_of_order_stays_bounded() -> None:
    bench = Bench(max_held=8, max_held_bytes=10_000)
    bench.birth()
    bench.sample(0)
    actions = [out for step in range(1, 100) for out in bench.give(bench.sample(step))]
    assert values(actions) == list(range(1, 100)), "given up early, and nothing thrown away"
    assert len(rebirths(actions)) == 1
    assert bench.host._held_bytes == 0


def test_too_many_nodes_are_refused() -> None:
    bench = Bench(max_nodes=1)
    bench.birth()
    other = edge("gw-2")
    other.will(T0)
    assert all(isinstance(action, Problem) for action in bench.give(other.connected(T0)))
    assert list(bench.host.nodes) == [ID]


def test_groups_of_others_are_left_alone() -> None:
    bench = Bench()
    bench.host = Host(HostConfig("scada", groups=("north",)))
    bench.host.will(T0)
    subscribe = bench.host.connected(0.0, T0)[0]
    assert isinstance(subscribe, Subscribe) and ("spBv1.0/north/#", 1) in subscribe.filters
    assert bench.birth() == [] and bench.host.nodes == {}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("spBv1.0/city/NBIRTH/gw-1", b"\xff"),
        ("spBv1.0/city/NBIRTH/gw-1", b""),
        ("spBv1.0/city/NDATA/gw-1", b"\x0a"),
        ("spBv1.0/city/DDATA/gw-1", b""),
        ("spBv1.0/city/XDATA/gw-1", b""),
        ("spBv1.0/STATE/scada", b"OFFLINE"),
        ("other/topic/entirely", b""),
        ("spBv1.0/city//gw-1", b""),
    ],
)
def test_malformed_messages_are_problems(topic: str, payload: bytes) -> None:
    bench = born()
    (problem,) = bench.host.received(topic, payload, 1.0, T0)
    assert isinstance(problem, Problem) and problem.code == "malformed"
    assert values(bench.give(bench.sample(1))) == [1]


def test_the_governor_spreads_a_fleet_and_slows_down_for_the_silent() -> None:
    governor = RebirthGovernor(rate=10.0, burst=20, pause=2.0, max_pause=8.0)
    fleet = [("city", f"gw-{number}") for number in range(100)]
    assert sum(governor(node, 0.0) for node in fleet) == 20
    assert sum(governor(node, 1.0) for node in fleet) == 10
    asked = [now for now in range(100) if governor(fleet[0], 10.0 + now)]
    assert asked[:4] == [0, 4, 12, 20], "each request without a birth doubles the pause, up to a limit"
    governor.born(fleet[0])
    assert governor(fleet[0], 200.0) and not governor(fleet[0], 201.0) and governor(fleet[0], 202.0)
