"""A Sparkplug B 3.0 edge node as a pure state machine: no socket, no clock.

Whoever carries this machine connects with the will of ``will()``, then calls ``connected``, ``received``
and ``disconnected`` as they happen, and carries out the actions they return, in order. The machine keeps
the last value of every metric, so a birth never needs to ask anybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import repeat

from vigie_protocols.errors import FrameError, LinkDown
from vigie_protocols.sparkplug.actions import (
    BIRTH,
    DATA,
    DEATH,
    CommandReceived,
    Disconnect,
    EdgeAction,
    Problem,
    Publish,
    Subscribe,
)
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.lean import Coded, coded, lean_data
from vigie_protocols.sparkplug.model import Codec, DataType, Metric, MetricValue, Payload
from vigie_protocols.sparkplug.state import decode_state
from vigie_protocols.sparkplug.topics import (
    Verb,
    check_id,
    device_topic,
    node_topic,
    parse_topic,
    state_topic,
)

BDSEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
_RESERVED = (BDSEQ, REBIRTH)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Who this node is.

    primary_host: wait for this host's STATE before birth, leave when it goes; empty for none.
    writable: subscribe to commands for devices too.
    """

    group: str
    node: str
    primary_host: str = ""
    writable: bool = True


class Phase(Enum):
    """Where a node stands."""

    AWAY = "away"
    WAITING = "waiting for the primary host"
    BORN = "born"
    LEAVING = "leaving"


@dataclass(slots=True)
class _Device:
    """Last known metric by name, each with its alias. ``alive``: has no death of its own.

    topic: of its data. codes: by name, of the metrics met by ``current``. newest: value and
    timestamp by name of what ``current`` sent; newer than what stands in ``metrics``.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    alive: bool = True
    named: bool = False
    """Its birth was sent in this session, so its aliases are known."""
    topic: str = ""
    codes: dict[str, Coded] = field(default_factory=dict)
    newest: dict[str, tuple[MetricValue, int]] = field(default_factory=dict)

    def settle(self) -> None:
        """Bring ``metrics`` up to date."""
        for name, (value, timestamp) in self.newest.items():
            last = self.metrics[name]
            self.metrics[name] = Metric(name, value, last.datatype, last.alias, timestamp)
        self.newest.clear()


class EdgeNode:
    """The node. All times are UTC milliseconds."""

    def __init__(
        self,
        config: EdgeConfig,
        node_metrics: Iterable[Metric],
        devices: Mapping[str, Iterable[Metric]],
        codec: Codec | None = None,
        first_bdseq: int = 0,
    ) -> None:
        """``node_metrics`` and ``devices``: every metric ever used, with name, data type, value or None.

        first_bdseq: what the next session's bdSeq shall be (0 to 255) when it is kept over restarts.
        """
        self.config = config
        self.phase = Phase.AWAY
        self._codec: Codec = codec or SparkplugB()
        self._next_bdseq = first_bdseq % 256
        self._bdseq = self._next_bdseq
        self._seq = 0
        self._aliases: dict[tuple[str, str], int] = {}
        self._host_time = -1
        self._devices: dict[str, _Device] = {"": _Device()}
        # The births must give every metric an alias when they give one to any; the rebirth control alone
        # must have none.
        self._aliases["", BDSEQ] = 1
        self._declare("", node_metrics)
        for device, metrics in devices.items():
            self._devices[check_id(device)] = _Device()
            self._declare(device, metrics)
        group, node = config.group, config.node
        self._topics = {
            verb: node_topic(verb, group, node) for verb in (Verb.NBIRTH, Verb.NDATA, Verb.NDEATH)
        }
        self._ncmd = node_topic(Verb.NCMD, group, node)
        self._dcmd = device_topic(Verb.DCMD, group, node, "x")[:-1]
        self._state = state_topic(config.primary_host) if config.primary_host else ""

    # -- the session ---------------------------------------------------------------------------------

    def will(self, now: int) -> Publish:
        """The NDEATH to register with the next CONNECT; counts bdSeq up, so ask once per CONNECT."""
        self.phase = Phase.AWAY
        self._bdseq = self._next_bdseq
        self._next_bdseq = (self._bdseq + 1) % 256
        return self._ndeath(None)

    @property
    def next_bdseq(self) -> int:
        """What to hand in as ``first_bdseq`` after a restart."""
        return self._next_bdseq

    @property
    def born(self) -> bool:
        """True when data may be sent."""
        return self.phase is Phase.BORN

    def connected(self, now: int) -> list[EdgeAction]:
        """CONNACK came: subscriptions, then the births (or the wait for the primary host)."""
        filters = [(self._ncmd, 1)]
        if self.config.writable:
            filters.append((self._dcmd + "+", 1))
        if self._state:
            filters.append((self._state, 1))
            self.phase = Phase.WAITING
            self._host_time = -1
            return [Subscribe(tuple(filters))]
        return [Subscribe(tuple(filters)), *self._births(now)]

    def disconnected(self) -> list[EdgeAction]:
        """The connection is gone; the next one begins with ``will``."""
        self.phase = Phase.AWAY
        return []

    def stop(self, now: int) -> list[EdgeAction]:
        """Leave on purpose: NDEATH, then DISCONNECT."""
        return self._leave(now, "stopped", next_server=False)

    def rebirth(self, now: int) -> list[EdgeAction]:
        """NBIRTH and all DBIRTHs again, with the same bdSeq."""
        return self._births(now) if self.phase is Phase.BORN else []

    def received(self, topic: str, payload: bytes, now: int) -> list[EdgeAction]:
        """A message of the namespace (NCMD, DCMD, STATE) came; what is not for us is a Problem."""
        if self.phase not in (Phase.BORN, Phase.WAITING):
            return []
        try:
            if topic == self._state:
                return self._host_state(payload, now)
            if topic == self._ncmd:
                return self._command("", payload, now)
            if topic.startswith(self._dcmd):
                return self._command(parse_topic(topic).device, payload, now)
        except FrameError as why:
            return [Problem("malformed", f"{topic}: {why}")]
        return [Problem("unexpected-topic", topic[:200])]

    # -- data ----------------------------------------------------------------------------------------

    def data(self, device: str, metrics: Iterable[Metric], now: int) -> list[EdgeAction]:
        """Publish samples of a device, or of the node when ``device`` is empty.

        metrics: by name; alias and data type are filled in, a missing timestamp becomes ``now``. Raises
        LinkDown when not born (the caller keeps the record) and FrameError when a metric was never
        declared and has no data type. Values that are not historical are those of the next birth.

        A metric or device met for the first time (old records after a change of configuration) is
        declared by a birth first. What is sent of a device that is dead goes out as historical.
        """
        if self.phase is not Phase.BORN:
            raise LinkDown("the node is not born")
        metrics = list(metrics)
        actions = self._introduce(device, metrics, now)
        held = self._devices[device]
        held.settle()
        wire: list[Metric] = []
        for metric in metrics:
            last = held.metrics[metric.name]
            historical = metric.is_historical or not held.alive
            made = Metric(
                metric.name,
                metric.value,
                last.datatype,
                last.alias,
                now if metric.timestamp is None else metric.timestamp,
                historical,
                metric.quality,
            )
            wire.append(made)
        body = self._codec.encode(Payload(tuple(wire), now, self._seq), lean=True)
        self._count()
        # Only now: a value that cannot be encoded must not spoil the births to come.
        held.metrics.update((made.name, made) for made in wire if not made.is_historical)
        actions.append(Publish(self._topic(Verb.NDATA, Verb.DDATA, device), body, kind=DATA))
        return actions

    def current(
        self, device: str, names: Sequence[str], values: Sequence[MetricValue], timestamp: int, now: int
    ) -> list[EdgeAction] | None:
        """``data`` for current, good values of one instant, at a fraction of its cost; None: ask ``data``.

        It serves only numbers and booleans that this session's births have named, and always writes
        Sparkplug B. Raises LinkDown and FrameError as ``data`` does.
        """
        if self.phase is not Phase.BORN:
            raise LinkDown("the node is not born")
        held = self._devices.get(device)
        if held is None or not held.named or not held.alive:
            return None
        codes = held.codes
        try:
            known = [codes[name] for name in names]
        except KeyError:
            if not self._learn(held, names):
                return None
            known = [codes[name] for name in names]
        body = lean_data(zip(known, values, strict=True), timestamp, now, self._seq)
        self._count()
        held.newest.update(zip(names, zip(values, repeat(timestamp)), strict=False))
        held.topic = held.topic or self._topic(Verb.NDATA, Verb.DDATA, device)
        return [Publish(held.topic, body, kind=DATA)]

    def device_lost(self, device: str, now: int) -> list[EdgeAction]:
        """The device is gone: DDEATH, once."""
        held = self._devices[device]
        if not device or not held.alive:
            return []
        held.alive = False
        return [self._ddeath(device, now)] if self.phase is Phase.BORN else []

    def device_back(self, device: str, now: int, metrics: Iterable[Metric] = ()) -> list[EdgeAction]:
        """The device answers again, is new, or has the further ``metrics``: DBIRTH."""
        held = self._devices.setdefault(check_id(device), _Device())
        known = len(held.metrics)
        self._declare(device, metrics)
        if held.alive and held.named and len(held.metrics) == known:
            return []
        held.alive = True
        return [self._dbirth(device, now)] if self.phase is Phase.BORN else []

    # -- inside --------------------------------------------------------------------------------------

    def _learn(self, held: _Device, names: Sequence[str]) -> bool:
        """What ``current`` needs to know of each name; False when one was never declared or is of another kind."""
        for name in names:
            metric = held.metrics.get(name)
            code = None if metric is None or metric.alias is None else coded(metric.alias, metric.datatype)
            if code is None:
                return False
            held.codes[name] = code
        return True

    def _declare(self, device: str, metrics: Iterable[Metric]) -> None:
        held = self._devices[device]
        for metric in metrics:
            if metric.name in _RESERVED:
                raise FrameError(f"the metric name {metric.name!r} belongs to Sparkplug")
            if not metric.name or not metric.datatype:
                raise FrameError(f"metric {device}/{metric.name}: a declaration needs a name and a data type")
            # An alias stays with its name for the life of the node, over all sessions: a message that a
            # host reads with an older birth in mind still means the same metric.
            alias = self._aliases.setdefault((device, metric.name), len(self._aliases) + 1)
            made = Metric(
                metric.name, metric.value, metric.datatype, alias, metric.timestamp, False, metric.quality
            )
            self._codec.encode(Payload((made,)))
            held.metrics[metric.name] = made
            held.codes.pop(metric.name, None)
            held.newest.pop(metric.name, None)

    def _introduce(self, device: str, metrics: list[Metric], now: int) -> list[EdgeAction]:
        held = self._devices.get(device)
        actions: list[EdgeAction] = []
        if held is None:
            held = self._devices[check_id(device)] = _Device(alive=False)
        new = [metric for metric in metrics if metric.name not in held.metrics]
        if new:
            blank = [Metric(metric.name, None, metric.datatype) for metric in new]
            self._declare(device, blank)
            if not device:
                return self._births(now)
        if new or not held.named:
            actions.append(self._dbirth(device, now))
            if not held.alive:
                actions.append(self._ddeath(device, now))
        return actions

    def _births(self, now: int) -> list[EdgeAction]:
        self.phase = Phase.BORN
        # An NBIRTH begins a new count at 0: one assertion asks for it, another allows any number.
        self._seq = 0
        node = self._devices[""]
        own = (
            Metric(BDSEQ, self._bdseq, DataType.INT64, self._aliases["", BDSEQ], now),
            Metric(REBIRTH, False, DataType.BOOLEAN, None, now),
        )
        actions: list[EdgeAction] = [self._birth(Verb.NBIRTH, "", own, now)]
        node.named = True
        for device, held in self._devices.items():
            if device:
                held.named = False
                if held.alive:
                    actions.append(self._dbirth(device, now))
        return actions

    def _dbirth(self, device: str, now: int) -> Publish:
        self._devices[device].named = True
        return self._birth(Verb.DBIRTH, device, (), now)

    def _birth(self, verb: Verb, device: str, own: tuple[Metric, ...], now: int) -> Publish:
        self._devices[device].settle()
        metrics = [
            metric
            if metric.timestamp is not None
            else Metric(metric.name, metric.value, metric.datatype, metric.alias, now, False, metric.quality)
            for metric in self._devices[device].metrics.values()
        ]
        body = self._codec.encode(Payload((*own, *metrics), now, self._seq))
        self._count()
        return Publish(self._topic(verb, verb, device), body, kind=BIRTH)

    def _ddeath(self, device: str, now: int) -> Publish:
        body = self._codec.encode(Payload((), now, self._seq))
        self._count()
        return Publish(self._topic(Verb.DDEATH, Verb.DDEATH, device), body, kind=DEATH)

    def _ndeath(self, now: int | None) -> Publish:
        bdseq = Metric(BDSEQ, self._bdseq, DataType.INT64, None, now)
        body = self._codec.encode(Payload((bdseq,), now, None))
        return Publish(self._topics[Verb.NDEATH], body, qos=1, kind=DEATH)

    def _topic(self, node_verb: Verb, device_verb: Verb, device: str) -> str:
        if not device:
            return self._topics[node_verb]
        return device_topic(device_verb, self.config.group, self.config.node, device)

    def _count(self) -> None:
        self._seq = (self._seq + 1) % 256

    def _leave(self, now: int, reason: str, *, next_server: bool) -> list[EdgeAction]:
        actions: list[EdgeAction] = []
        if self.phase is Phase.AWAY:
            return actions
        if self.phase is Phase.BORN:
            actions.append(self._ndeath(now))
        self.phase = Phase.LEAVING
        actions.append(Disconnect(reason, next_server))
        return actions

    def _host_state(self, payload: bytes, now: int) -> list[EdgeAction]:
        state = decode_state(payload)
        if state.timestamp < self._host_time:
            return [Problem("old-state", f"STATE of {state.timestamp} after one of {self._host_time}")]
        self._host_time = state.timestamp
        if state.online:
            return self._births(now) if self.phase is Phase.WAITING else []
        return self._leave(now, f"primary host {self.config.primary_host} is offline", next_server=True)

    def _command(self, device: str, payload: bytes, now: int) -> list[EdgeAction]:
        if self.phase is not Phase.BORN:
            return []
        held = self._devices.get(device)
        if held is None:
            return [Problem("unknown-device", device)]
        known: dict[int | str, Metric] = {}
        known.update(held.metrics.items())
        known.update((metric.alias, metric) for metric in held.metrics.values() if metric.alias is not None)
        known[REBIRTH] = Metric(REBIRTH, False, DataType.BOOLEAN)
        message = self._codec.decode(payload, known)
        actions: list[EdgeAction] = []
        wanted: list[Metric] = []
        for metric in message.metrics:
            if not device and metric.name == REBIRTH:
                if metric.value is True:
                    actions.extend(self._births(now))
            elif metric.name in held.metrics:
                wanted.append(metric)
            else:
                actions.append(Problem("unknown-metric", f"{device}/{metric.name or metric.alias}"))
        if wanted:
            actions.append(CommandReceived(device, tuple(wanted), message.timestamp))
        return actions
