"""The two-slot frame: how field's image reaches control, and control's outputs field.

A writer fills the slot that is not the newest and closes it with a CRC over everything in it. A reader
copies, checks, tries twice, else keeps its last good frame and counts that. Nobody waits for anybody:
a writer killed in mid-write leaves a slot whose CRC does not fit and the other slot whole.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload
from zlib import crc32

from vigie_controllers.image import Image, PointTable
from vigie_edge.memory.mapped import Room, map_shared
from vigie_protocols.points import NEVER, ZERO, Quality, Reading, Value, ValueType

_SLOT = struct.Struct("<IIQQ")  # crc of all that follows, body length, layout hash, frame number
_HEAD = struct.Struct("<Qdd")  # tick, now, utc: how every packed image begins
STRING_BYTES = 64
_FORMAT = {
    ValueType.BOOL: "q",
    ValueType.INT: "q",
    ValueType.UINT: "Q",
    ValueType.FLOAT: "d",
    ValueType.ENUM: "q",
    ValueType.STRING: f"{STRING_BYTES}s",
}
_MADE_AT_ONCE = 256
"""Readings of an image up to this size are made together, which is cheaper when most of them are asked for."""
_QUALITY = (Quality.BAD, Quality.UNCERTAIN, Quality.GOOD)


def layout_hash(table: PointTable) -> int:
    """64 bits that change with any change of the points, their order or their types."""
    text = "\n".join(f"{name} {kind}" for name, kind in zip(table.names, table.types, strict=True))
    raw = text.encode()
    return crc32(raw) << 32 | crc32(raw[::-1])


class TwoSlot:
    """Two slots of bounded bytes in shared memory; one writer, any number of readers."""

    def __init__(self, place: Path | Room, body_size: int, layout: int, read_only: bool = False) -> None:
        self._size = _SLOT.size + body_size
        self._body_size = body_size
        self._layout = layout
        self._map = map_shared(place, 2 * self._size, read_only)
        newest = max((self._frame_at(slot), slot) for slot in (0, 1))
        self.frame, self._slot = newest[0], newest[1]
        self.torn = 0
        """Reads that met no whole slot and kept the last good frame."""

    def _frame_at(self, slot: int) -> int:
        checked = self._checked(slot)
        return 0 if checked is None else checked[0]

    def write(self, body: bytes) -> int:
        """Publish ``body`` as the next frame and give its number."""
        if len(body) > self._body_size:
            raise ValueError(f"{len(body)} bytes do not fit a slot of {self._body_size}")
        self._slot ^= 1
        self.frame += 1
        rest = struct.pack("<IQQ", len(body), self._layout, self.frame) + body
        start = self._slot * self._size
        self._map[start : start + 4 + len(rest)] = struct.pack("<I", crc32(rest)) + rest
        return self.frame

    def read(self) -> tuple[int, bytes] | None:
        """Newest whole frame as (number, body), or None when there is none."""
        for _ in range(2):
            numbers = [_SLOT.unpack_from(self._map, slot * self._size)[3] for slot in (0, 1)]
            newer = numbers[1] > numbers[0]
            for slot in (newer, not newer):
                checked = self._checked(slot)
                if checked is not None:
                    return checked
        if any(self._map[slot * self._size : slot * self._size + _SLOT.size].strip(b"\0") for slot in (0, 1)):
            self.torn += 1  # something stands there, and none of it is whole
        return None

    def _checked(self, slot: int) -> tuple[int, bytes] | None:
        start = slot * self._size
        length = _SLOT.unpack_from(self._map, start)[1]
        if length > self._body_size:
            return None
        # Only what is filled: a slot may be mostly room. The copy speaks for itself, it may be a newer frame.
        raw = self._map[start : start + _SLOT.size + length]
        crc, length, layout, number = _SLOT.unpack_from(raw)
        if number == 0 or layout != self._layout or length > self._body_size:
            return None
        if crc32(raw[4 : _SLOT.size + length]) != crc:
            return None
        return number, raw[_SLOT.size : _SLOT.size + length]


class Columns:
    """All readings of a gateway as field keeps them: four columns, one place per point of the table."""

    __slots__ = ("arrival", "quality", "source", "values")

    def __init__(self, table: PointTable) -> None:
        self.values: list[Value] = [ZERO[kind] for kind in table.types]
        self.quality = bytearray(len(table.names))
        self.source = [0.0] * len(table.names)
        self.arrival = [NEVER] * len(table.names)


class ImageCodec:
    """Packs an image to bytes and back; offsets are compiled once from the table."""

    def __init__(self, table: PointTable) -> None:
        count = len(table.names)
        self._count = count
        self._types = table.types
        self._strings = [place for place, kind in enumerate(table.types) if kind is ValueType.STRING]
        self._bools = [place for place, kind in enumerate(table.types) if kind is ValueType.BOOL]
        formats = "".join(_FORMAT[kind] for kind in table.types)
        self._struct = struct.Struct(f"<Qdd{formats}{count}s{2 * count}d")
        self.size = self._struct.size

    def pack(self, tick: int, now: float, utc: float, columns: Columns) -> bytes:
        """An image's content as bytes; strings longer than 64 bytes are cut."""
        values = columns.values
        if self._strings:
            values = list(values)
            for place in self._strings:
                values[place] = str(values[place]).encode()[:STRING_BYTES]  # type: ignore[call-overload]
        return self._struct.pack(
            tick, now, utc, *values, bytes(columns.quality), *columns.source, *columns.arrival
        )

    def utc(self, body: bytes) -> float:
        """The UTC seconds of a packed image, without unpacking the rest."""
        utc: float = _HEAD.unpack_from(body)[2]
        return utc

    def unpack(self, frame: int, body: bytes) -> Image:
        """The image of ``body``; the caller has checked its CRC and layout."""
        fields = self._struct.unpack(body)
        count = self._count
        if count > _MADE_AT_ONCE:
            late = _Readings(fields, count, self._types)
            return Image(frame, fields[0], fields[1], fields[2], late)
        values = list(fields[3 : 3 + count])
        for place in self._bools:
            values[place] = bool(values[place])
        for place in self._strings:
            values[place] = values[place].rstrip(b"\0").decode(errors="replace")
        first = 4 + count
        readings = tuple(
            map(
                Reading,
                values,
                [_QUALITY[number] for number in fields[3 + count]],
                fields[first : first + count],
                fields[first + count :],
            )
        )
        return Image(frame, fields[0], fields[1], fields[2], readings)


class _Readings(Sequence[Reading[Value]]):
    """The readings of a large image, made when asked for: of thousands of points a scan looks at a few."""

    __slots__ = ("_count", "_fields", "_types")

    def __init__(self, fields: tuple[Any, ...], count: int, types: Sequence[ValueType]) -> None:
        self._fields, self._count, self._types = fields, count, types

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Reading[Value]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reading[Value]]: ...
    def __getitem__(self, place: int | slice) -> Reading[Value] | Sequence[Reading[Value]]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._count))]
        fields, count = self._fields, self._count
        if not -count <= place < count:
            raise IndexError(place)
        place %= count
        value = fields[3 + place]
        kind = self._types[place]
        if kind is ValueType.BOOL:
            value = bool(value)
        elif kind is ValueType.STRING:
            value = value.rstrip(b"\0").decode(errors="replace")
        first = 4 + count
        quality = _QUALITY[fields[3 + count][place]]
        return Reading(value, quality, fields[first + place], fields[first + count + place])


def blinded(image: Image) -> Image:
    """The image when field has fallen silent: the same values, every one of them bad."""
    readings = tuple(Reading(one.value, Quality.BAD, one.source_time, one.arrival) for one in image.readings)
    return Image(-abs(image.frame) - 1, image.tick, image.now, image.utc, readings)


@dataclass(frozen=True, slots=True)
class OutputFrame:
    """What control wants written.

    scan: scans run so far; tick: lock-step tick or 0; now: the scan's instant; expiry: instant after which
    field writes the safe values itself; staged, applied: policy generations; values: one per output.
    """

    scan: int
    tick: int
    now: float
    expiry: float
    missed: int
    interventions: int
    staged: int
    applied: int
    values: tuple[Value, ...]


class OutputCodec:
    """Packs output frames; one value per written point, in the order of the gateway's outputs."""

    def __init__(self, types: Sequence[ValueType]) -> None:
        self._types = tuple(types)
        self._strings = [place for place, kind in enumerate(types) if kind is ValueType.STRING]
        self._bools = [place for place, kind in enumerate(types) if kind is ValueType.BOOL]
        formats = "".join(_FORMAT[kind] for kind in types)
        self._struct = struct.Struct(f"<QQddQQQQ{formats}")
        self.size = self._struct.size

    def pack(self, frame: OutputFrame) -> bytes:
        """An output frame as bytes."""
        values = list(frame.values)
        for place in self._strings:
            values[place] = str(values[place]).encode()[:STRING_BYTES]  # type: ignore[call-overload]
        head = (frame.scan, frame.tick, frame.now, frame.expiry)
        return self._struct.pack(
            *head, frame.missed, frame.interventions, frame.staged, frame.applied, *values
        )

    def unpack(self, body: bytes) -> OutputFrame:
        """The output frame of ``body``."""
        fields = self._struct.unpack(body)
        values = list(fields[8:])
        for place in self._bools:
            values[place] = bool(values[place])
        for place in self._strings:
            values[place] = values[place].rstrip(b"\0").decode(errors="replace")
        scan, tick, now, expiry, missed, interventions, staged, applied = fields[:8]
        return OutputFrame(scan, tick, now, expiry, missed, interventions, staged, applied, tuple(values))
