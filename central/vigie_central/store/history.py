"""The interface of the history: what happened at every point, and what was acknowledged.

One implementation is ours (``vigie_central.store.duck``). Its methods are coroutines; whatever they do
runs in the store's own thread. A batch is durable, with its de-duplication state, once ``commit`` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one point. ``utc_ms``: milliseconds since 1970; ``quality``: 2, 1 or 0."""

    point: str
    utc_ms: int
    value: Value
    quality: int


@dataclass(frozen=True, slots=True)
class Record:
    """One journal record of a gateway as it came: its key, its samples, its events (JSON objects)."""

    gateway: str
    epoch: int
    index: int
    samples: Sequence[Sample] = ()
    events: Sequence[tuple[int, dict[str, Any]]] = ()
    """Pairs of milliseconds since 1970 and the event."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with the store's own running number."""

    seq: int
    gateway: str
    utc_ms: int
    body: dict[str, Any]


@dataclass(slots=True)
class GatewayTotals:
    """What is in the store of one gateway."""

    samples: int = 0
    records: int = 0
    events: int = 0
    duplicate_rows: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did: events with their numbers, and how many records were already there."""

    events: Sequence[StoredEvent] = ()
    duplicates: Mapping[str, int] = field(default_factory=dict)


Ranges = Mapping[tuple[str, int], Sequence[tuple[int, int]]]
"""(gateway, epoch) -> closed ranges of journal indexes that are durable, ascending, not touching."""


class History(Protocol):
    """Where samples and events are kept."""

    async def open(self) -> Ranges:
        """Make or recover the store; gives what is durable."""
        ...

    async def commit(self, records: Sequence[Record]) -> Committed:
        """Store a batch and its de-duplication state in one transaction. Known records are dropped."""
        ...

    async def samples(
        self, gateway: str, point: str, start_ms: int, end_ms: int, limit: int
    ) -> Sequence[tuple[int, Value, int]]:
        """Up to ``limit`` rows (utc_ms, value, quality) within [start, end), in time order."""
        ...

    async def buckets(
        self, gateway: str, point: str, start_ms: int, end_ms: int, width_ms: int
    ) -> Sequence[tuple[int, float | None, float | None, float | None, float | None, int]]:
        """Rows (start of bucket, min, mean, max, last, count) over the usable numbers within [start, end)."""
        ...

    async def events(
        self, gateway: str | None, kind: str | None, before_seq: int | None, limit: int
    ) -> Sequence[StoredEvent]:
        """Events, newest first."""
        ...

    async def last(self) -> Sequence[tuple[str, Sample]]:
        """The newest sample of every point, as (gateway, sample); read once at start."""
        ...

    async def totals(self) -> Mapping[str, GatewayTotals]:
        """Counts per gateway, duplicates counted from the rows themselves."""
        ...

    async def compact(self) -> int:
        """Move the hot rows into a Parquet file; gives how many rows moved."""
        ...

    async def close(self) -> None:
        """Commit what is pending and let go of the files."""
        ...
