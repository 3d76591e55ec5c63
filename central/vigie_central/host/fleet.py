"""The fleet as last heard: which gateways and devices are there, the newest value of every point.

Kept in memory alone: births bring it back, and until they do what the history remembers is shown as stale.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite

from vigie_central.store.history import Sample, Value
from vigie_protocols.channel import CARRIER_METRICS
from vigie_protocols.points import Quality
from vigie_protocols.sparkplug.actions import Born, Died
from vigie_protocols.sparkplug.model import FROM_WIRE_QUALITY, Metric

NOT_POINTS = frozenset((*CARRIER_METRICS, "bdSeq"))
NODE = "$node"
"""Stands in a point's name for the device of the gateway's own metrics."""


def point_name(device: str, metric: str) -> str:
    """``device/metric``; the agent's own points carry their ``$...`` name already."""
    if device:
        return f"{device}/{metric}"
    return metric if metric.startswith("$") else f"{NODE}/{metric}"


def is_point(metric: str) -> bool:
    """False for what carries the protocol itself."""
    return metric not in NOT_POINTS and not metric.startswith(("Node Control/", "Device Control/"))


_NUMBERS = {wire: int(quality) for wire, quality in FROM_WIRE_QUALITY.items()}
_BAD, _GOOD = int(Quality.BAD), int(Quality.GOOD)


def sample_of(point: str, metric: Metric, stamp: int) -> Sample:
    """What a metric says of its point. Packed values and numbers that are none are kept as bad, valueless."""
    value = metric.value
    wire = metric.quality
    quality = _GOOD if wire is None else _NUMBERS.get(wire, _BAD)
    if value is None or isinstance(value, bytes) or (type(value) is float and not isfinite(value)):
        return Sample(point, stamp, None, _BAD)
    return Sample(point, stamp, value, quality)


@dataclass(slots=True)
class Point:
    """The newest value of a point."""

    value: Value
    quality: int
    utc_ms: int


@dataclass(slots=True)
class Device:
    """A device of a gateway, as its births and deaths tell."""

    online: bool = False
    since_ms: int = 0
    points: set[str] = field(default_factory=set)


class PointNames(dict[str, str | None]):
    """Metric name -> point name for one device, None for what is no point: worked out once."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __missing__(self, metric: str) -> str | None:
        name = self[metric] = point_name(self.device, metric) if is_point(metric) else None
        return name


@dataclass(slots=True)
class Counters:
    """Counts of one gateway since this process began."""

    messages: int = 0
    duplicates: int = 0
    births: int = 0
    deaths: int = 0
    rebirths_requested: int = 0
    refused: int = 0


@dataclass(slots=True)
class Gateway:
    """A gateway as last heard."""

    id: str
    group: str
    online: bool = False
    since_ms: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    points: dict[str, Point] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    names: dict[str, PointNames] = field(default_factory=dict)
    changed: dict[str, Point] = field(default_factory=dict)
    """Points with a newer value since the live page looked last."""

    def names_of(self, device: str) -> PointNames:
        """Point names of a device's metrics."""
        found = self.names.get(device)
        if found is None:
            found = self.names[device] = PointNames(device)
        return found

    def stale(self, point: str) -> bool:
        """True when the point's gateway or device is off, so that its value is only the last one known."""
        if not self.online:
            return True
        device = self.devices.get(point.partition("/")[0])
        return device is not None and not device.online


class Fleet:
    """All gateways. What changed since the last look is noted, for the live page."""

    def __init__(self) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.changed_gateways: set[str] = set()

    def gateway(self, node: tuple[str, str]) -> Gateway:
        """The gateway of that (group, node), made when it is new."""
        found = self.gateways.get(node[1])
        if found is None:
            found = self.gateways[node[1]] = Gateway(node[1], node[0])
            self.changed_gateways.add(node[1])
        return found

    def online(self, name: str) -> bool:
        """Whether a gateway's session lives."""
        gateway = self.gateways.get(name)
        return gateway is not None and gateway.online

    def remember(self, rows: Iterable[tuple[str, Sample]]) -> None:
        """Take up the newest samples of the history at start; their gateways count as off."""
        for name, sample in rows:
            gateway = self.gateways.setdefault(name, Gateway(name, ""))
            gateway.points[sample.point] = Point(sample.value, sample.quality, sample.utc_ms)

    def born(self, birth: Born) -> None:
        """A birth: of the node, which makes it online, or of a device."""
        gateway = self.gateway(birth.node)
        gateway.group = birth.node[0]
        if birth.device:
            device = gateway.devices.setdefault(birth.device, Device())
            if not device.online:
                device.online, device.since_ms = True, birth.timestamp
            device.points = {metric.name for metric in birth.metrics if is_point(metric.name)}
        else:
            gateway.counters.births += 1
            if not gateway.online:
                gateway.online, gateway.since_ms = True, birth.timestamp
        self.changed_gateways.add(gateway.id)
        names = gateway.names_of(birth.device)
        told = []
        for metric in birth.metrics:
            point = names[metric.name]
            if point is not None and metric.value is not None:
                stamp = birth.timestamp if metric.timestamp is None else metric.timestamp
                told.append(sample_of(point, metric, stamp))
        self.show(gateway, told, made_ms=birth.timestamp)

    def died(self, death: Died) -> None:
        """A death; a node takes its devices along."""
        gateway = self.gateway(death.node)
        if death.device:
            device = gateway.devices.setdefault(death.device, Device())
            device.online, device.since_ms = False, death.timestamp
        else:
            gateway.counters.deaths += 1
            gateway.online, gateway.since_ms = False, death.timestamp
            for device in gateway.devices.values():
                device.online, device.since_ms = False, death.timestamp
        self.changed_gateways.add(gateway.id)

    def show(self, gateway: Gateway, samples: Sequence[Sample], *, made_ms: int | None) -> None:
        """Newer samples become the last values.

        made_ms: UTC milliseconds at which the message was made, None for backfill. What is shown with a later
        stamp than that comes from a clock that ran ahead, and gives way; a birth that repeats old values does
        not set back what backfill has brought since.
        """
        points, changed = gateway.points, gateway.changed
        for sample in samples:
            name, stamp = sample.point, sample.utc_ms
            known = points.get(name)
            if known is None:
                known = points[name] = Point(sample.value, sample.quality, stamp)
            elif stamp >= known.utc_ms or (made_ms is not None and known.utc_ms > made_ms):
                known.value, known.quality, known.utc_ms = sample.value, sample.quality, stamp
            else:
                continue
            changed[name] = known

    def take_changed(self) -> list[tuple[str, str, Value, int, float]]:
        """Rows (gateway, point, value, quality, utc) of what changed since the last call."""
        rows = []
        for gateway in self.gateways.values():
            if gateway.changed:
                changed, gateway.changed = gateway.changed, {}
                rows += [(gateway.id, n, p.value, p.quality, p.utc_ms / 1000) for n, p in changed.items()]
        return rows

    def forget_changed(self) -> None:
        """Nobody looks: what changed needs no rows."""
        for gateway in self.gateways.values():
            gateway.changed.clear()
