"""Modbus RTU over a pseudo-terminal pair: frames, silences, late answers, several units on one line."""

import asyncio
import os
import random
import select
import struct
import threading
import time

import pytest
from pymodbus.framer import FramerRTU

from vigie_protocols.driver import Change, Counters, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.gateway import Rs485, Serial, load_gateway
from vigie_protocols.modbus.rtu import RtuLine, crc16, rs485_words
from vigie_protocols.points import Quality

PROFILE = """
profile: sensor
title: {fr: Capteur, en: Sensor}
protocol: modbus
domain: water
watchdog: {none: "a test device"}
limits: {functions: [1, 3, 5, 6, 16, 22]}
points:
  - {name: level, type: float, unit: m, modbus: {address: 0, encoding: u16, scale: 0.001}}
  - {name: far, type: int, modbus: {address: 60}}
  - {name: target, type: uint, range: [0, 100], writable: true, safe: 0, modbus: {address: 1}}
  - {name: run, type: bool, writable: true, safe: false, modbus: {address: 2, bit: 3}}
"""


class Line(threading.Thread):
    """The far end of the line: units 1 and 2 answer, unit 3 never does. Frames checked by pymodbus' CRC."""

    def __init__(self):
        super().__init__(daemon=True)
        self.near, self.far = os.openpty()
        self.port = os.ttyname(self.far)
        self.registers = {unit: [unit * 1000 + at for at in range(64)] for unit in (1, 2)}
        self.asked = []
        self.gaps = []
        self.answered = None
        self.spoil = 0
        self.stopped = False

    def run(self):
        buffer = b""
        while not self.stopped:
            try:
                buffer += os.read(self.near, 256)
            except OSError:
                return
            while True:
                size = (
                    9 + buffer[6]
                    if len(buffer) > 6 and buffer[1] == 16
                    else 10
                    if buffer[1:2] == b"\x16"
                    else 8
                )
                if len(buffer) < size:
                    break
                frame, buffer = buffer[:size], buffer[size:]
                self.answer(frame)

    def answer(self, frame):
        assert FramerRTU.compute_CRC(frame[:-2]).to_bytes(2, "big") == frame[-2:]
        unit, function = frame[:2]
        if self.answered is not None:
            self.gaps.append((self.answered[0], time.monotonic() - self.answered[1]))
        self.asked.append((unit, function, *struct.unpack(">HH", frame[2:6])))
        if unit not in self.registers:
            return
        table = self.registers[unit]
        first, second = struct.unpack(">HH", frame[2:6])
        if function == 3:
            body = struct.pack(f">BB{second}H", 3, 2 * second, *table[first : first + second])
        elif function == 6:
            table[first] = second
            body = frame[1:6]
        elif function == 22:
            table[first] = table[first] & second | struct.unpack(">H", frame[6:8])[0] & ~second
            body = frame[1:8]
        else:
            body = bytes((function | 0x80, 1))
        reply = bytes((unit,)) + body
        reply += FramerRTU.compute_CRC(reply).to_bytes(2, "big")
        if self.spoil:
            self.spoil -= 1
            reply = reply[:-1] + bytes((reply[-1] ^ 0xFF,))
        self.answered = unit, time.monotonic()
        os.write(self.near, reply)

    def stop(self):
        self.stopped = True
        os.close(self.far)
        os.close(self.near)


@pytest.fixture
def line():
    far = Line()
    far.start()
    yield far
    far.stop()
    far.join()


def test_crc_agrees_with_pymodbus():
    draw = random.Random(3)
    for size in range(1, 60):
        data = draw.randbytes(size)
        assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


def drive(line, folder, scenario, units=(1, 2), kinds=None, serial=""):
    (folder / "sensor.yaml").write_text(PROFILE)
    kinds = kinds or {}
    devices = "\n".join(
        f"  - {{name: s{unit}, profile: {kinds.get(unit, 'sensor')}, link: bus, unit: {unit}}}"
        for unit in units
    )
    (folder / "gateway.yaml").write_text(
        "gateway: gw\nsite: {name: Essai, lat: 0, lon: 0}\nlinks:\n"
        f"  bus: {{protocol: modbus, serial: {{port: {line.port}, baud: 19200{serial}}}, timeout_s: 0.15}}\n"
        f"devices:\n{devices}\n"
    )
    configuration = load_gateway(folder / "gateway.yaml")
    index = {decl.name: place for place, decl in enumerate(configuration.points)}
    bus = configuration.gateway.links["bus"]

    async def main():
        clock = asyncio.get_running_loop().time
        driver = make_driver("bus", bus, devices_of(configuration, "bus"), lambda _: None, clock, lambda: 0.5)
        await driver.open()
        try:
            await scenario(driver, index)
        finally:
            await driver.close()

    async def read(driver):
        answers = await driver.read_all(asyncio.get_running_loop().time(), 0.0)
        return {index: reading for answer in answers for index, reading in answer.readings()}

    drive.read = read
    asyncio.run(asyncio.wait_for(main(), 30))


def test_two_units_on_one_line(line, tmp_path):
    async def scenario(driver, index):
        readings = await drive.read(driver)
        assert readings[index["s1/level"]].value == 1.0
        assert readings[index["s2/level"]].value == 2.0
        assert readings[index["s2/far"]].value == 2060
        report = await driver.write(
            [
                Change(index["s2/target"], 9, 0.0),
                Change(index["s1/run"], True, 0.0),
                Change(index["s1/target"], 4, 0.0),
            ]
        )
        assert all(result.ok for result in report.results)
        assert line.registers[2][1] == 9
        assert line.registers[1][1] == 4
        assert line.registers[1][2] == 1002 | 8
        # the hole between registers 3 and 60 is not read: on this line it would cost more than a request
        assert (1, 3, 0, 3) in line.asked and (1, 3, 60, 1) in line.asked

    drive(line, tmp_path, scenario)


def test_a_unit_that_needs_silence_after_its_answer_gets_it(line, tmp_path):
    slow = PROFILE.replace("profile: sensor", "profile: slow").replace(
        "limits: {", "limits: {turnaround_s: 0.04, "
    )
    assert "turnaround_s" in slow
    (tmp_path / "slow.yaml").write_text(slow)

    async def scenario(driver, index):
        for _ in range(4):
            readings = await drive.read(driver)
            assert all(reading.quality is Quality.GOOD for reading in readings.values())
        # Whoever asks next, of this unit or of another, waits.
        slow = [gap for unit, gap in line.gaps if unit == 2]
        assert len(slow) >= 7 and min(slow) >= 0.04

    drive(line, tmp_path, scenario, kinds={2: "slow"})


def test_a_dead_unit_is_only_probed(line, tmp_path):
    async def scenario(driver, index):
        for _ in range(20):
            readings = await drive.read(driver)
            assert readings[index["s1/level"]].quality is Quality.GOOD
            assert readings[index["s2/level"]].quality is Quality.GOOD
            assert readings[index["s3/level"]].quality is Quality.BAD
        assert sum(1 for row in line.asked if row[0] == 3) == 2
        assert not driver.state.devices["s3"].up and driver.state.devices["s1"].up

    drive(line, tmp_path, scenario, units=(3, 1, 2))


def test_a_spoilt_answer_is_dropped_and_the_next_one_counts(line, tmp_path):
    async def scenario(driver, index):
        await drive.read(driver)
        line.spoil = 1
        readings = await drive.read(driver)
        assert readings[index["s1/level"]].quality is Quality.BAD
        assert readings[index["s2/level"]].quality is Quality.GOOD
        readings = await drive.read(driver)
        assert readings[index["s1/level"]].value == 1.0
        assert driver.state.counters.malformed == 1

    drive(line, tmp_path, scenario)


def test_a_late_answer_that_nobody_has_read_yet_is_not_the_next_ones(line):
    async def scenario():
        counters = Counters()
        wire = RtuLine(Serial(port=line.port), counters)
        await wire.open()
        reply = bytes((1, 3, 2)) + struct.pack(">H", 1060)
        reply += FramerRTU.compute_CRC(reply).to_bytes(2, "big")
        os.write(line.near, reply)
        while not select.select([line.far], [], [], 0)[0]:
            pass  # the event loop is kept busy, so that it reads nothing
        answer = await wire.request(1, struct.pack(">BHH", 3, 0, 1), 5.0)
        wire.close()
        return answer, counters.late

    assert asyncio.run(scenario()) == (struct.pack(">BBH", 3, 2, 1000), 1)


def test_a_port_that_cannot_turn_its_direction_says_so(line, tmp_path):
    async def scenario(driver, index):
        readings = await drive.read(driver)
        assert all(reading.quality is Quality.BAD for reading in readings.values())
        assert "cannot turn its direction" in driver.state.error + driver.state.devices["s1"].error
        assert line.asked == []

    drive(line, tmp_path, scenario, serial=", rs485: {after_s: 0.002}")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Rs485(), (1 | 2, 0, 0)),
        (Rs485(rts_on_send=False, before_s=0.001, after_s=0.0025), (1 | 4, 1, 2)),
    ],
)
def test_what_the_kernel_is_told_of_the_direction(wanted, words):
    assert struct.unpack("=8I", rs485_words(wanted)) == (*words, 0, 0, 0, 0, 0)


def test_a_missing_port_is_a_link_that_is_down(tmp_path):
    class Nowhere:
        port = "/dev/vigie-there-is-no-such-port"

    async def scenario(driver, index):
        readings = await drive.read(driver)
        assert all(reading.quality is Quality.BAD for reading in readings.values())
        assert "No such file" in driver.state.error or "No such file" in driver.state.devices["s1"].error

    drive(Nowhere, tmp_path, scenario)
