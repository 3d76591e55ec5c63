"""Data messages put together by hand: the same bytes as the general codec's, the same state in the node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.errors import FrameError, LinkDown
from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.actions import EdgeAction, Publish
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.lean import coded, lean_data
from vigie_protocols.sparkplug.model import DataType, Metric, MetricValue, Payload

T0 = 1_800_000_000_000
STAMPS = st.integers(0, 2**63)
SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
UNSIGNED = {
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATETIME: 64,
}
VALUES: dict[DataType, st.SearchStrategy[MetricValue]] = {
    **{kind: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in SIGNED.items()},
    **{kind: st.integers(0, 2**bits - 1) for kind, bits in UNSIGNED.items()},
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
}


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[int, DataType, MetricValue]]:
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=8))
    return [(draw(st.integers(0, 2**64 - 1)), kind, draw(VALUES[kind])) for kind in kinds]


@given(rows(), STAMPS, STAMPS, st.integers(0, 255))
def test_the_bytes_are_the_general_codecs(
    drawn: list[tuple[int, DataType, MetricValue]], stamp: int, now: int, seq: int
) -> None:
    metrics = tuple(Metric("n", value, kind, alias, stamp) for alias, kind, value in drawn)
    mine = []
    for alias, kind, value in drawn:
        code = coded(alias, kind)
        assert code is not None
        mine.append((code, value))
    assert lean_data(mine, stamp, now, seq) == SparkplugB().encode(Payload(metrics, now, seq), lean=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, 2 ** (bits - 1)) for kind, bits in SIGNED.items()]
    + [(kind, -(2 ** (bits - 1)) - 1) for kind, bits in SIGNED.items()]
    + [(kind, 2**bits) for kind, bits in UNSIGNED.items()]
    + [(kind, wrong) for kind in UNSIGNED for wrong in (-1, 1.0, True, None, "1")]
    + [(DataType.DOUBLE, wrong) for wrong in (None, "1.5", b"1")]
    + [(DataType.BOOLEAN, wrong) for wrong in (1, 0.0, None, "true")],
)
def test_what_is_not_of_its_type_is_refused(kind: DataType, value: MetricValue) -> None:
    code = coded(1, kind)
    assert code is not None
    with pytest.raises(FrameError):
        lean_data([(code, value)], T0, T0, 0)


def test_only_numbers_and_booleans_are_written() -> None:
    assert {kind for kind in DataType if coded(1, kind) is not None} == set(VALUES)


def born() -> EdgeNode:
    node = EdgeNode(
        EdgeConfig("city", "gw-1"),
        [Metric("uptime", 12, DataType.UINT64)],
        {"pump": [Metric("flow", 1.5, DataType.DOUBLE), Metric("name", "a", DataType.STRING)]},
    )
    node.will(T0)
    node.connected(T0)
    return node


def sent(actions: list[EdgeAction] | None) -> list[Publish]:
    assert actions is not None
    return [one for one in actions if isinstance(one, Publish)]


def test_it_leaves_the_node_as_data_does() -> None:
    quick, slow = born(), born()
    for step, value in enumerate((2.5, 3.5)):
        stamp, now = T0 + step, T0 + step + 5
        mine = sent(quick.current("pump", ("flow",), (value,), stamp, now))
        theirs = sent(slow.data("pump", [Metric("flow", value, timestamp=stamp)], now))
        assert mine == theirs
    assert sent(quick.current("", ("uptime",), (13,), T0, T0)) == sent(
        slow.data("", [Metric("uptime", 13, timestamp=T0)], T0)
    )
    # and then a sample of bad quality the long way, which is newer
    bad = [Metric("flow", 4.5, timestamp=T0 + 9, quality=0)]
    assert sent(quick.data("pump", bad, T0 + 9)) == sent(slow.data("pump", bad, T0 + 9))
    assert sent(quick.rebirth(T0 + 10)) == sent(slow.rebirth(T0 + 10))
    assert sent(quick.current("pump", ("flow",), (5.5,), T0 + 11, T0 + 11))
    (_, birth) = sent(quick.rebirth(T0 + 12))
    flow = next(one for one in pb.Payload.FromString(birth.payload).metrics if one.name == "flow")
    assert (flow.double_value, flow.timestamp) == (5.5, T0 + 11)


def test_what_it_does_not_serve_goes_the_long_way() -> None:
    node = born()
    assert node.current("pump", ("name",), ("b",), T0, T0) is None  # a text
    assert node.current("pump", ("flow", "new"), (1.0, 1.0), T0, T0) is None  # no birth has named it
    assert node.current("valve", ("flow",), (1.0,), T0, T0) is None  # nor this device
    node.device_lost("pump", T0)
    assert node.current("pump", ("flow",), (1.0,), T0, T0) is None  # dead: what is sent is historical
    node.disconnected()
    with pytest.raises(LinkDown):
        node.current("pump", ("flow",), (1.0,), T0, T0)
    with pytest.raises(FrameError):
        born().current("pump", ("flow",), ("text",), T0, T0)
