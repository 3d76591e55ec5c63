"""A TCP proxy that fails on purpose: between an uplink and its broker, or a driver and its device."""

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """PASS everything; BLACKHOLE: keep sockets open, swallow every byte; REFUSE: close what comes and is there."""

    PASS = "pass"
    BLACKHOLE = "blackhole"
    REFUSE = "refuse"


@dataclass
class Counters:
    """What went through and what did not. Bytes both ways together."""

    connections: int = 0
    passed: int = 0
    swallowed: int = 0
    refused: int = 0


class Proxy:
    """Forwards a free loopback port to ``host:port``; ``mode`` may change at any time.

    A connection that lost bytes in a black hole is spoilt: it is closed when the proxy passes again, as a
    real link's state tables would have forgotten it. delay_s: added to every piece in PASS.
    """

    def __init__(self, host: str, port: int, delay_s: float = 0.0) -> None:
        self.host = host
        self.port = port
        self.delay_s = delay_s
        self.counters = Counters()
        self.address = ""
        self._mode = Mode.PASS
        self._passable = asyncio.Event()
        self._passable.set()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter | None]] = {}
        self._spoilt: set[asyncio.Task[None]] = set()

    @property
    def mode(self) -> Mode:
        """What happens to bytes now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self._passable.clear() if mode is Mode.BLACKHOLE else self._passable.set()
        doomed = set(self._open) if mode is Mode.REFUSE else (self._spoilt if mode is Mode.PASS else set())
        for task in list(doomed):
            self._drop(task)

    async def start(self) -> str:
        """Listen; returns HOST:PORT."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.address

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.counters.connections += 1
        if self._mode is Mode.REFUSE:
            self.counters.refused += 1
            writer.close()
            return
        self._open[task] = (writer, None)
        try:
            if self._mode is Mode.BLACKHOLE:
                self._spoilt.add(task)
                await self._swallow(reader)
                return
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
                self._open[task] = (writer, far_writer)
                there = self._pump(task, reader, far_writer)
                back = self._pump(task, far_reader, writer)
                done, pending = await asyncio.wait(
                    [asyncio.ensure_future(there), asyncio.ensure_future(back)],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                # A close is a packet too: in a black hole the other side does not hear of it.
                await self._passable.wait()
                for one in pending:
                    one.cancel()
                await asyncio.gather(*done, *pending, return_exceptions=True)
        finally:
            self._drop(task)
            self._open.pop(task, None)
            self._spoilt.discard(task)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.counters.swallowed += len(data)
        await self._passable.wait()

    async def _pump(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._mode is Mode.BLACKHOLE:
                    self.counters.swallowed += len(data)
                    self._spoilt.add(task)
                    continue
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                self.counters.passed += len(data)
                writer.write(data)
                await writer.drain()

    def _drop(self, task: asyncio.Task[None]) -> None:
        for writer in self._open.get(task, ()):
            if writer is not None:
                writer.close()

    async def close(self) -> None:
        """Close everything; may be called twice."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            self._drop(task)
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
