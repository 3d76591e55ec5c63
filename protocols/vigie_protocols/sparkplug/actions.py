"""What the edge node and the host ask of the MQTT client that carries them.

Both machines are pure: they return these in the order in which they must be done.
"""

from dataclasses import dataclass

import msgspec

from vigie_protocols.sparkplug.model import Metric

BIRTH = "birth"
DATA = "data"
DEATH = "death"
COMMAND = "command"
STATE = "state"

NodeId = tuple[str, str]
"""(group, node)."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to these (topic filter, QoS) pairs in one request."""

    filters: tuple[tuple[str, int], ...]


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish one message. ``kind`` is one of the words above, for counters."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    kind: str = DATA


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Leave this broker with a DISCONNECT packet; ``next_server``: walk to the next one.

    With MQTT 5 the packet must say "disconnect with will message" (``MqttLink.close(with_will=True)``).
    """

    reason: str
    next_server: bool = False


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A foreign host's NCMD or DCMD wants values written: at most a *request* for a lease.

    device: empty for the node. metrics: with names resolved, in the order of the message.
    """

    device: str
    metrics: tuple[Metric, ...]
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something received was wrong and was dropped; ``code`` is a stable word for counters."""

    code: str
    detail: str


EdgeAction = Subscribe | Publish | Disconnect | CommandReceived | Problem


@dataclass(frozen=True, slots=True)
class Born:
    """A birth certificate: of the node when ``device`` is empty, else of the device.

    metrics: all it will ever use, with names, data types and aliases; not bdSeq and the rebirth control.
    """

    node: NodeId
    device: str
    metrics: tuple[Metric, ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class Data:
    """Samples, with names and data types resolved; the carrier metrics (Vigie/...) are among them."""

    node: NodeId
    device: str
    metrics: tuple[Metric, ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class Died:
    """Offline: every metric of it is stale from ``timestamp`` on (a node's death: of its devices too)."""

    node: NodeId
    device: str
    timestamp: int
    reason: str


HostAction = Subscribe | Publish | Born | Data | Died | Problem
