"""What the gateway's Sparkplug births say: every metric it will ever use, with what field reads now."""

from collections.abc import Iterable
from importlib.metadata import version

from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import TwoSlot
from vigie_edge.wiring import Wiring
from vigie_protocols import channel
from vigie_protocols.points import CLOCK_TRUST, ClockTrust, Value, ValueType
from vigie_protocols.sparkplug.model import DataType, Metric

_TYPES = {
    ValueType.BOOL: DataType.BOOLEAN,
    ValueType.INT: DataType.INT64,
    ValueType.UINT: DataType.UINT64,
    ValueType.FLOAT: DataType.DOUBLE,
    ValueType.ENUM: DataType.INT32,
    ValueType.STRING: DataType.STRING,
}
WIRE_QUALITY = (0, 500, 192)
"""Sparkplug's number of bad, uncertain and good."""


class Births:
    """Metrics of the births. types: point name -> Sparkplug data type; inputs: field's image."""

    def __init__(self, wiring: Wiring, inputs: TwoSlot) -> None:
        self._wiring = wiring
        self._plan = wiring.plan
        self._inputs = inputs
        self._measured: dict[str, tuple[Value | None, int]] = dict.fromkeys(wiring.plan.measured, (None, 0))
        table = self._plan.table
        self.types = {name: int(_TYPES[kind]) for name, kind in zip(table.names, table.types, strict=True)}

    def node(self, trust: ClockTrust) -> list[Metric]:
        """The gateway's own metrics."""
        text = int(DataType.STRING)
        return [
            *_carriers(node=True),
            Metric("Agent/Configuration", self._plan.configuration_hash, text),
            Metric("Agent/Version", version("vigie"), text),
            Metric("Agent/District", self._plan.gateway.site.district, text),
            Metric("clock/trust", int(trust), self.types[CLOCK_TRUST]),
            *(
                Metric(name, value, int(DataType.DOUBLE), quality=quality)
                for name, (value, quality) in self._measured.items()
            ),
        ]

    def measured(self, samples: Iterable[tuple[str, Value, int]]) -> None:
        """Remember the newest figures: a birth repeats them. samples: (metric, value, quality)."""
        for name, value, quality in samples:
            if name in self._measured:
                self._measured[name] = (value if quality else None, WIRE_QUALITY[quality])

    def devices(self) -> dict[str, list[Metric]]:
        """Every device's points with their values as field last read them."""
        image = self._inputs.read()
        readings = None if image is None else self._wiring.image_codec.unpack(*image).readings
        devices: dict[str, list[Metric]] = {device.name: [] for device in self._plan.gateway.devices}
        for index, decl in enumerate(self._plan.points):
            reading = None if readings is None else readings[index + FIRST_DEVICE_POINT]
            known = reading is not None and reading.usable
            value = reading.value if reading is not None and known else None
            quality = WIRE_QUALITY[reading.quality] if reading is not None else 0
            devices[decl.device].append(Metric(decl.point, value, self.types[decl.name], quality=quality))
        return {name: [*_carriers(node=False), *metrics] for name, metrics in devices.items()}


def _carriers(node: bool) -> list[Metric]:
    """What carries a journal record's key, and on the node its events."""
    names = [channel.EPOCH_METRIC, channel.INDEX_METRIC, *([channel.EVENT_METRIC] if node else [])]
    return [Metric(name, None, int(channel.CARRIER_METRICS[name])) for name in names]
