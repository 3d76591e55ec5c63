"""Values in Modbus registers: every layout of integers, floats, strings, bits and masks.

A register travels as two bytes, high byte first (Modbus application protocol 1.1b3, section 4.2). Values
of several registers differ by device: ``word_order`` big puts the register with the high bits first,
``byte_order`` little swaps the two bytes inside each register. So ABCD is big/big, CDAB has little words,
BADC little bytes, DCBA both.

``decode`` and ``encode`` work on one point; ``BlockDecoder`` is compiled once for a block read and turns
its payload into the values of all points in it.
"""

import math
import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from vigie_protocols.addresses import ModbusAddress
from vigie_protocols.points import Value, ValueType

_FORMATS: Final = {
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "u64": "Q",
    "i64": "q",
    "f32": "f",
    "f64": "d",
}
_LIMITS: Final = {
    "u16": (0, 2**16 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "u32": (0, 2**32 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
}
Convert = Callable[[Any], Value | None]
"""From what struct unpacks to the point's value; None when it is none (not a number, not text)."""


def _arrange(data: bytes, address: ModbusAddress) -> bytes:
    """Bytes as on the wire <-> bytes with the most significant first; its own inverse."""
    if address.byte_order == "little":
        data = b"".join(data[at + 1 : at + 2] + data[at : at + 1] for at in range(0, len(data), 2))
    if address.word_order == "little":
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    return data


def _inverse(scale: float) -> float | None:
    """The whole number that divides where ``scale`` multiplies: 3 / 10 is 0.3, 3 * 0.1 is not quite."""
    inverse = round(1 / scale)
    return float(inverse) if inverse not in (0, 1) and 1 / inverse == scale else None


def _number(address: ModbusAddress, kind: ValueType) -> Convert | None:
    """How a raw number becomes the point's value; None when it is the value already."""
    if kind is ValueType.BOOL:
        return bool
    scale, offset = address.scale, address.offset
    if kind is ValueType.FLOAT:
        inverse = _inverse(scale)
        if address.encoding in ("f32", "f64"):
            if scale == 1 and offset == 0:
                return _finite
            return lambda raw: _finite(raw * scale + offset)
        if inverse is not None:
            return lambda raw: raw / inverse + offset
        return lambda raw: float(raw * scale + offset)
    if scale == 1 and offset == 0:
        return None
    factor, shift = int(scale), int(offset)
    return lambda raw: int(raw * factor + shift)


def _finite(raw: float) -> float | None:
    return raw if math.isfinite(raw) else None


def _text(data: bytes) -> str | None:
    try:
        return data.split(b"\0", 1)[0].decode("utf-8")
    except UnicodeDecodeError:
        return None


def _field(address: ModbusAddress, kind: ValueType) -> tuple[str, Convert | None]:
    """struct format of a point's bytes and what turns them into its value."""
    if address.bit is not None:
        bit = 1 << (address.bit if address.byte_order == "big" else address.bit ^ 8)
        return "H", lambda raw: raw & bit != 0
    if address.mask is not None:
        mask, shift = address.mask, (address.mask & -address.mask).bit_length() - 1
        after = _number(address, kind)
        swapped = address.byte_order == "little"

        def masked(raw: int) -> Value | None:
            word = (raw >> 8 | raw << 8) & 0xFFFF if swapped else raw
            part = (word & mask) >> shift
            return part if after is None else after(part)

        return "H", masked
    if address.encoding == "string":
        return f"{2 * address.words}s", lambda data: _text(_arrange(data, address) if _odd(address) else data)
    after = _number(address, kind)
    form = _FORMATS[address.encoding]
    if not _odd(address):
        return form, after
    unpack = struct.Struct(">" + form).unpack

    def rearranged(data: bytes) -> Value | None:
        (raw,) = unpack(_arrange(data, address))
        return raw if after is None else after(raw)

    return f"{2 * address.words}s", rearranged


def _odd(address: ModbusAddress) -> bool:
    """True when the bytes do not already stand with the most significant first."""
    return address.byte_order == "little" or (address.word_order == "little" and address.words > 1)


class BlockDecoder:
    """Turns the payload of one block read into values, in the order of ``points``.

    start: first register (or coil) of the block; points: (address, type) of each point in it.
    A value that cannot be decoded comes out as None.
    """

    def __init__(self, start: int, count: int, points: Sequence[tuple[ModbusAddress, ValueType]]) -> None:
        self._bits: list[int] | None = None
        if points[0][0].bits_table:
            self.size = (count + 7) // 8
            self._bits = [address.address - start for address, _ in points]
            return
        self.size = 2 * count
        places: list[int] = []
        fixes: list[tuple[int, Convert]] = []
        fields: dict[tuple[int, str], int] = {}
        for place, (address, kind) in enumerate(points):
            form, convert = _field(address, kind)
            key = (2 * (address.address - start), form)
            places.append(fields.setdefault(key, len(fields)))
            if convert is not None:
                fixes.append((place, convert))
        self._structs, order = _layers(fields, self.size)
        picks = [order[place] for place in places]
        self._pick: Callable[[tuple[Any, ...]], Any] | None = None
        if picks != list(range(len(fields))):
            self._pick = itemgetter(*picks) if len(picks) > 1 else lambda raw: (raw[picks[0]],)
        self._fixes = fixes

    def __call__(self, payload: bytes) -> list[Value | None]:
        """The values; ``payload`` must have ``size`` bytes."""
        if self._bits is not None:
            word = int.from_bytes(payload, "little")
            return [word >> bit & 1 == 1 for bit in self._bits]
        raw: tuple[Any, ...] = self._structs[0].unpack(payload)
        for more in self._structs[1:]:
            raw += more.unpack(payload)
        values = list(raw if self._pick is None else self._pick(raw))
        for place, convert in self._fixes:
            values[place] = convert(values[place])
        return values


def _layers(fields: dict[tuple[int, str], int], size: int) -> tuple[list[struct.Struct], dict[int, int]]:
    """Structs that unpack all fields, those that overlap in further structs; field -> place in the result."""
    waiting = sorted(fields)
    structs: list[struct.Struct] = []
    order: dict[int, int] = {}
    while waiting:
        at, form, later = 0, ">", []
        for key in waiting:
            offset, code = key
            if offset < at:
                later.append(key)
                continue
            form += f"{offset - at}x" * (offset > at) + code
            at = offset + struct.calcsize(">" + code)
            order[fields[key]] = len(order)
        structs.append(struct.Struct(form + f"{size - at}x" * (size > at)))
        waiting = later
    return structs, order


def decode(address: ModbusAddress, kind: ValueType, words: Sequence[int]) -> Value:
    """The value in these registers (16-bit numbers); raises ValueError when there is none."""
    if len(words) != address.words:
        raise ValueError(f"{address.words} registers expected, {len(words)} given")
    form, convert = _field(address, kind)
    (raw,) = struct.unpack(">" + form, struct.pack(f">{len(words)}H", *words))
    value: Value | None = raw if convert is None else convert(raw)
    if value is None:
        raise ValueError(f"registers {list(words)} hold no {kind.value}")
    return value


def encode(address: ModbusAddress, kind: ValueType, value: Value) -> tuple[int, ...]:
    """The registers that hold ``value``; for a bit or mask, a register with only those bits set.

    Raises ValueError when the value does not fit.
    """
    if address.bit is not None:
        return (bit_mask(address) if value else 0,)
    if address.encoding == "string":
        data = str(value).encode("utf-8")
        room = 2 * address.words
        if len(data) > room:
            raise ValueError(f"{value!r} is longer than {room} bytes")
        data = data.ljust(room, b"\0")
    elif address.encoding in ("f32", "f64"):
        try:
            data = struct.pack(">" + _FORMATS[address.encoding], _unscale(address, float(value)))
        except OverflowError:
            raise ValueError(f"{value!r} does not fit {address.encoding}") from None
    else:
        raw = round(_unscale(address, value)) if kind is ValueType.FLOAT else _whole(address, int(value))
        low, high = _LIMITS[address.encoding]
        if address.mask is not None:
            shift = (address.mask & -address.mask).bit_length() - 1
            low, high = 0, address.mask >> shift
        if not low <= raw <= high:
            raise ValueError(f"{value!r} gives {raw}, outside {low} to {high} of {address.encoding}")
        if address.mask is not None:
            word = raw << shift & address.mask
            return ((word >> 8 | word << 8) & 0xFFFF if address.byte_order == "little" else word,)
        data = struct.pack(">" + _FORMATS[address.encoding], raw)
    if _odd(address):
        data = _arrange(data, address)
    return struct.unpack(f">{len(data) // 2}H", data)


def _unscale(address: ModbusAddress, value: Value) -> float:
    if address.scale == 1 and address.offset == 0:
        return value  # type: ignore[return-value]
    inverse = _inverse(address.scale)
    shifted = float(value) - address.offset
    return shifted * inverse if inverse is not None else shifted / address.scale


def _whole(address: ModbusAddress, value: int) -> int:
    raw, rest = divmod(value - int(address.offset), int(address.scale))
    if rest:
        raise ValueError(f"{value} is no multiple of {int(address.scale)}")
    return raw


def bit_mask(address: ModbusAddress) -> int:
    """The bits of the register, as it travels, that belong to a bit or mask point; all for others."""
    if address.bit is not None:
        return 1 << (address.bit if address.byte_order == "big" else address.bit ^ 8)
    if address.mask is not None:
        mask = address.mask
        return (mask >> 8 | mask << 8) & 0xFFFF if address.byte_order == "little" else mask
    return 0xFFFF
