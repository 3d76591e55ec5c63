"""The columns of one commit to the hot store."""

from typing import Any

import msgspec

from vigie_central.store.duck_schema import EVENT_SCHEMA, MARK_SCHEMA, POINT_SCHEMA, SAMPLE_SCHEMA, lay
from vigie_central.store.history import Record, StoredEvent

_encode = msgspec.json.encode


class Batch:
    """Columns of one commit."""

    def __init__(self) -> None:
        self.stored: list[Record] = []
        self.events: list[StoredEvent] = []
        self._samples: list[list[Any]] = [[] for _ in SAMPLE_SCHEMA]
        self._points: list[list[Any]] = [[] for _ in POINT_SCHEMA]
        self._marks: list[list[Any]] = [[] for _ in MARK_SCHEMA]
        self._events: list[list[Any]] = [[] for _ in EVENT_SCHEMA]

    @property
    def rows(self) -> int:
        """How many samples."""
        return len(self._samples[0])

    def tables(self) -> tuple[tuple[str, Any, list[list[Any]]], ...]:
        """Name, schema and columns of all that must be written together."""
        return (
            ("points", POINT_SCHEMA, self._points),
            ("hot", SAMPLE_SCHEMA, self._samples),
            ("events", EVENT_SCHEMA, self._events),
            ("marks", MARK_SCHEMA, self._marks),
        )

    def take(self, record: Record, points: dict[tuple[str, str], int], next_seq: int) -> int:
        """Append one new record; gives the next free number for an event."""
        self.stored.append(record)
        gateway, epoch, index = record.gateway, record.epoch, record.index
        numbers, utcs, nums, txts, kinds, qualities, epochs, indexes = self._samples
        for sample in record.samples:
            number = points.get((gateway, sample.point))
            if number is None:
                number = points[gateway, sample.point] = len(points)
                for column, cell in zip(self._points, (number, gateway, sample.point), strict=True):
                    column.append(cell)
            num, txt, kind = lay(sample.value)
            numbers.append(number)
            utcs.append(sample.utc_ms)
            nums.append(num)
            txts.append(txt)
            kinds.append(kind)
            qualities.append(sample.quality)
            epochs.append(epoch)
            indexes.append(index)
        for utc_ms, body in record.events:
            event = StoredEvent(next_seq, gateway, utc_ms, body)
            next_seq += 1
            self.events.append(event)
            cells = (event.seq, gateway, utc_ms, event.kind, _encode(body).decode(), epoch, index)
            for column, cell in zip(self._events, cells, strict=True):
                column.append(cell)
        self.mark(gateway, epoch, index, index, lost=False)
        return next_seq

    def mark(self, gateway: str, epoch: int, low: int, high: int, *, lost: bool) -> None:
        """Note a settled range; one that continues the gateway's previous one grows it."""
        gateways, epochs, _, highs, losts = self._marks
        for place in range(len(gateways) - 1, max(len(gateways) - 9, -1), -1):
            same = gateways[place] == gateway and epochs[place] == epoch and losts[place] == lost
            if same and highs[place] + 1 == low:
                highs[place] = high
                return
        for column, cell in zip(self._marks, (gateway, epoch, low, high, lost), strict=True):
            column.append(cell)
