"""One segment of a journal: a file of records, each with its length and CRC.

Layout: magic, then records. A record is ``length, crc, kind, index, mark`` and its payload; the CRC covers
everything after itself. The first record of a segment is its preamble (kind PREAMBLE): what is needed to
read the segment alone. A tail that does not check is cut; a record in the middle that does not check makes
the segment corrupt from there on.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

MAGIC = b"VIGIEJ01"
_RECORD = struct.Struct("<IIBQQ")  # length of payload, crc, kind, index, mark
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


@dataclass(frozen=True, slots=True)
class Record:
    """One record. index: its number within the epoch; mark: ring position it came from, or 0."""

    kind: Kind
    index: int
    mark: int
    payload: bytes


def encode(record: Record) -> bytes:
    """A record as it stands in the file."""
    tail = struct.pack("<BQQ", record.kind, record.index, record.mark) + record.payload
    return struct.pack("<II", len(record.payload), crc32(tail)) + tail


def scan_records(data: bytes, start: int = len(MAGIC)) -> Iterator[tuple[int, Record]]:
    """Records of ``data`` from byte ``start``, each with the byte just past it; ends at the first that fails.

    ``start`` + what was consumed tells the caller where it ended; see ``Segment`` for what follows from that.
    """
    position = start
    size = len(data)
    while position + OVERHEAD <= size:
        length, crc, kind, index, mark = _RECORD.unpack_from(data, position)
        end = position + OVERHEAD + length
        if length > MAX_PAYLOAD or end > size or crc32(data[position + 8 : end]) != crc:
            return
        try:
            known = Kind(kind)
        except ValueError:
            return
        yield end, Record(known, index, mark, data[position + OVERHEAD : end])
        position = end
