"""A simulated MQTT device: state messages each tick, commands by message, liveness by last will.

Messages are made from the device profile. In lock-step the device publishes each of its state messages
exactly once per tick, stamped with the tick's instant, before the tick is granted; and since MQTT answers
no command, the simulator asks with ``wait_commands`` for as many as the agent says it has sent.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from vigie_protocols.addresses import MqttAddress
from vigie_protocols.errors import LinkDown, PermanentError, TransientError
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import (
    Connected,
    Disconnected,
    LinkConfig,
    LinkEvent,
    Received,
    Subscribed,
    Will,
)
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.pointcodec import decode_point, encode_point
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl, Profile
from vigie_sim.equipment import Equipment, EquipmentRig


class MqttRig(EquipmentRig):
    """One device on a broker; its topics are ``PREFIX/topic``.

    wall_limit_s: how long ``start`` waits for the broker and ``wait_commands`` for messages.
    refused: command messages that were malformed or asked for what cannot be.
    unsent: state messages that were not published since the broker was away.
    """

    def __init__(
        self,
        device: str,
        profile: Profile,
        equipment: Equipment,
        host: str,
        port: int,
        prefix: str,
        wall_limit_s: float = 30.0,
    ) -> None:
        super().__init__(device, profile, equipment)
        self.host = host
        self.port = port
        self.prefix = prefix
        self.wall_limit_s = wall_limit_s
        self.refused = 0
        self.unsent = 0
        self._options = profile.mqtt
        self._messages = {
            topic: StateMessage(fields, self._options.stamp)
            for topic, fields in _state_messages(self.points).items()
        }
        self._commands = _command_messages(self.points)
        self._ready = asyncio.Event()
        self._arrived = asyncio.Event()
        self._link: AsyncMqttLink | None = None

    async def start(self) -> str:
        """Connect, subscribe, say that the device lives; the endpoint is ``HOST:PORT`` of the broker."""
        config = LinkConfig(
            self.host, self.port, f"sim-{self.device}", first_delay=0.0, min_delay=0.05, max_delay=1.0
        )
        link = MqttLink(config, asyncio.get_running_loop().time, random.random, self._will)
        self._link = AsyncMqttLink(link, self._on_event)
        self._link.start()
        try:
            async with asyncio.timeout(self.wall_limit_s):
                await self._ready.wait()
        except TimeoutError:
            await self.stop()
            raise LinkDown(f"{self.device}: no broker at {self.host}:{self.port}") from None
        return f"{self.host}:{self.port}"

    async def refresh(self, now: float, utc: float) -> None:
        """Publish the state stamped ``utc``."""
        self.now, self.utc, self.commands_seen = now, utc, 0
        if not self._ready.is_set():
            self.unsent += 1
            return
        values = self.shown()
        for topic, message in self._messages.items():
            self._publish(topic, message.payload(values, utc))

    async def wait_commands(self, count: int) -> None:
        """Return once ``count`` command messages came since the last ``refresh``; raises TransientError."""
        try:
            async with asyncio.timeout(self.wall_limit_s):
                while self.commands_seen < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            seen = self.commands_seen
            raise TransientError(
                f"{self.device}: {seen} of {count} commands came in {self.wall_limit_s:g} s"
            ) from None

    async def stop(self) -> None:
        """Say that the device is gone and leave the broker."""
        live = self._options.liveness
        if live is not None and self._ready.is_set():
            self._publish(live.topic, live.dead.encode(), retain=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _will(self) -> Will | None:
        live = self._options.liveness
        return None if live is None else Will(self._topic(live.topic), live.dead.encode(), qos=1, retain=True)

    def _topic(self, topic: str) -> str:
        return f"{self.prefix}/{topic}" if self.prefix else topic

    def _publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        if self._link is None:
            return
        try:
            self._link.publish(self._topic(topic), payload, qos=self._options.qos, retain=retain)
        except TransientError:
            self.unsent += 1

    def _on_event(self, event: LinkEvent) -> None:
        if isinstance(event, Connected) and self._link is not None:
            if self._commands:
                self._link.subscribe([(self._topic(topic), self._options.qos) for topic in self._commands])
            else:
                self._ready.set()
            if self._options.liveness is not None:
                self._publish(
                    self._options.liveness.topic, self._options.liveness.alive.encode(), retain=True
                )
        elif isinstance(event, Subscribed):
            self._ready.set()
        elif isinstance(event, Disconnected):
            self._ready.clear()
        # A retained command is from the past: acting on it would be acting on nobody's word.
        elif isinstance(event, Received) and not event.retain:
            self._take(event.topic, event.payload)

    def _take(self, topic: str, payload: bytes) -> None:
        self.commands_seen += 1
        self._arrived.set()
        try:
            instant, values = self._parse(topic, payload)
            self.apply(instant, values)
        except (ValueError, PermanentError):
            self.refused += 1

    def _parse(self, topic: str, payload: bytes) -> tuple[float, dict[str, Value]]:
        """The command's instant in simulated seconds and its values; raises ValueError."""
        relative = topic[len(self.prefix) + 1 :] if self.prefix else topic
        fields = self._commands[relative]
        if len(fields) == 1 and fields[0][1] is None:
            decl = fields[0][0]
            return self.now, {decl.point: decode_point(decl, payload.decode())}
        try:
            body = msgspec.json.decode(payload)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
        values = {}
        for decl, parts in fields:
            raw = _dig(body, parts or ())
            if raw is not None:
                values[decl.point] = decode_point(decl, raw)
        stamp = body.get(self._options.stamp)
        # Stamps are UTC; the tick's two clocks give the simulated second.
        instant = self.now if not isinstance(stamp, int | float) else stamp - self.utc + self.now
        return instant, values


Fields = list[tuple[PointDecl, tuple[str, ...] | None]]
"""Points of one message with their way into it; None: the payload is the value itself."""


def _parts(path: str | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(path.split("."))


def _state_messages(points: Mapping[str, PointDecl]) -> dict[str, Fields]:
    messages: dict[str, Fields] = {}
    for decl in points.values():
        address = decl.address
        if not isinstance(address, MqttAddress):
            raise PermanentError(f"{decl.name} has no MQTT address")
        messages.setdefault(address.topic, []).append((decl, _parts(address.path)))
    return messages


def _command_messages(points: Mapping[str, PointDecl]) -> dict[str, Fields]:
    messages: dict[str, Fields] = {}
    for decl in points.values():
        address = decl.address
        if decl.writable and isinstance(address, MqttAddress) and address.command_topic is not None:
            messages.setdefault(address.command_topic, []).append((decl, _parts(address.command_path)))
    return messages


class StateMessage:
    """Makes one state message from values by point name; its shape is worked out once.

    A field at the top is set directly, a complete array at the top in one go, all else piece by piece.
    """

    def __init__(self, fields: Fields, stamp: str) -> None:
        self._stamp = stamp
        self._bare = fields[0][0] if len(fields) == 1 and fields[0][1] is None else None
        self._single = [
            (parts[0], decl.point) for decl, parts in fields if parts is not None and len(parts) == 1
        ]
        arrays: dict[str, dict[str, str]] = {}
        for decl, parts in fields:
            if parts is not None and len(parts) == 2:
                arrays.setdefault(parts[0], {})[parts[1]] = decl.point
        self._arrays = [
            (name, [places[str(place)] for place in range(len(places))])
            for name, places in arrays.items()
            if set(places) == {str(place) for place in range(len(places))}
        ]
        whole = {name for name, _ in self._arrays}
        self._deep = [
            (parts, decl.point)
            for decl, parts in fields
            if parts is not None and len(parts) > 1 and not (len(parts) == 2 and parts[0] in whole)
        ]

    def payload(self, values: Mapping[str, Value], utc: float) -> bytes:
        """The message stamped ``utc``, or the bare value as text."""
        if self._bare is not None:
            return str(encode_point(self._bare, values[self._bare.point])).encode()
        body: dict[str, Any] = {self._stamp: utc}
        for name, point in self._single:
            body[name] = values[point]
        for name, points in self._arrays:
            body[name] = [values[point] for point in points]
        for parts, point in self._deep:
            _put(body, parts, values[point])
        return msgspec.json.encode(body)


def _put(body: dict[str, Any], parts: tuple[str, ...], value: object) -> None:
    """Set a value deep in a message; whole numbers are places in arrays, which grow as needed."""
    here: Any = body
    for part, after in zip(parts, (*parts[1:], None), strict=True):
        fresh: object = value if after is None else [] if after.isdecimal() else {}
        if isinstance(here, list):
            place = int(part)
            here.extend([None] * (place + 1 - len(here)))
            if after is None or here[place] is None:
                here[place] = fresh
            here = here[place]
        else:
            here = here.setdefault(part, fresh)


def _dig(body: Any, parts: tuple[str, ...]) -> Any:
    for part in parts:
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body
