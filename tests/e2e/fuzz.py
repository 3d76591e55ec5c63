"""Devices that talk nonsense: a proxy between a gateway and real servers that spoils what the servers answer.

A spoilt frame is malformed by the rules of its protocol; none is a lawful frame with another value, since
nobody could tell that one from the truth without a signature. A frame that breaks off is the last of its
connection: TCP gives no bytes out of their order.
"""

import asyncio
import contextlib
import json
import random
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.protocols.field.rigs import DEVICES

Frames = list[bytes]
Split = Callable[[bytearray], Frames]
Spoil = Callable[[random.Random, bytes], tuple[Frames, bool]]
"""Malformed frames in place of a good one, and whether the connection breaks off behind them."""
BURST = 12


# -- Modbus TCP --------------------------------------------------------------------------------------


def split_modbus(buffer: bytearray) -> Frames:
    return _split(buffer, lambda head: 6 + int.from_bytes(head[4:6], "big") if len(head) >= 6 else None)


def spoil_modbus(chance: random.Random, good: bytes) -> tuple[Frames, bool]:
    number, _, _, unit = struct.unpack(">HHHB", good[:7])
    function, data = good[7], good[9:]
    wrong = bytes(chance.randrange(256) for _ in data)  # other values than the device has

    def framed(number: int, unit: int, pdu: bytes, protocol: int = 0, length: int | None = None) -> bytes:
        return struct.pack(">HHHB", number, protocol, 1 + len(pdu) if length is None else length, unit) + pdu

    late = (number + chance.randrange(1, 60_000)) & 0xFFFF
    whole = bytes((function, len(wrong))) + wrong
    kinds: list[Frames] = [
        [framed(late, unit, whole)] * chance.randrange(1, BURST),  # replies to nobody
        [framed(number, unit, whole, protocol=chance.randrange(1, 65536))],
        [framed(number, unit ^ chance.randrange(1, 256), whole)],
        [framed(number, unit, bytes((function ^ chance.randrange(1, 128),)) + whole[1:])],
        [framed(number, unit, bytes((function, (len(wrong) + chance.randrange(1, 255)) & 0xFF)) + wrong)],
        [framed(number, unit, whole[:2] + wrong + wrong[:2])],  # more registers than were asked for
        [framed(number, unit, bytes((function, len(wrong) & 0xFE)) + wrong[:-1])],
        [framed(number, unit, bytes((function | 0x80,)))],  # an exception without its code
        [framed(number, unit, bytes((function | 0x80, chance.choice((0, 5, 77, 255)))))],
        [framed(number, unit, b"")],
        [framed(number, unit, whole, length=chance.choice((0, 1, 300, 0xFFFF)))],
        [chance.randbytes(chance.randrange(1, 300))],
        [good[: chance.randrange(1, len(good))]],
    ]
    whole_ones, broken = kinds[:-3], kinds[-3:]
    spoilt = [frame for kind in chance.sample(whole_ones, chance.randrange(1, 4)) for frame in kind]
    ends = chance.random() < 0.2
    return spoilt + (chance.choice(broken) if ends else []), ends


# -- OPC UA ------------------------------------------------------------------------------------------


def split_opcua(buffer: bytearray) -> Frames:
    return _split(buffer, lambda head: int.from_bytes(head[4:8], "little") if len(head) >= 8 else None)


def spoil_opcua(chance: random.Random, good: bytes) -> tuple[Frames, bool]:
    def at(place: int, data: bytes) -> bytes:
        return good[:place] + data + good[place + len(data) :]

    def sized(frame: bytes) -> bytes:
        return frame[:4] + len(frame).to_bytes(4, "little") + frame[8:]

    def number() -> bytes:
        return chance.randrange(1 << 32).to_bytes(4, "little")

    kinds: list[Frames] = [
        [at(0, bytes(chance.choice(b"ABCXYZ") for _ in range(3)))],
        [at(3, chance.choice((b"X", b"\0", b"A")))],
        [at(3, b"C")] * chance.randrange(1, BURST),  # chunks of a message that never ends
        [at(8, number())],
        [b"ERRF" + struct.pack("<IIi", 16, chance.randrange(1 << 32), chance.choice((-1, 0, 1 << 30)))],
        [sized(good[: chance.randrange(9, len(good))])],
        [at(4, chance.choice((0, 7, 0x7FFFFFFF, 0xFFFFFFFF)).to_bytes(4, "little"))],
        [chance.randbytes(chance.randrange(1, 300))],
        [good[: chance.randrange(1, len(good))]],
    ]
    if good[:3] == b"MSG":
        kinds = [
            [at(20, number()) for _ in range(chance.randrange(1, BURST))],  # answers to nobody
            [at(12, number())],
            [at(24, chance.randbytes(4))],  # a message of no known kind
            [at(28, chance.randbytes(min(16, len(good) - 28)))],  # its header: time, handle, result
            [sized(good[:24])],
            *kinds,
        ]
    else:  # nothing of a value is in a greeting or in the opening of a channel
        place = chance.randrange(8, len(good))
        kinds = [[at(place, chance.randbytes(min(4, len(good) - place)))], *kinds]
    whole_ones, broken = kinds[:-3], kinds[-3:]
    spoilt = [frame for kind in chance.sample(whole_ones, chance.randrange(1, 4)) for frame in kind]
    ends = chance.random() < 0.2
    return spoilt + (chance.choice(broken) if ends else []), ends


# -- MQTT --------------------------------------------------------------------------------------------


def split_mqtt(buffer: bytearray) -> Frames:
    def length(head: bytes) -> int | None:
        size = 0
        for place in range(1, min(5, len(head))):
            size |= (head[place] & 0x7F) << 7 * (place - 1)
            if head[place] < 0x80:
                return 1 + place + size
        return None

    return _split(buffer, length)


def _packet(first: int, body: bytes) -> bytes:
    head, left = bytearray((first,)), len(body)
    while True:
        left, low = left >> 7, left & 0x7F
        head.append(low | 0x80 if left else low)
        if not left:
            return bytes(head) + body


def spoil_mqtt(chance: random.Random, good: bytes) -> tuple[Frames, bool]:
    """A message whose payload is spoilt, or now and then a packet that is none."""
    if good[0] >> 4 == 3 and chance.random() < 0.95:
        body = good[1 + next(place for place in range(1, 5) if good[place] < 0x80) :]
        start = body.index(b"{") if b"{" in body else len(body)
        text = body[start:]
        document = json.loads(text) if text else {}
        wrong: dict[str, Any] = {key: chance.choice(([], {}, None, "2.5")) for key in document}
        payloads = [
            text[: chance.randrange(len(text))] if text else b"{",
            chance.randbytes(chance.randrange(1, 200)) + b"\xff",
            b"[" * chance.randrange(1, 20_000),
            b'{"level":' * chance.randrange(1, 2000),
            json.dumps(wrong).encode(),
            b'{"level": 1e999, "count": -1.5, "flag": 1, "items": [null, "1"], "sub": 7}',
            b'{"level": NaN, "count": Infinity}',
            b'{"level": "\xc3\x28", "flag": "\xed\xa0\x80"}',
            b"null",
            b"17",
            b"",
        ]
        burst = chance.sample(payloads, chance.randrange(1, 6))
        return [_packet(good[0], body[:start] + payload) for payload in burst], False
    kinds = [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\xff\xff\xff\x7f",  # 256 MB announced
        b"\x30\x02\x00\x09",  # a topic longer than its packet
        b"\x36" + good[1:],  # QoS 3
        _packet(0x32, b"\x00\x02\xc3\x28\x00\x01\x00{}"),  # a topic that is no UTF-8
        _packet(0x30, b"\x00\x03a/#\x7f{}"),
        b"\x40\x01\x00",
        b"\x90\x01\x00",
        b"\x20\x01\x00",
        b"\x00\x00",
        b"\xff\x00",
        _packet(0x10, b"\x00\x04MQTT\x05"),  # a CONNECT from a broker
        chance.randbytes(chance.randrange(2, 100)),
        good[: chance.randrange(1, len(good))],
    ]
    kind = chance.randrange(len(kinds))
    return [kinds[kind]], kind >= len(kinds) - 2


def _split(buffer: bytearray, length: Callable[[bytes], int | None]) -> Frames:
    """Whole frames, taken out of the buffer."""
    frames = []
    while (size := length(bytes(buffer[:8]))) is not None and 0 < size <= len(buffer):
        frames.append(bytes(buffer[:size]))
        del buffer[:size]
    return frames


PROTOCOLS: dict[str, tuple[Split, Spoil, Callable[[bytes], float]]] = {
    "modbus": (split_modbus, spoil_modbus, lambda frame: 0.1),
    "opcua": (split_opcua, spoil_opcua, lambda frame: 0.2),
    # A broker that is never joined brings no message that could be spoilt.
    "mqtt": (split_mqtt, spoil_mqtt, lambda frame: 0.2 if frame[0] >> 4 == 3 else 0.9),
}
"""How its stream is cut into frames, how one is spoilt, and the share of frames left as they are."""


# -- the peer ----------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a liar has sent since it began."""

    malformed: int = 0
    connections: int = 0
    truths: int = 0


class Liar:
    """A real server of the field tests behind a proxy; while ``lying`` most of its frames are spoilt."""

    def __init__(self, protocol: str, seed: int) -> None:
        self.device: Any = DEVICES[protocol]()
        self.split, self.spoil, self.honesty = PROTOCOLS[protocol]
        self.chance = random.Random(seed)
        self.lying = False
        self.told = Told()
        self.port = 0
        self._target = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._target = await self.device.start()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self.device.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told.connections += self.lying
        pair = [writer]
        self._writers.add(writer)
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target)
            pair.append(far)
            self._writers.add(far)
            forth = asyncio.ensure_future(self._forth(reader, far))
            back = asyncio.ensure_future(self._back(far_reader, writer))
            await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
            for one in (forth, back):
                one.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in pair:
                one.close()
                self._writers.discard(one)

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        while data := await reader.read(65536):
            buffer += data
            for frame in self.split(buffer):
                if not self.lying or self.chance.random() < self.honesty(frame):
                    self.told.truths += self.lying
                    writer.write(frame)
                    continue
                spoilt, ends = self.spoil(self.chance, frame)
                self.told.malformed += len(spoilt)
                writer.write(b"".join(spoilt))
                if ends:
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    return


class Liars:
    """One of each protocol, on an event loop and a thread of their own."""

    def __init__(self, seed: int) -> None:
        self.liars = {name: Liar(name, seed + place) for place, name in enumerate(PROTOCOLS)}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._ticker: asyncio.Task[None] | None = None
        self._run(self._start())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        for liar in self.liars.values():
            await liar.start()
        self._ticker = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        """The devices show what they measure, again and again: those that speak by themselves then speak."""
        utc = 1_800_000_000.0
        while True:
            utc += 1.0
            for name, liar in self.liars.items():
                if name == "mqtt" or utc % 10.0 == 0.0:
                    with contextlib.suppress(OSError):
                        await liar.device.tick(utc)
            await asyncio.sleep(0.005)

    def lie(self, whether: bool) -> None:
        for liar in self.liars.values():
            liar.lying = whether

    def show(self, **values: Any) -> None:
        """From now on all three devices measure these."""
        for liar in self.liars.values():
            liar.device.values.update(values)

    def close(self) -> None:
        async def stop() -> None:
            assert self._ticker is not None
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            for liar in self.liars.values():
                await liar.stop()
            left = asyncio.all_tasks() - {asyncio.current_task()}  # of servers whose clients broke off
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        self._run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
