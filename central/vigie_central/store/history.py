"""The interface of the history: what happened at every point, and what was acknowledged.

One implementation is ours (``vigie_central.store.duck``). Its methods are coroutines; whatever they do
runs in the store's own thread. A batch is durable, with its de-duplication state, once ``commit`` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from vigie_protocols.errors import TransientError

Value = bool | int | float | str | None

FIRST_INDEX = 1
"""A journal counts its records from here; zero stands for none."""


class StoreError(TransientError):
    """The store could not do it now (disk full, file locked): nothing of the batch was kept."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One value of one point. ``utc_ms``: milliseconds since 1970; ``quality``: 2, 1 or 0."""

    point: str
    utc_ms: int
    value: Value
    quality: int


class Record(msgspec.Struct, frozen=True):
    """One journal record of a gateway as it came: its key, its samples, its events.

    index: from FIRST_INDEX. events: pairs of milliseconds since 1970 and a JSON object. lost: ranges (epoch,
    first, last) of indexes that the gateway declares lost for good: they count as settled, not as stored.
    """

    gateway: str
    epoch: int
    index: int
    samples: Sequence[Sample] = ()
    events: Sequence[tuple[int, dict[str, Any]]] = ()
    lost: Sequence[tuple[int, int, int]] = ()


class StoredEvent(msgspec.Struct, frozen=True):
    """An event with the store's own running number, and its place in the gateway's journal."""

    seq: int
    gateway: str
    utc_ms: int
    body: dict[str, Any]
    epoch: int = 0
    index: int = 0

    @property
    def kind(self) -> str:
        """The event's own word for what it is."""
        return str(self.body.get("kind", "event"))

    @property
    def what(self) -> str:
        """The event's own word for what happened."""
        return str(self.body.get("what", ""))


@dataclass(slots=True)
class GatewayTotals:
    """What is in the store of one gateway, since the store was made."""

    samples: int = 0
    records: int = 0
    events: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did.

    stored: the records that were new, in order; events: theirs, numbered; duplicates: how many records
    per gateway were known already; full: how many were left out, unacknowledged, because their gateway's
    de-duplication state has too many gaps.
    """

    stored: Sequence[Record] = ()
    events: Sequence[StoredEvent] = ()
    duplicates: Mapping[str, int] = field(default_factory=dict)
    full: int = 0


class Settled(msgspec.Struct, frozen=True):
    """What is durable of one gateway's epoch: everything up to ``through`` and the ``ranges`` beyond it."""

    gateway: str
    epoch: int
    through: int
    ranges: Sequence[tuple[int, int]]
    highest: int


BucketRow = tuple[int, float | None, float | None, float | None, float | None, int]
"""Start of the bucket (ms), min, mean, max, last, count."""


class History(Protocol):
    """Where samples and events are kept."""

    async def open(self) -> None:
        """Make the store or recover it after whatever happened; raises StoreError."""
        ...

    async def commit(self, records: Sequence[Record]) -> Committed:
        """Store a batch and its de-duplication state in one transaction; raises StoreError.

        Records known already are dropped; afterwards every record of the batch may be acknowledged
        as ``settled`` says.
        """
        ...

    async def settled(self, gateways: Sequence[str] | None = None) -> Sequence[Settled]:
        """What is durable, of these gateways or of all, newest epoch of a gateway last."""
        ...

    async def samples(
        self, gateway: str, point: str, start_ms: int, end_ms: int, limit: int
    ) -> Sequence[tuple[int, Value, int]]:
        """Up to ``limit`` rows (utc_ms, value, quality) within [start, end), in time order."""
        ...

    async def buckets(
        self, gateway: str, point: str, start_ms: int, end_ms: int, width_ms: int
    ) -> Sequence[BucketRow]:
        """Buckets over the usable numbers and booleans within [start, end), in time order."""
        ...

    async def events(
        self, gateway: str | None, kind: str | None, before_seq: int | None, limit: int
    ) -> Sequence[StoredEvent]:
        """Events, newest first."""
        ...

    async def events_about(
        self, kinds: Sequence[str], whats: Sequence[str], limit: int
    ) -> Sequence[StoredEvent]:
        """The newest events of these kinds or with these words for what happened, oldest first."""
        ...

    async def last(self) -> Sequence[tuple[str, Sample]]:
        """The newest sample of every point, as (gateway, sample); read once at start."""
        ...

    async def totals(self) -> Mapping[str, GatewayTotals]:
        """Counts per gateway, kept as batches commit."""
        ...

    async def duplicate_rows(self) -> Mapping[str, int]:
        """Rows minus distinct (point, epoch, index) per gateway, counted from the rows themselves."""
        ...

    async def compact(self) -> int:
        """Move the hot rows into a Parquet file; gives how many rows moved."""
        ...

    async def close(self) -> None:
        """Let go of the files."""
        ...
