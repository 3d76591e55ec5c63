"""OPC UA beyond the conformance suite: arrays, order and stamps of writes, subscriptions, security."""

import asyncio
import gc
import hashlib
import logging
import random
import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.protocols.field.rigs import Proxy

from vigie_protocols.addresses import OpcUaAddress
from vigie_protocols.driver import Change, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.errors import PermanentError
from vigie_protocols.gateway import load_gateway
from vigie_protocols.opcua.nodes import stamp_through, to_datetime, to_utc
from vigie_protocols.opcua.session import connect
from vigie_protocols.points import Quality, ValueType

LIMIT_S = 30
PROFILE = """
profile: cabinet
title: {fr: Armoire, en: Cabinet}
protocol: opcua
domain: signal
watchdog: {point: heartbeat, timeout_s: 3}
points:
  - {name: "det.{i}", type: bool, rate_s: 0.05, latch: true, repeat: 4, opcua: {node: det, index: 0}}
  - {name: "lamp.{i}", type: uint, writable: true, safe: 1, repeat: 4,
     opcua: {node: lamps, index: 0, variant: Byte}}
  - {name: "out.{i}", type: bool, writable: true, safe: false, repeat: 2, first: 0,
     opcua: {node: "out.{i}"}}
  - {name: relay, type: bool, writable: true, safe: false, opcua: {node: word, bit: 4, variant: UInt16}}
  - {name: heartbeat, type: uint, writable: true, safe: 0, opcua: {node: heartbeat}}
"""
NODES = {
    "det": ([False] * 4, ua.VariantType.Boolean),
    "lamps": ([1, 2, 3, 4], ua.VariantType.Byte),
    "out.0": (False, ua.VariantType.Boolean),
    "out.1": (False, ua.VariantType.Boolean),
    "word": (3, ua.VariantType.UInt16),
    "heartbeat": (0, ua.VariantType.UInt32),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


POLICIES = ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]


async def certificate(folder, name, usage):
    key, path = folder / f"{name}.key.pem", folder / f"{name}.der"
    names = {"countryName": "CA", "commonName": name}
    await setup_self_signed_certificate(key, path, f"urn:vigie:{name}", "localhost", [usage], names)
    return key, path


class Cabinet:
    """One server for all tests: starting one costs seconds. ``log`` has writes as (node, value, stamp)."""

    async def start(self, folder):
        self.server = Server()
        await self.server.init()
        self.port = free_port()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/cabinet")
        key, self.certificate = await certificate(folder, "server", ExtendedKeyUsageOID.SERVER_AUTH)
        await self.server.set_application_uri("urn:vigie:server")
        offered = [getattr(ua.SecurityPolicyType, f"{policy}_SignAndEncrypt") for policy in POLICIES]
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity, *offered])
        await self.server.load_certificate(str(self.certificate))
        await self.server.load_private_key(str(key))
        index = await self.server.register_namespace("urn:vigie:test")
        self.nodes = {}
        self.log = []
        for name, (value, kind) in NODES.items():
            node = await self.server.nodes.objects.add_variable(
                ua.NodeId(f"a.{name}", index), name, value, kind
            )
            await node.set_writable()
            self.nodes[name] = node
        station = await self.server.nodes.objects.add_object(index, "Station 1")
        pump = await station.add_object(index, "Pump/A")
        self.level = await station.add_variable(index, "Level", 1.5)
        self.speed = await pump.add_variable(index, "Speed", 0.0)
        self.flags = await pump.add_variable(index, "Flags", [True, False])
        await self.speed.set_writable()
        for name in ("one", "other"):
            twin = await station.add_variable(
                ua.NodeId(f"twin.{name}", index), ua.QualifiedName("Twin", index), 1.0
            )
            await twin.set_writable()
        space = self.server.iserver.aspace
        write = space.write_attribute_value

        async def logged(node_id, attribute, value):
            self.log.append((node_id.Identifier, value.Value.Value, to_utc(value.SourceTimestamp)))
            return await write(node_id, attribute, value)

        space.write_attribute_value = logged
        await self.server.start()

    async def reset(self):
        for name, (value, kind) in NODES.items():
            await self.nodes[name].write_value(ua.Variant(value, kind))
        self.log.clear()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    cabinet = Cabinet()
    with asyncio.Runner() as cabinet.runner:
        gc.disable()
        cabinet.runner.run(cabinet.start(tmp_path_factory.mktemp("server")))
        gc.enable()
        yield cabinet
        cabinet.runner.run(cabinet.server.stop())


@pytest.fixture
def cabinet(shared):
    shared.runner.run(shared.reset())
    return shared


def configure(folder, port, more=""):
    (folder / "cabinet.yaml").write_text(PROFILE)
    (folder / "gateway.yaml").write_text(
        "gateway: gw\nsite: {name: Essai, lat: 0, lon: 0}\nlinks:\n"
        f'  field: {{protocol: opcua, url: "opc.tcp://127.0.0.1:{port}/cabinet", publishing_s: 0.05{more}}}\n'
        'devices: [{name: cab, profile: cabinet, link: field, prefix: "a.", namespace: "urn:vigie:test"}]\n'
    )
    return load_gateway(folder / "gateway.yaml")


@asynccontextmanager
async def opened(configuration, deliver=lambda _: None):
    loop = asyncio.get_running_loop()
    link = configuration.gateway.links["field"]
    points = devices_of(configuration, "field")
    driver = make_driver("field", link, points, deliver, loop.time, random.Random(1).random)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def run(cabinet, coroutine):
    cabinet.runner.run(asyncio.wait_for(coroutine, LIMIT_S))


def test_arrays_are_one_node_and_writes_keep_order_and_stamps(cabinet, tmp_path):
    nodes, log = cabinet.nodes, cabinet.log

    async def scenario():
        configuration = configure(tmp_path, cabinet.port)
        at = {decl.point: place for place, decl in enumerate(configuration.points)}
        async with opened(configuration) as driver:
            answers = await driver.read_all(5.0, 5.0)
            values = {index: reading for answer in answers for index, reading in answer.readings()}
            assert [values[at[f"lamp.{n}"]].value for n in range(1, 5)] == [1, 2, 3, 4]
            assert driver.state.counters.requests == 1
            log.clear()
            report = await driver.write(
                [
                    Change(at["lamp.1"], 7, 100.1),
                    Change(at["lamp.3"], 8, 100.1),
                    Change(at["out.0"], True, 100.2),
                    Change(at["lamp.1"], 9, 100.3),
                    Change(at["out.0"], False, 100.3),
                    Change(at["relay"], True, 100.3),
                ]
            )
            assert all(result.ok for result in report.results)
            assert driver.state.counters.requests == 2
            assert log == [
                ("a.lamps", [7, 2, 8, 4], 100.1),
                ("a.out.0", True, 100.2),
                ("a.lamps", [9, 2, 8, 4], 100.3),
                ("a.out.0", False, 100.3),
                ("a.word", 3 | 16, 100.3),
            ]
            await nodes["det"].write_value(
                ua.DataValue(
                    ua.Variant([True] * 4, ua.VariantType.Boolean), SourceTimestamp=to_datetime(7.25)
                )
            )
            answers = await driver.read_all(6.0, 6.0)
            values = {index: reading for answer in answers for index, reading in answer.readings()}
            assert values[at["det.4"]].value is True
            assert values[at["det.4"]].source_time == 7.25
            assert values[at["det.4"]].arrival == 6.0
            assert values[at["lamp.1"]].value == 9

    run(cabinet, scenario())


def test_an_element_can_be_written_before_anything_was_read(cabinet, tmp_path):
    nodes = cabinet.nodes

    async def scenario():
        configuration = configure(tmp_path, cabinet.port)
        at = {decl.point: place for place, decl in enumerate(configuration.points)}
        async with opened(configuration) as driver:
            assert await driver.ready(LIMIT_S)
            report = await driver.write([Change(at["lamp.2"], 9, 1.0)])
            assert report.results[0].ok
            assert await nodes["lamps"].read_value() == [1, 9, 3, 4]

    run(cabinet, scenario())


def test_a_pulse_between_two_publications_is_delivered(cabinet, tmp_path):
    nodes = cabinet.nodes

    async def scenario():
        configuration = configure(tmp_path, cabinet.port)
        at = {decl.point: place for place, decl in enumerate(configuration.points)}
        seen = []

        def deliver(answer):
            seen.extend(r.value for index, r in answer.readings() if index == at["det.1"])

        async with opened(configuration, deliver) as driver:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(LIMIT_S):
                while not seen:
                    await driver.poll(loop.time())
                    await asyncio.sleep(0.01)
                seen.clear()
                for value in (True, False, True, False):
                    await nodes["det"].write_value([value, False, False, False])
                while seen.count(True) < 2:
                    await asyncio.sleep(0.01)

    run(cabinet, scenario())


PATHS = """
profile: cabinet
title: {fr: Armoire, en: Cabinet}
protocol: opcua
domain: water
watchdog: {none: "a test device"}
points:
  - {name: level, type: float, stale_s: 3600, opcua: {node: Level}}
  - {name: speed, type: float, writable: true, safe: 0, stale_s: 3600, opcua: {node: "Pump&/A/Speed"}}
  - {name: "flag.{i}", type: bool, repeat: 2, stale_s: 3600, opcua: {node: "NUMBER:Pump&/A/Flags", index: 0}}
  - {name: lost, type: float, stale_s: 3600, opcua: {node: "Pump&/B/Speed"}}
  - {name: twin, type: float, writable: true, safe: 0, stale_s: 3600, opcua: {node: Twin}}
"""


def by_paths(cabinet, folder, port):
    number = cabinet.level.nodeid.NamespaceIndex
    configure(folder, port, ", timeout_s: 10")
    (folder / "cabinet.yaml").write_text(PATHS.replace("NUMBER", str(number)))
    gateway = folder / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace('prefix: "a."', 'prefix: "/Station 1/"'))
    return load_gateway(gateway)


def test_nodes_are_found_by_their_browse_paths(cabinet, tmp_path):
    async def scenario():
        configuration = by_paths(cabinet, tmp_path, cabinet.port)
        at = {decl.point: place for place, decl in enumerate(configuration.points)}
        async with opened(configuration) as driver:
            answers = await driver.read_all(5.0, 5.0)
            seen = {index: reading for answer in answers for index, reading in answer.readings()}
            assert seen[at["level"]].value == 1.5
            assert [seen[at["flag.1"]].value, seen[at["flag.2"]].value] == [True, False]
            # a path that leads nowhere, or to two nodes, costs its own point
            bad = [point for point, place in at.items() if seen[place].quality is Quality.BAD]
            assert bad == ["lost", "twin"]
            assert not (await driver.write([Change(at["twin"], 2.0, 1.0)])).results[0].ok
            report = await driver.write([Change(at["speed"], 42.0, 1.0)])
            assert report.results[0].ok
            assert await cabinet.speed.read_value() == 42.0

    run(cabinet, scenario())


def test_a_new_session_has_its_subscriptions_back(cabinet, tmp_path):
    async def scenario():
        proxy = Proxy()
        await proxy.start(cabinet.port)
        configuration = by_paths(cabinet, tmp_path, proxy.port)
        at = {decl.point: place for place, decl in enumerate(configuration.points)}
        seen = {}

        def deliver(answer):
            seen.update(answer.readings())

        async with opened(configuration, deliver) as driver:
            loop = asyncio.get_running_loop()

            async def until(condition):
                async with asyncio.timeout(LIMIT_S):
                    while not condition():
                        await driver.poll(loop.time())
                        await asyncio.sleep(0.01)

            def shows(value):
                one = seen.get(at["level"])
                return one is not None and one.quality is Quality.GOOD and one.value == value

            await until(lambda: shows(1.5))
            await proxy.cut()
            await until(lambda: seen[at["level"]].quality is Quality.BAD)
            await proxy.restore()
            await until(lambda: shows(1.5))
            connects = driver.state.counters.connects
            assert connects >= 2
            async with asyncio.timeout(LIMIT_S):
                for value in (2.5, 3.5):  # nobody polls, so nothing is read: this comes by itself
                    await cabinet.level.write_value(value)
                    while not shows(value):
                        await asyncio.sleep(0.01)
            await cabinet.level.write_value(1.5)
            assert driver.state.counters.connects == connects
        await proxy.cut()

    run(cabinet, scenario())


@pytest.mark.parametrize("node", ["/", "/Station/", "/Station//Level"])
def test_a_browse_path_with_an_empty_name_is_refused(node):
    assert "empty name" in OpcUaAddress(node=node).unfit(ValueType.FLOAT, False)


@pytest.mark.parametrize("policy", POLICIES)
def test_sign_and_encrypt_with_a_trust_list(cabinet, tmp_path, policy):
    async def scenario():
        key, path = await certificate(tmp_path, "client", ExtendedKeyUsageOID.CLIENT_AUTH)
        thumb = hashlib.sha256(Path(cabinet.certificate).read_bytes()).hexdigest()
        security = ", security: {{policy: {}, certificate: {}, key: {}, trust: [{}]}}, timeout_s: 5"
        more = security.format(policy, path, key, thumb.upper())
        async with opened(configure(tmp_path, cabinet.port, more)) as driver:
            answers = await driver.read_all(1.0, 1.0)
            assert driver.state.error == ""
            assert all(answer.quality is Quality.GOOD for answer in answers)
        stranger = configure(tmp_path, cabinet.port, security.format(policy, path, key, "00" * 32))
        async with opened(stranger) as driver:
            answers = await driver.read_all(1.0, 1.0)
            assert all(answer.quality is Quality.BAD for answer in answers)
            assert "not in trust" in driver.state.error
            with pytest.raises(PermanentError):
                await connect(stranger.gateway.links["field"])

    run(cabinet, scenario())


def test_one_changed_bit_of_a_signed_message_is_never_a_reading(cabinet, tmp_path):
    async def scenario():
        chance = random.Random(9)
        key, path = await certificate(tmp_path, "client", ExtendedKeyUsageOID.CLIENT_AUTH)
        thumb = hashlib.sha256(Path(cabinet.certificate).read_bytes()).hexdigest()
        more = (
            f", security: {{policy: {POLICIES[0]}, certificate: {path}, key: {key}, trust: [{thumb}]}}"
            ", timeout_s: 2, retry: {first_s: 0.01, max_s: 0.05}"
        )
        proxy = Proxy()
        loop = asyncio.get_running_loop()
        await proxy.start(cabinet.port)
        try:
            async with opened(configure(tmp_path, proxy.port, more)) as driver:
                for flips in range(12):
                    async with asyncio.timeout(LIMIT_S):
                        while not all(
                            answer.quality is Quality.GOOD
                            for answer in await driver.read_all(loop.time(), 1.0)
                        ):
                            await asyncio.sleep(0.01)
                    proxy.flip = random.Random(chance.random())
                    answers = await driver.read_all(loop.time(), 2.0)
                    assert proxy.flipped == flips + 1
                    assert all(answer.quality is Quality.BAD for answer in answers)
        finally:
            await proxy.cut()

    run(cabinet, scenario())


def test_instants_survive_to_the_microsecond():
    draw = random.Random(5)
    for _ in range(2000):
        utc = 1_790_000_000 + draw.randrange(10**9) / 10
        assert stamp_through(utc) == utc
    assert to_utc(to_datetime(12.5) + timedelta(seconds=1)) == 13.5
