"""One point's value in the form its protocol carries, and back.

Drivers and simulated devices share these, so that a run without sockets gives readings equal to the last
bit to those that went over the wire.
"""

import math
import struct

from vigie_protocols.addresses import ModbusAddress, MqttAddress, OpcUaAddress
from vigie_protocols.modbus import codec
from vigie_protocols.points import Value, ValueType
from vigie_protocols.profile import PointDecl

Raw = bool | int | float | str | tuple[int, ...]
"""Modbus: registers as a tuple, or a bool for coils and discrete inputs. OPC UA: what the Variant holds,
or for a bit the word with that bit alone. MQTT: the JSON value, or the text of a bare payload."""

_WHOLE = {
    "SByte": (-(2**7), 2**7 - 1),
    "Byte": (0, 2**8 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "UInt32": (0, 2**32 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt64": (0, 2**64 - 1),
}
_TRUE = frozenset({"true", "1", "on"})
_FALSE = frozenset({"false", "0", "off"})


def encode_point(decl: PointDecl, value: Value) -> Raw:
    """``value`` as the device's protocol carries it; raises ValueError when it does not fit."""
    address = decl.address
    if isinstance(address, ModbusAddress):
        return bool(value) if address.bits_table else codec.encode(address, decl.type, value)
    if isinstance(address, OpcUaAddress):
        return _to_variant(address, decl.type, value)
    if isinstance(address, MqttAddress):
        return value if address.path is not None else bare_text(value)
    raise ValueError(f"{decl.name} has no address")


def decode_point(decl: PointDecl, raw: Raw) -> Value:
    """The value in ``raw``; raises ValueError when it is not of the point's type."""
    address = decl.address
    if isinstance(address, ModbusAddress):
        if address.bits_table:
            return bool(raw)
        if not isinstance(raw, tuple):
            raise ValueError(f"{decl.name}: registers expected")
        return codec.decode(address, decl.type, raw)
    if isinstance(address, OpcUaAddress):
        return from_variant(address, decl.type, raw)
    if isinstance(address, MqttAddress):
        return from_json(decl.type, raw) if address.path is not None else from_text(decl.type, str(raw))
    raise ValueError(f"{decl.name} has no address")


def through(decl: PointDecl, value: Value) -> Value:
    """``value`` as it comes out after a journey over the protocol."""
    return decode_point(decl, encode_point(decl, value))


def _to_variant(address: OpcUaAddress, kind: ValueType, value: Value) -> Value:
    variant = address.wire(kind)
    if address.bit is not None:
        return 1 << address.bit if value else 0
    if variant == "Boolean":
        return bool(value)
    if variant == "String":
        return str(value)
    if variant == "Double":
        return float(value)
    if variant == "Float":
        try:
            return float(struct.unpack("<f", struct.pack("<f", float(value)))[0])
        except OverflowError:
            raise ValueError(f"{value!r} does not fit a Float") from None
    number = round(value) if isinstance(value, float) else int(value)
    low, high = _WHOLE[variant]
    if not low <= number <= high:
        raise ValueError(f"{value!r} is outside {low} to {high} of {variant}")
    return number


def from_variant(address: OpcUaAddress, kind: ValueType, raw: object) -> Value:
    """The value of a point from what an OPC UA Variant (or one element of its array) holds."""
    if address.bit is not None:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise ValueError(f"{raw!r} has no bits")
        return raw >> address.bit & 1 == 1
    return from_json(kind, raw)


def from_json(kind: ValueType, raw: object) -> Value:
    """A JSON (or Variant) value as a point's value; raises ValueError when the type is wrong."""
    if kind is ValueType.BOOL:
        if isinstance(raw, bool):
            return raw
    elif kind is ValueType.STRING:
        if isinstance(raw, str):
            return raw
    elif isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        if kind is ValueType.FLOAT:
            return float(raw)
        if isinstance(raw, int) or raw.is_integer():
            number = int(raw)
            if kind is not ValueType.UINT or number >= 0:
                return number
    raise ValueError(f"{raw!r} is no {kind.value}")


def bare_text(value: Value) -> str:
    """A value as the text of a bare MQTT payload."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def from_text(kind: ValueType, text: str) -> Value:
    """A bare MQTT payload as a point's value; raises ValueError when it is none."""
    if kind is ValueType.STRING:
        return text
    word = text.strip().lower()
    if kind is ValueType.BOOL:
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(f"{text!r} is no bool")
    return from_json(kind, float(word) if kind is ValueType.FLOAT else int(word))
