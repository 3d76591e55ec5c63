"""What every field driver must do, on real servers: one suite, all drivers, unchanged."""

import asyncio
import random
from contextlib import asynccontextmanager

from tests.protocols.field.rigs import LIMIT_S, TIMEOUT_S

from vigie_protocols.driver import Change
from vigie_protocols.points import Quality, absent

GOOD = {"level", "count", "flag", "item.1", "item.2", "target"}


@asynccontextmanager
async def opened(bench, wait=True):
    driver, seen = bench.driver()
    await driver.open()
    try:
        if wait:
            assert await driver.ready(LIMIT_S)
        yield driver, seen
    finally:
        await driver.close()


def all_bad(readings):
    return all(reading.quality is Quality.BAD for reading in readings.values())


def all_good(readings):
    return all(readings[name].quality is Quality.GOOD for name in GOOD)


def test_reads_every_point(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            readings = await bench.read(driver, 1000.0)
            for name in GOOD:
                assert readings[name].quality is Quality.GOOD, name
                assert readings[name].value == bench.device.values[name], name
                assert type(readings[name].value) is type(bench.device.values[name])
            assert driver.state.up
            assert driver.state.devices["cab"].up
            if bench.device.protocol != "modbus":
                assert readings["level"].source_time == 1000.0

    bench.run(scenario())


def test_partial_read_and_wrong_type_cost_only_their_point(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            for utc in (1.0, 2.0):
                readings = await bench.read(driver, utc)
                assert readings["lost"].quality is Quality.BAD
                assert readings["odd"].quality is Quality.BAD
                assert all_good(readings)

    bench.run(scenario())


def test_writes_and_reads_back(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            await bench.read(driver, 1.0)
            report = await driver.write([Change(bench.index["target"], 42, 1.5)])
            assert [result.error for result in report.results] == [""]
            if bench.device.protocol == "mqtt":
                assert report.messages == {"cab": 1}
            else:
                assert report.messages == {}
            readings = await bench.read_until(driver, 2.0, lambda seen: seen["target"].value == 42)
            assert ("target", 42) in bench.device.written
            assert readings["target"].quality is Quality.GOOD

    bench.run(scenario())


def test_refused_write_is_permanent_and_alone(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            await bench.read(driver, 1.0)
            changes = [Change(bench.index["locked"], 1, 1.5), Change(bench.index["target"], 7, 1.5)]
            report = await driver.write(changes)
            assert not report.results[0].ok
            assert report.results[0].permanent
            assert report.results[1].ok
            await bench.read_until(driver, 2.0, lambda seen: seen["target"].value == 7)

    bench.run(scenario())


def test_a_value_outside_the_declared_range_never_leaves(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            await bench.read(driver, 1.0)
            before = driver.state.counters.writes
            report = await driver.write([Change(bench.index["target"], 101, 1.5)])
            assert "outside" in report.results[0].error
            assert report.results[0].permanent
            report = await driver.write([Change(bench.index["level"], 1.0, 1.5)])
            assert "read-only" in report.results[0].error
            assert driver.state.counters.writes == before

    bench.run(scenario())


def test_dead_at_start_then_alive(bench):
    async def scenario():
        await bench.proxy.cut()
        async with opened(bench, wait=False) as (driver, _):
            readings = await bench.read(driver, 1.0)
            assert len(readings) == len(bench.configuration.points)
            assert all_bad(readings)
            assert not driver.state.devices["cab"].up
            report = await driver.write([Change(bench.index["target"], 1, 1.0)])
            assert not report.results[0].ok
            assert not report.results[0].permanent
            await bench.proxy.restore()
            await bench.read_until(driver, 2.0, all_good)
            assert driver.state.up

    bench.run(scenario())


def test_dies_in_the_middle_and_comes_back(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            readings = await bench.read(driver, 1.0)
            assert all_good(readings)
            await bench.proxy.cut()
            readings = await bench.read_until(driver, 2.0, all_bad)
            assert readings["level"].value == 2.5
            report = await driver.write([Change(bench.index["target"], 1, 1.0)])
            assert not report.results[0].ok
            assert not report.results[0].permanent
            bench.device.values["level"] = 3.5
            await bench.proxy.restore()
            readings = await bench.read_until(driver, 10.0, all_good)
            assert readings["level"].value == 3.5
            assert driver.state.counters.connects == 2

    bench.run(scenario())


def test_black_hole(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            assert all_good(await bench.read(driver, 1.0))
            bench.proxy.hole = True
            assert all_bad(await bench.read(driver, 2.0))
            bench.proxy.hole = False
            await bench.proxy.cut()
            await bench.proxy.restore()
            await bench.read_until(driver, 3.0, all_good)

    bench.run(scenario())


def test_a_late_reply_is_never_taken_for_another(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            assert all_good(await bench.read(driver, 1.0))
            bench.proxy.delay_s = TIMEOUT_S * 2
            for utc in (2.0, 3.0):
                bench.device.values["level"] = utc
                readings = await bench.read(driver, utc)
                assert readings["level"].quality is Quality.BAD or readings["level"].value == utc
            bench.proxy.delay_s = 0.0
            bench.device.values["level"] = 9.0
            readings = await bench.read_until(driver, 10.0, all_good)
            assert readings["level"].value == 9.0
            assert readings["count"].value == -7

    bench.run(scenario())


def test_spoilt_bytes_are_survived(bench):
    async def scenario():
        async with opened(bench) as (driver, _):
            loop = asyncio.get_running_loop()
            bench.proxy.spoil = random.Random(77)
            end = loop.time() + 3.0
            for utc in range(100, 160):
                readings = await bench.read(driver, float(utc))
                assert len(readings) == len(bench.configuration.points)
                await driver.write([Change(bench.index["target"], 5, float(utc))])
                if loop.time() > end:
                    break
            bench.proxy.spoil = None
            await bench.proxy.cut()
            await bench.proxy.restore()
            await bench.read_until(driver, 1000.0, all_good)

    bench.run(scenario())


def test_wall_clock_delivers_changes_by_itself(bench):
    async def scenario():
        async with opened(bench) as (driver, seen):
            loop = asyncio.get_running_loop()
            utc = 1.0
            for level in (2.5, 4.5, 6.5):
                bench.device.values["level"] = level
                async with asyncio.timeout(LIMIT_S):
                    while (
                        seen.get("level", absent(0.0)).quality is not Quality.GOOD
                        or seen["level"].value != level
                    ):
                        utc += 1.0
                        await bench.device.tick(utc)
                        due = await driver.poll(loop.time())
                        await asyncio.sleep(min(max(0.0, due - loop.time()), 0.02))
                assert loop.time() - seen["level"].arrival < LIMIT_S
            assert seen["lost"].quality is Quality.BAD

    bench.run(scenario())


def test_wall_clock_marks_a_dead_device(bench):
    async def scenario():
        async with opened(bench) as (driver, seen):
            loop = asyncio.get_running_loop()

            async def until(condition):
                utc = 100.0
                async with asyncio.timeout(LIMIT_S):
                    while not condition():
                        utc += 1.0
                        await bench.device.tick(utc)
                        due = await driver.poll(loop.time())
                        await asyncio.sleep(min(max(0.0, due - loop.time()), 0.02))

            await until(lambda: "level" in seen and seen["level"].quality is Quality.GOOD)
            await bench.proxy.cut()
            await until(lambda: all_bad(seen))
            assert not driver.state.devices["cab"].up
            await bench.proxy.restore()
            await until(lambda: all_good(seen))

    bench.run(scenario())


def test_nothing_is_left_running(bench):
    async def scenario():
        before = asyncio.all_tasks()
        async with opened(bench) as (driver, _):
            await bench.read(driver, 1.0)
        for _ in range(200):
            left = [task for task in asyncio.all_tasks() - before if "_pump" not in repr(task)]
            left = [task for task in left if "Proxy" not in repr(task) and "asyncua" not in repr(task)]
            if not left:
                break
            await asyncio.sleep(0.01)
        assert left == []

    bench.run(scenario())
