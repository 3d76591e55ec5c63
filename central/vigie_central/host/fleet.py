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


def is_point(metric: Metric) -> bool:
    """False for what carries the protocol itself."""
    return metric.name not in NOT_POINTS and not metric.name.startswith(("Node Control/", "Device Control/"))


def sample_of(device: str, metric: Metric, message_ms: int) -> Sample:
    """What a metric says of its point. Packed values and numbers that are none are kept as bad, valueless."""
    value = metric.value
    quality = Quality.GOOD if metric.quality is None else FROM_WIRE_QUALITY.get(metric.quality, Quality.BAD)
    if value is None or isinstance(value, bytes) or (isinstance(value, float) and not isfinite(value)):
        value, quality = None, Quality.BAD
    stamp = metric.timestamp if metric.timestamp is not None else message_ms
    return Sample(point_name(device, metric.name), stamp, value, int(quality))


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
        self.changed_points: dict[tuple[str, str], Point] = {}
        self.changed_gateways: set[str] = set()

    def gateway(self, node: tuple[str, str]) -> Gateway:
        """The gateway of that (group, node), made when it is new."""
        found = self.gateways.get(node[1])
        if found is None:
            found = self.gateways[node[1]] = Gateway(node[1], node[0])
            self.changed_gateways.add(node[1])
        return found

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
            device.points = {m.name for m in birth.metrics if is_point(m)}
        else:
            gateway.counters.births += 1
            if not gateway.online:
                gateway.online, gateway.since_ms = True, birth.timestamp
        self.changed_gateways.add(gateway.id)
        for metric in birth.metrics:
            if is_point(metric) and metric.value is not None:
                self.show(gateway, (sample_of(birth.device, metric, birth.timestamp),))

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

    def show(self, gateway: Gateway, samples: Sequence[Sample]) -> None:
        """Newer samples become the last values; older ones (backfill) do not."""
        points = gateway.points
        for sample in samples:
            known = points.get(sample.point)
            if known is None:
                known = points[sample.point] = Point(sample.value, sample.quality, sample.utc_ms)
            elif sample.utc_ms >= known.utc_ms:
                known.value, known.quality, known.utc_ms = sample.value, sample.quality, sample.utc_ms
            else:
                continue
            self.changed_points[gateway.id, sample.point] = known
