"""Modbus TCP framing on asyncio: small, strict, and cheap (about a tenth of a general library's CPU).

Answers are matched by transaction id, so that a late one is dropped instead of being taken for the next.
"""

import asyncio
import struct
from typing import Final, cast

from vigie_protocols.driver import Counters
from vigie_protocols.errors import DeviceBusy, DeviceRefused, DeviceTimeout, FrameError, LinkDown

HEADER: Final = struct.Struct(">HHHB")
LARGEST: Final = 254
"""Largest length field: unit id and a PDU of 253 bytes."""
PATIENCE: Final = 8
"""Answers nobody waits for, in a row, after which the connection is taken as out of step and closed."""

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


class Exception02(DeviceRefused):
    """The device has not all of these registers; a smaller request may succeed."""


def check_answer(pdu: bytes, function: int) -> bytes:
    """The answer itself; raises for exception answers and answers to something else."""
    if not pdu:
        raise FrameError("an empty answer")
    if pdu[0] == function:
        return pdu
    if pdu[0] != function | 0x80 or len(pdu) != 2:
        raise FrameError(f"answer to function {function} has function {pdu[0]}")
    code = pdu[1]
    text = f"function {function}: {EXCEPTIONS.get(code, f'exception {code}')}"
    if code in (2, 3):
        raise Exception02(text)
    if code in (5, 6):
        raise DeviceBusy(text)
    if code in (4, 10, 11):
        raise DeviceTimeout(text)
    raise DeviceRefused(text)


class TcpLink(asyncio.Protocol):
    """One connection. Several requests may be in flight; each has its own transaction id and time limit."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._next = 0
        self._waiting: dict[int, tuple[asyncio.Future[bytes], int, float]] = {}
        """By transaction id: who waits for the answer, of which unit, and until when."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._strangers = 0
        self.error = "not connected yet"

    @property
    def up(self) -> bool:
        """True while the connection stands."""
        return self._transport is not None

    async def connect(self, host: str, port: int, timeout_s: float) -> None:
        """Open the connection; raises LinkDown."""
        try:
            await asyncio.wait_for(self._loop.create_connection(lambda: self, host, port), timeout_s)
        except TimeoutError:
            raise LinkDown(f"{host}:{port}: no connection within {timeout_s:g} s") from None
        except OSError as error:
            raise LinkDown(f"{host}:{port}: {error.strerror or error}") from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self.error = ""

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone; whoever waits is told."""
        self._transport = None
        self.error = self.error or str(exc or "closed by the device")
        waiting, self._waiting = self._waiting, {}
        for future, _, _ in waiting.values():
            if not future.done():
                future.set_exception(LinkDown(self.error))

    def close(self, why: str = "") -> None:
        """Close at once."""
        if self._transport is not None:
            self.error = why
            self._transport.abort()
            self._transport = None

    async def request(self, unit: int, pdu: bytes, timeout_s: float, rest_s: float = 0.0) -> bytes:
        """Send one PDU and return the answer's PDU; raises LinkDown, DeviceTimeout and device errors.

        rest_s: for serial lines alone.
        """
        transport = self._transport
        if transport is None:
            raise LinkDown(self.error)
        number = self._next = (self._next + 1) & 0xFFFF
        future: asyncio.Future[bytes] = self._loop.create_future()
        until = self._loop.time() + timeout_s
        self._waiting[number] = future, unit, until
        self._watch(until)
        transport.write(HEADER.pack(number, 0, len(pdu) + 1, unit) + pdu)
        self._counters.requests += 1
        try:
            return check_answer(await future, pdu[0])
        finally:
            self._waiting.pop(number, None)

    def _watch(self, until: float) -> None:
        """One timer for all requests, which need not be set again for each: nearly all are answered before."""
        if self._timer is not None:
            if self._timer_at <= until:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(until, self._expire), until

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for number, (future, _, until) in list(self._waiting.items()):
            if until > now:
                self._watch(until)
                continue
            del self._waiting[number]
            if not future.done():
                self._counters.timeouts += 1
                future.set_exception(DeviceTimeout("no answer in time"))

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at = 0
        size = len(data)
        while size - at >= 7:
            number, protocol, length, unit = HEADER.unpack_from(data, at)
            if protocol != 0 or not 3 <= length <= LARGEST:
                self._counters.malformed += 1
                self.close("malformed frame")
                return
            end = at + 6 + length
            if end > size:
                break
            self._answer(number, unit, data[at + 7 : end])
            at = end
        if at < size:
            self._buffer = data[at:]

    def _answer(self, number: int, unit: int, pdu: bytes) -> None:
        row = self._waiting.get(number)
        if row is None or row[1] != unit:
            self._counters.late += 1
            self._strangers += 1
            if self._strangers >= PATIENCE:
                self.close("too many answers nobody asked for")
            return
        self._strangers = 0
        if not row[0].done():
            row[0].set_result(pdu)
