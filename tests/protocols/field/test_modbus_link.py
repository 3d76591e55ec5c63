"""Modbus TCP against hostile, silent and crowded far ends."""

import asyncio
import random
import struct
from contextlib import asynccontextmanager

import pytest

from vigie_protocols.driver import Change, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.fieldplan import plan_rows
from vigie_protocols.gateway import load_gateway
from vigie_protocols.points import Quality
from vigie_protocols.turn import Turn

PROFILE = """
profile: unit
title: {fr: Essai, en: Test}
protocol: modbus
domain: general
watchdog: {none: "a test device"}
points:
  - {name: "a.{i}", type: int, rate_s: 0.02, repeat: 10, modbus: {address: 0}}
  - {name: far, type: int, rate_s: 0.02, modbus: {address: 30}}
  - {name: out, type: uint, writable: true, safe: 0, rate_s: 0.02, modbus: {address: 40}}
"""


class FarEnd(asyncio.Protocol):
    """Answers reads with the register's own number and echoes writes, unless ``answer`` says otherwise."""

    log: list
    answer = None
    delay_s = 0.0
    waiting = crowd = 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        while data:
            number, _, length, unit = struct.unpack_from(">HHHB", data)
            pdu, data = data[7 : 6 + length], data[6 + length :]
            self.log.append((unit, *struct.unpack_from(">BHH", pdu)))
            reply = self.answer(number, unit, pdu) if self.answer else healthy(number, unit, pdu)
            if reply and self.delay_s:
                far = type(self)
                far.waiting += 1
                far.crowd = max(far.crowd, far.waiting)
                asyncio.get_running_loop().call_later(self.delay_s, self.send, reply)
            elif reply:
                self.transport.write(reply)

    def send(self, reply):
        type(self).waiting -= 1
        self.transport.write(reply)


def framed(number, unit, pdu):
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


def healthy(number, unit, pdu):
    function, start, count = struct.unpack_from(">BHH", pdu)
    if function == 3:
        body = struct.pack(f">BB{count}H", 3, 2 * count, *range(start, start + count))
        return framed(number, unit, body)
    return framed(number, unit, pdu[:5])


@asynccontextmanager
async def running(folder, units=(1,), answer=None, timeout_s=0.2, retry_s=0.05, in_flight=1, profile=PROFILE):
    far = type("Far", (FarEnd,), {"log": [], "answer": staticmethod(answer) if answer else None})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(far, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (folder / "unit.yaml").write_text(profile)
    devices = "".join(f"  - {{name: u{unit}, profile: unit, link: bus, unit: {unit}}}\n" for unit in units)
    (folder / "gateway.yaml").write_text(
        "gateway: gw\nsite: {name: Essai, lat: 0, lon: 0}\nlinks:\n"
        f"  bus: {{protocol: modbus, host: 127.0.0.1, port: {port}, timeout_s: {timeout_s}, in_flight: {in_flight}, "
        f"retry: {{first_s: {retry_s}, max_s: {retry_s}}}}}\n"
        f"devices:\n{devices}"
    )
    configuration = load_gateway(folder / "gateway.yaml")
    seen = {}

    def deliver(answer):
        seen.update({configuration.points[index].name: one for index, one in answer.readings()})

    link = configuration.gateway.links["bus"]
    points = devices_of(configuration, "bus")
    driver = make_driver("bus", link, points, deliver, loop.time, random.Random(2).random)
    await driver.open()
    try:
        yield driver, seen, far, configuration
    finally:
        await driver.close()
        server.close()
        await server.wait_closed()


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 30))


async def polling(driver, condition):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not condition():
            due = await driver.poll(loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))


def test_one_request_reads_everything(tmp_path):
    async def scenario():
        async with running(tmp_path) as (driver, seen, far, configuration):
            await polling(driver, lambda: len(seen) == 12)
            assert far.log[0] == (1, 3, 0, 41)
            assert seen["u1/a.7"].value == 6 and seen["u1/out"].value == 40
            row, write = plan_rows(configuration)
            assert (row.request, row.points, row.spare) == ("function 3, holding 0 to 40", 12, 29)
            assert (write.request, write.writes, write.points) == ("function 6, holding 40", True, 1)

    run(scenario())


def test_garbage_by_the_thousand(tmp_path):
    draw = random.Random(9)
    state = {"left": 1000}

    def garbage(number, unit, pdu):
        if not state["left"]:
            return healthy(number, unit, pdu)
        state["left"] -= 1
        kind = draw.randrange(6)
        good = healthy(number, unit, pdu)
        if kind == 0:
            return draw.randbytes(draw.randrange(1, 300))
        if kind == 1:
            return good[: draw.randrange(1, len(good))]
        if kind == 2:
            return framed(number, unit, bytes((draw.randrange(256), draw.randrange(256))))
        if kind == 3:
            return framed((number + draw.randrange(1, 9)) & 0xFFFF, unit, pdu) + good
        if kind == 4:
            return framed(number, unit, struct.pack(">BB", 3, 2) + b"\0\0")
        return framed(number, (unit + 1) & 0xFF, good[7:]) + good

    async def scenario():
        async with running(tmp_path, answer=garbage, timeout_s=0.005, retry_s=0.0005) as (driver, _, _, _):
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(25):
                while state["left"]:
                    for answer in await driver.read_all(loop.time(), 0.0):
                        for index, one in answer.readings():
                            # what can be told from garbage (there is no checksum over TCP) never becomes a good reading
                            register = [*range(10), 30, 40][index]
                            assert one.quality is Quality.BAD or one.value == register
                    await asyncio.sleep(0)
                while True:
                    answers = await driver.read_all(loop.time(), 0.0)
                    if all(answer.quality is Quality.GOOD for answer in answers):
                        break
                    await asyncio.sleep(0.01)
            assert driver.state.counters.malformed > 0 and driver.state.counters.late > 0

    run(scenario())


def test_a_silent_unit_costs_its_neighbours_almost_nothing(tmp_path):
    def answer(number, unit, pdu):
        return None if unit == 2 else healthy(number, unit, pdu)

    async def scenario():
        async with running(tmp_path, (1, 2, 3), answer, timeout_s=0.05) as (driver, seen, far, _):

            def reads(unit):
                return sum(1 for row in far.log if row[0] == unit)

            await polling(driver, lambda: reads(1) >= 60 and reads(3) >= 60)
            # two misses open the circuit; a probe then costs 0.05 s at most every 5 s
            assert reads(2) == 2
            assert seen["u2/a.1"].quality is Quality.BAD and seen["u3/a.1"].quality is Quality.GOOD
            assert not driver.state.devices["u2"].up and driver.state.devices["u3"].up

    run(scenario())


def test_a_line_on_which_nobody_answered_is_found_again_at_once(tmp_path):
    async def scenario():
        async with running(tmp_path, (1, 2, 3), timeout_s=0.3, retry_s=1.0) as (driver, seen, far, _):
            devices = driver.state.devices.values()
            await polling(driver, lambda: len(seen) == 36)
            far.answer = staticmethod(lambda number, unit, pdu: None)
            await polling(
                driver, lambda: not any(one.up for one in devices) and driver.state.counters.probes > 1
            )
            far.answer = None
            # as one among the living each would be probed after 30 s, which is more than this waits
            await polling(driver, lambda: all(one.up for one in devices))
            assert all(one.quality is Quality.GOOD for one in seen.values())

    run(scenario())


def test_several_requests_at_once_where_the_link_allows_them(tmp_path):
    waiting = []

    def answer(number, unit, pdu):
        # the far end answers nothing until three requests wait, and then the last first
        waiting.append(healthy(number, unit, pdu))
        return b"".join(waiting[::-1]) if len(waiting) == 3 else None

    async def scenario():
        async with running(tmp_path, (1, 2, 3, 4), answer, timeout_s=5, in_flight=3) as (driver, _, far, _):
            reading = asyncio.ensure_future(driver.read_all(0.0, 0.0))
            while len(far.log) < 4:
                await asyncio.sleep(0.01)
            far.answer = staticmethod(healthy)
            number = far.log.index((4, 3, 0, 41))
            assert number == 3 and driver.state.counters.connects == 1
            reading.cancel()

    run(scenario())


@pytest.mark.parametrize("most", [1, 2])
def test_a_device_is_never_asked_more_at_once_than_it_bears(tmp_path, most):
    profile = PROFILE.replace("points:", f"limits: {{max_registers: 4, in_flight: {most}}}\npoints:")
    profile = profile.replace("rate_s: 0.02", "rate_s: 5")

    async def scenario():
        async with running(tmp_path, timeout_s=5, in_flight=8, profile=profile) as (driver, _, far, _):
            far.delay_s = 0.005
            reading = asyncio.ensure_future(driver.read_all(0.0, 0.0))
            assert (await driver.write([Change(11, 1, 0.0)])).results[0].ok
            assert all(one.quality is Quality.GOOD for one in await reading)
            assert len(far.log) == 6
            await asyncio.gather(driver.poll(asyncio.get_running_loop().time()), driver.read_all(0.0, 0.0))
            assert far.crowd == most

    run(scenario())


def test_a_refused_hole_is_learnt_once(tmp_path):
    def answer(number, unit, pdu):
        _, start, count = struct.unpack_from(">BHH", pdu)
        missing = set(range(10, 30)) & set(range(start, start + count))
        return framed(number, unit, b"\x83\x02") if missing else healthy(number, unit, pdu)

    async def scenario():
        async with running(tmp_path, answer=answer) as (driver, seen, far, _):
            await polling(driver, lambda: len(far.log) >= 12)
            assert all(one.quality is Quality.GOOD for one in seen.values()) and len(seen) == 12
            assert (1, 3, 0, 41) in far.log and far.log.count((1, 3, 0, 41)) == 1
            far.log.clear()
            answers = await driver.read_all(0.0, 0.0)
            assert all(one.quality is Quality.GOOD for one in answers)

    run(scenario())


@pytest.mark.parametrize(("code", "permanent"), [(1, True), (4, False), (6, False), (11, False)])
def test_exception_codes_of_writes(tmp_path, code, permanent):
    def answer(number, unit, pdu):
        return (
            framed(number, unit, bytes((pdu[0] | 0x80, code))) if pdu[0] == 6 else healthy(number, unit, pdu)
        )

    async def scenario():
        async with running(tmp_path, answer=answer) as (driver, _, _, _):
            report = await driver.write([Change(11, 1, 0.0)])
            assert not report.results[0].ok
            assert report.results[0].permanent is permanent

    run(scenario())


def test_writes_go_before_reads_that_wait():
    async def scenario():
        turn, order = Turn(1), []
        await turn.take(False)

        async def one(name, urgent):
            await turn.take(urgent)
            order.append(name)
            turn.give()

        tasks = [asyncio.ensure_future(one(f"read {n}", False)) for n in range(2)]
        tasks.append(asyncio.ensure_future(one("write", True)))
        gone = asyncio.ensure_future(one("cancelled", True))
        for _ in range(3):
            await asyncio.sleep(0)
        gone.cancel()
        turn.give()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["write", "read 0", "read 1"]
        await asyncio.wait_for(turn.take(False), 1)

    run(scenario())
