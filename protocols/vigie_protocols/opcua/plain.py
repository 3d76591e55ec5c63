"""Reads and writes of plain values as bytes, by compiled structs (OPC UA part 6, binary encoding).

What a gateway does all day is one Read and one Write with the same nodes; the library builds and takes
apart such messages field by field, half a millisecond each way. Here are the bytes of scalars and
one-dimensional arrays of booleans, numbers and (scalar) strings, with status and source timestamp. For
everything else the functions say None, and the library does it. No OPC UA library is imported here.
"""

import struct
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

_CODES: Final = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}
"""Built-in types (part 6, table 1) that a struct can hold."""
_STRING: Final = 12
_ARRAY: Final = 0x80
_VALUE, _STATUS, _SOURCE, _SERVER = 1, 2, 4, 8
_UNIX: Final = 116_444_736_000_000_000
"""The Unix epoch in 100 ns since 1601."""
_MICROSECONDS: Final = 11_644_473_600_000_000
_LATEST: Final = 2_650_467_743_990_000_000
"""The end of year 9999: later times are none."""
_I32: Final = struct.Struct("<i")
_U32: Final = struct.Struct("<I")
_I64: Final = struct.Struct("<q")
_SCALARS: Final = {number: struct.Struct("<" + code) for number, code in _CODES.items()}
_REQUEST: Final = struct.Struct("<qIIiI3x")  # time, handle, diagnostics, audit entry (none), timeout; no more
_RESPONSE: Final = struct.Struct("<qIIBi3s")  # time, handle, result, diagnostics, strings; additional header
_NOTHING: Final = b"\0\0\0"


class Got(NamedTuple):
    """One DataValue. raw: None for none; status: the whole code; source: UTC seconds, 0.0 for none."""

    raw: Any
    status: int
    source: float


def service(number: int) -> bytes:
    """A message's type id as it begins the message (four-byte node id in namespace 0)."""
    return struct.pack("<BBH", 1, 0, number)


READ: Final = service(631)
READ_RESPONSE: Final = service(634)
WRITE: Final = service(673)
WRITE_RESPONSE: Final = service(676)


def filetime(utc: float) -> int:
    """UTC seconds, to the microsecond, as OPC UA counts time."""
    return max(0, round(utc * 1e6) * 10 + _UNIX)


def utc_of(ticks: int) -> float:
    """OPC UA time as UTC seconds, to the microsecond."""
    return (ticks // 10 - _MICROSECONDS) / 1e6


@lru_cache(maxsize=512)
def _array(number: int, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{_CODES[number]}")


def request_header(token: bytes, handle: int, timeout_ms: int) -> bytes:
    """The header of a request. token: the session's, as a node id in bytes."""
    return token + _REQUEST.pack(time.time_ns() // 100 + _UNIX, handle, 0, -1, timeout_ms)


def request_parts(message: bytes, token: bytes) -> tuple[int, int] | None:
    """(handle, where the parameters begin) of a request of this session; None when it is not that plain."""
    at = 4 + len(token)
    end = at + _REQUEST.size
    if message[4:at] != token or len(message) < end or message[end - 3 : end] != _NOTHING:
        return None
    _, handle, diagnostics, audit, _ = _REQUEST.unpack_from(message, at)
    return None if diagnostics or audit != -1 else (handle, end)


def response_header(handle: int) -> bytes:
    """The header of a good response."""
    return _RESPONSE.pack(time.time_ns() // 100 + _UNIX, handle, 0, 0, 0, _NOTHING)


def pack_variant(number: int, array: bool, raw: Any) -> bytes | None:
    """A Variant of the built-in type ``number``; raises struct.error for a value outside its range."""
    if array:
        if number not in _CODES or not isinstance(raw, list | tuple):
            return None
        return bytes((number | _ARRAY,)) + _I32.pack(len(raw)) + _array(number, len(raw)).pack(*raw)
    if number in _CODES:
        return bytes((number,)) + _SCALARS[number].pack(raw)
    if number == _STRING and isinstance(raw, str):
        text = raw.encode()
        return bytes((number,)) + _I32.pack(len(text)) + text
    return None


def pack_value(variant: bytes, status: int | None, ticks: int | None) -> bytes:
    """A DataValue around a packed Variant. ticks: source time as ``filetime`` gives it."""
    mask = _VALUE
    rest = b""
    if status is not None:
        mask |= _STATUS
        rest = _U32.pack(status)
    if ticks is not None:
        mask |= _SOURCE
        rest += _I64.pack(ticks)
    return bytes((mask,)) + variant + rest


def unpack_variant(data: bytes, at: int) -> tuple[int, bool, Any, int] | None:
    """(built-in type, whether an array, value, where it ends); None when it is not plain or not whole."""
    head = data[at]
    number = head & 0x3F
    at += 1
    if head & 0x40:
        return None
    if head & _ARRAY:
        if number not in _CODES:
            return None
        count = _I32.unpack_from(data, at)[0]
        at += 4
        if count < 0 or count > len(data) - at:
            return None
        form = _array(number, count)
        return number, True, list(form.unpack_from(data, at)), at + form.size
    if number in _CODES:
        one = _SCALARS[number]
        return number, False, one.unpack_from(data, at)[0], at + one.size
    if number == _STRING:
        size = _I32.unpack_from(data, at)[0]
        at += 4
        if 0 <= size <= len(data) - at:
            return number, False, data[at : at + size].decode(), at + size
    return None


def read_results(message: bytes, count: int) -> list[Got] | None:
    """What a ReadResponse says of ``count`` nodes; None when the library must look at it."""
    try:
        start = _good_response(message, READ_RESPONSE, count)
        return None if start is None else _values(message, start, count)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None


def _good_response(message: bytes, expected: bytes, count: int) -> int | None:
    """Where the results begin in a response that is good and has exactly ``count`` of them."""
    if message[:4] != expected:
        return None
    _, _, result, diagnostics, strings, more = _RESPONSE.unpack_from(message, 4)
    at = 4 + _RESPONSE.size
    if result or diagnostics or strings > 0 or more != _NOTHING or _I32.unpack_from(message, at)[0] != count:
        return None
    return at + 4


def _values(message: bytes, at: int, count: int) -> list[Got] | None:
    found = []
    for _ in range(count):
        mask = message[at]
        at += 1
        if not mask & _VALUE or mask & 0xF0:
            return None
        variant = unpack_variant(message, at)
        if variant is None:
            return None
        _, _, raw, at = variant
        status, source = 0, 0.0
        if mask & _STATUS:
            status = _U32.unpack_from(message, at)[0]
            at += 4
        if mask & _SOURCE:
            ticks = _I64.unpack_from(message, at)[0]
            at += 8
            if not 0 <= ticks < _LATEST:
                return None
            source = utc_of(ticks)
        if mask & _SERVER:
            at += 8
        found.append(Got(raw, status, source))
    return found if at <= len(message) else None


def write_results(message: bytes, count: int) -> list[int] | None:
    """The status codes of a WriteResponse; None when the library must look at it."""
    try:
        start = _good_response(message, WRITE_RESPONSE, count)
        return None if start is None else list(_array(7, count).unpack_from(message, start))
    except struct.error:
        return None


def pack_rows(rows: Sequence[bytes]) -> bytes:
    """An array of packed structures."""
    return _I32.pack(len(rows)) + b"".join(rows)


_VALUE_ATTRIBUTE: Final = struct.pack("<Ii", 13, -1)
"""Attribute Value, no index range."""


def pack_write(node: bytes, value: bytes) -> bytes:
    """One WriteValue of a node's Value attribute; both parts packed already."""
    return node + _VALUE_ATTRIBUTE + value


class Written(NamedTuple):
    """One WriteValue as a server gets it. ticks: source time, None for none."""

    node: bytes
    number: int
    array: bool
    raw: Any
    ticks: int | None


def write_rows(message: bytes, at: int) -> list[Written] | None:
    """The WriteValues of a WriteRequest whose parameters begin at ``at``; None when they are not that plain.

    Nodes must have string identifiers.
    """
    try:
        count = _I32.unpack_from(message, at)[0]
        at += 4
        rows = []
        for _ in range(count):
            size = _I32.unpack_from(message, at + 3)[0]
            if message[at] != 3 or size < 0:
                return None
            end = at + 7 + size
            node = message[at:end]
            at = end + len(_VALUE_ATTRIBUTE)
            if message[end:at] != _VALUE_ATTRIBUTE:
                return None
            mask = message[at]
            variant = unpack_variant(message, at + 1)
            if variant is None or mask not in (_VALUE, _VALUE | _SOURCE):
                return None
            number, array, raw, at = variant
            ticks = None
            if mask & _SOURCE:
                ticks = _I64.unpack_from(message, at)[0]
                at += 8
            rows.append(Written(node, number, array, raw, ticks))
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return rows if at == len(message) else None
