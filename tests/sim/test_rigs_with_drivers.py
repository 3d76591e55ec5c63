"""The agent's own drivers on the simulated devices: what the driver reads is what the rig shows."""

import asyncio
import random
from pathlib import Path

from vigie_protocols.broker import Broker
from vigie_protocols.driver import Change, Driver, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.gateway import Configuration, load_gateway
from vigie_protocols.points import Quality, Value
from vigie_sim.lighting.cabinet import Cabinet, CabinetSpec, GroupSpec
from vigie_sim.lighting.lamps import LampKind
from vigie_sim.modbusrig import ModbusRig
from vigie_sim.mqttrig import MqttRig
from vigie_sim.profiles import builtin_profile
from vigie_sim.water.basin import Basin, BasinSpec
from vigie_sim.water.station import PumpStation, StationSpec

SPEC = StationSpec(device="s", dry_m=0.35, low_m=0.8, lead_m=2.2, lag_m=3.0, high_m=3.6)


def driver_of(configuration: Configuration, link: str) -> Driver:
    loop = asyncio.get_running_loop()
    rows = devices_of(configuration, link)
    return make_driver(
        link, configuration.gateway.links[link], rows, lambda answer: None, loop.time, lambda: 0.5
    )


async def read(driver: Driver, configuration: Configuration, now: float) -> dict[str, Value]:
    seen: dict[str, Value] = {}
    for answer in await driver.read_all(now, now):
        assert answer.quality is Quality.GOOD
        for index, value in zip(answer.indices, answer.values, strict=True):
            seen[configuration.points[index].name] = value
    return seen


def test_station_and_basin_through_the_driver_of(tmp_path: Path) -> None:
    async def check() -> None:
        station = PumpStation(SPEC, 2, random.Random(1))
        basin = Basin(BasinSpec(device="basin", area_m2=500, high_m=3.3), random.Random(2))
        rigs = [
            ModbusRig("pump-station", builtin_profile("pump-station-duplex"), station),
            ModbusRig("basin", builtin_profile("retention-basin"), basin),
        ]
        ends = [(await rig.start()).split(":") for rig in rigs]
        links = "".join(
            f"  l{n}: {{protocol: modbus, host: {host}, port: {port}}}\n"
            for n, (host, port) in enumerate(ends)
        )
        devices = "".join(
            f"  - {{name: {rig.device}, profile: {rig.profile}, link: l{n}}}\n" for n, rig in enumerate(rigs)
        )
        file = tmp_path / "gateway.yaml"
        site = "site: {name: x, lat: 45.5, lon: -73.6}"
        file.write_text(f"gateway: g\n{site}\nlinks:\n{links}devices:\n{devices}", encoding="utf-8")
        configuration = load_gateway(file)
        drivers = [driver_of(configuration, f"l{n}") for n in range(2)]
        places = {decl.name: index for index, decl in enumerate(configuration.points)}
        try:
            for driver in drivers:
                await driver.open()
            for tick in range(5):
                station.step(float(tick), 1.0, 1.0 + tick)
                station.measure(1.0 + tick, 1.0, (10.0, 20.0), {"flow": 0.1})
                basin.step(float(tick), 1.0)
                basin.measure(0.5 * tick, 1.0, {"rain": 3.3})
                wrote = {"pump-station/heartbeat": tick + 1, "pump-station/pump.2.command": tick % 2 == 0}
                for rig in rigs:
                    await rig.refresh(float(tick), float(tick))
                for rig, driver in zip(rigs, drivers, strict=True):
                    seen = await read(driver, configuration, float(tick))
                    assert seen == {
                        f"{rig.device}/{point}": value for point, value in rig.read_values().items()
                    }
                report = await drivers[0].write(
                    [Change(places[name], value, 0.0) for name, value in wrote.items()]
                )
                assert all(result.ok for result in report.results)
                shown = station.values()
                assert {name: shown[name.split("/")[1]] for name in wrote} == wrote
                report = await drivers[1].write([Change(places["basin/gate.command"], 12.5 * tick, 0.0)])
                assert report.results[0].ok
                assert basin.values()["gate.command"] == 12.5 * tick
            report = await drivers[1].write([Change(places["basin/level"], 1.0, 0.0)])
            assert not report.results[0].ok and report.results[0].permanent
        finally:
            for driver in drivers:
                await driver.close()
            for rig in rigs:
                await rig.stop()

    asyncio.run(check())


def test_cabinet_and_meter_through_the_mqtt_and_modbus_drivers(tmp_path: Path) -> None:
    async def check(port: int) -> None:
        groups = (
            GroupSpec(lamps=20, kind="led", floor_pct=30),
            GroupSpec(lamps=10, kind="led", floor_pct=50),
        )
        spec = CabinetSpec(device="cab", meter="meter", latitude=45.5, longitude=-73.6, groups=groups)
        cabinet = Cabinet(spec, {"led": LampKind(rated_w=100)}, [], random.Random(1))
        rig = MqttRig("cab", builtin_profile("lighting-cabinet"), cabinet, "127.0.0.1", port, "field/cab")
        meter = ModbusRig("meter", builtin_profile("three-phase-meter"), cabinet.meter)
        await rig.start()
        host, meter_port = (await meter.start()).split(":")
        file = tmp_path / "gateway.yaml"
        file.write_text(
            "gateway: g\nsite: {name: x, lat: 45.5, lon: -73.6}\n"
            f"links:\n  bus: {{protocol: mqtt, host: 127.0.0.1, port: {port}, timeout_s: 10}}\n"
            f"  meter: {{protocol: modbus, host: {host}, port: {meter_port}}}\n"
            "devices:\n  - {name: cab, profile: lighting-cabinet, link: bus, prefix: field/cab}\n"
            "  - {name: meter, profile: three-phase-meter, link: meter}\n",
            encoding="utf-8",
        )
        configuration = load_gateway(file)
        bus, line = driver_of(configuration, "bus"), driver_of(configuration, "meter")
        places = {decl.name: index for index, decl in enumerate(configuration.points)}
        try:
            await bus.open()
            await line.open()
            await connected(bus)
            for tick in range(5):
                now, utc = float(tick), 1_800_000_000.0 + tick
                cabinet.step(now, 1.0, 5.0)
                # The driver asks while the message is still on its way, as in lock-step.
                asking = asyncio.create_task(read(bus, configuration, utc))
                await rig.refresh(now, utc)
                assert await asking == {f"cab/{point}": value for point, value in rig.read_values().items()}
                await meter.refresh(now, utc)
                seen = await read(line, configuration, utc)
                assert seen == {f"meter/{point}": value for point, value in meter.read_values().items()}
                wrote = {
                    "cab/heartbeat": tick + 1,
                    "cab/group.2.command": 50.0 + tick,
                    "cab/contactor.command": True,
                }
                report = await bus.write([Change(places[name], value, utc) for name, value in wrote.items()])
                assert all(result.ok for result in report.results)
                await rig.wait_commands(report.messages["cab"])
                shown = cabinet.values()
                assert {name: shown[name.split("/")[1]] for name in wrote} == wrote
        finally:
            await bus.close()
            await line.close()
            await rig.stop()
            await meter.stop()

    with Broker(tmp_path / "broker") as broker:
        asyncio.run(check(broker.port))


async def connected(driver: Driver) -> None:
    async with asyncio.timeout(30):
        while not driver.state.up:
            await asyncio.sleep(0.01)
