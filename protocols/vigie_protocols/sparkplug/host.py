"""A Sparkplug B 3.0 host application as a pure state machine: no socket, no clock.

``now`` is monotonic seconds (time-outs); ``utc`` is UTC milliseconds (what is written and shown).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vigie_protocols.sparkplug.actions import Problem, Publish, Subscribe
from vigie_protocols.sparkplug.model import Codec, Metric

NodeId = tuple[str, str]
"""(group, node)."""


@dataclass(frozen=True, slots=True)
class Born:
    """A birth certificate: of the node when ``device`` is empty, else of the device."""

    node: NodeId
    device: str
    metrics: tuple[Metric, ...]
    timestamp: int
    rebirth: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Samples, with names and datatypes resolved. Carrier metrics (Vigie/...) are among them."""

    node: NodeId
    device: str
    metrics: tuple[Metric, ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class Died:
    """Offline: every metric of it is STALE from ``timestamp`` on. A node's death takes its devices along."""

    node: NodeId
    device: str
    timestamp: int
    reason: str


HostAction = Subscribe | Publish | Born | Data | Died | Problem


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Who this host is. ``groups``: those it hosts, empty for all. ``reorder_timeout`` in seconds."""

    host_id: str
    groups: tuple[str, ...] = ()
    reorder_timeout: float = 2.0
    max_nodes: int = 20_000
    max_held: int = 64


class Host:
    """The host. ``allow_rebirth(node, now)`` says whether a rebirth may be requested now."""

    def __init__(
        self,
        config: HostConfig,
        allow_rebirth: Callable[[NodeId, float], bool] | None = None,
        codec: Codec | None = None,
    ) -> None: ...

    def will(self, utc: int) -> Publish:
        """The STATE offline for the next CONNECT; fixes the timestamp of this session."""
        ...

    def connected(self, now: float, utc: int) -> list[HostAction]:
        """CONNACK came: subscriptions, then STATE online."""
        ...

    def disconnected(self) -> list[HostAction]:
        """The connection is gone: nothing is known to be dead, but nothing is held either."""
        ...

    def received(self, topic: str, payload: bytes, now: float, utc: int) -> list[HostAction]:
        """A message of the namespace came."""
        ...

    def tick(self, now: float, utc: int) -> list[HostAction]:
        """Time passes: reorder time-outs, rebirth requests that had to wait."""
        ...

    def deadline(self) -> float | None:
        """When ``tick`` has something to do, None when nothing waits."""
        ...

    def command(self, node: NodeId, device: str, values: Mapping[str, Metric], utc: int) -> Publish:
        """An NCMD or DCMD; values by metric name."""
        ...

    def request_rebirth(self, node: NodeId, now: float, utc: int) -> list[HostAction]:
        """Ask a node for its births, as far as the governor allows."""
        ...
