"""Wall-clock mode: the same rigs, paced; a gateway that connects by itself finds them alive."""

import asyncio

from asyncua import Client, ua

from vigie_sim.traffic.district import district_field
from vigie_sim.traffic.documents import NAMESPACE
from vigie_sim.traffic.wall import serve


def test_a_client_sees_time_pass_and_stops_the_field() -> None:
    field = district_field(seed=1)
    field.start()
    rig = field.rigs[1]

    async def body() -> tuple[float, float]:
        stop = asyncio.Event()
        client = Client(await rig.start(), timeout=20)
        running = asyncio.create_task(serve(field, stop, speed=200.0))
        await client.connect()
        node = client.get_node(ua.NodeId("Queue", await client.get_namespace_index(NAMESPACE)))
        first = (await node.read_data_value()).SourceTimestamp
        while field.plant.now < 20.0:
            await asyncio.sleep(0)
        second = (await node.read_data_value()).SourceTimestamp
        stop.set()
        await asyncio.wait_for(running, 30)
        await client.disconnect()
        await rig.stop()
        assert first is not None and second is not None
        return first.timestamp(), second.timestamp()

    try:
        first, second = asyncio.run(body())
    finally:
        field.stop()
    assert second > first
    assert field.outcomes()["loaded"] > 0


def test_a_field_ends_with_its_scenario() -> None:
    field = district_field(seed=1)
    field.start()
    field.step(3598.0 - 3590.0)
    field.plant.run = field.run.__class__(field.run.source, field.run.net, end=12.0)
    asyncio.run(serve(field, asyncio.Event(), speed=1000.0))
    assert field.plant.now == 12.0
    field.stop()
