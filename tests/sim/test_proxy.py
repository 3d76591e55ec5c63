"""The proxy that fails on purpose: each mode, seen from both of its sides."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from vigie_sim.faults.proxy import Mode, Proxy

WALL = 10.0


class Echo:
    """A server that answers every byte, and keeps count of its connections."""

    def __init__(self) -> None:
        self.heard = b""
        self.open = 0
        self.changed = asyncio.Event()

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.changed.set()
        try:
            while data := await reader.read(1000):
                self.heard += data
                writer.write(data)
        except OSError:
            self.heard += b"<reset>"
        finally:
            self.open -= 1
            self.changed.set()
            writer.close()

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(WALL):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()


Scene = Callable[[Echo, Proxy, int], Coroutine[None, None, None]]


def play(scene: Scene, delay_s: float = 0.0) -> None:
    async def run() -> None:
        echo = Echo()
        proxy = Proxy("127.0.0.1", await echo.start(), delay_s)
        port = int((await proxy.start()).rpartition(":")[2])
        try:
            async with asyncio.timeout(WALL):
                await scene(echo, proxy, port)
        finally:
            await proxy.close()
            await proxy.close()
            echo.server.close()

    asyncio.run(run())


async def say(link: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
    reader, writer = link
    writer.write(data)
    return await reader.readexactly(len(data))


async def swallowed(proxy: Proxy, at_least: int) -> None:
    async with asyncio.timeout(WALL):
        while proxy.counters.swallowed < at_least:
            await asyncio.sleep(0)


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_pass(delay_s: float) -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        link = await asyncio.open_connection("127.0.0.1", port)
        assert await say(link, b"hello") == b"hello"
        assert (proxy.counters.connections, proxy.counters.passed, proxy.counters.swallowed) == (1, 10, 0)
        link[1].close()
        await echo.until(lambda: echo.open == 0)

    play(scene, delay_s)


def test_a_black_hole_keeps_sockets_and_swallows_bytes() -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        link = await asyncio.open_connection("127.0.0.1", port)
        await say(link, b"before")
        proxy.mode = Mode.BLACKHOLE
        link[1].write(b"lost")
        await swallowed(proxy, 4)
        assert echo.heard == b"before" and echo.open == 1
        assert not link[0].at_eof()
        # New connections are taken, and lead nowhere.
        other = await asyncio.open_connection("127.0.0.1", port)
        other[1].write(b"hello?")
        await swallowed(proxy, 10)
        assert echo.open == 1
        # When it passes again, what lost bytes is closed: its stream could only be nonsense.
        proxy.mode = Mode.PASS
        assert await link[0].read() == b""
        assert await other[0].read() == b""
        await echo.until(lambda: echo.open == 0)
        assert await say(await asyncio.open_connection("127.0.0.1", port), b"after") == b"after"

    play(scene)


def test_a_black_hole_hides_a_close() -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        link = await asyncio.open_connection("127.0.0.1", port)
        await say(link, b"x")
        proxy.mode = Mode.BLACKHOLE
        link[1].close()
        await link[1].wait_closed()
        other = await asyncio.open_connection("127.0.0.1", port)
        other[1].write(b"y")
        await swallowed(proxy, 1)
        assert echo.open == 1, "the far side still believes in it"
        proxy.mode = Mode.PASS
        await echo.until(lambda: echo.open == 0)

    play(scene)


def test_an_idle_connection_outlives_a_black_hole() -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        link = await asyncio.open_connection("127.0.0.1", port)
        await say(link, b"x")
        proxy.mode = Mode.BLACKHOLE
        proxy.mode = Mode.PASS
        assert await say(link, b"y") == b"y"

    play(scene)


def test_refuse_closes_what_is_there_and_what_comes() -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        link = await asyncio.open_connection("127.0.0.1", port)
        await say(link, b"x")
        proxy.mode = Mode.REFUSE
        assert await link[0].read() == b""
        await echo.until(lambda: echo.open == 0)
        late = await asyncio.open_connection("127.0.0.1", port)
        assert await late[0].read() == b""
        assert proxy.counters.refused == 1
        proxy.mode = Mode.PASS
        assert await say(await asyncio.open_connection("127.0.0.1", port), b"z") == b"z"

    play(scene)


def test_a_dead_target_closes_the_connection() -> None:
    async def scene(echo: Echo, proxy: Proxy, port: int) -> None:
        echo.server.close()
        await echo.server.wait_closed()
        link = await asyncio.open_connection("127.0.0.1", port)
        assert await link[0].read() == b""

    play(scene)
