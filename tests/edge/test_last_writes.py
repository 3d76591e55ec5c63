"""What field leaves behind: each device of a line gets its safe values, whatever its neighbours do."""

import asyncio
import contextlib
import struct

from vigie_edge.config import load_plan
from vigie_edge.memory.mapped import Heap
from vigie_edge.processes.field_wall import WallField
from vigie_edge.wiring import Bells, Wiring

PROFILE = """
profile: valve
title: x
protocol: modbus
domain: general
watchdog: {none: "a test device"}
points: [{name: out, type: uint, writable: true, safe: 7, modbus: {address: 40}}]
"""
GATEWAY = """
gateway: gw
site: {name: x, lat: 0, lon: 0}
links: {line: {protocol: modbus, host: 127.0.0.1, port: PORT, timeout_s: 10}}
devices:
  - {name: silent, profile: valve, link: line, unit: 1}
  - {name: sound, profile: valve, link: line, unit: 2}
"""


async def leave(folder):
    written: list[int] = []
    asked: set[int] = set()

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                asked.add(unit)
                if pdu[0] in (6, 16):
                    written.append(unit)
                answer = pdu[:5] if pdu[0] in (6, 16) else struct.pack(">BBH", pdu[0], 2, 7)
                if unit == 2:
                    writer.write(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (folder / "valve.yaml").write_text(PROFILE)
    (folder / "gw.yaml").write_text(GATEWAY.replace("PORT", str(port)))
    plan = load_plan(folder / "gw.yaml")
    field = WallField(Wiring(plan, folder, Bells(), heap=Heap()))
    running = asyncio.create_task(field.run())
    async with asyncio.timeout(60):
        while not asked:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    server.close()
    return written


def test_a_device_behind_a_silent_one_gets_its_safe_value(tmp_path):
    assert 2 in asyncio.run(leave(tmp_path))
