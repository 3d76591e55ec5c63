"""One segment of a journal: a file of records, each with its length and CRC.

Layout: magic, then records. A record is ``length, crc, kind, index`` and its payload; the CRC covers
everything after itself. The first record of a segment is its preamble (kind PREAMBLE): what is needed to
read the segment alone. Each group ends with a MARK: what comes after the last one was never committed.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from zlib import crc32

import msgspec

MAGIC = b"VIGIEJ01"
_RECORD = struct.Struct("<IIBQ")  # length of payload, crc, kind, index
_LEAD = struct.Struct("<II")
_CHECKED = struct.Struct("<BQ")  # where the CRC begins
OVERHEAD = _RECORD.size
MAX_PAYLOAD = 1 << 22


class Kind(IntEnum):
    """What a record holds. The numbers are on disk: never reuse one."""

    PREAMBLE = 1
    SAMPLES = 2
    EVENT = 3
    GAP = 4
    READINGS = 5
    SCAN = 6
    SNAPSHOT = 7
    MARK = 8


_KINDS = {int(kind): kind for kind in Kind}


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record. index: its number within the epoch, dense from 1; 0 for PREAMBLE; of MARK: its group's last."""

    kind: Kind
    index: int
    payload: bytes


def encode(record: Record) -> bytes:
    """A record as it stands in the file."""
    return packed(record.kind, record.index, record.payload)


def packed(kind: Kind, index: int, payload: bytes) -> bytes:
    """A record's parts as they stand in the file."""
    tail = _CHECKED.pack(kind, index) + payload
    return _LEAD.pack(len(payload), crc32(tail)) + tail


def record_size(record: Record) -> int:
    """Bytes that a record takes in the file."""
    return OVERHEAD + len(record.payload)


def record_at(data: bytes, position: int) -> tuple[Record, int] | None:
    """The record at byte ``position`` and the byte just past it; None when none that checks stands there."""
    if position + OVERHEAD > len(data):
        return None
    length, crc, kind, index = _RECORD.unpack_from(data, position)
    end = position + OVERHEAD + length
    if length > MAX_PAYLOAD or end > len(data) or crc32(data[position + 8 : end]) != crc:
        return None
    known = _KINDS.get(kind)
    if known is None:
        return None
    return Record(known, index, data[position + OVERHEAD : end]), end


def scan_records(data: bytes, start: int = len(MAGIC)) -> Iterator[tuple[int, Record]]:
    """Records of ``data`` from byte ``start``, each with the byte just past it; ends at the first that fails."""
    position = start
    size = len(data)
    while position + OVERHEAD <= size:
        length, crc, kind, index = _RECORD.unpack_from(data, position)
        end = position + OVERHEAD + length
        if length > MAX_PAYLOAD or end > size or crc32(data[position + 8 : end]) != crc:
            return
        known = _KINDS.get(kind)
        if known is None:
            return
        yield end, Record(known, index, data[position + OVERHEAD : end])
        position = end
