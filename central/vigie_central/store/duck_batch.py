"""The columns of one commit to the hot store, filled record by record without an object per cell."""

from array import array
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pyarrow as pa

from vigie_central.store.duck_schema import (
    EVENT_SCHEMA,
    FLOAT,
    MARK_SCHEMA,
    POINT_SCHEMA,
    SAMPLE_SCHEMA,
    lay,
    table,
)
from vigie_central.store.history import Record, Sample, StoredEvent

_encode = msgspec.json.encode
_FLOATS = frozenset((float,))
Points = dict[str, dict[str, int]]
"""gateway -> point name -> its number in the store."""


class Batch:
    """What one transaction will write. ``count_points``: how many points are numbered already."""

    def __init__(self, points: Points, count_points: int) -> None:
        self.stored: list[Record] = []
        self.events: list[StoredEvent] = []
        self.rows = 0
        self.count_points = count_points
        self._known = points
        self._numbers = array("i")
        self._utcs = array("q")
        self._nums = array("d")
        self._kinds = bytearray()
        self._qualities = bytearray()
        self._epochs = array("Q")
        self._indexes = array("Q")
        self._texts: dict[int, str] = {}
        self._points: list[list[Any]] = [[] for _ in POINT_SCHEMA]
        self._marks: list[list[Any]] = [[] for _ in MARK_SCHEMA]
        self._last_mark: dict[tuple[str, int, bool], int] = {}
        self._events: list[list[Any]] = [[] for _ in EVENT_SCHEMA]

    def tables(self) -> tuple[tuple[str, pa.Table], ...]:
        """Name and rows of all that must be written together; empty ones are left out."""
        rows = (
            ("points", table(POINT_SCHEMA, self._points)),
            ("hot", self._samples()),
            ("events", table(EVENT_SCHEMA, self._events)),
            ("marks", table(MARK_SCHEMA, self._marks)),
        )
        return tuple((name, each) for name, each in rows if each.num_rows)

    def _samples(self) -> pa.Table:
        texts: pa.Array = pa.nulls(self.rows, pa.string())
        if self._texts:
            column: list[str | None] = [None] * self.rows
            for row, text in self._texts.items():
                column[row] = text
            texts = pa.array(column, type=pa.string())
        columns = (
            self._numbers,
            self._utcs,
            self._nums,
            texts,
            self._kinds,
            self._qualities,
            self._epochs,
            self._indexes,
        )
        made = [
            cells
            if field.name == "txt"
            else pa.Array.from_buffers(field.type, self.rows, [None, pa.py_buffer(cells)])
            for field, cells in zip(SAMPLE_SCHEMA, columns, strict=True)
        ]
        return pa.table(made, schema=SAMPLE_SCHEMA)

    def take(self, record: Record, next_seq: int) -> int:
        """Append one new record; gives the next free number for an event."""
        self.stored.append(record)
        gateway, epoch, index, samples = record.gateway, record.epoch, record.index, record.samples
        if samples:
            self._take_samples(gateway, samples)
            self._epochs.extend(array("Q", (epoch,)) * len(samples))
            self._indexes.extend(array("Q", (index,)) * len(samples))
            self.rows += len(samples)
        for utc_ms, body in record.events:
            event = StoredEvent(next_seq, gateway, utc_ms, body, epoch, index)
            next_seq += 1
            self.events.append(event)
            cells = (event.seq, gateway, utc_ms, event.kind, event.what, _encode(body).decode(), epoch, index)
            for column, cell in zip(self._events, cells, strict=True):
                column.append(cell)
        self.mark(gateway, epoch, index, index, lost=False)
        return next_seq

    def _take_samples(self, gateway: str, samples: Sequence[Sample]) -> None:
        known = self._known.get(gateway)
        if known is None:
            known = self._known[gateway] = {}
        try:
            self._numbers.extend([known[sample.point] for sample in samples])
        except KeyError:
            for sample in samples:
                if sample.point not in known:
                    self._number(gateway, sample.point, known)
            self._numbers.extend([known[sample.point] for sample in samples])
        self._utcs.extend([sample.utc_ms for sample in samples])
        self._qualities.extend([sample.quality for sample in samples])
        values = [sample.value for sample in samples]
        if {type(value) for value in values} == _FLOATS:
            self._nums.extend(cast(list[float], values))
            self._kinds.extend((FLOAT,) * len(values))
            return
        for place, value in enumerate(values):
            num, text, kind = lay(value)
            self._nums.append(0.0 if num is None else num)
            self._kinds.append(kind)
            if text is not None:
                self._texts[self.rows + place] = text

    def _number(self, gateway: str, name: str, known: dict[str, int]) -> None:
        known[name] = self.count_points
        for column, cell in zip(self._points, (self.count_points, gateway, name), strict=True):
            column.append(cell)
        self.count_points += 1

    def mark(self, gateway: str, epoch: int, low: int, high: int, *, lost: bool) -> None:
        """Note a settled range; one that continues the gateway's previous one grows it."""
        last = self._last_mark.get((gateway, epoch, lost))
        if last is not None and self._marks[3][last] + 1 == low:
            self._marks[3][last] = high
            return
        self._last_mark[gateway, epoch, lost] = len(self._marks[0])
        for column, cell in zip(self._marks, (gateway, epoch, low, high, lost), strict=True):
            column.append(cell)
