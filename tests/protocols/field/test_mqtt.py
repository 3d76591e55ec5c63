"""MQTT devices beyond the conformance suite: commands per instant, bare payloads, last will, silence."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from vigie_protocols.broker import Broker, find_mosquitto
from vigie_protocols.driver import Change, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.gateway import load_gateway
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import LinkConfig, Received, Subscribed
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.points import Quality

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")
LIMIT_S = 20
PROFILE = """
profile: lamps
title: {fr: Lampes, en: Lamps}
protocol: mqtt
domain: lighting
watchdog: {none: "a test device"}
mqtt: {qos: 1, liveness: {topic: status}}
points:
  - {name: "group.{i}.level", type: float, writable: true, safe: 100, stale_s: 0.3, repeat: 2,
     mqtt: {topic: state, path: "levels.{k}", command_topic: set, command_path: "levels.g{i}"}}
  - {name: main, type: bool, writable: true, safe: true, stale_s: 0.3,
     mqtt: {topic: state, path: main, command_topic: set, command_path: main}}
  - {name: bare, type: int, writable: true, safe: 0, stale_s: 60,
     mqtt: {topic: bare/state, command_topic: bare/set}}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker"), kind="mosquitto") as running:
        yield running


@asynccontextmanager
async def joined(broker, folder):
    """A driver and a far client that plays the device: (driver, points, seen, publish, heard)."""
    (folder / "lamps.yaml").write_text(PROFILE)
    (folder / "gateway.yaml").write_text(
        "gateway: gw\nsite: {name: Essai, lat: 0, lon: 0}\nlinks:\n"
        f"  bus: {{protocol: mqtt, host: 127.0.0.1, port: {broker.port}}}\n"
        "devices: [{name: cab, profile: lamps, link: bus, prefix: city/cab}]\n"
    )
    configuration = load_gateway(folder / "gateway.yaml")
    at = {decl.point: place for place, decl in enumerate(configuration.points)}
    names = {place: point for point, place in at.items()}
    seen = {}
    heard = asyncio.Queue()
    loop = asyncio.get_running_loop()
    subscribed = asyncio.Event()

    def deliver(answer):
        seen.update({names[index]: reading for index, reading in answer.readings()})

    def event(one):
        if isinstance(one, Subscribed):
            subscribed.set()
        elif isinstance(one, Received) and not one.retain:
            heard.put_nowait((one.topic, one.payload))

    far = AsyncMqttLink(
        MqttLink(
            LinkConfig("127.0.0.1", broker.port, f"far-{random.random()}", first_delay=0),
            loop.time,
            random.random,
        ),
        event,
    )
    far.start()
    link = configuration.gateway.links["bus"]
    driver = make_driver("bus", link, devices_of(configuration, "bus"), deliver, loop.time, random.random)
    await driver.open()
    try:
        assert await driver.ready(LIMIT_S)
        while not far.link.connected:
            await asyncio.sleep(0.01)
        far.subscribe([("city/cab/set", 1), ("city/cab/bare/set", 1)])
        await subscribed.wait()
        yield driver, at, seen, far.publish, heard
    finally:
        await driver.close()
        await far.close()


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, LIMIT_S * 2))


async def until(condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_one_message_per_topic_and_instant(broker, tmp_path):
    async def scenario():
        async with joined(broker, tmp_path) as (driver, at, _, _, heard):
            report = await driver.write(
                [
                    Change(at["group.1.level"], 50.0, 10.0),
                    Change(at["group.2.level"], 60.0, 10.0),
                    Change(at["bare"], 7, 10.0),
                    Change(at["main"], False, 10.1),
                    Change(at["bare"], 8, 10.1),
                ]
            )
            assert all(result.ok for result in report.results)
            assert report.messages == {"cab": 4}
            got = [await heard.get() for _ in range(4)]
            commands = [json.loads(payload) for topic, payload in got if topic.endswith("cab/set")]
            assert commands == [{"ts": 10.0, "levels": {"g1": 50.0, "g2": 60.0}}, {"ts": 10.1, "main": False}]
            assert [payload for topic, payload in got if topic.endswith("bare/set")] == [b"7", b"8"]

    run(scenario())


def test_bare_payloads_last_will_and_silence(broker, tmp_path):
    async def scenario():
        async with joined(broker, tmp_path) as (driver, _, seen, publish, _):
            loop = asyncio.get_running_loop()
            state = json.dumps({"ts": 5.0, "levels": [10, 20.5], "main": True}).encode()
            publish("city/cab/bare/state", b"42", qos=1)
            publish("city/cab/state", state, qos=1)
            await until(lambda: len(seen) == 4)
            assert (seen["bare"].value, seen["bare"].quality) == (42, Quality.GOOD)
            assert (seen["group.1.level"].value, type(seen["group.1.level"].value)) == (10.0, float)
            assert seen["group.2.level"].source_time == 5.0
            due = await driver.poll(loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))
            await driver.poll(loop.time())
            assert seen["main"].quality is Quality.BAD
            assert seen["bare"].quality is Quality.GOOD
            assert "silent" in driver.state.devices["cab"].error
            publish("city/cab/state", state, qos=1)
            await until(lambda: seen["main"].quality is Quality.GOOD)
            publish("city/cab/status", b"offline", qos=1)
            await until(lambda: seen["bare"].quality is Quality.BAD)
            assert seen["main"].quality is Quality.BAD
            assert "last will" in driver.state.devices["cab"].error

    run(scenario())


def test_malformed_messages_are_counted_and_change_nothing(broker, tmp_path):
    async def scenario():
        async with joined(broker, tmp_path) as (driver, _, seen, publish, _):
            draw = random.Random(11)
            publish("city/cab/state", b'{"ts": 1.0, "levels": [1, 2], "main": true}', qos=1)
            await until(lambda: "main" in seen)
            for size in range(200):
                publish("city/cab/state", b"{" + draw.randbytes(size), qos=1)
            await until(lambda: driver.state.counters.malformed == 200)
            assert seen["main"].value is True and seen["main"].quality is Quality.GOOD
            for odd in (b"[]", b"7", b'{"levels": 3, "main": {"a": 1}, "ts": "x"}', b'{"ts": NaN}'):
                publish("city/cab/state", odd, qos=1)
            publish("city/cab/state", b'{"ts": 3, "levels": [5, 6], "main": false}', qos=1)
            await until(lambda: seen["main"].quality is Quality.GOOD and seen["main"].value is False)

    run(scenario())


def test_a_retained_state_is_uncertain_until_confirmed_by_its_instant(broker, tmp_path):
    async def scenario():
        async with joined(broker, tmp_path) as (_, _, _, publish, _):
            publish("city/cab/state", b'{"ts": 9.0, "levels": [1, 2], "main": true}', qos=1, retain=True)
            await asyncio.sleep(0)
            async with joined(broker, tmp_path) as (driver, at, seen, _, _):
                await until(lambda: "main" in seen)
                assert seen["main"].quality is Quality.UNCERTAIN
                answers = await driver.read_all(1.0, 9.0)
                readings = {index: one for answer in answers for index, one in answer.readings()}
                assert readings[at["main"]].quality is Quality.GOOD
            publish("city/cab/state", b"", qos=1, retain=True)

    run(scenario())
