"""A lighting cabinet as an MQTT device, seen by another client on a real broker."""

import asyncio
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from vigie_protocols.broker import Broker
from vigie_protocols.errors import LinkDown, TransientError
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import Connected, LinkConfig, LinkEvent, Received, Subscribed
from vigie_protocols.mqttlink import MqttLink
from vigie_sim.lighting.cabinet import Cabinet, CabinetSpec, GroupSpec
from vigie_sim.lighting.lamps import LampKind
from vigie_sim.mqttrig import MqttRig
from vigie_sim.profiles import builtin_profile

WALL_S = 30.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def make_cabinet() -> Cabinet:
    groups = (GroupSpec(lamps=20, kind="led", floor_pct=30), GroupSpec(lamps=10, kind="led", floor_pct=50))
    spec = CabinetSpec(device="cab", meter="m", latitude=45.5, longitude=-73.6, groups=groups)
    return Cabinet(spec, {"led": LampKind(rated_w=100, fade_pct_per_s=10)}, [], random.Random(1))


class Observer:
    """Another client: what it heard, in order, by a queue."""

    def __init__(self, port: int, topic: str) -> None:
        self.heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._topic = topic
        self._ready = asyncio.Event()
        config = LinkConfig("127.0.0.1", port, f"observer-{random.random()}", first_delay=0.0)
        self.link = AsyncMqttLink(
            MqttLink(config, asyncio.get_running_loop().time, random.random), self._event
        )

    def _event(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self.link.subscribe([(self._topic, 1)])
        elif isinstance(event, Subscribed):
            self._ready.set()
        elif isinstance(event, Received):
            self.heard.put_nowait((event.topic, event.payload))

    async def start(self) -> None:
        self.link.start()
        await asyncio.wait_for(self._ready.wait(), WALL_S)

    async def next(self, suffix: str) -> Any:
        """The next message on a topic that ends so."""
        async with asyncio.timeout(WALL_S):
            while True:
                topic, payload = await self.heard.get()
                if topic.endswith(suffix):
                    return json.loads(payload) if payload[:1] == b"{" else payload.decode()


@asynccontextmanager
async def field(
    broker: Broker, prefix: str, **options: Any
) -> AsyncIterator[tuple[Cabinet, MqttRig, Observer]]:
    cabinet = make_cabinet()
    profile = builtin_profile("lighting-cabinet")
    rig = MqttRig(f"cab-{prefix}", profile, cabinet, "127.0.0.1", broker.port, f"field/{prefix}", **options)
    observer = Observer(broker.port, f"field/{prefix}/#")
    await observer.start()
    try:
        assert await rig.start() == f"127.0.0.1:{broker.port}"
        yield cabinet, rig, observer
    finally:
        await rig.stop()
        await observer.link.close()


def test_one_stamped_state_per_tick_that_shows_the_socket_free_face(broker: Broker) -> None:
    async def check() -> None:
        async with field(broker, "a") as (cabinet, rig, observer):
            for tick in range(1, 4):
                cabinet.step(float(tick), 1.0, 5.0)
                await rig.refresh(float(tick), 1_800_000_000.0 + tick)
            for tick in range(1, 4):
                state = await observer.next("/state")
                assert state["ts"] == 1_800_000_000.0 + tick
            values = rig.read_values()
            assert state["levels"] == [values[f"lamp.{n}.level"] for n in range(1, 31)]
            assert state["faults"] == [0] * 30
            assert state["lux"] == values["lux"]
            assert state["fallback"] is True
            assert state["wanted"] == [100.0, 100.0]
            assert observer.heard.empty()

    asyncio.run(check())


def test_commands_act_at_the_instant_of_their_stamp_and_are_waited_for(broker: Broker) -> None:
    async def check() -> None:
        async with field(broker, "b") as (cabinet, rig, observer):
            await rig.refresh(10.0, 1010.0)
            body = {"ts": 1010.5, "levels": {"g1": 40, "g2": 62.5}, "contactor": True, "heartbeat": 1}
            observer.link.publish("field/b/set", json.dumps(body).encode(), qos=1)
            observer.link.publish(
                "field/b/set", json.dumps({"ts": 1010.9, "levels": {"g2": 70.0}}).encode(), qos=1
            )
            await rig.wait_commands(2)
            assert rig.commands_seen == 2
            values = cabinet.values()
            assert (values["group.1.command"], values["group.2.command"]) == (40.0, 70.0)
            # The heartbeat came at 10.5 s: 60 s later it is too old.
            cabinet.step(70.5, 1.0, 5.0)
            assert not cabinet.fallback
            cabinet.step(70.6, 0.1, 5.0)
            assert cabinet.fallback
            await rig.refresh(11.0, 1011.0)
            assert rig.commands_seen == 0
            await rig.wait_commands(0)

    asyncio.run(check())


def test_malformed_and_impossible_commands_change_nothing(broker: Broker) -> None:
    async def check() -> None:
        async with field(broker, "c") as (cabinet, rig, observer):
            await rig.refresh(1.0, 1001.0)
            before = cabinet.values()
            wrong = [
                b"not json",
                b"[1]",
                b'{"levels":{"g1":140}}',
                b'{"levels":{"g1":"x","g2":5}}',
                b'{"contactor":1}',
            ]
            for payload in wrong:
                observer.link.publish("field/c/set", payload, qos=1)
            await rig.wait_commands(len(wrong))
            assert cabinet.values() == before
            assert rig.refused == len(wrong)

    asyncio.run(check())


def test_a_retained_command_from_the_past_is_ignored(broker: Broker) -> None:
    async def check() -> None:
        observer = Observer(broker.port, "field/d/#")
        await observer.start()
        observer.link.publish("field/d/set", b'{"ts":0,"contactor":false}', qos=1, retain=True)
        await observer.next("/set")
        async with field(broker, "d") as (cabinet, rig, _):
            await rig.refresh(1.0, 1.0)
            observer.link.publish("field/d/set", b'{"ts":1,"levels":{"g1":55}}', qos=1)
            await rig.wait_commands(1)
            assert cabinet.values()["contactor.command"] is True
            assert cabinet.values()["group.1.command"] == 55.0
        observer.link.publish("field/d/set", b"", qos=1, retain=True)
        await observer.link.close()

    asyncio.run(check())


def test_birth_last_will_and_return(broker: Broker) -> None:
    async def check() -> None:
        async with field(broker, "e") as (_, rig, observer):
            assert await observer.next("/status") == "online"
            assert rig._link is not None
            number = rig._link.link.fileno()
            assert number is not None
            # A cut cable: the broker sees the connection break without a DISCONNECT.
            with socket.socket(fileno=os.dup(number)) as cut:
                cut.shutdown(socket.SHUT_RDWR)
            assert await observer.next("/status") == "offline"
            assert await observer.next("/status") == "online"
            await rig.stop()
            assert await observer.next("/status") == "offline"

    asyncio.run(check())


def test_missing_commands_and_a_missing_broker_are_named_after_the_wall_limit(
    broker: Broker, tmp_path: Path
) -> None:
    async def check() -> None:
        async with field(broker, "f", wall_limit_s=0.3) as (_, rig, _):
            await rig.refresh(1.0, 1.0)
            with pytest.raises(TransientError, match="0 of 1 commands"):
                await rig.wait_commands(1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lonely = MqttRig(
            "x", builtin_profile("lighting-cabinet"), make_cabinet(), "127.0.0.1", port, "x", 0.3
        )
        with pytest.raises(LinkDown, match="x: no broker"):
            await lonely.start()
        await lonely.refresh(1.0, 1.0)
        assert lonely.unsent == 1

    asyncio.run(check())
