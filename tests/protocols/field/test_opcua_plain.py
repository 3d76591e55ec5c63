"""Packed reads and writes against the library's own bytes."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary

from vigie_protocols.opcua import plain
from vigie_protocols.opcua.nodes import to_utc

STAMP = datetime(2026, 11, 16, 12, 0, 1, 250_000, tzinfo=UTC)
VALUES = [
    ("Boolean", True),
    ("Boolean", [True, False, True]),
    ("SByte", -3),
    ("Byte", 255),
    ("Int16", [-1, 2]),
    ("UInt16", 65535),
    ("Int32", []),
    ("UInt32", [7]),
    ("Int64", -(2**62)),
    ("UInt64", 2**63),
    ("Float", 1.5),
    ("Double", [0.1, -2e300]),
    ("String", "feu d'été"),
]


def variant(kind, raw):
    return ua.Variant(raw, ua.VariantType[kind], is_array=isinstance(raw, list))


def packed_variant(kind, raw):
    return plain.pack_variant(ua.VariantType[kind].value, isinstance(raw, list), raw)


@pytest.mark.parametrize(("kind", "raw"), VALUES)
def test_a_write_has_the_same_bytes_as_the_librarys(kind, raw):
    node = ua.NodeId("Signals.Lamps", 2)
    data = ua.DataValue(variant(kind, raw), StatusCode=None, SourceTimestamp=STAMP)
    whole = ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=data)
    packed = packed_variant(kind, raw)
    value = plain.pack_value(packed, None, plain.filetime(STAMP.timestamp()))
    assert plain.pack_write(nodeid_to_binary(node), value) == struct_to_binary(whole)


@pytest.mark.parametrize(("kind", "raw"), VALUES)
def test_a_write_arrives_as_it_was_sent(kind, raw):
    packed = packed_variant(kind, raw)
    row = plain.pack_write(nodeid_to_binary(ua.NodeId("a.b", 3)), plain.pack_value(packed, None, 12_345))
    body = plain.pack_rows([row, row])
    (first, second) = plain.write_rows(body, 0)
    assert first == second
    assert (first.raw, first.array, first.ticks) == (pytest.approx(raw), isinstance(raw, list), 12_345)
    params = struct_from_binary(ua.WriteParameters, Buffer(body))
    assert [one.Value.Value.Value for one in params.NodesToWrite] == [raw, raw]


def response(*values):
    message = ua.ReadResponse()
    message.ResponseHeader.RequestHandle = 5
    message.Results = list(values)
    return struct_to_binary(message)


def test_results_are_what_the_library_reads():
    rows = [
        ua.DataValue(variant(kind, raw), ua.StatusCode(ua.StatusCodes.UncertainInitialValue), STAMP)
        for kind, raw in VALUES
    ]
    rows.append(ua.DataValue(variant("Int32", 3), None, STAMP + timedelta(seconds=1), STAMP))
    rows.append(ua.DataValue(variant("Int32", 4)))
    found = plain.read_results(response(*rows), len(rows))
    for one, row in zip(found, rows, strict=True):
        assert one.raw == row.Value.Value and type(one.raw) is type(row.Value.Value)
        assert one.status == (row.StatusCode.value if row.StatusCode else 0)
        assert one.source == to_utc(row.SourceTimestamp)


@pytest.mark.parametrize(
    "value",
    [
        ua.DataValue(None),
        ua.DataValue(variant("String", ["a", "b"])),
        ua.DataValue(variant("DateTime", STAMP)),
        ua.DataValue(ua.Variant([1, 2, 3, 4], ua.VariantType.Int32, Dimensions=[2, 2], is_array=True)),
        ua.DataValue(variant("LocalizedText", ua.LocalizedText("x"))),
    ],
)
def test_what_is_not_plain_is_left_to_the_library(value):
    assert plain.read_results(response(ua.DataValue(variant("Int32", 1)), value), 2) is None


def test_a_fault_or_another_count_is_left_to_the_library():
    assert plain.read_results(struct_to_binary(ua.ServiceFault()), 1) is None
    assert plain.read_results(response(ua.DataValue(variant("Int32", 1))), 2) is None
    bad = ua.WriteResponse()
    bad.Results = [ua.StatusCode(ua.StatusCodes.BadOutOfRange), ua.StatusCode(0)]
    assert plain.write_results(struct_to_binary(bad), 2) == [ua.StatusCodes.BadOutOfRange, 0]
    bad.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadTooManyOperations)
    assert plain.write_results(struct_to_binary(bad), 2) is None


def test_spoilt_bytes_never_raise():
    chance = random.Random(7)
    good = response(*(ua.DataValue(variant(kind, raw), None, STAMP) for kind, raw in VALUES))
    node = nodeid_to_binary(ua.NodeId("a.b", 3))
    rows = [
        plain.pack_write(node, plain.pack_value(packed_variant(kind, raw), None, 1)) for kind, raw in VALUES
    ]
    body = plain.pack_rows(rows)
    for _ in range(20_000):
        spoilt = bytearray(chance.choice((good, body)))
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        spoilt = bytes(spoilt[: chance.randint(0, len(spoilt))])
        plain.read_results(spoilt, len(VALUES))
        plain.write_rows(spoilt, 0)
        plain.request_parts(spoilt, node)


def test_a_request_header_is_the_librarys():
    request = ua.ReadRequest()
    token = ua.NodeId(1001)
    request.RequestHeader.AuthenticationToken = token
    request.RequestHeader.RequestHandle = 9
    request.RequestHeader.TimeoutHint = 4000
    whole = struct_to_binary(request)
    packed = plain.READ + plain.request_header(nodeid_to_binary(token), 9, 4000)
    stamp = slice(4 + len(nodeid_to_binary(token)), 12 + len(nodeid_to_binary(token)))
    assert len(packed) == len(whole) - len(struct_to_binary(request.Parameters))
    assert (
        packed[: stamp.start] == whole[: stamp.start]
        and packed[stamp.stop :] == whole[stamp.stop : len(packed)]
    )
    assert plain.request_parts(whole, nodeid_to_binary(token)) == (9, len(packed))
    assert plain.request_parts(whole, nodeid_to_binary(ua.NodeId(1002))) is None
