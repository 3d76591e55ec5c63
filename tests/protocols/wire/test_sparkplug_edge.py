"""The MUSTs of Sparkplug 3.0 that concern an edge node, by assertion id: names, births, data, commands, devices.

A check looks at what leaves the node, parsed with the bare protobuf classes and not with our codec. What
concerns the connection and the primary host is in ``test_sparkplug_edge_link.py``; the table of all of them
in docs/sparkplug.md is held to the tests by ``test_sparkplug_table.py``.
"""

import pytest
from tests.protocols.wire.nodes import (
    T0,
    TOPIC,
    Checks,
    bdseq,
    born,
    edge,
    parse,
    rebirth_request,
    sent,
    session,
    verb,
)

from vigie_protocols.errors import FrameError, LinkDown
from vigie_protocols.sparkplug.actions import Disconnect, Publish, Subscribe
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.model import DataType, Metric

CHECKS = Checks()


# -- topics ------------------------------------------------------------------------------------------


@CHECKS.asserts(
    "tck-id-topic-structure",
    "tck-id-topic-structure-namespace-a",
    "tck-id-topics-nbirth-topic",
    "tck-id-topics-ndata-topic",
    "tck-id-topics-ndeath-topic",
    "tck-id-topics-dbirth-topic",
    "tck-id-topics-ddata-topic",
    "tck-id-topics-ddeath-topic",
    "tck-id-topic-structure-namespace-device-id-associated-message-types",
    "tck-id-topic-structure-namespace-device-id-non-associated-message-types",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-topic",
    "tck-id-message-flow-device-birth-publish-dbirth-topic",
    "tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic",
)
def check_topics() -> None:
    seen = {message.topic for message in session()}
    assert seen == {
        *(f"spBv1.0/city/{v}/gw-1" for v in ("NBIRTH", "NDATA", "NDEATH")),
        *(f"spBv1.0/city/{v}/gw-1/jct-{d}" for v in ("DBIRTH", "DDATA") for d in "ab"),
        "spBv1.0/city/DDEATH/gw-1/jct-b",
    }


@CHECKS.asserts(
    "tck-id-topic-structure-namespace-valid-group-id",
    "tck-id-topic-structure-namespace-valid-edge-node-id",
    "tck-id-topic-structure-namespace-valid-device-id",
)
def check_ids() -> None:
    for bad in ("", "a+b", "a/b", "a#b", "a\0b"):
        with pytest.raises(FrameError):
            EdgeNode(EdgeConfig(bad, "gw"), [], {})
        with pytest.raises(FrameError):
            EdgeNode(EdgeConfig("city", bad), [], {})
        with pytest.raises(FrameError):
            EdgeNode(EdgeConfig("city", "gw"), [], {bad: []})


@CHECKS.asserts("tck-id-topic-structure-namespace-unique-device-id")
def check_unique_devices() -> None:
    node, _ = born()
    node.device_back("jct-a", T0 + 1)
    births = [message.topic for message in sent(node.rebirth(T0 + 2)) if verb(message) == "DBIRTH"]
    assert len(births) == len(set(births)) == 2


# -- will and session --------------------------------------------------------------------------------


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-will-message-topic",
    "tck-id-message-flow-edge-node-birth-publish-will-message-payload",
    "tck-id-message-flow-edge-node-birth-publish-will-message-qos",
    "tck-id-message-flow-edge-node-birth-publish-will-message-will-retained",
    "tck-id-topics-ndeath-payload",
    "tck-id-topics-ndeath-seq",
    "tck-id-payloads-ndeath-seq",
    "tck-id-payloads-ndeath-will-message-qos",
    "tck-id-payloads-ndeath-will-message-retain",
    "tck-id-payloads-ndeath-bdseq",
)
def check_will() -> None:
    will = edge().will(T0)
    assert (will.topic, will.qos, will.retain) == (TOPIC.format("NDEATH"), 1, False)
    payload = parse(will)
    assert [metric.name for metric in payload.metrics] == ["bdSeq"]
    assert bdseq(payload) == 0
    assert not payload.HasField("seq")


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    "tck-id-topics-nbirth-bdseq-included",
    "tck-id-topics-nbirth-bdseq-matching",
    "tck-id-topics-nbirth-bdseq-increment",
    "tck-id-payloads-nbirth-bdseq",
    "tck-id-payloads-nbirth-bdseq-repeat",
)
def check_bdseq() -> None:
    node = edge()
    for connect in range(600):
        will = bdseq(parse(node.will(T0)))
        assert will == connect % 256
        assert bdseq(parse(sent(node.connected(T0))[0])) == will
        node.disconnected()


@CHECKS.asserts(
    "tck-id-message-flow-edge-node-birth-publish-connect",
    "tck-id-payloads-ndeath-will-message-publisher",
)
def check_nothing_before_connect() -> None:
    node = edge()
    with pytest.raises(LinkDown):
        node.data("", [Metric("uptime", 1)], T0)
    node.will(T0)
    with pytest.raises(LinkDown):
        node.data("", [Metric("uptime", 1)], T0)
    assert node.rebirth(T0) == [] == node.stop(T0)
    node.connected(T0)
    node.disconnected()
    with pytest.raises(LinkDown):
        node.data("", [Metric("uptime", 1)], T0)


@CHECKS.asserts("tck-id-message-flow-edge-node-ncmd-subscribe", "tck-id-message-flow-device-dcmd-subscribe")
def check_subscriptions() -> None:
    first, *rest = born()[1]
    assert isinstance(first, Subscribe), "subscriptions come before any birth"
    assert (TOPIC.format("NCMD"), 1) in first.filters
    assert (TOPIC.format("DCMD") + "/+", 1) in first.filters
    assert not any(isinstance(action, Subscribe) for action in rest)


@CHECKS.asserts(
    "tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath",
)
def check_stop() -> None:
    node, actions = born()
    death, leave = node.stop(T0 + 1)
    assert isinstance(death, Publish) and death.topic == TOPIC.format("NDEATH")
    assert bdseq(parse(death)) == bdseq(parse(sent(actions)[0]))
    assert not parse(death).HasField("seq")
    assert leave == Disconnect("stopped")


# -- births ------------------------------------------------------------------------------------------


@CHECKS.asserts(
    "tck-id-topics-nbirth-mqtt",
    "tck-id-topics-ndata-mqtt",
    "tck-id-topics-dbirth-mqtt",
    "tck-id-topics-ddata-mqtt",
    "tck-id-topics-ddeath-mqtt",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-qos",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-retained",
    "tck-id-message-flow-device-birth-publish-dbirth-qos",
    "tck-id-message-flow-device-birth-publish-dbirth-retained",
    "tck-id-payloads-nbirth-qos",
    "tck-id-payloads-nbirth-retain",
    "tck-id-payloads-dbirth-qos",
    "tck-id-payloads-dbirth-retain",
    "tck-id-payloads-ndata-qos",
    "tck-id-payloads-ndata-retain",
    "tck-id-payloads-ddata-qos",
    "tck-id-payloads-ddata-retain",
)
def check_qos() -> None:
    for message in session():
        assert (message.qos, message.retain) == (1 if verb(message) == "NDEATH" else 0, False)


@CHECKS.asserts(
    "tck-id-topics-nbirth-seq-num",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "tck-id-payloads-nbirth-seq",
    "tck-id-payloads-sequence-num-req-nbirth",
    "tck-id-payloads-sequence-num-zero-nbirth",
    "tck-id-payloads-sequence-num-always-included",
    "tck-id-payloads-sequence-num-incrementing",
    "tck-id-topics-ndata-seq-num",
    "tck-id-topics-dbirth-seq",
    "tck-id-topics-ddata-seq-num",
    "tck-id-topics-ddeath-seq-num",
    "tck-id-message-flow-device-birth-publish-dbirth-payload-seq",
    "tck-id-payloads-dbirth-seq",
    "tck-id-payloads-dbirth-seq-inc",
    "tck-id-payloads-ndata-seq",
    "tck-id-payloads-ndata-seq-inc",
    "tck-id-payloads-ddata-seq",
    "tck-id-payloads-ddata-seq-inc",
    "tck-id-payloads-ddeath-seq",
    "tck-id-payloads-ddeath-seq-inc",
    "tck-id-payloads-ddeath-seq-number",
)
def check_seq() -> None:
    expected = 0
    wrapped = False
    for message in session():
        payload = parse(message)
        if verb(message) == "NDEATH":
            assert not payload.HasField("seq")
            continue
        if verb(message) == "NBIRTH":
            expected = 0
        assert payload.HasField("seq") and payload.seq == expected
        wrapped |= expected == 255
        expected = (expected + 1) % 256
    assert wrapped


@CHECKS.asserts(
    "tck-id-topics-nbirth-timestamp",
    "tck-id-topics-ndata-timestamp",
    "tck-id-topics-dbirth-timestamp",
    "tck-id-topics-ddata-timestamp",
    "tck-id-payloads-nbirth-timestamp",
    "tck-id-payloads-dbirth-timestamp",
    "tck-id-payloads-ndata-timestamp",
    "tck-id-payloads-ddata-timestamp",
    "tck-id-payloads-ddeath-timestamp",
    "tck-id-payloads-timestamp-in-UTC",
    "tck-id-payloads-metric-timestamp-in-UTC",
    "tck-id-payloads-name-birth-data-requirement",
)
def check_timestamps() -> None:
    for message in session():
        payload = parse(message)
        assert T0 <= payload.timestamp <= T0 + 800
        for metric in payload.metrics:
            assert T0 - 7 <= metric.timestamp <= payload.timestamp


@CHECKS.asserts(
    "tck-id-topics-nbirth-metric-reqs",
    "tck-id-topics-nbirth-metrics",
    "tck-id-topics-dbirth-metric-reqs",
    "tck-id-topics-dbirth-metrics",
    "tck-id-message-flow-edge-node-birth-publish-nbirth-payload",
    "tck-id-message-flow-device-birth-publish-dbirth-payload",
    "tck-id-operational-behavior-data-publish-nbirth",
    "tck-id-operational-behavior-data-publish-nbirth-values",
    "tck-id-operational-behavior-data-publish-dbirth",
    "tck-id-operational-behavior-data-publish-dbirth-values",
    "tck-id-payloads-metric-datatype-req",
    "tck-id-payloads-metric-datatype-value",
    "tck-id-payloads-metric-datatype-value-type",
    "tck-id-payloads-name-requirement",
)
def check_birth_contents() -> None:
    nbirth, first, second = (parse(message) for message in sent(born()[1]))
    assert {metric.name for metric in nbirth.metrics} == {
        "bdSeq",
        "Node Control/Rebirth",
        "uptime",
        "Vigie/Event",
    }
    assert {metric.name for metric in first.metrics} == {"phase", "fault"}
    assert {metric.name for metric in second.metrics} == {"flow", "spare"}
    for payload in (nbirth, first, second):
        for metric in payload.metrics:
            assert DataType(metric.datatype) is not DataType.UNKNOWN
            assert (metric.WhichOneof("value") is None) == metric.is_null


@CHECKS.asserts(
    "tck-id-topics-nbirth-rebirth-metric",
    "tck-id-payloads-nbirth-rebirth-req",
    "tck-id-operational-behavior-data-commands-rebirth-name",
    "tck-id-operational-behavior-data-commands-rebirth-name-aliases",
    "tck-id-operational-behavior-data-commands-rebirth-datatype",
    "tck-id-operational-behavior-data-commands-rebirth-value",
)
def check_rebirth_metric() -> None:
    nbirth = parse(sent(born()[1])[0])
    (metric,) = [metric for metric in nbirth.metrics if metric.name == "Node Control/Rebirth"]
    assert metric.datatype == DataType.BOOLEAN
    assert metric.HasField("boolean_value") and metric.boolean_value is False
    assert not metric.HasField("alias")


@CHECKS.asserts(
    "tck-id-payloads-alias-uniqueness",
    "tck-id-payloads-alias-birth-requirement",
    "tck-id-payloads-alias-data-cmd-requirement",
    "tck-id-payloads-metric-datatype-not-req",
)
def check_aliases() -> None:
    names: dict[int, tuple[str, str]] = {}
    for message in session():
        for metric in parse(message).metrics:
            if verb(message) in ("NBIRTH", "DBIRTH"):
                if metric.name == "Node Control/Rebirth":
                    continue
                key = (message.topic, metric.name)
                assert metric.HasField("alias") and metric.name
                assert names.setdefault(metric.alias, key) == key
            elif verb(message) in ("NDATA", "DDATA"):
                assert metric.alias in names
                assert not metric.HasField("name") and not metric.HasField("datatype")


@CHECKS.asserts(
    "tck-id-payloads-dbirth-order",
    "tck-id-payloads-ndata-order",
    "tck-id-payloads-ddata-order",
    "tck-id-message-flow-device-birth-publish-nbirth-wait",
    "tck-id-principles-birth-certificates-order",
)
def check_order() -> None:
    node, actions = born()
    assert [verb(message) for message in sent(actions)] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert [verb(message) for message in sent(node.data("", [Metric("uptime", 1)], T0))] == ["NDATA"]
    assert [verb(message) for message in sent(node.rebirth(T0))] == ["NBIRTH", "DBIRTH", "DBIRTH"]


# -- data --------------------------------------------------------------------------------------------


@CHECKS.asserts("tck-id-topics-ndata-payload", "tck-id-topics-ddata-payload")
def check_data_carries_what_changed() -> None:
    node, _ = born()
    (message,) = sent(node.data("jct-a", [Metric("phase", -3, timestamp=T0 + 5, quality=500)], T0 + 9))
    (metric,) = parse(message).metrics
    assert (metric.int_value, metric.timestamp) == (2**32 - 3, T0 + 5)
    (again,) = [m for m in sent(node.rebirth(T0 + 10)) if m.topic.endswith("jct-a")]
    (phase,) = [m for m in parse(again).metrics if m.name == "phase"]
    assert (phase.int_value, phase.timestamp) == (2**32 - 3, T0 + 5), "the birth has the last value"


@CHECKS.asserts(
    "tck-id-operational-behavior-data-publish-nbirth-order",
    "tck-id-operational-behavior-data-publish-dbirth-order",
)
def check_chronological_order() -> None:
    node, _ = born()
    times = [T0 + 1, T0 + 2, T0 + 3]
    (message,) = sent(node.data("jct-a", [Metric("phase", 1, timestamp=t) for t in times], T0 + 9))
    assert [metric.timestamp for metric in parse(message).metrics] == times


@CHECKS.asserts(
    "tck-id-operational-behavior-data-publish-nbirth-change",
    "tck-id-operational-behavior-data-publish-dbirth-change",
)
def check_only_what_the_owner_publishes() -> None:
    # Deadbands and intervals are the recorder's; the node adds nothing of its own accord.
    node, _ = born()
    assert node.disconnected() == []
    node.will(T0)
    assert all(verb(message) in ("NBIRTH", "DBIRTH") for message in sent(node.connected(T0)))


@CHECKS.asserts(
    "tck-id-payloads-propertyset-keys-array-size",
    "tck-id-payloads-propertyset-values-array-size",
    "tck-id-payloads-propertyset-quality-value-type",
    "tck-id-payloads-propertyset-quality-value-value",
    "tck-id-payloads-metric-propertyvalue-type-type",
    "tck-id-payloads-metric-propertyvalue-type-value",
    "tck-id-payloads-metric-propertyvalue-type-req",
)
def check_quality() -> None:
    node, _ = born()
    for quality in (0, 192, 500):
        data = sent(node.data("jct-a", [Metric("phase", 1, quality=quality)], T0))
        birth = [m for m in sent(node.rebirth(T0)) if m.topic.endswith("DBIRTH/gw-1/jct-a")]
        for message in (*data, *birth):
            (metric,) = [m for m in parse(message).metrics if m.HasField("properties")]
            assert list(metric.properties.keys) == ["Quality"]
            (value,) = metric.properties.values
            assert (value.type, value.int_value, value.WhichOneof("value")) == (3, quality, "int_value")
    with pytest.raises(FrameError):
        node.data("jct-a", [Metric("phase", 1, quality=7)], T0)


# -- commands ----------------------------------------------------------------------------------------


@CHECKS.asserts(
    "tck-id-operational-behavior-data-commands-rebirth-action-1",
    "tck-id-operational-behavior-data-commands-rebirth-action-2",
    "tck-id-operational-behavior-data-commands-rebirth-action-3",
)
def check_rebirth() -> None:
    node, actions = born()
    node.data("jct-a", [Metric("phase", 7)], T0 + 1)
    again = node.received(TOPIC.format("NCMD"), rebirth_request(), T0 + 2)
    assert [verb(message) for message in sent(again)] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert len(sent(again)) == len(again)
    assert bdseq(parse(sent(again)[0])) == bdseq(parse(sent(actions)[0]))
    assert parse(sent(node.data("jct-a", [Metric("phase", 1)], T0 + 3))[0]).seq == 3


# -- devices -----------------------------------------------------------------------------------------


@CHECKS.asserts("tck-id-operational-behavior-device-ddeath")
def check_device_death() -> None:
    node, _ = born()
    (death,) = sent(node.device_lost("jct-a", T0 + 1))
    assert death.topic == "spBv1.0/city/DDEATH/gw-1/jct-a"
    assert node.device_lost("jct-a", T0 + 2) == []
    assert [m.topic[-5:] for m in sent(node.rebirth(T0 + 3))] == ["/gw-1", "jct-b"]
    (back,) = sent(node.device_back("jct-a", T0 + 4))
    assert verb(back) == "DBIRTH"


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_edge_node(name: str) -> None:
    CHECKS[name]()
