"""The intersection as an OPC UA device: a real client reads, writes, subscribes and misbehaves."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import Client, ua

from vigie_protocols.addresses import OpcUaAddress
from vigie_protocols.errors import DeviceRefused
from vigie_protocols.pointcodec import through
from vigie_sim.traffic.district import district_field
from vigie_sim.traffic.documents import NAMESPACE, profile_of
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.rig import IntersectionRig

UTC0 = 1_800_000_000.0
R, G, FR = int(Lamp.RED), int(Lamp.GREEN), int(Lamp.FLASH_RED)


class Remote:
    """A plain OPC UA client on one rig."""

    def __init__(self, client: Client, index: int) -> None:
        self.client, self.index = client, index

    def node(self, name: str) -> ua.NodeId:
        return ua.NodeId(name, self.index)

    async def read(self, *names: str) -> list[Any]:
        params = ua.ReadParameters()
        params.NodesToRead = [
            ua.ReadValueId(NodeId=self.node(name), AttributeId=ua.AttributeIds.Value) for name in names
        ]
        return list(await self.client.uaclient.session.read(params))

    async def write(self, *rows: tuple[str, Any, str, float | None]) -> list[str]:
        """rows: node, value, variant type, simulated instant or None; returns the names of the status codes."""
        params = ua.WriteParameters()
        for name, value, variant, instant in rows:
            stamp = (
                None if instant is None else datetime.fromtimestamp(UTC0, UTC) + timedelta(seconds=instant)
            )
            data = ua.DataValue(
                ua.Variant(value, ua.VariantType[variant], is_array=isinstance(value, list)),
                StatusCode=None, SourceTimestamp=stamp,
            )  # fmt: skip
            params.NodesToWrite.append(
                ua.WriteValue(NodeId=self.node(name), AttributeId=ua.AttributeIds.Value, Value=data)
            )
        return [status.name for status in await self.client.uaclient.session.write(params)]


Act = Callable[[TrafficField, IntersectionRig, Remote], Awaitable[None]]


def on_rig(act: Act, device: str = "jct-passerelle") -> TrafficField:
    """Run ``act`` with the district, one of its rigs and a client; everything is stopped after it."""
    field = district_field(seed=1)

    async def body() -> None:
        field.start()
        rig = next(one for one in field.rigs if one.device == device)
        try:
            client = Client(await rig.start(), timeout=20)
            await client.connect()
            try:
                await act(field, rig, Remote(client, await client.get_namespace_index(NAMESPACE)))
            finally:
                await client.disconnect()
        finally:
            await rig.stop()
            await rig.stop()

    try:
        asyncio.run(body())
    finally:
        field.stop()
    return field


async def tick(field: TrafficField, rig: IntersectionRig, second: int) -> None:
    field.step(float(second))
    await rig.refresh(float(second), UTC0 + second)


def lamps(rig: IntersectionRig, green: set[int] = frozenset()) -> list[int]:  # type: ignore[assignment]
    return [G if place in green else R for place in range(len(rig.cabinet.site.channels))]


def test_what_is_read_is_what_the_rig_says_and_its_stamp_is_simulated() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        for second in range(1, 41):
            await tick(field, rig, second)
        profile = profile_of(field.junctions[1])
        decls = [decl for decl in profile.expand(rig.device) if isinstance(decl.address, OpcUaAddress)]
        names = list(dict.fromkeys(decl.address.node for decl in decls))
        results = dict(zip(names, await remote.read(*names), strict=True))
        values = rig.read_values()
        assert list(values) == [decl.point for decl in decls]
        for decl in decls:
            result = results[decl.address.node]
            raw = result.Value.Value
            here = raw if decl.address.index is None else raw[decl.address.index]
            assert here == values[decl.point]
            assert type(here) is type(values[decl.point])
            assert through(decl, values[decl.point]) == values[decl.point]
            assert result.SourceTimestamp.replace(tzinfo=UTC).timestamp() == UTC0 + 40
        assert sum(results["Detectors.Counts"].Value.Value) > 0

    on_rig(act)


def test_changes_of_a_tick_are_judged_at_their_own_instants() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        await tick(field, rig, 1)
        assert await remote.write(("Lamps", lamps(rig), "Byte", 1.0)) == ["Good"]
        assert rig.commands_seen == 1
        for second in range(2, 7):
            await tick(field, rig, second)
        # Green at 6.1 s; at 6.4 s straight to red: a yellow of 0 s, inside one tick and in one request.
        codes = await remote.write(
            ("Lamps", lamps(rig, {0}), "Byte", 6.1), ("Lamps", lamps(rig), "Byte", 6.4)
        )
        assert codes == ["Good", "Good"]
        fault = rig.cabinet.monitor.fault
        assert fault is not None
        assert (fault.kind, fault.at) == ("short-yellow", 6.4)
        await tick(field, rig, 7)
        shown, tripped, cause = await remote.read("LampReadback", "Monitor.Fault", "Monitor.Cause")
        assert FR in shown.Value.Value
        assert tripped.Value.Value is True
        assert cause.Value.Value == 2
        rig.reset()
        await tick(field, rig, 8)
        assert (await remote.read("Monitor.Fault"))[0].Value.Value is False

    field = on_rig(act)
    assert [device for device, _ in field.trips] == ["jct-passerelle"]
    assert field.trip_words()[0].startswith("jct-passerelle at 6.4 s")


def test_a_conflicting_writer_trips_the_monitor_and_never_reaches_the_physics() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        site = rig.cabinet.site
        place = {channel.id: number for number, channel in enumerate(site.channels)}
        one, other = (place[name] for name in site.conflicts[0])
        await tick(field, rig, 1)
        await remote.write(("Lamps", lamps(rig), "Byte", 1.0))
        for second in range(2, 6):
            await tick(field, rig, second)
        await remote.write(("Lamps", lamps(rig, {one, other}), "Byte", 5.5))
        await tick(field, rig, 6)
        fault = rig.cabinet.monitor.fault
        assert fault is not None
        assert fault.kind == "conflict"
        assert fault.at == pytest.approx(5.8)
        assert G not in rig.cabinet.lamps
        head = field.junctions[1].head
        shown = field.plant.state_of(head.signal)
        assert {shown[link] for group in head.groups if not group.pedestrian for link in group.links} == {"s"}

    on_rig(act)


WRONG: list[tuple[tuple[str, Any, str, float | None], str]] = [
    (("Lamps", [R] * 3, "Byte", 1.0), "BadOutOfRange"),
    (("Lamps", [7] * 14, "Byte", 1.0), "BadOutOfRange"),
    (("Lamps", [R] * 14, "Int32", 1.0), "BadTypeMismatch"),
    (("Lamps", R, "Byte", 1.0), "BadTypeMismatch"),
    (("LampReadback", [R] * 14, "Byte", 1.0), "BadNotWritable"),
    (("No.Such", 1, "Byte", 1.0), "BadUserAccessDenied"),
    (("Heartbeat", 5, "UInt32", None), "Good"),
]


def test_wrong_writes_are_refused_one_by_one() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        await tick(field, rig, 1)
        before = rig.cabinet.lamps
        for number, (row, code) in enumerate(WRONG, start=1):
            assert await remote.write(row, ("Heartbeat", 100 + number, "UInt32", 1.0)) == [code, "Good"]
            assert rig.cabinet.lamps == before
            assert rig.cabinet.heartbeat == 100 + number

    on_rig(act)


def test_a_subscriber_hears_of_every_change() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        heard: asyncio.Queue[list[int]] = asyncio.Queue()

        class Handler:
            def datachange_notification(self, _node: Any, value: Any, _data: Any) -> None:
                heard.put_nowait(value)

        subscription = await remote.client.create_subscription(20, Handler())
        await subscription.subscribe_data_change(remote.client.get_node(remote.node("LampReadback")))
        first = await asyncio.wait_for(heard.get(), 20)
        assert set(first) <= {FR, 0}
        await tick(field, rig, 1)
        await remote.write(("Lamps", lamps(rig), "Byte", 1.0))
        await tick(field, rig, 2)
        assert await asyncio.wait_for(heard.get(), 20) == lamps(rig)
        await subscription.delete()

    on_rig(act)


def test_a_cabinet_over_the_wire_takes_phases() -> None:
    async def act(field: TrafficField, rig: IntersectionRig, remote: Remote) -> None:
        call = [number in (2, 6) for number in range(1, 9)]
        for second in range(1, 20):
            await tick(field, rig, second)
            codes = await remote.write(
                ("Phases.Call", call, "Boolean", float(second)),
                ("Heartbeat", second, "UInt32", float(second)),
            )
            assert codes == ["Good", "Good"]
        state, flash = await remote.read("Phases.State", "Cabinet.Flash")
        assert [number for number, lamp in enumerate(state.Value.Value, start=1) if lamp == G] == [2, 6]
        assert flash.Value.Value is False

    field = on_rig(act, "jct-tisserands")
    assert field.trips == []


def test_the_face_without_sockets_refuses_what_the_wire_refuses() -> None:
    field = district_field()
    rig = field.rigs[1]
    rig.begin(0.0, UTC0)
    for values in ({"channel.1.shown": 1}, {"nothing": 1}, {"channel.1.lamp": 9}, {"channel.1.lamp": True}):
        with pytest.raises(DeviceRefused):
            rig.apply(0.0, values)
    rig.apply(0.0, {f"channel.{number}.lamp": R for number in range(1, 15)})
    assert rig.read_values()["channel.1.shown"] == R
    rig.apply(1.0, {"heartbeat": 7})
    assert rig.read_values()["heartbeat"] == 7
