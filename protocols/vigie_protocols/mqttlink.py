"""One MQTT connection without threads, for a select loop or for asyncio.

The link reconnects by itself with full jitter, speaks MQTT 5 and falls back to 3.1.1, bounds what waits,
and tells everything as events. Whoever hosts it calls ``on_readable``, ``on_writable`` and
``housekeeping`` (a select loop) or hands it to ``AsyncMqttLink`` (asyncio).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ssl import SSLContext


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Where and how to connect. Times in seconds, sizes in bytes."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls: SSLContext | None = None
    keepalive: int = 30
    connect_timeout: float = 10.0
    first_delay: float = 1.0
    min_delay: float = 0.5
    max_delay: float = 60.0
    max_inflight: int = 200
    max_queued: int = 5000
    max_queued_bytes: int = 16 << 20
    max_packet: int = 8 << 20
    protocols: tuple[int, ...] = (5, 4)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when this connection breaks."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us; ``protocol`` is 5 or 4 (3.1.1)."""

    protocol: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone or could not be made; ``lost`` are the ids of publishes without PUBACK."""

    reason: str
    was_connected: bool
    lost: tuple[int, ...]
    next_try: float | None


@dataclass(frozen=True, slots=True)
class Received:
    """A message for us."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Acked:
    """A publish left: at QoS 0 it was written to the socket, at QoS 1 its PUBACK came.

    code: MQTT 5 reason code; below 0x80 is success (0x10: nobody subscribes).
    """

    id: int
    code: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """The broker refused a publish or a subscription (MQTT 5 alone can tell): 0x87 is "not authorised"."""

    id: int
    code: int
    topic: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered a subscription; codes below 0x80 are the QoS granted."""

    id: int
    codes: tuple[int, ...]


LinkEvent = Connected | Disconnected | Received | Acked | Denied | Subscribed


class MqttLink:
    """The connection. ``clock`` gives monotonic seconds, ``jitter`` a number in [0, 1)."""

    def __init__(
        self,
        config: LinkConfig,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        will: Callable[[], Will | None] = lambda: None,
    ) -> None:
        """``will`` is asked for anew before each CONNECT."""

    def start(self) -> None:
        """Begin: the first try comes after ``jitter() * first_delay``."""

    def close(self, *, with_will: bool = False) -> list[LinkEvent]:
        """Leave with DISCONNECT (MQTT 5 ``with_will``: the broker publishes the will) and stay away."""
        ...

    def reconnect(self, reason: str) -> list[LinkEvent]:
        """Leave with DISCONNECT and begin again after a jittered delay."""
        ...

    def fileno(self) -> int | None:
        """The socket to wait for, None between connections."""
        ...

    def want_write(self) -> bool:
        """True when the socket should also be waited for to become writable."""
        ...

    def on_readable(self) -> list[LinkEvent]:
        """Call when the socket is readable."""
        ...

    def on_writable(self) -> list[LinkEvent]:
        """Call when the socket is writable."""
        ...

    def housekeeping(self) -> list[LinkEvent]:
        """Call at ``deadline`` or at least once a second: connecting, time-outs, keep-alive."""
        ...

    def deadline(self) -> float | None:
        """Until when ``housekeeping`` may wait, on the clock."""
        ...

    @property
    def connected(self) -> bool:
        """True between Connected and Disconnected."""
        ...

    @property
    def queued(self) -> tuple[int, int]:
        """(messages, bytes) that wait for the socket or for their PUBACK."""
        ...

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Send; gives an id that Acked, Denied or Disconnected.lost will name.

        Raises LinkDown when not connected, QueueFull (transient) when too much waits already.
        """
        ...

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> int:
        """Subscribe to (filter, QoS) pairs; raises LinkDown. Not remembered: subscribe on Connected."""
        ...


class AsyncMqttLink:
    """Drives a link by the running asyncio loop (add_reader, add_writer, call_at)."""

    def __init__(self, link: MqttLink, on_event: Callable[[LinkEvent], None]) -> None: ...

    def start(self) -> None:
        """Begin to connect; events come by ``on_event`` from the loop."""

    def kick(self) -> None:
        """Call after publishes outside ``on_event``, so that the socket is watched for writing."""

    async def close(self) -> None:
        """Leave the broker and stop watching."""
