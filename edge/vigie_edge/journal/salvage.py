"""What is left of a segment after a crash or on a disk that forgets bits: total, and pure.

A write cut short and damage are told apart. The former leaves a tail that was never committed and is cut. The
latter leaves good records behind the bad place: those that a MARK had committed are kept, and what is missing
among them is named by its indexes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vigie_edge.journal.segment import MAGIC, MAX_PAYLOAD, Kind, Record, packed, record_at, record_size

_LIKELY = re.compile(rb"(?=..[\x00-\x3f]\x00....[\x01-\x08].....\x00\x00\x00)", re.DOTALL)
"""Where a record may begin: a length below four MiB, any CRC, a known kind, an index below 2**40."""

Span = tuple[int, int, Record]
"""(byte where it begins, byte just past it, record)."""


def good_records(data: bytes) -> Iterator[Span]:
    """Every record that checks, those behind a bad place too."""
    position = len(MAGIC) if data[: len(MAGIC)] == MAGIC else 0
    while True:
        found = record_at(data, position)
        if found is None:
            found = _next_good(data, position + 1)
            if found is None:
                return
            position = found[1] - record_size(found[0])
        record, end = found
        yield position, end, record
        position = end


def _next_good(data: bytes, start: int) -> tuple[Record, int] | None:
    for likely in _LIKELY.finditer(data, start):
        found = record_at(data, likely.start())
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class Examined:
    """What a segment's bytes hold.

    kept: a segment's content with what was committed and is whole, b"" when there is nothing. last: index of
    its last record. mark: payload of its last MARK. preamble: its content, b"" when that is gone. missing: (first,
    last) of committed indexes that are gone; a last of 0 means: to the end, wherever that was. damaged: bytes were
    changed, not only a write cut short.
    """

    kept: bytes
    last: int
    mark: bytes | None
    preamble: bytes
    missing: tuple[tuple[int, int], ...]
    damaged: bool


def examine(
    data: bytes, first: int, *, closed: bool = False, following: int = 0, unbroken: bool = False
) -> Examined:
    """Judge a segment that begins with index ``first``.

    closed: another was begun after it, so that all of it was committed whatever became of its last MARK.
    following: first index of the next segment of its epoch, 0 when there is none. unbroken: keep only what comes
    before the first bad place, for a log in which each record needs the one before it.
    """
    spans = list(good_records(data))
    marks = [place for place, (_, _, record) in enumerate(spans) if record.kind is Kind.MARK]
    committed = spans if closed else spans[: marks[-1] + 1] if marks else []
    rest = spans[len(committed) :]
    end = committed[-1][1] if committed else len(MAGIC)
    holes = _holes(spans, data)
    tail = rest[-1][1] if rest else end
    damaged = (
        bool(holes)
        or _spoilt_record(data, tail)
        or (closed and (tail, len(spans)) != (len(data), _after(marks)))
    )
    if damaged and unbroken:
        bad = holes[0] if holes else len(data)
        marks = [place for place in marks if spans[place][1] <= bad]
        committed = spans[: marks[-1] + 1] if marks else []
    last, missing = _indexes(committed, first)
    if damaged:
        lost_too = max((following - 1, *(record.index for _, _, record in rest)))
        if not committed:
            missing = [(first, max(0, lost_too))]
        elif lost_too > last:
            missing.append((last + 1, lost_too))
    kept = MAGIC + b"".join(data[begin:end] for begin, end, _ in committed) if committed else b""
    mark = next((one.payload for _, _, one in reversed(committed) if one.kind is Kind.MARK), None)
    if committed and committed[-1][2].kind is not Kind.MARK:
        kept += packed(Kind.MARK, last, mark or b"")
    preamble = next((one.payload for _, _, one in spans if one.kind is Kind.PREAMBLE), b"")
    return Examined(kept, last, mark, preamble, tuple(missing) if damaged else (), damaged)


def _after(marks: list[int]) -> int:
    return marks[-1] + 1 if marks else 0


def _holes(spans: list[Span], data: bytes) -> list[int]:
    """Bytes at which something bad stands before something good."""
    holes = []
    position = len(MAGIC) if data[: len(MAGIC)] == MAGIC else -1
    for begin, end, _ in spans:
        if begin != position:
            holes.append(max(position, 0))
        position = end
    return holes


def _spoilt_record(data: bytes, position: int) -> bool:
    """True where a whole record stands that does not check: no write cut short leaves that."""
    rest = data[position:]
    return bool(_LIKELY.match(rest)) and record_size_at(rest) <= len(rest)


def record_size_at(data: bytes) -> int:
    """Bytes that the record at the beginning of ``data`` claims to take."""
    return record_size(Record(Kind.MARK, 0, b"")) + min(int.from_bytes(data[:4], "little"), MAX_PAYLOAD)


def _indexes(committed: list[Span], first: int) -> tuple[int, list[tuple[int, int]]]:
    """The last index, and the ranges missing before it. A MARK carries the last index of its group (or 0)."""
    expected = first
    missing: list[tuple[int, int]] = []
    for _, _, record in committed:
        if not record.index:
            continue
        closes = record.kind is Kind.MARK
        low, high = expected, record.index if closes else record.index - 1
        if low <= high:
            missing.append((low, high))
        expected = max(expected, record.index + 1)
    return expected - 1, _joined(missing)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for low, high in ranges:
        if joined and joined[-1][1] + 1 == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
