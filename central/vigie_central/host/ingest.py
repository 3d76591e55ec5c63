"""From a DATA message to durable rows and back to the gateway's acknowledgement.

Records wait in memory for the next commit, a fraction of a second; nothing is acknowledged before that
commit is durable. What does not fit in memory is dropped unacknowledged: the gateway sends it again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import structlog

from vigie_central.host.fleet import Fleet, sample_of
from vigie_central.store.history import (
    FIRST_INDEX,
    GatewayTotals,
    History,
    Record,
    Sample,
    Settled,
    StoredEvent,
    StoreError,
)
from vigie_protocols.channel import EVENT_METRIC, MAX_ACK_RANGES, Ack, journal_key
from vigie_protocols.errors import FrameError
from vigie_protocols.sparkplug.actions import Data
from vigie_protocols.strictjson import parse_strict_json

log = structlog.get_logger("vigie.ingest")

FOREIGN_EPOCH = 0
"""Epoch of what nodes without a journal send: numbered by us, never acknowledged."""
BATCH = 4000
"""Records of one commit: enough to make its fixed cost small, few enough that acknowledgements flow."""
MAX_EVENT = 64 * 1024
LAST_TIME_MS = 253_402_300_799_999
"""The end of the year 9999: later stamps are not stamps."""


class Ingest:
    """Takes DATA, commits in batches, says what to acknowledge.

    acknowledge(gateway, ack) sends; it may raise nothing and lose the message: the next one says more.
    on_events(events) gets what was stored, in order. max_samples bounds what waits in memory.
    """

    def __init__(
        self,
        history: History,
        fleet: Fleet,
        acknowledge: Callable[[str, Ack], None],
        on_events: Callable[[Sequence[StoredEvent]], None],
        *,
        commit_every: float = 0.1,
        max_samples: int = 500_000,
    ) -> None:
        self.history = history
        self.fleet = fleet
        self.commit_every = commit_every
        self.max_samples = max_samples
        self.settled: dict[tuple[str, int], Settled] = {}
        self.totals: dict[str, GatewayTotals] = {}
        self.samples_stored = 0
        self.overflowed = 0
        self.failed_commits = 0
        self.failing = False
        self.commits = 0
        self.commit_seconds = 0.0
        self._acknowledge = acknowledge
        self._on_events = on_events
        self._pending: list[Record] = []
        self._waiting = 0
        self._in_flight = 0
        self._wake = asyncio.Event()
        self._due: dict[tuple[str, int], None] = {}
        self._foreign: dict[str, int] = {}

    @property
    def pending(self) -> int:
        """Records received and not yet committed."""
        return len(self._pending) + self._in_flight

    async def recover(self) -> None:
        """Take up from the store what is durable."""
        for settled in await self.history.settled():
            self.settled[settled.gateway, settled.epoch] = settled
        self.totals = dict(await self.history.totals())

    def take(self, data: Data, *, partial: bool = False) -> None:
        """One DATA message: its last values show at once, its record waits for the next commit.

        partial: metrics that no birth declared were left out. Such a record is not kept, or the rest of
        it would be acknowledged unseen; it comes again after the rebirth that was asked for. Nor is one
        kept whose index no journal gives.
        """
        gateway = self.fleet.gateway(data.node)
        gateway.counters.messages += 1
        samples: list[Sample] = []
        events: list[tuple[int, dict[str, object]]] = []
        lost: list[tuple[int, int, int]] = []
        key = journal_key(data.metrics)
        names = gateway.names_of(data.device)
        made_ms: int | None = data.timestamp
        for metric in data.metrics:
            if metric.is_historical:
                made_ms = None
            stamp = data.timestamp if metric.timestamp is None else metric.timestamp
            point = names[metric.name]
            if not 0 <= stamp <= LAST_TIME_MS:
                gateway.counters.refused += 1
            elif point is not None:
                samples.append(sample_of(point, metric, stamp))
            elif metric.name == EVENT_METRIC and isinstance(metric.value, str):
                try:
                    body = parse_strict_json(metric.value.encode(), MAX_EVENT)
                except FrameError:
                    gateway.counters.refused += 1
                    continue
                if isinstance(body, dict):
                    events.append((stamp, body))
                    if key is not None:
                        lost.extend(_lost(body))
        self.fleet.show(gateway, samples, made_ms=made_ms)
        if key is not None and (partial or key[1] < FIRST_INDEX):
            gateway.counters.refused += 1
            return
        if self._waiting >= self.max_samples:
            self.overflowed += 1
            return
        epoch, index = key if key is not None else (FOREIGN_EPOCH, self._number(gateway.id))
        self._pending.append(Record(gateway.id, epoch, index, samples, events, lost))
        self._waiting += len(samples) + 1
        self._wake.set()

    def acknowledge_again(self, gateway: str) -> None:
        """A gateway was born: it may not know what is durable already."""
        epochs = [epoch for name, epoch in self.settled if name == gateway and epoch != FOREIGN_EPOCH]
        for epoch in sorted(epochs)[-2:]:
            self._due[gateway, epoch] = None
        self._wake.set()

    async def run(self) -> None:
        """Commit and acknowledge until cancelled; what waits then is committed still."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(self.commit_every)
                self._wake.clear()
                await self.flush()
        finally:
            with suppress(StoreError):
                await self.flush()

    async def flush(self) -> None:
        """Commit what waits, in batches, and acknowledge it; a failed one leaves it to be sent again."""
        waiting, self._pending = self._pending, []
        self._waiting = 0
        for start in range(0, max(1, len(waiting)), BATCH):
            await self._flush(waiting[start : start + BATCH], len(waiting) - start)

    async def _flush(self, batch: list[Record], in_flight: int) -> None:
        if batch:
            self._in_flight = in_flight
            try:
                await self._commit(batch)
                self.failing = False
            except StoreError as why:
                self.failed_commits += 1
                self.failing = True
                log.error(
                    "batch not stored; gateways will send it again", reason=str(why), records=len(batch)
                )
            finally:
                self._in_flight = 0
        due, self._due = self._due, {}
        for gateway, epoch in due:
            known = self.settled.get((gateway, epoch))
            if known is not None:
                ranges = tuple((low, high) for low, high in known.ranges[:MAX_ACK_RANGES])
                self._acknowledge(gateway, Ack(epoch, known.through, ranges))

    async def _commit(self, batch: list[Record]) -> None:
        began = time.perf_counter()
        done = await self.history.commit(batch)
        touched = {record.gateway for record in batch}
        for settled in await self.history.settled(sorted(touched)):
            self.settled[settled.gateway, settled.epoch] = settled
        self.totals = dict(await self.history.totals())
        self.commits += 1
        self.commit_seconds += time.perf_counter() - began
        self.samples_stored += sum(len(record.samples) for record in done.stored)
        for gateway, count in done.duplicates.items():
            self.fleet.gateways[gateway].counters.duplicates += count
        self._due.update(dict.fromkeys((r.gateway, r.epoch) for r in batch if r.epoch != FOREIGN_EPOCH))
        if done.events:
            self._on_events(done.events)

    def _number(self, gateway: str) -> int:
        last = self._foreign.get(gateway)
        if last is None:
            known = self.settled.get((gateway, FOREIGN_EPOCH))
            last = known.highest if known is not None else FIRST_INDEX - 1
        self._foreign[gateway] = last + 1
        return last + 1


class _Gap(msgspec.Struct, frozen=True):
    """An event by which a gateway declares journal records lost for good."""

    epoch: int
    first: int
    last: int


def _lost(body: dict[str, object]) -> list[tuple[int, int, int]]:
    """What a gap event declares lost. One without an end is no ground to settle anything."""
    if body.get("kind") != "gap":
        return []
    try:
        gap = msgspec.convert(body, _Gap)
    except msgspec.ValidationError:
        return []
    return (
        [(gap.epoch, gap.first, gap.last)]
        if 0 <= gap.epoch < 2**64 and 0 < gap.first <= gap.last < 2**63
        else []
    )
