"""What an MQTT link is told and tells: its configuration, its states, its events."""

from dataclasses import dataclass, field
from enum import Enum
from ssl import SSLContext

import msgspec

from vigie_protocols.errors import TransientError

MQTT5 = 5
MQTT311 = 4
NOT_AUTHORISED = 0x87


class QueueFull(TransientError):
    """Too much waits to be sent or acknowledged already: keep the message, try again later."""


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Where and how to connect. Times in seconds, sizes in bytes.

    The n-th try in a row waits ``jitter() * min(max_delay, min_delay * 2**n)``; the very first
    ``jitter() * first_delay``. max_queued and max_queued_bytes bound what waits for the socket or a PUBACK.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: SSLContext | None = None
    server_name: str | None = None
    keepalive: int = 30
    connect_timeout: float = 10.0
    first_delay: float = 1.0
    min_delay: float = 1.0
    max_delay: float = 60.0
    max_inflight: int = 200
    max_queued: int = 5000
    max_queued_bytes: int = 16 << 20
    max_packet: int = 8 << 20
    protocols: tuple[int, ...] = (MQTT5, MQTT311)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when this connection breaks."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us; ``protocol`` is MQTT5 or MQTT311. Subscribe now: sessions are clean."""

    protocol: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone or could not be made.

    lost: ids of publishes whose PUBACK (QoS 0: whose way to the socket) did not come. next_try: when the
    next try begins on the clock, None after ``close``.
    """

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


class Acked(msgspec.Struct, frozen=True, gc=False):
    """A publish is done: at QoS 0 the kernel has it, at QoS 1 its PUBACK came (code 0x10: no subscriber)."""

    id: int
    code: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """The broker refused a publish (MQTT 5 alone can tell); NOT_AUTHORISED is worth an alarm."""

    id: int
    code: int
    topic: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered a subscription: per filter the QoS granted, 0x80 and above is a refusal."""

    id: int
    codes: tuple[int, ...]


LinkEvent = Connected | Disconnected | Received | Acked | Denied | Subscribed


class LinkState(Enum):
    """Where a link stands."""

    IDLE = "idle"
    WAITING = "waiting for the next try"
    CONNECTING = "connecting"
    GREETING = "waiting for CONNACK"
    UP = "connected"
    LEAVING = "leaving"
