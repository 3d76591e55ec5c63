"""Our Modbus driver on a server built with libmodbus: every table and every layout, written, kept and read.

What the server holds is compared with bytes laid out here from the standard and the devices' manuals alone,
not with our own codec.
"""

import asyncio
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigie_protocols.driver import Change, Driver, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.errors import PermanentError
from vigie_protocols.gateway import Configuration, load_gateway
from vigie_protocols.points import Quality, Value
from vigie_sim.bench.figures import Figures
from vigie_sim.traffic.documents import write_yaml

CASE = "Modbus TCP on libmodbus"
_SUBJECT = "layouts written by hand"
_FORMATS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}
_VALUES: dict[str, Value] = {
    "u16": 0xABCD, "i16": -12_345, "u32": 0x12345678, "i32": -123_456_789, "u64": 0x0123456789ABCDEF,
    "i64": -(2**62) - 7, "f32": -1234.5, "f64": 3.141592653589793,
}  # fmt: skip
_SAFE: dict[str, Value] = {"string": "", "bool": False, "float": 0.0}
_LIMIT_S = 30.0


@dataclass(frozen=True)
class Layout:
    """A point, the value written to it, and the registers (or coils) in which it must be found."""

    name: str
    kind: str
    modbus: dict[str, Any]
    value: Value
    raw: list[int]


def layouts() -> list[Layout]:
    """Every encoding in every order, a text, a bit, a mask, a scaled number, two coils."""
    found: list[Layout] = []
    at = 0
    for encoding, form in _FORMATS.items():
        for order in ("big", "little"):
            for words in ("big", "little"):
                value = _VALUES[encoding]
                kind = "float" if encoding[0] == "f" else "uint" if encoding[0] == "u" else "int"
                registers = _registers(struct.pack(">" + form, value), order, words)
                place = {"address": at, "encoding": encoding, "byte_order": order, "word_order": words}
                found.append(Layout(f"{encoding}.{order}.{words}", kind, place, value, registers))
                at += len(registers)
    text = "Montréal"
    raw = _registers(text.encode().ljust(12, b"\0"), "big", "big")
    found.append(Layout("text", "string", {"address": at, "encoding": "string", "length": 6}, text, raw))
    at += 6
    found.append(Layout("bit", "bool", {"address": at, "bit": 5}, True, [1 << 5]))
    found.append(Layout("mask", "uint", {"address": at + 1, "mask": 0x0FF0}, 0xA5, [0x0A50]))
    found.append(Layout("scaled", "float", {"address": at + 2, "scale": 0.1, "offset": -40.0}, 21.5, [615]))
    for number, value in enumerate((True, False)):
        coil = {"table": "coil", "address": 3 + number}
        found.append(Layout(f"coil.{number}", "bool", coil, value, [int(value)]))
    return found


def _registers(data: bytes, byte_order: str, word_order: str) -> list[int]:
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if word_order == "little":
        words.reverse()
    return [int.from_bytes(word, "big" if byte_order == "big" else "little") for word in words]


def modbus(figures: Figures) -> None:
    """Fill the figures; a note where there is no libmodbus."""
    try:
        program = _compiled(figures.folder)
    except PermanentError as error:
        figures.note(f"{CASE}: {error}")
        return
    rows = layouts()
    with _serving(program) as (port, held):
        configuration = _gateway(figures.folder / "modbus", port, rows)
        found = asyncio.run(asyncio.wait_for(_exercise(configuration, rows), _LIMIT_S))
        holding, coils = held()
    kept = 0
    for row in rows:
        table = coils if row.modbus.get("table") == "coil" else holding
        at = int(row.modbus["address"])
        kept += table[at : at + len(row.raw)] == row.raw
    count = len(rows)
    for metric, value in (("writes taken", found["taken"]), ("registers as laid out by hand", kept)):
        figures.ours(CASE, metric, value, "layouts", count, str(count))
        figures.reference(CASE, _SUBJECT, metric, count, "layouts", count)
    for metric in ("read from holding registers and coils", "read from input registers and discrete inputs"):
        figures.ours(CASE, metric, found[metric], "layouts", count, str(count))
        figures.reference(CASE, _SUBJECT, metric, count, "layouts", count)
    figures.ours(CASE, "requests for one reading of everything", found["requests"], "", count)
    figures.ours(CASE, "a register that is not there", found["refused"], "bad, others good", 1, "1")


async def _exercise(configuration: Configuration, rows: list[Layout]) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    places = {decl.point: index for index, decl in enumerate(configuration.points)}
    link = configuration.gateway.links["server"]
    devices = devices_of(configuration, "server")
    driver: Driver = make_driver("server", link, devices, lambda _: None, loop.time, random.random)
    await driver.open()
    try:
        report = await driver.write([Change(places[row.name], row.value, 0.0) for row in rows])
        await driver.read_all(loop.time(), 0.0)  # its holes are found here
        before = driver.state.counters.requests
        answers = await driver.read_all(loop.time(), 0.0)
        requests = driver.state.counters.requests - before
    finally:
        await driver.close()
    seen = {index: reading for answer in answers for index, reading in answer.readings()}
    good = {
        name: sum(
            seen[places[prefix + row.name]].quality is Quality.GOOD
            and seen[places[prefix + row.name]].value == row.value
            for row in rows
        )
        for name, prefix in (
            ("read from holding registers and coils", ""),
            ("read from input registers and discrete inputs", "in."),
        )
    }
    refused = seen[places["nowhere"]].quality is Quality.BAD
    return {"taken": sum(one.ok for one in report.results), "requests": requests, "refused": refused, **good}


def _gateway(folder: Path, port: int, rows: list[Layout]) -> Configuration:
    title = {"fr": "Essai", "en": "Bench"}
    points: list[dict[str, Any]] = []
    for row in rows:
        safe = _SAFE.get(row.kind, 0)
        points.append(
            {"name": row.name, "type": row.kind, "writable": True, "safe": safe, "modbus": row.modbus}
        )
        table = "discrete" if row.modbus.get("table") == "coil" else "input"
        points.append({"name": f"in.{row.name}", "type": row.kind, "modbus": {**row.modbus, "table": table}})
    points.append({"name": "nowhere", "type": "uint", "modbus": {"address": 400}})
    profile = {
        "profile": "bench-layouts", "title": title, "protocol": "modbus", "domain": "general",
        "watchdog": {"none": "a bench"}, "points": points,
    }  # fmt: skip
    write_yaml(folder / "bench-layouts.yaml", profile)
    document: dict[str, Any] = {
        "gateway": "gw-independent",
        "site": {"name": title, "lat": 45.5, "lon": -73.6},
        "links": {"server": {"protocol": "modbus", "host": "127.0.0.1", "port": port}},
        "devices": [{"name": "one", "profile": "bench-layouts", "link": "server"}],
    }
    return load_gateway(write_yaml(folder / "gateway.yaml", document))


def _compiled(folder: Path) -> Path:
    """The server; raises PermanentError without a compiler or libmodbus."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise PermanentError("no C compiler; on Debian: apt install gcc libmodbus-dev")
    program = folder / "modbus-server"
    source = Path(__file__).with_name("modbus_server.c")
    line = [compiler, "-O2", "-o", str(program), str(source), "-lmodbus"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermanentError("libmodbus is not there; on Debian: apt install libmodbus-dev")
    return program


@contextmanager
def _serving(program: Path) -> Iterator[tuple[int, Any]]:
    """(port, what gives the holding registers and coils) of the running server."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())

        def held() -> tuple[list[int], list[int]]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            registers, _, coils = process.stdout.readline().partition(" COILS ")
            return [int(word) for word in registers.split()[1:]], [int(word) for word in coils.split()]

        try:
            yield port, held
        finally:
            process.stdin.close()
