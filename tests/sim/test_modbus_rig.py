"""Station, basin and meter as Modbus TCP devices, through pymodbus's own client."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusTcpClient

from vigie_protocols.errors import DeviceRefused
from vigie_protocols.modbus.codec import BlockDecoder
from vigie_protocols.points import Value
from vigie_sim.equipment import Equipment
from vigie_sim.modbusrig import ModbusRig
from vigie_sim.profiles import builtin_profile
from vigie_sim.water.basin import Basin, BasinSpec
from vigie_sim.water.station import PumpStation, StationSpec

SPEC = StationSpec(device="s", dry_m=0.35, low_m=0.8, lead_m=2.2, lag_m=3.0, high_m=3.6)


def make_station() -> PumpStation:
    it = PumpStation(SPEC, 2, random.Random(1))
    it.step(1.0, 1.0, 2.5)
    it.measure(
        2.5, 1.0, (30000.0, 0.0), {"flow": 0.2, "overflow": 9.9, "energy": 1.5, "overflow.volume": 70000.5}
    )
    return it


@asynccontextmanager
async def served(profile: str, equipment: Equipment) -> AsyncIterator[tuple[ModbusRig, AsyncModbusTcpClient]]:
    rig = ModbusRig("dev", builtin_profile(profile), equipment)
    host, port = (await rig.start()).split(":")
    client = AsyncModbusTcpClient(host, port=int(port), retries=0, timeout=5)
    try:
        assert await client.connect()
        yield rig, client
    finally:
        client.close()
        await rig.stop()


async def read_profile(rig: ModbusRig, client: AsyncModbusTcpClient) -> dict[str, Value]:
    """Every point as a client sees it: one request per table."""
    reads = {
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
        "holding": client.read_holding_registers,
        "input": client.read_input_registers,
    }
    seen: dict[str, Value] = {}
    for table, read in reads.items():
        points = [decl for decl in rig.points.values() if decl.address.table == table]
        if not points:
            continue
        count = max(decl.address.address + decl.address.words for decl in points)
        answer = await read(0, count=count)
        assert not answer.isError()
        decode = BlockDecoder(0, count, [(decl.address, decl.type) for decl in points])
        if table in ("coil", "discrete"):
            word = sum(bit << place for place, bit in enumerate(answer.bits))
            payload = word.to_bytes((count + 7) // 8 + 1, "little")[: (count + 7) // 8]
        else:
            payload = b"".join(register.to_bytes(2, "big") for register in answer.registers)
        for decl, value in zip(points, decode(payload), strict=True):
            assert value is not None
            seen[decl.point] = value
    return seen


def test_the_wire_shows_exactly_what_the_socket_free_face_shows() -> None:
    async def check() -> None:
        basin = Basin(BasinSpec(device="b", area_m2=500, high_m=3.3), random.Random(1))
        basin.measure(1.2345, 1.0, {"rain": 12.3, "outflow": 0.1, "overflow": 0.0, "overflow.volume": 0.0})
        for profile, equipment in (("pump-station-duplex", make_station()), ("retention-basin", basin)):
            async with served(profile, equipment) as (rig, client):
                await rig.refresh(1.0, 1.0)
                seen = await read_profile(rig, client)
                assert seen == rig.read_values()
                assert set(seen) == set(rig.points)

    asyncio.run(check())


def test_values_outside_the_range_stop_at_its_ends() -> None:
    rig = ModbusRig("dev", builtin_profile("pump-station-duplex"), make_station())
    assert rig.read_values()["overflow"] == 6.5535
    assert rig.read_values()["overflow.volume"] == 70000.5


def test_writes_act_at_once_and_are_counted_per_request() -> None:
    async def check() -> None:
        it = make_station()
        async with served("pump-station-duplex", it) as (rig, client):
            await rig.refresh(5.0, 5.0)
            assert not (await client.write_coils(0, [True, True])).isError()
            assert not (await client.write_register(0, 7)).isError()
            assert rig.commands_seen == 2
            assert it.values()["pump.1.command"] is True and it.values()["pump.2.command"] is True
            it.step(6.0, 1.0, 2.5)
            assert not it.fallback
            assert (await client.read_coils(0, count=2)).bits[:2] == [True, True]
            assert not (await client.write_coil(1, False)).isError()
            assert it.values()["pump.2.command"] is False
            await rig.refresh(6.0, 6.0)
            assert rig.commands_seen == 0

    asyncio.run(check())


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda client: client.read_holding_registers(0, count=99), 2),
        (lambda client: client.read_input_registers(500, count=1), 2),
        (lambda client: client.write_register(9, 1), 2),
        (lambda client: client.write_register(0, 1001), 3),
        (lambda client: client.write_registers(0, [1001, 1]), 3),
        (lambda client: client.readwrite_registers(read_address=0, read_count=1, address=0, values=[1]), 1),
    ],
)
def test_what_the_profile_does_not_allow_is_answered_with_an_exception(call, code: int) -> None:  # type: ignore[no-untyped-def]
    async def check() -> None:
        basin = Basin(BasinSpec(device="b", area_m2=500, high_m=3.3), random.Random(1))
        async with served("retention-basin", basin) as (rig, client):
            before = rig.read_values()
            answer = await call(client)
            assert answer.isError()
            assert answer.exception_code == code
            assert rig.read_values() == before
            assert rig.commands_seen == 0

    asyncio.run(check())


def test_a_client_that_comes_back_is_served_and_a_stopped_rig_is_gone() -> None:
    async def check() -> None:
        async with served("pump-station-duplex", make_station()) as (rig, client):
            client.close()
            assert await client.connect()
            assert not (await client.read_coils(0, count=4)).isError()
            await rig.stop()
            await rig.stop()
            again = AsyncModbusTcpClient(
                client.comm_params.host, port=client.comm_params.port, retries=0, timeout=2
            )
            assert not await again.connect()
            again.close()

    asyncio.run(check())


def test_the_socket_free_face_refuses_what_cannot_be_and_then_takes_nothing() -> None:
    it = make_station()
    rig = ModbusRig("dev", builtin_profile("pump-station-duplex"), it)
    for wrong, reason in (
        ({"pump.1.command": True, "level": 1.0}, "read-only"),
        ({"pump.1.command": True, "heartbeat": -1}, "negative"),
        ({"pump.1.command": True, "pump.9.command": True}, "no point"),
        ({"pump.1.command": 1}, "not true or false"),
    ):
        with pytest.raises(DeviceRefused, match=reason):
            rig.apply(0.0, wrong)
    assert it.values()["pump.1.command"] is False
