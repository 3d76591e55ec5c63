"""What the edge node does beyond the specification's assertions: requests, problems, old records."""

import pytest
from tests.protocols.wire.nodes import (
    DEVICES,
    NODE,
    STATE,
    T0,
    TOPIC,
    bdseq,
    born,
    parse,
    sent,
    verb,
    waiting,
)

from vigie_protocols.errors import FrameError
from vigie_protocols.sparkplug.actions import CommandReceived, Problem
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.model import DataType, Metric, Payload


def test_commands_come_out_as_requests_with_names() -> None:
    node, actions = born()
    births = parse(sent(actions)[1])
    alias = next(metric.alias for metric in births.metrics if metric.name == "phase")
    codec = SparkplugB()
    by_alias = codec.encode(Payload((Metric("", -2, DataType.INT32, alias),), T0), lean=True)
    (request,) = node.received(TOPIC.format("DCMD") + "/jct-a", by_alias, T0)
    assert isinstance(request, CommandReceived)
    assert (request.device, request.timestamp) == ("jct-a", T0)
    assert [(metric.name, metric.value) for metric in request.metrics] == [("phase", -2)]


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (TOPIC.format("NCMD"), b"\xff\xff\xff", "malformed"),
        (TOPIC.format("DCMD") + "/unknown", b"", "unknown-device"),
        (TOPIC.format("NDATA"), b"", "unexpected-topic"),
        (STATE, b"ONLINE", "unexpected-topic"),
        (TOPIC.format("DCMD") + "/jct-a/x", b"", "malformed"),
    ],
)
def test_what_is_wrong_is_a_problem_and_nothing_else(topic: str, payload: bytes, code: str) -> None:
    node, _ = born()
    (problem,) = node.received(topic, payload, T0)
    assert isinstance(problem, Problem) and problem.code == code
    assert node.born


def test_unknown_metrics_of_a_command_are_told_and_the_rest_goes_on() -> None:
    node, _ = born()
    payload = SparkplugB().encode(
        Payload((Metric("nonsense", 1, DataType.INT32), Metric("fault", True, DataType.BOOLEAN)), T0)
    )
    problem, request = node.received(TOPIC.format("DCMD") + "/jct-a", payload, T0)
    assert isinstance(problem, Problem) and problem.code == "unknown-metric"
    assert isinstance(request, CommandReceived) and request.metrics[0].name == "fault"


def test_malformed_state_is_a_problem() -> None:
    node = waiting()
    for text in (b"ONLINE", b"{}", b'{"online":1,"timestamp":2}', b'{"online":true,"timestamp":-1}', b"[]"):
        (problem,) = node.received(STATE, text, T0)
        assert isinstance(problem, Problem) and problem.code == "malformed"
    assert not node.born


def test_a_historical_value_does_not_become_current() -> None:
    node, _ = born()
    node.data("jct-a", [Metric("phase", 5, is_historical=True, timestamp=T0 - 9)], T0)
    birth = parse(sent(node.rebirth(T0))[1])
    assert next(metric.int_value for metric in birth.metrics if metric.name == "phase") == 2


def test_old_records_of_a_lost_device_go_out_as_historical() -> None:
    node, _ = born()
    node.device_lost("jct-a", T0 + 1)
    (message,) = sent(node.data("jct-a", [Metric("phase", 4)], T0 + 2))
    assert parse(message).metrics[0].is_historical
    # After a reconnect the device has no birth in this session: it gets one, and its death, first.
    node.disconnected()
    node.will(T0 + 3)
    node.connected(T0 + 3)
    verbs = [verb(message) for message in sent(node.data("jct-a", [Metric("phase", 4)], T0 + 4))]
    assert verbs == ["DBIRTH", "DDEATH", "DDATA"]
    assert [verb(message) for message in sent(node.data("jct-a", [Metric("phase", 3)], T0 + 5))] == ["DDATA"]


def test_metrics_and_devices_met_late_are_born_first() -> None:
    node, _ = born()
    new = Metric("old-name", 1.5, DataType.DOUBLE)
    assert [verb(m) for m in sent(node.data("jct-a", [new], T0))] == ["DBIRTH", "DDATA"]
    assert [verb(m) for m in sent(node.data("gone", [new], T0))] == ["DBIRTH", "DDEATH", "DDATA"]
    assert [verb(m) for m in sent(node.data("", [new], T0))] == ["NBIRTH", "DBIRTH", "DBIRTH", "NDATA"]
    with pytest.raises(FrameError):
        node.data("jct-a", [Metric("no-type", 1)], T0)


def test_a_value_that_does_not_fit_spoils_neither_count_nor_births() -> None:
    node, _ = born()
    with pytest.raises(FrameError, match="phase"):
        node.data("jct-a", [Metric("phase", 2**40)], T0)
    (message,) = sent(node.data("jct-a", [Metric("phase", 3)], T0))
    assert parse(message).seq == 3
    assert len(sent(node.rebirth(T0))) == 3


def test_bdseq_can_be_kept_over_a_restart() -> None:
    node = EdgeNode(EdgeConfig("city", "gw-1"), NODE, DEVICES, first_bdseq=255)
    assert bdseq(parse(node.will(T0))) == 255
    assert node.next_bdseq == 0


def test_reserved_names_are_refused() -> None:
    for name in ("bdSeq", "Node Control/Rebirth"):
        with pytest.raises(FrameError):
            EdgeNode(EdgeConfig("city", "gw-1"), [Metric(name, 1, DataType.INT32)], {})
