"""The Modbus driver: planned block reads, coalesced writes, one dead device costs its neighbours nothing."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from vigie_protocols.backoff import Backoff
from vigie_protocols.driver import (
    Answer,
    Change,
    Deliver,
    DevicePoints,
    LinkState,
    WriteReport,
    WriteResult,
)
from vigie_protocols.errors import DeviceTimeout, FrameError, LinkDown, PermanentError, VigieError
from vigie_protocols.gateway import Link
from vigie_protocols.modbus.breaker import Breakers
from vigie_protocols.modbus.planner import Block
from vigie_protocols.modbus.station import Station
from vigie_protocols.modbus.tcp import Exception02, TcpLink
from vigie_protocols.modbus.writes import WriteRequest, write_requests
from vigie_protocols.points import Quality, Value
from vigie_protocols.profile import PointDecl
from vigie_protocols.turn import Turn

EARLY_S: Final = 0.0015
"""Timers of event loops are whole milliseconds and may ring early: what is due this soon is due now."""
SLOT_S: Final = 0.05
"""Phases are multiples of it: devices polled in one slot share the wake-ups, which cost more than requests."""
READY_S: Final = 0.05
"""Seconds between two tries while somebody waits for the link."""
REFUSED_S: Final = 30.0
"""Seconds between two tries of a register that the device has refused."""


class Wire(Protocol):
    """What carries requests: TCP or a serial line."""

    error: str

    @property
    def up(self) -> bool:
        """True while requests can be sent."""
        ...

    async def request(self, unit: int, pdu: bytes, timeout_s: float, rest_s: float = 0.0) -> bytes:
        """One request and its answer; rest_s: silence the unit needs after it, on a serial line."""
        ...

    def close(self, why: str = "") -> None:
        """Close at once."""
        ...


class ModbusDriver:
    """Driver of one Modbus connection and the units behind it."""

    def __init__(
        self,
        name: str,
        link: Link,
        devices: Sequence[DevicePoints],
        deliver: Deliver,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._link = link
        self._deliver = deliver
        self._clock = clock
        self._stations = [Station(row, link, jitter) for row in devices]
        self._breakers = Breakers(self._stations)
        self.state = LinkState(name, devices={station.name: station.state for station in self._stations})
        self._owner = {index: station for station in self._stations for index in station.points}
        self._backoff = Backoff(link.retry.first_s, link.retry.max_s, jitter)
        self._turn = Turn(link.in_flight)
        self._connecting = asyncio.Lock()
        self._wire: Wire | None = None
        self._retry_at = float("-inf")
        self._unreachable = False
        self._heap: list[tuple[float, int, Station, Block]] = []
        self._order = 0

    @property
    def blocks(self) -> list[Block]:
        """The plan in force, for people to see."""
        return [block for station in self._stations for block in station.blocks]

    async def open(self) -> None:
        """Lay out the first round of polls; the first of them connects."""
        now = self._clock()
        self._heap = []
        for station in self._stations:
            for block in station.blocks:
                self._push(now, station, block)

    async def ready(self, limit_s: float) -> bool:
        """Connect, trying again until the limit is reached."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        while self._wire is None or not self._wire.up:
            self._retry_at = float("-inf")
            try:
                await self._connect(max(0.0, end - loop.time()))
            except LinkDown:
                if loop.time() >= end:
                    return False
                await asyncio.sleep(min(READY_S, max(0.0, end - loop.time())))
        return True

    async def close(self) -> None:
        """Close the connection."""
        wire, self._wire = self._wire, None
        self.state.up = False
        if wire is not None:
            wire.close("closed")

    def _push(self, due: float, station: Station, block: Block) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, station, block))

    async def poll(self, now: float) -> float:
        """Read every block that is due; returns when the next one is."""
        while self._heap and self._heap[0][0] <= now + EARLY_S:
            due = []
            while self._heap and self._heap[0][0] <= now + EARLY_S:
                due.append(heapq.heappop(self._heap))
            if self._link.in_flight > 1:
                await asyncio.gather(*(self._poll_block(*row, now) for row in due))
            else:
                for row in due:
                    await self._poll_block(*row, max(now, self._clock()))
            now = max(now, self._clock())
        return self._heap[0][0] if self._heap else now + 3600.0

    async def _poll_block(self, due: float, order: int, station: Station, block: Block, now: float) -> None:
        blocks = await self._turn_of(station, block, now)
        if blocks != [block]:
            station.blocks = [one for one in station.blocks if one is not block] + blocks
        now = max(now, self._clock())
        for one in blocks:
            # The pieces of a refused block are still due; a block that was read waits for its instant.
            self._push(_next_due(due, now, one) if one is block else due, station, one)

    async def _turn_of(self, station: Station, block: Block, now: float) -> list[Block]:
        """One due block: what is to be polled in its place from now on."""
        if now < block.rest_until or not self._may_ask(station, now):
            return [block]
        try:
            self._take(station, block, await self._read(station, block), self._deliver)
        except Exception02 as error:
            smaller = self._refused(station, block, str(error), now)
            if smaller:
                return smaller
            self._deliver(station.bad(block.indices, self._clock()))
        except VigieError as error:
            if not self._failed(station, error):
                self._deliver(station.bad(block.indices, self._clock()))
        return [block]

    async def read_all(self, now: float, utc: float) -> list[Answer]:
        """Every point once, whatever its rate, in the fewest requests."""
        if self._link.in_flight > 1:
            rows = await asyncio.gather(*(self._read_station(station, now) for station in self._stations))
        else:
            rows = [await self._read_station(station, now) for station in self._stations]
        return [answer for row in rows for answer in row]

    async def _read_station(self, station: Station, now: float) -> list[Answer]:
        answers: list[Answer] = []
        todo, done = deque(station.whole), list[Block]()
        silent = not self._may_ask(station, now)
        while todo:
            block = todo.popleft()
            done.append(block)
            if silent or now < block.rest_until:
                answers.append(station.bad(block.indices, now))
                continue
            try:
                self._take(station, block, await self._read(station, block), answers.append, now)
            except Exception02 as error:
                smaller = self._refused(station, block, str(error), now)
                if smaller:
                    done.pop()
                    todo.extendleft(reversed(smaller))
                else:
                    answers.append(station.bad(block.indices, now))
            except VigieError as error:
                self._failed(station, error)
                silent = station.open
                answers.append(station.bad(block.indices, now))
        station.whole = done
        return answers

    def _take(
        self, station: Station, block: Block, payload: bytes, deliver: Deliver, now: float | None = None
    ) -> None:
        values = block.decoder(payload)
        arrival = self._clock() if now is None else now
        self.state.counters.readings += len(values)
        self._breakers.answered(station, arrival)
        if None not in values:
            block.values = values  # type: ignore[assignment]
            deliver(Answer(block.indices, values, Quality.GOOD, 0.0, arrival))  # type: ignore[arg-type]
            return
        rows = list(zip(block.indices, values, strict=True))
        good = {index: value for index, value in rows if value is not None}
        known = station.known()
        block.values = [known[index] if value is None else value for index, value in rows]
        deliver(Answer(tuple(good), list(good.values()), Quality.GOOD, 0.0, arrival))
        deliver(station.bad([index for index, value in rows if value is None], arrival))

    def _refused(self, station: Station, block: Block, why: str, now: float) -> list[Block]:
        """Exception 02 or 03: what to ask instead, [] when it was one point already."""
        self.state.counters.refused += 1
        self._breakers.answered(station, self._clock())
        smaller = block.narrower()
        if not smaller:
            self.state.error = station.state.error = f"{block.table} {block.start}: {why}"
            block.rest_until = now + REFUSED_S
        return smaller

    def _failed(self, station: Station, error: VigieError) -> bool:
        """Count a failed request; True when it was silence, which alone does not yet make points bad."""
        if _no_answer(error):
            self._missed(station, str(error))
            return True
        self.state.error = station.state.error = str(error)
        return False

    def _missed(self, station: Station, why: str) -> None:
        self.state.counters.failures += 1
        self.state.error = why
        if self._breakers.missed(station, self._clock(), why):
            self._deliver(station.bad(station.indices, self._clock()))
        if self._breakers.silent and self._wire is not None:
            # Nobody answers on this connection: the next probe, whenever it is due, begins with a fresh one.
            self._wire.close(why)
            self.state.up = False

    async def _read(self, station: Station, block: Block) -> bytes:
        answer = await self._request(station, block.pdu, urgent=False)
        if len(answer) != block.decoder.size + 2 or answer[1] != block.decoder.size:
            self.state.counters.malformed += 1
            raise FrameError(f"{station.name}: answer of the wrong length to a read of {block.count}")
        return answer[2:]

    def _may_ask(self, station: Station, now: float) -> bool:
        """False for a dead device whose probe is not due, or could not be sent."""
        connected = self._wire is not None and self._wire.up
        return self._breakers.may_ask(station, now) and (
            not station.open or connected or now >= self._retry_at
        )

    async def _request(self, station: Station, pdu: bytes, urgent: bool) -> bytes:
        if self._breakers.asking(station, self._clock()):
            self.state.counters.probes += 1
        # The device's own turn first: whoever waits for it holds no place on the link.
        await station.turn.take(urgent)
        try:
            await self._turn.take(urgent)
            try:
                wire = self._wire
                if wire is None or not wire.up:
                    wire = await self._connect(station.timeout_s)
                rest_s = station.limits.turnaround_s
                return await wire.request(station.unit, pdu, station.timeout_s, rest_s)
            finally:
                self._turn.give()
        finally:
            station.turn.give()

    async def _connect(self, timeout_s: float) -> Wire:
        async with self._connecting:
            wire = self._wire
            return wire if wire is not None and wire.up else await self._reconnect(timeout_s)

    async def _reconnect(self, timeout_s: float) -> Wire:
        now = self._clock()
        if self.state.up:
            self.state.up = False
            self._retry_at = now + self._backoff.delay()
        if now < self._retry_at:
            raise LinkDown(self.state.error)
        try:
            self._wire = await open_wire(self._link, self.state, timeout_s)
        except LinkDown:
            self._retry_at = now + self._backoff.delay()
            self._unreachable = True
            raise
        if self._unreachable:
            self._unreachable = False
            self._breakers.back(self._clock())
        self._backoff.reset()
        self.state.up, self.state.error = True, ""
        self.state.counters.connects += 1
        return self._wire

    async def write(self, changes: Sequence[Change]) -> WriteReport:
        """All changes, neighbours together; goes before reads that wait."""
        results = [WriteResult(change.index) for change in changes]
        rows: dict[str, list[tuple[int, PointDecl, Value]]] = {}
        stations: dict[str, Station] = {}
        for place, change in enumerate(changes):
            station = self._owner[change.index]
            stations[station.name] = station
            rows.setdefault(station.name, []).append((place, station.points[change.index], change.value))
        for name, theirs in rows.items():
            station = stations[name]
            requests, faults = write_requests(theirs, station.limits)
            for place, fault in faults.items():
                results[place] = WriteResult(changes[place].index, fault, permanent=True)
            for request in requests:
                try:
                    await self._send(station, request)
                except VigieError as error:
                    permanent = isinstance(error, PermanentError) and not isinstance(error, FrameError)
                    for place in request.places:
                        results[place] = WriteResult(changes[place].index, f"{name}: {error}", permanent)
        return WriteReport(tuple(results))

    async def _send(self, station: Station, request: WriteRequest) -> None:
        if not self._may_ask(station, self._clock()):
            raise LinkDown(station.state.error)
        try:
            pdu = request.pdu
            if not pdu:
                ask = b"\x03" + request.address.to_bytes(2, "big") + b"\x00\x01"
                held = await self._request(station, ask, urgent=True)
                if len(held) != 4:
                    raise FrameError("answer of the wrong length")
                pdu = request.with_register(int.from_bytes(held[2:], "big"), station.limits)
            echo = await self._request(station, pdu, urgent=True)
            # Function and address; a device may echo the value it made of ours, which reading back will show.
            if echo[:3] != pdu[:3]:
                raise FrameError("the device confirms another write than was sent")
        except VigieError as error:
            if not self._failed(station, error):
                self.state.counters.refused += 1
            raise
        self._breakers.answered(station, self._clock())
        self.state.counters.writes += 1


def _no_answer(error: VigieError) -> bool:
    """True when the device gave nothing that can be understood: silence, or a broken frame."""
    return isinstance(error, DeviceTimeout | LinkDown | FrameError)


def _next_due(due: float, now: float, block: Block) -> float:
    """The next instant of the block's own grid after ``now``: no drift, no crowd after a stall."""
    base = block.phase * block.rate_s
    if block.rate_s >= 2 * SLOT_S:
        base = SLOT_S * (base // SLOT_S)
    return base + block.rate_s * ((max(due, now + EARLY_S) - base) // block.rate_s + 1)


async def open_wire(link: Link, state: LinkState, timeout_s: float) -> Wire:
    """A fresh connection; raises LinkDown."""
    if link.serial is not None:
        from vigie_protocols.modbus.rtu import RtuLine

        line = RtuLine(link.serial, state.counters)
        await line.open()
        return line
    wire = TcpLink(state.counters)
    await wire.connect(link.host or "", link.tcp_port, timeout_s)
    return wire
