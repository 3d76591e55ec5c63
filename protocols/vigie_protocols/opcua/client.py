"""The OPC UA driver: batch reads, subscriptions, stamped writes.

One server is one link. Wall clock: every node is monitored in one subscription, and read once per
``REFRESH`` of its staleness limit besides, since a subscription says nothing about a value that stays as
it is. Lock-step: one Read call per tick. A write carries, as source timestamp, the instant at which it was
decided; changes of one tick travel in order in one Write call.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from vigie_protocols.backoff import Backoff
from vigie_protocols.driver import (
    Answer,
    Change,
    Deliver,
    DevicePoints,
    DeviceState,
    LinkState,
    WriteReport,
    WriteResult,
)
from vigie_protocols.errors import DeviceBusy, DeviceTimeout, LinkDown, PermanentError, VigieError
from vigie_protocols.gateway import Link
from vigie_protocols.opcua.nodes import (
    NodePoints,
    ReadPlan,
    group_writes,
    nodes_of,
    read_node,
    split,
)
from vigie_protocols.opcua.plain import Got
from vigie_protocols.opcua.session import (
    TRANSIENT_CODES,
    UNSTAMPED,
    ReadRequest,
    Session,
    browse_path,
    code_name,
    connect,
    node_id,
    write_value,
)
from vigie_protocols.pointcodec import encode_point
from vigie_protocols.points import Quality

REFRESH: Final = 0.4
"""Share of the shortest staleness limit after which every node is read, changed or not."""
READY_S: Final = 0.05
"""Seconds between two tries while somebody waits for the link."""
LARGEST: Final = 1000
"""Nodes in one request, until the server says that it is too many."""


class OpcUaDriver:
    """Driver of one OPC UA server and the devices on it."""

    def __init__(
        self,
        name: str,
        link: Link,
        devices: Sequence[DevicePoints],
        deliver: Deliver,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.state = LinkState(
            name, devices={row.device.name: DeviceState(row.device.name) for row in devices}
        )
        self._link = link
        self._devices = {row.device.name: row.device for row in devices}
        self._deliver = deliver
        self._clock = clock
        self._backoff = Backoff(link.retry.first_s, link.retry.max_s, jitter)
        self._nodes = nodes_of(devices)
        self._place: dict[int, tuple[NodePoints, int]] = {
            index: (node, at) for node in self._nodes for at, index in enumerate(node.indices)
        }
        limits = [decl.stale_s for node in self._nodes for decl in node.decls]
        rates = [node.rate_s for node in self._nodes]
        self._refresh_s = REFRESH * min(limits) if link.publishing_s else min(rates)
        self._session: Session | None = None
        self._ids: dict[int, Any] = {}
        self._plans: list[tuple[ReadPlan, ReadRequest]] = []
        self._largest = LARGEST
        self._lock = asyncio.Lock()
        self._retry_at = float("-inf")
        self._due = float("-inf")
        self._subscribed = False

    async def open(self) -> None:
        """Nothing to start: the first poll or read connects."""

    async def ready(self, limit_s: float) -> bool:
        """Connect, trying again until the limit is reached."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        while not await self._connected(self._retry_at):
            if loop.time() >= end:
                return False
            await asyncio.sleep(min(READY_S, max(0.0, end - loop.time())))
        return True

    async def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        self.state.up = False
        if session is not None:
            await session.close(self._link.timeout_s)

    async def poll(self, now: float) -> float:
        """Connect when due, subscribe once connected, refresh what is due; returns the next time."""
        if not await self._connected(now):
            return self._retry_at
        if not self._subscribed and self._link.publishing_s:
            await self._subscribe()
        if now >= self._due:
            self._due = now + self._refresh_s
            for answer in await self._read(now):
                self._deliver(answer)
        return self._due if self._session is not None else self._retry_at

    async def read_all(self, now: float, utc: float) -> list[Answer]:
        """Every node once, in one Read call."""
        await self._connected(now)
        return await self._read(now)

    async def write(self, changes: Sequence[Change]) -> WriteReport:
        """All changes in order, in one Write call."""
        results: list[WriteResult] = [WriteResult(change.index) for change in changes]
        rows: list[tuple[int, NodePoints, Any, Any, float]] = []
        for place, change in enumerate(changes):
            node, at = self._place[change.index]
            decl = node.decls[at]
            fault = decl.refuses(change.value)
            try:
                if fault:
                    raise ValueError(fault)
                rows.append((place, node, decl, encode_point(decl, change.value), change.instant))
            except ValueError as error:
                results[place] = WriteResult(change.index, f"{decl.name} {error}", permanent=True)
        try:
            async with self._lock:
                await self._send(rows, results)
        except VigieError as error:
            permanent = isinstance(error, PermanentError)
            for place, node, *_ in rows:
                node.raw = None
                results[place] = WriteResult(changes[place].index, str(error), permanent)
        return WriteReport(tuple(results))

    async def _send(
        self, rows: Sequence[tuple[int, NodePoints, Any, Any, float]], results: list[WriteResult]
    ) -> None:
        if not rows:
            return
        session = self._session
        if session is None:
            raise self._down()
        await self._learn(session, [row[1] for row in rows])
        known = [row for row in rows if row[1].raw is not None or not row[1].shared]
        for place, node, decl, _, _ in rows:
            if node.raw is None and node.shared:
                results[place] = WriteResult(results[place].index, f"{decl.name}: {node.node} cannot be read")
        groups = group_writes(known, lambda node: node.raw)
        codes = await self._call_write(session, groups)
        for (node, raw, _, places), code in zip(groups, codes, strict=True):
            self.state.counters.writes += 1
            if code >> 30 == 0:
                node.raw = raw if node.shared else None
                continue
            node.raw = None
            self.state.counters.refused += 1
            for place in places:
                permanent = code not in TRANSIENT_CODES
                results[place] = WriteResult(
                    results[place].index, f"{node.node}: {code_name(code)}", permanent
                )

    async def _call_write(self, session: Session, groups: Sequence[Any]) -> list[int]:
        def values(rows: Sequence[Any]) -> list[Any]:
            return [
                write_value(
                    self._ids[id(node)],
                    raw,
                    node.variant,
                    node.array,
                    instant if node.stamped else None,
                )
                for node, raw, instant, _ in rows
            ]

        codes: list[int] = await self._request(session, session.write(values(groups)))
        again = [place for place, code in enumerate(codes) if code == UNSTAMPED and groups[place][0].stamped]
        if again:
            # Some servers refuse any timestamp with a value: offer it once more without.
            for place in again:
                groups[place][0].stamped = False
            second = await self._request(session, session.write(values([groups[place] for place in again])))
            for place, code in zip(again, second, strict=True):
                codes[place] = code
                groups[place][0].stamped = code >> 30 != 0
        return codes

    async def _learn(self, session: Session, nodes: Sequence[NodePoints]) -> None:
        """Read the arrays and words of which one part is to be written and the rest is not known."""
        unknown = list({id(node): node for node in nodes if node.shared and node.raw is None}.values())
        if unknown:
            request = ReadRequest([self._ids[id(node)] for node in unknown])
            results = await self._request(session, session.read(request))
            for node, result in zip(unknown, results, strict=True):
                read_node(node, result)

    async def _connected(self, now: float) -> bool:
        if self._session is not None and self._session.alive:
            return True
        if self._session is not None:
            await self._lost("the connection was closed")
        if now < self._retry_at:
            return False
        try:
            session = await connect(self._link)
            try:
                await self._resolve(session)
            except VigieError:
                await session.close(self._link.timeout_s)
                raise
        except VigieError as error:
            self._note(error)
            self._retry_at = max(now, self._clock()) + self._backoff.delay()
            return False
        self._session, self._subscribed, self._due = session, False, float("-inf")
        self._backoff.reset()
        self.state.up, self.state.error = True, ""
        self.state.counters.connects += 1
        return True

    async def _resolve(self, session: Session) -> None:
        """Node ids of all points: namespaces may have moved since the last connection."""
        numbers: dict[str | int, int] = {}
        for device in self._devices.values():
            if isinstance(device.namespace, int):
                numbers[device.namespace] = device.namespace
            elif device.namespace not in numbers:
                numbers[device.namespace] = await session.namespace(device.namespace)
        paths: list[tuple[NodePoints, Any]] = []
        for node in self._nodes:
            device = self._devices[node.device]
            namespace, where = numbers[device.namespace], device.prefix + node.node
            node.raw = None
            if where.startswith("/"):
                paths.append((node, browse_path(where, namespace)))
            # Where a path leads nowhere, this id is unknown to the server, and its points alone are bad.
            self._ids[id(node)] = node_id(node.node, device.prefix, namespace)
        for start in range(0, len(paths), self._largest):
            rows = paths[start : start + self._largest]
            self.state.counters.requests += 1
            found = await session.translate([path for _, path in rows])
            for (node, _), identity in zip(rows, found, strict=True):
                if identity is not None:
                    self._ids[id(node)] = identity
        self._plan()

    def _plan(self) -> None:
        self._plans = []
        for start in range(0, len(self._nodes), self._largest):
            nodes = self._nodes[start : start + self._largest]
            self._plans.append((ReadPlan(nodes), ReadRequest([self._ids[id(node)] for node in nodes])))

    async def _subscribe(self) -> None:
        session = self._session
        if session is None:
            return
        sampling = self._link.sampling_s
        items = [
            (self._ids[id(node)], node.rate_s if sampling is None else sampling, self._link.queue_size)
            for node in self._nodes
        ]
        try:
            await self._request(
                session, session.subscribe(items, self._link.publishing_s, self._notified, self._unsubscribed)
            )
        except PermanentError as error:
            # A server without subscriptions is polled at the points' own rates instead.
            self.state.error = f"polling instead of subscription: {error}"
            self._refresh_s = min(node.rate_s for node in self._nodes)
        except VigieError:
            return
        self._subscribed = True

    def _unsubscribed(self) -> None:
        """The next poll subscribes anew."""
        self._subscribed = False

    def _notified(self, rows: list[tuple[int, Got]]) -> None:
        now = self._clock()
        for place, result in rows:
            node = self._nodes[place]
            held = node.raw
            row, quality = read_node(node, result)
            # A notification may be older than our last write: writes build on explicit reads only.
            node.raw = held
            self.state.counters.readings += len(node.indices)
            for answer in split(node, row, quality, result.source, now):
                self._deliver(answer)

    async def _read(self, now: float) -> list[Answer]:
        session = self._session
        if session is None:
            return [ReadPlan(self._nodes).bad(now)]
        answers: list[Answer] = []
        try:
            async with self._lock:
                for plan, request in self._plans:
                    results = await self._request(session, session.read(request))
                    answers.extend(plan.answers(results, now))
                    self.state.counters.readings += plan.points
        except DeviceBusy:
            if self._largest > 1:
                self._largest = max(1, self._largest // 2)
                self._plan()
            return [ReadPlan(self._nodes).bad(now)]
        except VigieError:
            return [ReadPlan(self._nodes).bad(now)]
        self._judge(answers, now)
        return answers

    def _judge(self, answers: Sequence[Answer], now: float) -> None:
        """A device is up when at least one of its nodes gave something usable."""
        alive = {
            self._place[answer.indices[0]][0].device
            for answer in answers
            if answer.quality is not Quality.BAD
        }
        if len(answers) == 1 and answers[0].quality is not Quality.BAD:
            alive = set(self._devices)
        for name, device in self.state.devices.items():
            device.up = name in alive
            device.error = "" if device.up else "no node of it can be read"
            device.last_good = now if device.up else device.last_good

    async def _request(self, session: Session, call: Any) -> Any:
        self.state.counters.requests += 1
        try:
            return await call
        except (DeviceBusy, PermanentError) as error:
            self._note(error)
            raise
        except VigieError as error:
            self.state.counters.timeouts += isinstance(error, DeviceTimeout)
            self._note(error)
            if session is self._session:
                await self._lost(str(error))
            raise

    def _note(self, error: VigieError) -> None:
        self.state.counters.failures += 1
        self.state.error = str(error)

    async def _lost(self, why: str) -> None:
        session, self._session = self._session, None
        self.state.up, self.state.error = False, why
        self._retry_at = self._clock() + self._backoff.delay()
        for device in self.state.devices.values():
            device.up, device.error, device.failures = False, why, device.failures + 1
        if session is not None:
            await session.close(self._link.timeout_s)
        self._deliver(ReadPlan(self._nodes).bad(self._clock()))

    def _down(self) -> VigieError:
        return LinkDown(f"{self.state.name}: {self.state.error}")
