"""The MQTT device driver: JSON and bare payloads, QoS, the device's last will as its liveness.

One broker is one link. Devices publish their state by themselves, so there is nothing to poll; ``poll``
only notices who has fallen silent. A write is done when the broker has it; what the device made of it shows
in the points it publishes.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

from vigie_protocols.driver import (
    Answer,
    Change,
    Deliver,
    DevicePoints,
    DeviceState,
    LinkState,
    WriteReport,
    WriteResult,
)
from vigie_protocols.errors import DeviceRefused, DeviceTimeout, LinkDown, PermanentError, VigieError
from vigie_protocols.gateway import Link
from vigie_protocols.mqtt.topics import TopicPoints, command, full_topic, mqtt_address, topics_of
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import (
    Acked,
    Connected,
    Denied,
    Disconnected,
    LinkConfig,
    LinkEvent,
    Received,
    Subscribed,
)
from vigie_protocols.mqttfiles import read_password, tls_context
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.pointcodec import bare_text
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl, Profile

FIRST_S: Final = 0.05
"""Bound of the jitter before the first connection: a field link belongs to one gateway alone."""
SAME_INSTANT_S: Final = 1e-6
"""Two stamps closer than this are one tick; ticks are milliseconds apart."""


class MqttDriver:
    """Driver of one broker and the devices that speak through it."""

    def __init__(
        self,
        name: str,
        link: Link,
        devices: Sequence[DevicePoints],
        deliver: Deliver,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.state = LinkState(
            name, devices={row.device.name: DeviceState(row.device.name) for row in devices}
        )
        self._link = link
        self._deliver = deliver
        self._clock = clock
        self._jitter = jitter
        self._topics = topics_of(devices)
        self._all = [one for group in self._topics.values() for one in group]
        self._rows = {row.device.name: row for row in devices}
        self._points: dict[int, tuple[DevicePoints, PointDecl]] = {
            index: (row, decl) for row in devices for index, decl in row.points
        }
        self._lives: dict[str, tuple[str, Profile]] = {}
        self._qos = {one.topic: self._rows[one.device].profile.mqtt.qos for one in self._all}
        for row in devices:
            if row.profile.mqtt.liveness is not None:
                topic = full_topic(row.device.prefix, row.profile.mqtt.liveness.topic)
                self._lives[topic] = row.device.name, row.profile
                self._qos[topic] = 1
        self._shell: AsyncMqttLink | None = None
        self._subscribed = asyncio.Event()
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._wanted_utc = 0.0
        self._wanted: set[int] = set()
        self._ready: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        self._shell = AsyncMqttLink(MqttLink(self._config(), loop.time, self._jitter), self._event)
        self._shell.start()

    async def ready(self, limit_s: float) -> bool:
        """Wait until the broker has taken the subscriptions."""
        try:
            await asyncio.wait_for(self._subscribed.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Leave the broker."""
        shell, self._shell = self._shell, None
        self.state.up = False
        if shell is not None:
            await shell.close()

    def _config(self) -> LinkConfig:
        link = self._link
        return LinkConfig(
            host=link.host or "",
            port=link.tcp_port,
            # Two gateways on one broker must never take each other's name.
            client_id=link.client_id or f"vigie-{self.state.name}-{os.urandom(4).hex()}",
            username=link.username,
            password=read_password(link.password_file),
            tls=None if link.tls is None else tls_context(link.tls),
            server_name=None if link.tls is None else link.tls.server_name,
            connect_timeout=max(1.0, link.timeout_s),
            first_delay=FIRST_S,
            min_delay=link.retry.first_s,
            max_delay=link.retry.max_s,
        )

    async def poll(self, now: float) -> float:
        """Mark as bad what has been silent for longer than its staleness limit."""
        nearest = now + 60.0
        for one in self._all:
            if not one.alive:
                continue
            end = one.arrival + one.stale_s
            if now > end:
                one.alive = False
                self._device_down(one.device, f"silent for {one.stale_s:g} s")
                self._deliver(one.bad(now))
            else:
                nearest = min(nearest, end + 0.001)
        return nearest

    async def read_all(self, now: float, utc: float) -> list[Answer]:
        """Wait, within the link's time limit, for the state messages of this tick, and give all points."""
        self._wanted_utc = utc
        self._wanted = {id(one) for one in self._all if one.stamped and not self._of_tick(one)}
        if self._wanted:
            self._ready = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._ready, self._link.timeout_s)
            except TimeoutError:
                self.state.counters.timeouts += 1
            finally:
                self._ready = None
        answers: list[Answer] = []
        for one in self._all:
            if id(one) in self._wanted or (not one.stamped and not one.alive):
                answers.append(one.bad(now))
            else:
                answers.extend(one.answers(now, trust_retained=one.stamped))
        self._wanted = set()
        return answers

    def _of_tick(self, one: TopicPoints) -> bool:
        return one.alive and abs(one.stamp - self._wanted_utc) < SAME_INSTANT_S

    async def write(self, changes: Sequence[Change]) -> WriteReport:
        """One message per command topic and instant, in order."""
        results = [WriteResult(change.index) for change in changes]
        outgoing: dict[tuple[str, float, int], tuple[str, dict[str, Value], list[int]]] = {}
        bare = 0
        for place, change in enumerate(changes):
            row, decl = self._points[change.index]
            fault = decl.refuses(change.value)
            address = mqtt_address(decl)
            if fault or address.command_topic is None:
                results[place] = WriteResult(
                    change.index, f"{decl.name} {fault or 'has no command topic'}", True
                )
                continue
            topic = full_topic(row.device.prefix, address.command_topic)
            if address.command_path is None:
                bare += 1
            key = (topic, change.instant, bare if address.command_path is None else 0)
            _, values, places = outgoing.setdefault(key, (row.device.name, {}, []))
            values[address.command_path or ""] = change.value
            places.append(place)
        messages: dict[str, int] = {}
        waits: list[tuple[asyncio.Future[None], list[int]]] = []
        for (topic, instant, _), (device, values, places) in outgoing.items():
            options = self._rows[device].profile.mqtt
            payload = (
                bare_text(values[""]).encode() if "" in values else command(options.stamp, instant, values)
            )
            try:
                waits.append((self._publish(topic, payload, options.qos), places))
                messages[device] = messages.get(device, 0) + 1
            except VigieError as error:
                self._mark(results, changes, places, error)
        await self._settle(waits, results, changes)
        return WriteReport(tuple(results), messages)

    def _publish(self, topic: str, payload: bytes, qos: int) -> asyncio.Future[None]:
        if self._shell is None:
            raise LinkDown(f"{self.state.name}: closed")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number = self._shell.publish(topic, payload, qos)
        self._acks[number] = future
        self.state.counters.requests += 1
        self.state.counters.messages += 1
        return future

    async def _settle(
        self,
        waits: Sequence[tuple[asyncio.Future[None], list[int]]],
        results: list[WriteResult],
        changes: Sequence[Change],
    ) -> None:
        if waits:
            await asyncio.wait([future for future, _ in waits], timeout=self._link.timeout_s)
        for future, places in waits:
            if not future.done():
                future.cancel()
                self.state.counters.timeouts += 1
                self._mark(results, changes, places, DeviceTimeout("the broker did not confirm in time"))
                continue
            error = future.exception()
            if isinstance(error, VigieError):
                self._mark(results, changes, places, error)
            else:
                self.state.counters.writes += 1
        self._acks = {number: future for number, future in self._acks.items() if not future.done()}

    def _mark(
        self, results: list[WriteResult], changes: Sequence[Change], places: Sequence[int], error: VigieError
    ) -> None:
        self.state.counters.failures += 1
        for place in places:
            permanent = isinstance(error, PermanentError)
            results[place] = WriteResult(changes[place].index, str(error), permanent)

    def _event(self, event: LinkEvent) -> None:
        if isinstance(event, Received):
            self._received(event)
        elif isinstance(event, Connected):
            self.state.up, self.state.error = True, ""
            self.state.counters.connects += 1
            if self._shell is not None:
                self._shell.subscribe(sorted(self._qos.items()))
        elif isinstance(event, Disconnected):
            self._disconnected(event)
        elif isinstance(event, Subscribed):
            self._subscribed.set()
        elif isinstance(event, Acked):
            self._acked(event.id, None if event.code < 0x80 else f"the broker refused: 0x{event.code:02x}")
        elif isinstance(event, Denied):
            self._acked(event.id, f"the broker denied {event.topic}: 0x{event.code:02x}")

    def _acked(self, number: int, refusal: str | None) -> None:
        future = self._acks.pop(number, None)
        if future is None or future.done():
            return
        if refusal is None:
            future.set_result(None)
        else:
            self.state.counters.refused += 1
            future.set_exception(DeviceRefused(refusal))

    def _disconnected(self, event: Disconnected) -> None:
        self.state.up, self.state.error = False, event.reason
        self._subscribed.clear()
        acks, self._acks = self._acks, {}
        for future in acks.values():
            if not future.done():
                future.set_exception(LinkDown(event.reason))
        now = self._clock()
        for one in self._all:
            if one.alive:
                one.alive = False
                self._device_down(one.device, event.reason)
                self._deliver(one.bad(now))

    def _received(self, event: Received) -> None:
        now = self._clock()
        life = self._lives.get(event.topic)
        if life is not None:
            self._liveness(life[0], life[1], event.payload, now)
        for one in self._topics.get(event.topic, ()):
            if not one.take(event.payload, event.retain, now):
                self.state.counters.malformed += 1
                continue
            self.state.counters.readings += len(one.indices)
            device = self.state.devices[one.device]
            device.up, device.error, device.last_good = True, "", now
            if self._ready is None:
                for answer in one.answers(now):
                    self._deliver(answer)
            elif self._of_tick(one):
                self._wanted.discard(id(one))
                if not self._wanted and not self._ready.done():
                    self._ready.set_result(None)

    def _liveness(self, device: str, profile: Profile, payload: bytes, now: float) -> None:
        liveness = profile.mqtt.liveness
        if liveness is None or payload != liveness.dead.encode():
            return
        self._device_down(device, "its last will says that it is gone")
        for one in self._all:
            if one.device == device:
                one.alive = False
                self._deliver(one.bad(now))

    def _device_down(self, device: str, why: str) -> None:
        state = self.state.devices[device]
        state.up, state.error, state.failures = False, why, state.failures + 1
