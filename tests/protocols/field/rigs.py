"""Real servers with one small device each, and a proxy that cuts, swallows or delays what passes."""

import asyncio
import gc
import logging
import random
import socket
import tempfile
from pathlib import Path

from vigie_protocols.broker import Broker
from vigie_protocols.driver import Answer, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.gateway import load_gateway
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import LinkConfig, Received, Subscribed
from vigie_protocols.mqttlink import MqttLink

TIMEOUT_S = 0.8  # long enough for a crowded machine, short enough for tests that wait for it
LIMIT_S = 20.0

HEAD = """
profile: probe
title: {fr: Essai, en: Probe}
domain: general
watchdog: {none: "a test device"}
"""
VALUES = {"level": 2.5, "count": -7, "flag": True, "item.1": 1, "item.2": 2, "target": 0, "locked": 0}


class Proxy:
    """A TCP relay on a port of its own."""

    def __init__(self):
        self.port = 0
        self.target = 0
        self.delay_s = 0.0
        self.hole = False
        self.spoil = None
        self.flip = None
        self.flipped = 0
        self._server = None
        self._writers = set()

    async def start(self, target):
        self.target = target
        await self.restore()

    async def restore(self):
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self):
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        if server is not None:
            await server.wait_closed()

    async def _serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        forth = asyncio.ensure_future(self._pump(reader, far_writer, False))
        back = asyncio.ensure_future(self._pump(far_reader, writer, True))
        await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
        for one in (forth, back):
            one.cancel()
        await asyncio.gather(forth, back, return_exceptions=True)
        for one in pair:
            one.transport.abort()
        self._writers -= pair

    async def _pump(self, reader, writer, replies):
        while data := await reader.read(65536):
            if self.hole:
                continue
            if replies and self.delay_s:
                await asyncio.sleep(self.delay_s)
            if replies and self.spoil is not None and self.spoil.random() < 0.5:
                data = bytearray(data)
                for _ in range(self.spoil.randrange(1, 4)):
                    data[self.spoil.randrange(len(data))] = self.spoil.randrange(256)
            if replies and self.flip is not None:
                data = bytearray(data)
                data[self.flip.randrange(len(data))] ^= 1 << self.flip.randrange(8)
                self.flip = None  # one bit of one reply
                self.flipped += 1
            writer.write(data)


class Device:
    """What the conformance suite needs of a device: values, writes, one tick."""

    protocol = ""
    profile = ""
    extra = ""

    def __init__(self):
        self.values = dict(VALUES)
        self.written = []

    async def start(self):
        """Serve on a port and return it."""
        raise NotImplementedError

    async def stop(self):
        """Leave nothing running."""

    async def tick(self, utc):
        """Show the values; a device that publishes does so now."""

    def link(self, port):
        return (
            f"{{protocol: {self.protocol}, host: 127.0.0.1, port: {port}, timeout_s: {TIMEOUT_S}, {RETRY}}}"
        )


RETRY = "retry: {first_s: 0.05, max_s: 0.2}"


class ModbusDevice(Device):
    protocol = "modbus"
    profile = (
        HEAD
        + """
protocol: modbus
points:
  - {name: level, type: float, rate_s: 0.05, modbus: {table: input, address: 0, encoding: f32}}
  - {name: count, type: int, rate_s: 0.05, modbus: {table: input, address: 2, encoding: i16}}
  - {name: flag, type: bool, rate_s: 0.05, modbus: {table: discrete, address: 3}}
  - {name: "item.{i}", type: int, rate_s: 0.05, repeat: 2, modbus: {table: input, address: 3, encoding: u16}}
  - {name: lost, type: float, rate_s: 0.05, modbus: {table: input, address: 30, encoding: f32}}
  - {name: odd, type: float, rate_s: 0.05, modbus: {table: input, address: 10, encoding: f32}}
  - {name: target, type: uint, range: [0, 100], writable: true, safe: 0, rate_s: 0.05, modbus: {address: 0}}
  - {name: locked, type: uint, writable: true, safe: 0, rate_s: 0.05, modbus: {address: 5}}
"""
    )

    async def start(self):
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        stand_in = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        self.server = ModbusTcpServer(stand_in, address=("127.0.0.1", 0))
        self.server.context = self
        await self.server.serve_forever(background=True)
        return self.server.transport.sockets[0].getsockname()[1]

    async def stop(self):
        await self.server.shutdown()

    def device_ids(self):
        return [0]

    async def async_getValues(self, device_id, func_code, address, count=1):
        import struct

        from pymodbus.constants import ExcCodes

        values = self.values
        if func_code == 2:
            bits = [False] * 16
            bits[3] = values["flag"]
            return bits[address : address + count]
        if func_code in (3, 6, 16):
            table = [0] * 16
            table[0], table[5] = values["target"], values["locked"]
        else:
            table = [0] * 30
            table[0:2] = struct.unpack(">2H", struct.pack(">f", values["level"]))
            table[2] = values["count"] & 0xFFFF
            table[3:5] = values["item.1"], values["item.2"]
            table[10:12] = struct.unpack(">2H", struct.pack(">f", float("nan")))
        if address + count > len(table):
            return ExcCodes.ILLEGAL_ADDRESS
        return table[address : address + count]

    async def async_setValues(self, device_id, func_code, address, values):
        from pymodbus.constants import ExcCodes

        if address == 5:
            return ExcCodes.ILLEGAL_VALUE
        self.values["target"] = values[0]
        self.written.append(("target", values[0]))
        return None


class OpcUaDevice(Device):
    protocol = "opcua"
    profile = (
        HEAD
        + """
protocol: opcua
points:
  - {name: level, type: float, rate_s: 0.05, opcua: {node: level}}
  - {name: count, type: int, rate_s: 0.05, opcua: {node: count}}
  - {name: flag, type: bool, rate_s: 0.05, opcua: {node: flag}}
  - {name: "item.{i}", type: int, rate_s: 0.05, repeat: 2, opcua: {node: items, index: 0}}
  - {name: lost, type: float, rate_s: 0.05, opcua: {node: lost}}
  - {name: odd, type: float, rate_s: 0.05, opcua: {node: odd}}
  - {name: target, type: uint, range: [0, 100], writable: true, safe: 0, rate_s: 0.05, opcua: {node: target}}
  - {name: locked, type: uint, writable: true, safe: 0, rate_s: 0.05, opcua: {node: locked}}
"""
    )

    async def start(self):
        from asyncua import Server, ua

        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self.ua = ua
        gc.disable()  # six thousand standard nodes are made: half the time without the collector
        self.server = Server()
        await self.server.init()
        gc.enable()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/probe")
        index = await self.server.register_namespace("urn:vigie:test")
        objects = self.server.nodes.objects
        kinds = {
            "level": (0.0, ua.VariantType.Double),
            "count": (0, ua.VariantType.Int32),
            "flag": (False, ua.VariantType.Boolean),
            "items": ([0, 0], ua.VariantType.Int32),
            "odd": ("text", ua.VariantType.String),
            "target": (0, ua.VariantType.UInt32),
            "locked": (0, ua.VariantType.UInt32),
        }
        self.nodes = {}
        for name, (value, kind) in kinds.items():
            node = await objects.add_variable(ua.NodeId(name, index), name, value, kind)
            self.nodes[name] = node, kind
        await self.nodes["target"][0].set_writable()
        await self.server.start()
        await self.tick(0.0)
        return port

    async def stop(self):
        await self.server.stop()

    def link(self, port):
        url = f"opc.tcp://127.0.0.1:{port}/probe"
        return f'{{protocol: opcua, url: "{url}", timeout_s: {TIMEOUT_S}, publishing_s: 0.05, {RETRY}}}'

    async def tick(self, utc):
        from vigie_protocols.opcua.nodes import to_datetime

        values = {**self.values, "items": [self.values["item.1"], self.values["item.2"]]}
        for name, (node, kind) in self.nodes.items():
            if name in values and name not in ("target", "locked"):
                variant = self.ua.Variant(values[name], kind)
                stamp = to_datetime(utc)
                await node.write_value(self.ua.DataValue(variant, SourceTimestamp=stamp))
        target = await self.nodes["target"][0].read_data_value()
        self.written = [("target", target.Value.Value)]


class MqttDevice(Device):
    protocol = "mqtt"
    profile = (
        HEAD
        + """
protocol: mqtt
mqtt: {liveness: {topic: status}}
points:
  - {name: level, type: float, mqtt: {topic: state, path: level}}
  - {name: count, type: int, mqtt: {topic: state, path: sub.count}}
  - {name: flag, type: bool, mqtt: {topic: state, path: flag}}
  - {name: "item.{i}", type: int, repeat: 2, mqtt: {topic: state, path: "items.{k}"}}
  - {name: lost, type: float, mqtt: {topic: state, path: lost}}
  - {name: odd, type: float, mqtt: {topic: state, path: odd}}
  - {name: target, type: uint, range: [0, 100], writable: true, safe: 0,
     mqtt: {topic: state, path: target, command_topic: set, command_path: target}}
  - {name: locked, type: uint, writable: true, safe: 0,
     mqtt: {topic: state, path: locked, command_topic: locked}}
"""
    )

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    async def start(self):
        folder = Path(self.folder.name)
        acl = folder / "acl"
        acl.write_text("topic readwrite cab/state\ntopic readwrite cab/set\ntopic readwrite cab/status\n")
        acl.chmod(0o644)
        folder.chmod(0o755)
        self.broker = Broker(folder / "broker", kind="mosquitto", extra=[f"acl_file {acl}"])
        await asyncio.get_running_loop().run_in_executor(None, self.broker.start)
        up = asyncio.Event()

        def event(one):
            if isinstance(one, Subscribed):
                up.set()
            elif isinstance(one, Received):
                import json

                body = json.loads(one.payload)
                self.values["target"] = body["target"]
                self.written.append(("target", body["target"]))

        config = LinkConfig("127.0.0.1", self.broker.port, "device", first_delay=0.0)
        self.mqtt = AsyncMqttLink(MqttLink(config, asyncio.get_running_loop().time, random.random), event)
        self.mqtt.start()
        while not self.mqtt.link.connected:
            await asyncio.sleep(0.01)
        self.mqtt.subscribe([("cab/set", 1)])
        await asyncio.wait_for(up.wait(), LIMIT_S)
        return self.broker.port

    async def stop(self):
        await self.mqtt.close()
        self.broker.stop()
        self.folder.cleanup()

    async def tick(self, utc):
        import json

        body = {**self.values, "sub": {"count": self.values["count"]}, "odd": "text", "ts": utc}
        body["items"] = [body.pop("item.1"), body.pop("item.2")]
        self.mqtt.publish("cab/state", json.dumps(body).encode(), qos=1)


DEVICES = {"modbus": ModbusDevice, "opcua": OpcUaDevice, "mqtt": MqttDevice}


class Bench:
    """A device behind a proxy, and drivers for it, in one event loop that the tests of a module share."""

    def __init__(self, protocol, folder):
        self.runner = asyncio.Runner()
        self.device = DEVICES[protocol]()
        self.proxy = Proxy()
        self.folder = folder

    def run(self, coroutine):
        return self.runner.run(asyncio.wait_for(coroutine, LIMIT_S * 2))

    async def start(self):
        await self.proxy.start(await self.device.start())
        (self.folder / "probe.yaml").write_text(self.device.profile)
        (self.folder / "gateway.yaml").write_text(
            "gateway: gw\nsite: {name: Essai, lat: 45.5, lon: -73.6}\n"
            f"links:\n  field: {self.device.link(self.proxy.port)}\n"
            "devices:\n"
            "  - {name: cab, profile: probe, link: field, prefix: PREFIX, namespace: urn:vigie:test}\n".replace(
                "PREFIX", "cab" if self.device.protocol == "mqtt" else '""'
            )
        )
        self.configuration = load_gateway(self.folder / "gateway.yaml")
        self.index = {decl.point: place for place, decl in enumerate(self.configuration.points)}

    async def stop(self):
        await self.proxy.cut()
        await self.device.stop()

    async def reset(self):
        self.device.values = dict(VALUES)
        self.device.written = []
        self.proxy.delay_s, self.proxy.hole, self.proxy.spoil = 0.0, False, None
        await self.proxy.restore()

    def driver(self):
        """A driver with its readings collected in ``seen`` (point name -> last reading)."""
        seen = {}

        def deliver(answer: Answer):
            for place, reading in answer.readings():
                seen[self.configuration.points[place].point] = reading

        loop = self.runner.get_loop()
        link = self.configuration.gateway.links["field"]
        points = devices_of(self.configuration, "field")
        driver = make_driver("field", link, points, deliver, loop.time, random.Random(1).random)
        return driver, seen

    async def read(self, driver, utc):
        """One lock-step tick: the device shows its values, the driver reads them all."""
        await self.device.tick(utc)
        answers = await driver.read_all(asyncio.get_running_loop().time(), utc)
        return {
            self.configuration.points[place].point: reading
            for answer in answers
            for place, reading in answer.readings()
        }

    async def read_until(self, driver, utc, condition):
        """Ticks until the condition on the readings holds."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                utc += 1.0
                readings = await self.read(driver, utc)
                if condition(readings):
                    return readings
                await asyncio.sleep(0.01)
