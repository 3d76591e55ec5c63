"""A Sparkplug B 3.0 host application as a pure state machine: no socket, no clock.

``now`` is monotonic seconds (time-outs); ``utc`` is UTC milliseconds (what is written and shown). The
actions are to be carried out in order: what is to be sent, and what has been learned (births, data,
deaths). When a node dies, all its devices die with it; when anything dies, all its metrics are stale.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vigie_protocols.errors import FrameError, Refused
from vigie_protocols.sparkplug.actions import (
    COMMAND,
    STATE,
    Born,
    Data,
    Died,
    HostAction,
    NodeId,
    Problem,
    Publish,
    Subscribe,
)
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.governor import RebirthGovernor
from vigie_protocols.sparkplug.model import Codec, DataType, Metric, MetricValue, Payload
from vigie_protocols.sparkplug.state import HostState, decode_state, encode_state
from vigie_protocols.sparkplug.topics import (
    NAMESPACE,
    Topic,
    Verb,
    device_topic,
    node_topic,
    parse_topic,
    state_topic,
)

__all__ = ["Born", "Data", "Died", "Governor", "Host", "HostAction", "HostConfig", "NodeId", "NodeView"]

BDSEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
ASK_AGAIN = 0.25
"""Seconds until the governor is asked again for rebirths that had to wait."""


class Governor(Protocol):
    """Says whether a rebirth may be asked for; ``RebirthGovernor`` is the usual one."""

    def __call__(self, node: NodeId, now: float) -> bool:
        """True when the request may go out now."""
        ...

    def born(self, node: NodeId) -> None:
        """The node sent its births."""
        ...


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Who this host is.

    groups: those it hosts, empty for all. reorder_timeout: seconds a gap may stay open. silence_timeout:
    seconds that a node, asked for its births after our own absence, may take before it counts as dead.
    max_held, max_held_bytes: messages kept per node, bytes over all nodes, while a gap is open.
    """

    host_id: str
    groups: tuple[str, ...] = ()
    reorder_timeout: float = 2.0
    silence_timeout: float = 30.0
    max_nodes: int = 20_000
    max_held: int = 64
    max_held_bytes: int = 32 << 20


@dataclass(slots=True)
class NodeView:
    """What is known of a node. ``births``: per device ("" for the node) its metrics by alias and name."""

    online: bool = False
    bdseq: int = -1
    births: dict[str, dict[int | str, Metric]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    """The devices that are online."""
    expected: int = 0
    adrift: bool = False
    """The order is lost (a gap timed out, or we were away): taken as it comes until the next birth."""
    unconfirmed: set[str] = field(default_factory=set)
    """Devices online before a rebirth that have not been born again yet."""
    held: dict[int, tuple[str, bytes]] = field(default_factory=dict)


class Host:
    """The host application."""

    def __init__(
        self, config: HostConfig, governor: Governor | None = None, codec: Codec | None = None
    ) -> None:
        self.config = config
        self.nodes: dict[NodeId, NodeView] = {}
        """Every node ever heard of; to be read only."""
        self._governor: Governor = governor or RebirthGovernor()
        self._codec: Codec = codec or SparkplugB()
        self._state = state_topic(config.host_id)
        self._since = 0
        self._up = False
        self._gaps: dict[NodeId, float] = {}
        self._wanted: dict[NodeId, None] = {}
        self._silent: dict[NodeId, float] = {}
        self._held_bytes = 0
        self._ask_at = 0.0

    # -- the session ---------------------------------------------------------------------------------

    def will(self, utc: int) -> Publish:
        """The STATE offline to register with the next CONNECT; fixes this session's timestamp."""
        self._since = utc
        return Publish(self._state, encode_state(HostState(False, utc)), 1, True, STATE)

    def connected(self, now: float, utc: int) -> list[HostAction]:
        """CONNACK came: subscriptions, then STATE online; nodes known from before are asked for births."""
        self._up = True
        groups = self.config.groups
        filters = [(f"{NAMESPACE}/{group}/#", 1) for group in groups] if groups else [(f"{NAMESPACE}/#", 1)]
        for node_id, node in self.nodes.items():
            if node.online:
                self._wanted[node_id] = None
                self._silent[node_id] = math.inf
        return [Subscribe(((self._state, 1), *filters)), self._online(), *self._ask_wanted(now, utc)]

    def disconnected(self) -> list[HostAction]:
        """The connection is gone: nobody is known to be dead, but the order of all nodes is lost."""
        self._up = False
        self._gaps.clear()
        self._wanted.clear()
        self._silent.clear()
        self._held_bytes = 0
        for node in self.nodes.values():
            node.held.clear()
            node.adrift = True
        return []

    def stop(self, utc: int) -> list[HostAction]:
        """Leave on purpose: STATE offline, never older than our birth; a DISCONNECT packet must follow."""
        self._up = False
        state = HostState(False, max(utc, self._since))
        return [Publish(self._state, encode_state(state), 1, True, STATE)]

    def received(self, topic: str, payload: bytes, now: float, utc: int) -> list[HostAction]:
        """A message of the namespace came; what does not follow the rules is a Problem, never an error."""
        if not self._up:
            return []
        try:
            parts = parse_topic(topic)
            if parts.verb is Verb.STATE:
                return self._own_state(parts, payload)
            if parts.verb in (Verb.NCMD, Verb.DCMD) or not self._hosted(parts.group):
                return []
            node_id = (parts.group, parts.node)
            node = self.nodes.get(node_id)
            if node is None:
                if len(self.nodes) >= self.config.max_nodes:
                    return [Problem("too-many-nodes", topic)]
                node = self.nodes[node_id] = NodeView()
            if parts.verb is Verb.NBIRTH:
                return self._node_birth(node_id, node, payload, utc)
            if parts.verb is Verb.NDEATH:
                return self._node_death(node_id, node, payload, utc)
            return self._in_order(node_id, node, parts, topic, payload, now, utc)
        except FrameError as why:
            return [Problem("malformed", f"{topic[:200]}: {why}")]

    def tick(self, now: float, utc: int) -> list[HostAction]:
        """Time passes: gaps that did not fill, births that had to wait, nodes that do not answer."""
        actions: list[HostAction] = []
        for node_id in [n for n, until in self._gaps.items() if until <= now]:
            actions += self._give_up(node_id, "a message of the node is missing", now, utc)
        for node_id in [n for n, until in self._silent.items() if until <= now]:
            del self._silent[node_id]
            self._wanted.pop(node_id, None)
            actions += self._bury(node_id, self.nodes[node_id], utc, "no answer after the host was away")
        return actions + self._ask_wanted(now, utc)

    def deadline(self) -> float | None:
        """When ``tick`` has something to do on the clock of ``now``; None when nothing waits."""
        asking = (self._ask_at,) if self._wanted else ()
        first = min((*asking, *self._gaps.values(), *self._silent.values()), default=math.inf)
        return None if first == math.inf else first

    # -- commands ------------------------------------------------------------------------------------

    def command(self, node: NodeId, device: str, values: Mapping[str, MetricValue], utc: int) -> Publish:
        """An NCMD (``device`` empty) or DCMD; raises Refused when the births do not know a metric."""
        view = self.nodes.get(node)
        known = view.births.get(device) if view is not None and view.online else None
        if known is None:
            raise Refused("offline", f"{'/'.join(node)} {device} is not online")
        metrics: list[Metric] = []
        for name, value in values.items():
            birth = known.get(name)
            if birth is None:
                raise Refused("unknown-metric", f"{'/'.join(node)} {device} has no metric {name!r}")
            metrics.append(Metric(name, value, birth.datatype, birth.alias, utc))
        return self._command(node, device, metrics, utc)

    def request_rebirth(self, node: NodeId, now: float, utc: int) -> list[HostAction]:
        """Ask a node for its births as soon as the governor allows."""
        if self._governor(node, now):
            self._wanted.pop(node, None)
            if node in self._silent:
                self._silent[node] = now + self.config.silence_timeout
            metric = Metric(REBIRTH, True, DataType.BOOLEAN, None, utc)
            return [self._command(node, "", [metric], utc)]
        if not self._wanted:
            self._ask_at = now + ASK_AGAIN
        self._wanted[node] = None
        return []

    # -- inside --------------------------------------------------------------------------------------

    def _hosted(self, group: str) -> bool:
        return not self.config.groups or group in self.config.groups

    def _online(self) -> Publish:
        return Publish(self._state, encode_state(HostState(True, self._since)), 1, True, STATE)

    def _own_state(self, topic: Topic, payload: bytes) -> list[HostAction]:
        if topic.node != self.config.host_id or decode_state(payload).online:
            return []
        return [self._online()]

    def _command(self, node: NodeId, device: str, metrics: list[Metric], utc: int) -> Publish:
        group, name = node
        topic = device_topic(Verb.DCMD, group, name, device) if device else node_topic(Verb.NCMD, group, name)
        body = self._codec.encode(Payload(tuple(metrics), utc, None), lean=True)
        return Publish(topic, body, kind=COMMAND)

    def _ask_wanted(self, now: float, utc: int) -> list[HostAction]:
        actions: list[HostAction] = []
        for node in list(self._wanted):
            actions += self.request_rebirth(node, now, utc)
        self._ask_at = now + ASK_AGAIN
        return actions

    def _node_birth(self, node_id: NodeId, node: NodeView, payload: bytes, utc: int) -> list[HostAction]:
        message = self._codec.decode(payload)
        bdseq = next((metric.value for metric in message.metrics if metric.name == BDSEQ), None)
        if message.seq is None or not isinstance(bdseq, int):
            return [Problem("malformed", f"NBIRTH of {'/'.join(node_id)} without seq or bdSeq")]
        own = tuple(metric for metric in message.metrics if metric.name not in (BDSEQ, REBIRTH))
        births = _by_name(own)
        actions: list[HostAction] = []
        if node.online and node.bdseq != bdseq:
            # A new session whose NDEATH we have not seen (yet): its devices must be born again.
            actions += self._bury(node_id, node, utc, "a new session began")
        node.online = True
        node.bdseq = bdseq
        node.births = {"": births}
        node.unconfirmed = node.devices
        node.devices = set()
        self._settle(node_id, node, message.seq)
        self._governor.born(node_id)
        self._wanted.pop(node_id, None)
        actions.append(Born(node_id, "", own, utc if message.timestamp is None else message.timestamp))
        return actions

    def _node_death(self, node_id: NodeId, node: NodeView, payload: bytes, utc: int) -> list[HostAction]:
        message = self._codec.decode(payload)
        bdseq = next((metric.value for metric in message.metrics if metric.name == BDSEQ), None)
        if not node.online or bdseq != node.bdseq:
            return [Problem("old-death", f"NDEATH of {'/'.join(node_id)} with bdSeq {bdseq!r}")]
        return self._bury(node_id, node, utc, "the node said so")

    def _bury(self, node_id: NodeId, node: NodeView, utc: int, reason: str) -> list[HostAction]:
        node.online = False
        node.devices = set()
        node.unconfirmed = set()
        self._settle(node_id, node, 255)
        return [Died(node_id, "", utc, reason)]

    def _settle(self, node_id: NodeId, node: NodeView, seq: int) -> None:
        self._held_bytes -= sum(len(payload) for _, payload in node.held.values())
        node.held.clear()
        node.adrift = False
        node.expected = (seq + 1) % 256
        self._gaps.pop(node_id, None)
        self._silent.pop(node_id, None)

    def _in_order(
        self, node_id: NodeId, node: NodeView, parts: Topic, topic: str, payload: bytes, now: float, utc: int
    ) -> list[HostAction]:
        if not node.online:
            return [Problem("not-born", topic), *self.request_rebirth(node_id, now, utc)]
        message = self._codec.decode(payload, node.births.get(parts.device))
        if message.seq is None:
            return [Problem("malformed", f"{topic}: without seq")]
        if node.adrift:
            return self._adrift(node_id, node, parts, message, now, utc)
        if message.seq != node.expected:
            if message.seq in node.held:
                return [Problem("duplicate-seq", topic)]
            node.held[message.seq] = (topic, payload)
            self._held_bytes += len(payload)
            self._gaps.setdefault(node_id, now + self.config.reorder_timeout)
            full = len(node.held) > self.config.max_held or self._held_bytes > self.config.max_held_bytes
            return self._give_up(node_id, "too much is missing", now, utc) if full else []
        node.expected = (node.expected + 1) % 256
        actions = self._take(node_id, node, parts, message, now, utc)
        while node.expected in node.held:
            late_topic, late = node.held.pop(node.expected)
            self._held_bytes -= len(late)
            node.expected = (node.expected + 1) % 256
            actions += self._take_held(node_id, node, late_topic, late, now, utc)
        if not node.held:
            self._gaps.pop(node_id, None)
        return actions

    def _adrift(
        self, node_id: NodeId, node: NodeView, parts: Topic, message: Payload, now: float, utc: int
    ) -> list[HostAction]:
        asked: list[HostAction] = []
        if message.seq == node.expected and node_id in self._silent:
            # We were away and missed nothing: no birth is needed.
            self._settle(node_id, node, node.expected)
            self._wanted.pop(node_id, None)
        else:
            self._silent.pop(node_id, None)
            asked = self.request_rebirth(node_id, now, utc)
        return self._take(node_id, node, parts, message, now, utc) + asked

    def _give_up(self, node_id: NodeId, reason: str, now: float, utc: int) -> list[HostAction]:
        # What was held is used all the same: aliases keep their meaning until the next birth, and
        # throwing good data away would make a small loss a great one.
        node = self.nodes[node_id]
        actions: list[HostAction] = [Problem("gap", f"{'/'.join(node_id)}: {reason}")]
        for seq in sorted(node.held, key=lambda seq: (seq - node.expected) % 256):
            actions += self._take_held(node_id, node, *node.held[seq], now, utc)
        self._settle(node_id, node, node.expected)
        node.adrift = True
        return actions + self.request_rebirth(node_id, now, utc)

    def _take_held(
        self, node_id: NodeId, node: NodeView, topic: str, payload: bytes, now: float, utc: int
    ) -> list[HostAction]:
        parts = parse_topic(topic)
        try:
            message = self._codec.decode(payload, node.births.get(parts.device))
            return self._take(node_id, node, parts, message, now, utc)
        except FrameError as why:
            return [Problem("malformed", f"{topic[:200]}: {why}")]

    def _take(
        self, node_id: NodeId, node: NodeView, parts: Topic, message: Payload, now: float, utc: int
    ) -> list[HostAction]:
        device = parts.device
        timestamp = utc if message.timestamp is None else message.timestamp
        if parts.verb is Verb.DBIRTH:
            node.births[device] = _by_name(message.metrics)
            node.devices.add(device)
            node.unconfirmed.discard(device)
            return [Born(node_id, device, message.metrics, timestamp)]
        if parts.verb is Verb.DDEATH:
            node.unconfirmed.discard(device)
            if device not in node.devices:
                return []
            node.devices.discard(device)
            return [Died(node_id, device, timestamp, "the node said so")]
        actions: list[HostAction] = []
        if node.unconfirmed:
            # All births come before any data, so whoever is not born by now is gone.
            for gone in sorted(node.unconfirmed):
                actions.append(Died(node_id, gone, timestamp, "not among the births"))
            node.unconfirmed = set()
        known = node.births.get(device)
        if known is None:
            actions.append(Problem("not-born", str(parts)))
            return actions + self.request_rebirth(node_id, now, utc)
        metrics = message.metrics
        if not all(metric.name in known for metric in metrics):
            actions.append(Problem("unknown-metric", str(parts)))
            actions += self.request_rebirth(node_id, now, utc)
            metrics = tuple(metric for metric in metrics if metric.name in known)
        if device and device not in node.devices and not all(metric.is_historical for metric in metrics):
            actions.append(Problem("device-offline", str(parts)))
            return actions + self.request_rebirth(node_id, now, utc)
        if metrics:
            actions.append(Data(node_id, device, metrics, timestamp))
        return actions


def _by_name(metrics: tuple[Metric, ...]) -> dict[int | str, Metric]:
    births: dict[int | str, Metric] = {}
    for metric in metrics:
        if not metric.name or not metric.datatype:
            raise FrameError("a birth with a metric without name or data type")
        births[metric.name] = metric
        if metric.alias is not None:
            births[metric.alias] = metric
    return births
