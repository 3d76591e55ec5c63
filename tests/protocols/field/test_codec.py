"""Every layout of a Modbus value survives the journey, and a block decodes as its points do one by one."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_protocols.addresses import ModbusAddress, MqttAddress, OpcUaAddress
from vigie_protocols.modbus.codec import BlockDecoder, bit_mask, decode, encode
from vigie_protocols.pointcodec import decode_point, encode_point, through
from vigie_protocols.points import ValueType
from vigie_protocols.profile import PointDecl

INTEGERS = {"u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64}
orders = st.sampled_from(["big", "little"])
places = st.integers(0, 40)


@st.composite
def integer_points(draw):
    encoding = draw(st.sampled_from(sorted(INTEGERS)))
    bits, signed = INTEGERS[encoding], encoding[0] == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    address = ModbusAddress(
        address=draw(places), encoding=encoding, byte_order=draw(orders), word_order=draw(orders)
    )
    return address, ValueType.INT, draw(st.integers(low, high))


@st.composite
def float_points(draw):
    encoding = draw(st.sampled_from(["f32", "f64"]))
    width = 32 if encoding == "f32" else 64
    value = draw(st.floats(allow_nan=False, allow_infinity=False, width=width))
    address = ModbusAddress(
        address=draw(places), encoding=encoding, byte_order=draw(orders), word_order=draw(orders)
    )
    return address, ValueType.FLOAT, value


@st.composite
def scaled_points(draw):
    scale = draw(st.sampled_from([0.1, 0.01, 0.001, 0.5, 10.0, 1.0]))
    offset = draw(st.sampled_from([0.0, -40.0, 100.0]))
    raw = draw(st.integers(-(2**31), 2**31 - 1))
    address = ModbusAddress(address=draw(places), encoding="i32", scale=scale, offset=offset)
    words = struct.unpack(">2H", struct.pack(">i", raw))
    return address, ValueType.FLOAT, decode(address, ValueType.FLOAT, words)


@st.composite
def partial_points(draw):
    if draw(st.booleans()):
        address = ModbusAddress(address=draw(places), bit=draw(st.integers(0, 15)), byte_order=draw(orders))
        return address, ValueType.BOOL, draw(st.booleans())
    low = draw(st.integers(0, 12))
    width = draw(st.integers(1, 15 - low))
    address = ModbusAddress(address=draw(places), mask=((1 << width) - 1) << low, byte_order=draw(orders))
    return address, ValueType.UINT, draw(st.integers(0, 2**width - 1))


@st.composite
def text_points(draw):
    text = draw(st.text("abcXYZ09 éœ—🚦", max_size=4))
    length = draw(st.integers(8, 12))
    address = ModbusAddress(
        address=draw(places),
        encoding="string",
        length=length,
        byte_order=draw(orders),
        word_order=draw(orders),
    )
    return address, ValueType.STRING, text


any_point = st.one_of(integer_points(), float_points(), scaled_points(), partial_points(), text_points())


@settings(derandomize=True, max_examples=400, deadline=None)
@given(any_point)
def test_round_trip(point):
    address, kind, value = point
    again = decode(address, kind, encode(address, kind, value))
    assert again == value and type(again) is type(value)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(any_point, min_size=1, max_size=12), st.integers(0, 3))
def test_a_block_decodes_like_its_points(points, slack):
    memory = [0] * 64
    for address, kind, value in points:
        keep = ~bit_mask(address) & 0xFFFF
        for step, word in enumerate(encode(address, kind, value)):
            memory[address.address + step] = memory[address.address + step] & keep | word
    start = min(address.address for address, _, _ in points)
    end = max(address.address + address.words for address, _, _ in points) + slack
    block = BlockDecoder(start, end - start, [(address, kind) for address, kind, _ in points])
    payload = struct.pack(f">{end - start}H", *memory[start:end])
    assert block.size == len(payload)
    for (address, kind, _), got in zip(points, block(payload), strict=True):
        try:
            alone = decode(address, kind, memory[address.address : address.address + address.words])
        except ValueError:
            alone = None
        assert got == alone and type(got) is type(alone)


def test_known_layouts():
    # 12.375 is 0x41460000; the four orders of the field, as vendors print them
    layouts = {
        ("big", "big"): (0x4146, 0x0000),
        ("big", "little"): (0x0000, 0x4146),
        ("little", "big"): (0x4641, 0x0000),
        ("little", "little"): (0x0000, 0x4641),
    }
    for (byte_order, word_order), words in layouts.items():
        address = ModbusAddress(address=0, encoding="f32", byte_order=byte_order, word_order=word_order)
        assert decode(address, ValueType.FLOAT, words) == 12.375
        assert encode(address, ValueType.FLOAT, 12.375) == words


def test_tenths_come_out_as_people_write_them():
    address = ModbusAddress(address=0, scale=0.1)
    assert decode(address, ValueType.FLOAT, (3,)) == 0.3


def test_coils():
    points = [(ModbusAddress(table="coil", address=at), ValueType.BOOL) for at in (10, 17, 18, 25)]
    block = BlockDecoder(10, 16, points)
    assert block(bytes([0b10000001, 0b10000001])) == [True, True, True, True]
    assert block(bytes([0b00000001, 0b00000001])) == [True, False, True, False]


def test_not_a_number_is_no_value():
    address = ModbusAddress(address=0, encoding="f32")
    block = BlockDecoder(0, 2, [(address, ValueType.FLOAT)])
    assert block(struct.pack(">f", float("nan"))) == [None]
    with pytest.raises(ValueError, match="hold no float"):
        decode(address, ValueType.FLOAT, (0x7FC0, 0))


@pytest.mark.parametrize(
    ("encoding", "kind", "value"),
    [("u16", ValueType.UINT, 65536), ("i16", ValueType.INT, -32769), ("f32", ValueType.FLOAT, 1e39)],
)
def test_what_does_not_fit_is_refused(encoding, kind, value):
    with pytest.raises(ValueError, match=r"outside|fit"):
        encode(ModbusAddress(address=0, encoding=encoding), kind, value)


def decl(kind, address):
    return PointDecl("d/p", "d", "p", kind, address)


@pytest.mark.parametrize(
    ("kind", "address", "value"),
    [
        (ValueType.FLOAT, OpcUaAddress(node="a"), 0.1),
        (ValueType.ENUM, OpcUaAddress(node="a", index=3), 4),
        (ValueType.UINT, OpcUaAddress(node="a", variant="Byte"), 255),
        (ValueType.BOOL, OpcUaAddress(node="a", variant="UInt16", bit=15), True),
        (ValueType.STRING, OpcUaAddress(node="a"), "é"),
        (ValueType.FLOAT, MqttAddress(topic="t", path="a.b"), 0.1),
        (ValueType.FLOAT, MqttAddress(topic="t"), 0.1),
        (ValueType.BOOL, MqttAddress(topic="t"), False),
        (ValueType.BOOL, ModbusAddress(table="coil", address=1), True),
    ],
)
def test_through_the_other_protocols(kind, address, value):
    assert through(decl(kind, address), value) == value


def test_a_float_variant_rounds_as_the_wire_does():
    assert through(decl(ValueType.FLOAT, OpcUaAddress(node="a", variant="Float")), 0.1) == pytest.approx(0.1)
    assert through(decl(ValueType.FLOAT, OpcUaAddress(node="a", variant="Float")), 0.1) != 0.1


@pytest.mark.parametrize(
    ("kind", "address", "raw"),
    [
        (ValueType.BOOL, OpcUaAddress(node="a"), 1),
        (ValueType.INT, OpcUaAddress(node="a"), True),
        (ValueType.INT, OpcUaAddress(node="a"), "7"),
        (ValueType.UINT, OpcUaAddress(node="a"), -1),
        (ValueType.FLOAT, MqttAddress(topic="t", path="a"), float("inf")),
        (ValueType.INT, MqttAddress(topic="t"), "seven"),
        (ValueType.BOOL, MqttAddress(topic="t"), "maybe"),
    ],
)
def test_wrong_types_are_refused(kind, address, raw):
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs by protocol
        decode_point(decl(kind, address), raw)


def test_encode_checks_the_width():
    with pytest.raises(ValueError, match="outside"):
        encode_point(decl(ValueType.UINT, OpcUaAddress(node="a", variant="Byte")), 256)
