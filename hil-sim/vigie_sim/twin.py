"""What a simulated twin starts from: a device that keeps every point of its profile, and how it is served.

``vigie-sim scaffold device`` writes a subclass that adds the device's own physics. Run by hand, such a
twin serves itself in wall-clock time, with a gateway file for a real agent beside it (``serve``).
"""

import asyncio
import contextlib
import math
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from vigie_protocols.broker import Broker
from vigie_protocols.pointcodec import through
from vigie_protocols.points import Value, ValueType
from vigie_protocols.profile import PointDecl, Profile, load_profile
from vigie_sim.equipment import Equipment
from vigie_sim.modbusrig import ModbusRig
from vigie_sim.mqttrig import MqttRig
from vigie_sim.opcuarig import NAMESPACE, OpcUaRig

TwinRig = ModbusRig | OpcUaRig | MqttRig


class Twin:
    """A device by the points of its profile.

    state: every point's value, in its unit. Written points start safe, and are safe again when the
    watchdog point has stood still for the profile's timeout, as the real device would see to.
    """

    def __init__(self, profile: Profile) -> None:
        decls = [decl for decl in profile.expand() if decl.address is not None]
        self.state: dict[str, Value] = {decl.point: _first(decl) for decl in decls}
        self.decls = {decl.point: decl for decl in decls}
        self._safe = {decl.point: decl.safe for decl in decls if decl.safe is not None}
        watchdog = profile.watchdog
        self._heartbeat = None if watchdog is None else watchdog.point
        self._timeout_s = math.inf if watchdog is None or watchdog.point is None else watchdog.timeout_s
        self._beat_at = -math.inf

    def values(self) -> Mapping[str, Value]:
        """Every point as it stands."""
        return self.state

    def command(self, instant: float, point: str, value: Value) -> None:
        """Take one written point at ``instant`` (simulated seconds)."""
        if point == self._heartbeat and value != self.state[point]:
            self._beat_at = instant
        self.state[point] = value

    def step(self, now: float, seconds: float) -> None:
        """Let ``seconds`` pass, up to ``now``; subclasses add their physics."""
        if now - self._beat_at > self._timeout_s:
            self.state.update({point: safe for point, safe in self._safe.items() if point != self._heartbeat})

    def stir(self, rng: random.Random) -> None:
        """Put every point to some value that it can have, to see whether each is read at its own place."""
        self.state = {point: _some(decl, rng) for point, decl in self.decls.items()}


def _first(decl: PointDecl) -> Value:
    if decl.safe is not None:
        return decl.safe
    if decl.labels:
        return decl.labels[0][0]
    return through(decl, min(max(decl.zero, decl.low), decl.high)) if _numeric(decl) else decl.zero


def _numeric(decl: PointDecl) -> bool:
    return decl.type in (ValueType.INT, ValueType.UINT, ValueType.FLOAT)


def _some(decl: PointDecl, rng: random.Random) -> Value:
    """A value that the point's address carries unchanged."""
    if decl.type is ValueType.BOOL:
        return rng.random() < 0.5
    if decl.labels:
        return rng.choice(decl.labels)[0]
    if not _numeric(decl):
        return through(decl, f"{rng.randrange(10**6):06}")
    low = decl.low if math.isfinite(decl.low) else 0.0
    for width in (1000.0, 100.0, 1.0):
        high = min(decl.high, low + width)
        value: Value = (
            rng.uniform(low, high) if decl.type is ValueType.FLOAT else round(rng.uniform(low, high))
        )
        with contextlib.suppress(ValueError):  # too much for the width of its register or variant
            return through(decl, value)
    return _first(decl)


def make_rig(
    device: str, profile: Profile, equipment: Equipment, broker: tuple[str, int] = ("", 0)
) -> TwinRig:
    """The device on a server of its profile's protocol; broker: host and port, for MQTT devices alone."""
    if profile.protocol == "modbus":
        return ModbusRig(device, profile, equipment)
    if profile.protocol == "opcua":
        return OpcUaRig(device, profile, equipment)
    return MqttRig(device, profile, equipment, *broker, prefix=f"field/{device}")


def gateway_text(device: str, profile: Profile, endpoint: str, folder: Path, link: str = "") -> str:
    """A gateway file for one device at ``endpoint``; folder: where its profile stands; link: more link fields."""
    host, _, port = endpoint.rpartition(":")
    where = f'url: "{endpoint}"' if profile.protocol == "opcua" else f"host: {host}, port: {port}"
    address = {"modbus": "", "opcua": f', namespace: "{NAMESPACE}"', "mqtt": f", prefix: field/{device}"}
    return (
        f"gateway: {device}-gateway\n"
        f"site: {{name: {device}, lat: 45.5, lon: -73.6}}\n"
        f"profiles: {folder.resolve()}\n"
        f"links:\n  field: {{protocol: {profile.protocol}, {where}{link}}}\n"
        f"devices:\n  - {{name: {device}, profile: {profile.profile}, link: field"
        f"{address[profile.protocol]}}}\n"
    )


def serve(profile_file: Path, twin: Twin, folder: Path, device: str = "device") -> None:
    """Serve a twin in wall-clock time until Ctrl-C; a gateway file with its endpoint goes to ``folder``."""
    asyncio.run(_serve(profile_file, twin, folder, device))


async def _serve(profile_file: Path, twin: Twin, folder: Path, device: str) -> None:
    profile = load_profile(profile_file)
    folder.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.ExitStack() as stack:
        broker = ("", 0)
        if profile.protocol == "mqtt":
            bus = stack.enter_context(Broker(folder / "broker"))
            broker = (bus.host, bus.port)
        rig = make_rig(device, profile, twin, broker)
        endpoint = await rig.start()
        try:
            file = folder / "gateway.yaml"
            file.write_text(gateway_text(device, profile, endpoint, profile_file.parent), encoding="utf-8")
            print(f"{device}: {endpoint}", flush=True)  # noqa: T201 - for whoever started it by hand
            print(f"  vigie-edge run --clock-trusted --config {file}", flush=True)  # noqa: T201
            begun = last = asyncio.get_running_loop().time()
            while not stop.is_set():
                now = asyncio.get_running_loop().time()
                twin.step(now - begun, now - last)
                last = now
                await rig.refresh(now - begun, time.time())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.2)
        finally:
            await rig.stop()
