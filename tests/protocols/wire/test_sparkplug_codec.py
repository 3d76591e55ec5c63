"""The protobuf codec: what goes in comes out, what is malformed or too much is refused."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.errors import FrameError
from vigie_protocols.points import Quality, ValueType
from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.model import DataType, Metric, MetricValue, Payload, metric_of
from vigie_protocols.sparkplug.topics import Topic, Verb, device_topic, node_topic, parse_topic, state_topic

CODEC = SparkplugB()
TIMES = st.integers(1, 2**63)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


FLOATS = st.floats(width=32, allow_nan=False)
DOUBLES = st.floats(allow_nan=False)
TEXTS = st.text(max_size=40)
BYTES = st.binary(max_size=40)
VALUES: dict[DataType, st.SearchStrategy[MetricValue]] = {
    DataType.INT8: signed(8),
    DataType.INT16: signed(16),
    DataType.INT32: signed(32),
    DataType.INT64: signed(64),
    DataType.UINT8: unsigned(8),
    DataType.UINT16: unsigned(16),
    DataType.UINT32: unsigned(32),
    DataType.UINT64: unsigned(64),
    DataType.FLOAT: FLOATS,
    DataType.DOUBLE: DOUBLES,
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: TEXTS,
    DataType.DATETIME: unsigned(64),
    DataType.TEXT: TEXTS,
    DataType.UUID: TEXTS,
    DataType.BYTES: BYTES,
    DataType.FILE: BYTES,
    DataType.INT32_ARRAY: BYTES,
    DataType.STRING_ARRAY: BYTES,
}


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype = draw(st.sampled_from(sorted(VALUES)))
    return Metric(
        draw(st.text(min_size=1, max_size=20)),
        draw(st.none() | VALUES[datatype]),
        datatype,
        draw(st.none() | st.integers(0, 2**64 - 1)),
        draw(st.none() | TIMES),
        draw(st.booleans()),
        draw(st.sampled_from([None, 0, 192, 500])),
    )


PAYLOADS = st.builds(
    Payload, st.lists(metrics(), max_size=6).map(tuple), st.none() | TIMES, st.none() | unsigned(8)
)


@given(PAYLOADS)
def test_births_come_out_as_they_went_in(payload: Payload) -> None:
    assert CODEC.decode(CODEC.encode(payload)) == payload


@given(st.lists(metrics(), max_size=6, unique_by=lambda metric: metric.name), TIMES)
def test_data_come_out_whole_with_the_births_known(some: list[Metric], now: int) -> None:
    named = [
        Metric(m.name, m.value, m.datatype, place + 1, m.timestamp, m.is_historical, m.quality)
        for place, m in enumerate(some)
    ]
    payload = Payload(tuple(named), now, 3)
    lean = CODEC.encode(payload, lean=True)
    known: dict[int | str, Metric] = {metric.alias: metric for metric in named if metric.alias is not None}
    assert CODEC.decode(lean, known) == payload
    assert all(metric.name == "" for metric in CODEC.decode(lean).metrics)
    assert len(lean) <= len(CODEC.encode(payload))


@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_anything_else(noise: bytes) -> None:
    try:
        payload = CODEC.decode(noise)
    except FrameError:
        return
    for metric in payload.metrics:
        assert isinstance(metric.name, str)


@given(PAYLOADS, st.data())
def test_one_byte_changed_is_refused_or_read(payload: Payload, data: st.DataObject) -> None:
    good = bytearray(CODEC.encode(payload))
    if good:
        good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        CODEC.decode(bytes(good))
    except FrameError:
        return


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.INT8, 128),
        (DataType.INT8, 1.0),
        (DataType.UINT16, -1),
        (DataType.UINT64, 2**64),
        (DataType.BOOLEAN, 1),
        (DataType.DOUBLE, "1"),
        (DataType.FLOAT, None.__class__),
        (DataType.STRING, 5),
        (DataType.STRING, "\ud800"),
        (DataType.BYTES, "text"),
        (DataType.DATASET, b"\xff"),
        (DataType.TEMPLATE, 3),
        (35, 1),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(datatype: int, value: MetricValue) -> None:
    with pytest.raises(FrameError, match="level"):
        CODEC.encode(Payload((Metric("level", value, datatype),)))


@pytest.mark.parametrize("quality", [1, 191, -1, 501])
def test_only_three_qualities_leave(quality: int) -> None:
    with pytest.raises(FrameError, match="quality"):
        CODEC.encode(Payload((Metric("level", 1, DataType.INT32, quality=quality),)))


def test_a_quality_nobody_knows_counts_as_bad() -> None:
    wire = pb.Payload()
    metric = wire.metrics.add(name="level", datatype=3, int_value=1)
    metric.properties.keys.append("Quality")
    metric.properties.values.add(type=3, int_value=7)
    assert CODEC.decode(wire.SerializeToString()).metrics[0].quality == 0


@pytest.mark.parametrize("raw", [0xFF, 0xFFFFFFFF])
def test_small_negative_numbers_in_both_spellings(raw: int) -> None:
    wire = pb.Payload()
    wire.metrics.add(name="level", datatype=DataType.INT8, int_value=raw)
    assert CODEC.decode(wire.SerializeToString()).metrics[0].value == -1


@pytest.mark.parametrize(
    ("datatype", "fields"),
    [
        (DataType.INT8, {"int_value": 0x1FF}),
        (DataType.UINT8, {"int_value": 256}),
        (DataType.DOUBLE, {"int_value": 1}),
        (DataType.STRING, {"bytes_value": b"x"}),
        (DataType.BOOLEAN, {"int_value": 1}),
        (99, {"int_value": 1}),
    ],
)
def test_values_of_another_type_are_refused(datatype: int, fields: dict[str, int]) -> None:
    wire = pb.Payload()
    wire.metrics.add(name="level", datatype=datatype, **fields)  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="level"):
        CODEC.decode(wire.SerializeToString())


def test_text_that_is_not_utf8_is_refused() -> None:
    # The C core would hand it over as bytes.
    for raw in (b"\x12\x04\x0a\x02\xff\xfe", b"\x12\x07\x0a\x01n\x7a\x02\xff\xfe"):
        with pytest.raises(FrameError, match="UTF-8"):
            CODEC.decode(raw)


def test_bounds() -> None:
    small = SparkplugB(max_payload=100, max_metrics=3)
    with pytest.raises(FrameError, match="bytes"):
        small.decode(b"\x00" * 101)
    with pytest.raises(FrameError, match="metrics"):
        small.decode(b"\x12\x00" * 4)
    with pytest.raises(FrameError, match="metrics"):
        small.encode(Payload(tuple(Metric("x", 1, DataType.INT32) for _ in range(4))))
    with pytest.raises(FrameError, match="bytes"):
        small.encode(Payload((Metric("x" * 200, 1, DataType.INT32),)))
    with pytest.raises(FrameError, match="sequence"):
        CODEC.decode(pb.Payload(seq=256).SerializeToString())


def test_deep_templates_are_refused() -> None:
    # A field holding a template holding a field ...: the parser's own limit must show as a FrameError.
    data = b""
    for _ in range(400):
        data = b"\x12" + _varint(len(data)) + data
        data = b"\x92\x01" + _varint(len(data)) + data
    with pytest.raises(FrameError):
        CODEC.decode(b"\x12" + _varint(len(data)) + data)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def test_published_field_numbers() -> None:
    """The bytes themselves, by hand from the published numbers: timestamp 1, metrics 2, seq 3, ..."""
    metric = bytes((0x0A, 1)) + b"n" + bytes((0x10, 7, 0x18, 9, 0x20, 10, 0x28, 1)) + b"\x69"
    metric += struct.pack("<d", 1.5)
    raw = bytes((0x08, 5, 0x12, len(metric))) + metric + bytes((0x18, 2))
    assert CODEC.decode(raw) == Payload((Metric("n", 1.5, DataType.DOUBLE, 7, 9, True),), 5, 2)


def test_nan_and_infinity_travel() -> None:
    for value in (math.inf, -math.inf, math.nan):
        (metric,) = CODEC.decode(CODEC.encode(Payload((Metric("level", value, DataType.DOUBLE),)))).metrics
        assert metric.value == value or math.isnan(metric.value)  # type: ignore[arg-type]


def test_metric_of_a_point() -> None:
    assert metric_of("p", ValueType.ENUM, 3, 9) == Metric("p", 3, DataType.INT32, None, 9)
    bad = metric_of("p", ValueType.FLOAT, None, 9, Quality.BAD, historical=True)
    assert bad == Metric("p", None, DataType.DOUBLE, None, 9, True, 0)
    assert metric_of("p", ValueType.BOOL, True, 9, Quality.UNCERTAIN).quality == 500


# -- topics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [v for v in Verb if v is not Verb.STATE])
def test_topics_there_and_back(verb: Verb) -> None:
    if verb.value.startswith("D"):
        topic = device_topic(verb, "ville", "gw-é", "a b")
        assert parse_topic(topic) == Topic(verb, "ville", "gw-é", "a b")
        with pytest.raises(ValueError, match="not a message"):
            node_topic(verb, "ville", "gw")
    else:
        topic = node_topic(verb, "ville", "gw-é")
        assert parse_topic(topic) == Topic(verb, "ville", "gw-é")
        with pytest.raises(ValueError, match="not a message"):
            device_topic(verb, "ville", "gw", "d")
    assert str(parse_topic(topic)) == topic


def test_state_topic() -> None:
    assert parse_topic(state_topic("scada")) == Topic(Verb.STATE, "", "scada")
    assert str(parse_topic("spBv1.0/STATE/scada")) == "spBv1.0/STATE/scada"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "spBv1.0",
        "spBv1.0/STATE",
        "spBv1.0/g/NBIRTH",
        "spBv1.0/g/NBIRTH/n/d",
        "spBv1.0/g/DBIRTH/n",
        "spBv1.0/g/DBIRTH/n/d/x",
        "spBv1.0/g/WHAT/n",
        "spAv1.0/g/NBIRTH/n",
        "spBv1.0//NBIRTH/n",
        "spBv1.0/g/NBIRTH/" + "n" * 600,
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(FrameError):
        parse_topic(topic)
