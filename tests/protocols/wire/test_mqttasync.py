"""The MQTT link under asyncio and uvloop, also through a link that fails."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator

import pytest
import uvloop

from vigie_protocols.broker import Broker
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import (
    Acked,
    Connected,
    Disconnected,
    LinkConfig,
    LinkEvent,
    Received,
    Subscribed,
    Will,
)
from vigie_protocols.mqttlink import MqttLink
from vigie_sim.faults.proxy import Mode, Proxy

WALL = 30.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[None, None, None]], None]:
    def play(scene: Coroutine[None, None, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(scene, WALL))

    return play


class Client:
    """An asynchronous link and all it has told."""

    def __init__(self, broker: Broker, port: int, name: str, **config: object) -> None:
        settings = {"first_delay": 0.0, "min_delay": 0.02, "max_delay": 0.1, **config}
        settings.setdefault("protocols", broker.protocols)
        self.events: list[LinkEvent] = []
        self.heard = asyncio.Event()
        will = Will(f"wills/{name}", b"gone")
        self.link = AsyncMqttLink(
            MqttLink(
                LinkConfig("127.0.0.1", port, name, **settings),  # type: ignore[arg-type]
                time.monotonic,
                lambda: 0.5,
                lambda: will,
            ),
            self.hear,
        )

    def hear(self, event: LinkEvent) -> None:
        self.events.append(event)
        self.heard.set()
        if isinstance(event, Connected):
            self.link.subscribe([("t/#", 1)])

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    async def until(self, wanted: Callable[[], object]) -> None:
        while not wanted():
            self.heard.clear()
            await self.heard.wait()

    async def up(self) -> "Client":
        self.link.start()
        await self.until(lambda: self.count(Subscribed))
        return self


def test_publish_receive_and_close(
    broker: Broker, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def scene() -> None:
        one, two = (
            await Client(broker, broker.port, "one").up(),
            await Client(broker, broker.port, "two").up(),
        )
        for number in range(500):
            one.link.publish(f"t/{number}", b"x" * 300, number % 2)
        await two.until(lambda: two.count(Received) == 500)
        await one.until(lambda: one.count(Acked) == 500)
        await one.link.close()
        await two.link.close()
        assert isinstance(one.events[-1], Disconnected) and one.events[-1].next_try is None

    run(scene())


def test_refused_then_back(broker: Broker, run: Callable[[Coroutine[None, None, None]], None]) -> None:
    async def scene() -> None:
        proxy = Proxy("127.0.0.1", broker.port)
        port = int((await proxy.start()).rpartition(":")[2])
        client = await Client(broker, port, "one").up()
        for _ in range(3):
            proxy.mode = Mode.REFUSE
            before = client.count(Disconnected)
            await client.until(lambda before=before: client.count(Disconnected) >= before + 3)
            proxy.mode = Mode.PASS
            before = client.count(Subscribed)
            await client.until(lambda before=before: client.count(Subscribed) > before)
        client.link.publish("t/x", b"1", 1)
        await client.until(lambda: client.count(Received))
        await client.link.close()
        await proxy.close()

    run(scene())


def test_a_black_hole_is_noticed_and_left(
    broker: Broker, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def scene() -> None:
        proxy = Proxy("127.0.0.1", broker.port)
        port = int((await proxy.start()).rpartition(":")[2])
        client = await Client(broker, port, "one", keepalive=1, connect_timeout=0.5).up()
        proxy.mode = Mode.BLACKHOLE
        number = client.link.publish("t/x", b"lost", 1)
        await client.until(lambda: client.count(Disconnected) >= 2)
        first, second = [event for event in client.events if isinstance(event, Disconnected)][:2]
        assert first.was_connected and first.lost == (number,)
        assert not second.was_connected and second.reason == "no answer in time"
        proxy.mode = Mode.PASS
        await client.until(lambda: client.count(Subscribed) == 2)
        client.link.publish("t/x", b"again", 1)
        await client.until(lambda: client.count(Received))
        await client.link.close()
        await proxy.close()

    run(scene())


def test_closing_before_it_ever_connected(
    broker: Broker, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def scene() -> None:
        client = Client(broker, broker.port, "one", first_delay=1000.0)
        client.link.start()
        await client.link.close()
        await client.link.close()
        assert client.count(Connected) == 0

    run(scene())
