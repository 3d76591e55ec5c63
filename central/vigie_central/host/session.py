"""The coordinator's one connection to the broker: Sparkplug host and Vigie's own channel over it."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable

import structlog

from vigie_central.host.alarms import Alarms
from vigie_central.host.fleet import Fleet
from vigie_central.host.ingest import Ingest
from vigie_protocols import channel
from vigie_protocols.errors import FrameError, TransientError
from vigie_protocols.mqttasync import AsyncMqttLink
from vigie_protocols.mqttevents import (
    Acked,
    Connected,
    Denied,
    Disconnected,
    LinkConfig,
    LinkEvent,
    Received,
    Will,
)
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.sparkplug.actions import (
    COMMAND,
    Born,
    Data,
    Died,
    HostAction,
    Problem,
    Publish,
    Subscribe,
)
from vigie_protocols.sparkplug.governor import RebirthGovernor
from vigie_protocols.sparkplug.host import Host, HostConfig
from vigie_protocols.sparkplug.topics import parse_topic

log = structlog.get_logger("vigie.host")
SPARKPLUG = "spBv1.0/"


def utc_ms() -> int:
    """UTC in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Session:
    """Drives the pure host machine over MQTT and passes on what it says.

    on_connected(): the broker took us (bundles must be published again).
    on_reported(gateway, reported): a gateway's policy state. on_response(gateway, response): its answer to a
    command. on_born(gateway): a node birth.
    """

    def __init__(
        self,
        config: HostConfig,
        link: LinkConfig,
        fleet: Fleet,
        alarms: Alarms,
        *,
        on_connected: Callable[[], None],
        on_reported: Callable[[str, channel.Reported], None],
        on_response: Callable[[str, channel.Response], None],
        on_born: Callable[[str], None],
    ) -> None:
        self.fleet = fleet
        self.alarms = alarms
        self.governor = RebirthGovernor()
        self.host = Host(config, self.governor)
        self.ingest: Ingest | None = None
        self.problems: dict[str, int] = {}
        self.received = 0
        self._on_connected = on_connected
        self._on_reported = on_reported
        self._on_response = on_response
        self._on_born = on_born
        self._link = MqttLink(link, time.monotonic, random.random, self._will)
        self._driver = AsyncMqttLink(self._link, self._event)
        self._ticker: asyncio.Task[None] | None = None
        self._farewell: int | None = None
        self._said = asyncio.Event()
        self._up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """True while the broker has us."""
        return self._link.connected

    @property
    def queued(self) -> tuple[int, int]:
        """(messages, bytes) waiting to leave."""
        return self._link.queued

    def start(self) -> None:
        """Begin to connect; never gives up."""
        self._driver.start()
        self._ticker = asyncio.create_task(self._tick(), name="host-ticker")

    async def wait_connected(self, timeout: float) -> bool:
        """Wait for the first connection; False when it takes longer."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Say offline on the STATE topic and leave."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._link.connected:
            try:
                for action in self.host.stop(utc_ms()):
                    if isinstance(action, Publish):
                        self._farewell = self._driver.publish(
                            action.topic, action.payload, action.qos, action.retain
                        )
                async with asyncio.timeout(2.0):
                    await self._said.wait()
            except (TransientError, TimeoutError):
                log.warning("left without saying so; the broker publishes our will")
        await self._driver.close()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send at QoS 1 on Vigie's channel; False when it could not be queued now."""
        return self._publish(topic, payload, 1, retain)

    def acknowledge(self, gateway: str, ack: channel.Ack) -> None:
        """Tell a gateway what is durable. A lost one costs a repetition, nothing else."""
        self.publish(channel.topic(gateway, channel.ACK), channel.encode(ack))

    # -- events of the link -------------------------------------------------------------------------

    def _will(self) -> Will:
        offline = self.host.will(utc_ms())
        return Will(offline.topic, offline.payload, offline.qos, offline.retain)

    def _event(self, event: LinkEvent) -> None:
        if isinstance(event, Received):
            self.received += 1
            if event.topic.startswith(SPARKPLUG):
                self._do(self.host.received(event.topic, event.payload, time.monotonic(), utc_ms()))
            else:
                self._own_channel(event)
        elif isinstance(event, Connected):
            log.info("broker took us", protocol=event.protocol)
            self._up.set()
            self._subscribe((("vigie/v1/+/reported", 1), ("vigie/v1/+/resp", 1)))
            self._do(self.host.connected(time.monotonic(), utc_ms()))
            self._on_connected()
        elif isinstance(event, Disconnected):
            if event.was_connected:
                log.warning("broker lost", reason=event.reason)
                self._do(self.host.disconnected())
        elif isinstance(event, Acked):
            if event.id == self._farewell:
                self._said.set()
        elif isinstance(event, Denied):
            self._count("denied")
            log.warning("broker refused", topic=event.topic, code=event.code)

    def _own_channel(self, event: Received) -> None:
        try:
            gateway, what, _ = channel.parse_topic(event.topic)
            if what == channel.REPORTED and event.payload:
                self._on_reported(gateway, channel.decode_reported(event.payload))
            elif what == channel.RESP:
                self._on_response(gateway, channel.decode_response(event.payload))
        except FrameError as why:
            self._count("channel")
            log.warning("message dropped", topic=event.topic, reason=str(why))

    def _do(self, actions: Iterable[HostAction]) -> None:
        partial = False
        for action in actions:
            if isinstance(action, Data):
                if self.ingest is not None:
                    self.ingest.take(action, partial=partial)
                partial = False
            elif isinstance(action, Publish):
                sent = self._publish(action.topic, action.payload, action.qos, action.retain)
                if sent and action.kind == COMMAND:
                    topic = parse_topic(action.topic)
                    self.fleet.gateway((topic.group, topic.node)).counters.rebirths_requested += 1
            elif isinstance(action, Born):
                self._born(action)
            elif isinstance(action, Died):
                self.fleet.died(action)
                if not action.device:
                    self.alarms.offline(action.node[1], action.timestamp, f"session ended: {action.reason}")
                    log.info("gateway offline", gateway=action.node[1], reason=action.reason)
            elif isinstance(action, Subscribe):
                self._subscribe(action.filters)
            elif isinstance(action, Problem):
                self._count(action.code)
                partial = action.code == "unknown-metric"
                log.debug("sparkplug message dropped", code=action.code, detail=action.detail)

    def _born(self, birth: Born) -> None:
        self.fleet.born(birth)
        if not birth.device:
            gateway = birth.node[1]
            self.alarms.online(gateway)
            if self.ingest is not None:
                self.ingest.acknowledge_again(gateway)
            self._on_born(gateway)

    def _count(self, code: str) -> None:
        self.problems[code] = self.problems.get(code, 0) + 1

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> bool:
        try:
            self._driver.publish(topic, payload, qos, retain)
        except TransientError:
            self._count("not-sent")
            return False
        return True

    def _subscribe(self, filters: Iterable[tuple[str, int]]) -> None:
        try:
            self._driver.subscribe(tuple(filters))
        except TransientError:
            self._count("not-sent")

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            due = self.host.deadline()
            if due is not None and due <= now:
                self._do(self.host.tick(now, utc_ms()))
            await asyncio.sleep(0.1)
