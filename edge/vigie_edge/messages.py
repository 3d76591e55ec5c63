"""What the Sparkplug node sends for a record of the telemetry journal."""

import json
from collections.abc import Set

from vigie_edge import clock
from vigie_edge.births import WIRE_QUALITY, Births
from vigie_edge.journal.segment import Kind, Record
from vigie_edge.telemetry_records import Event, Samples, event_decoder, samples_decoder
from vigie_protocols import channel
from vigie_protocols.errors import FrameError
from vigie_protocols.points import ClockTrust, Quality
from vigie_protocols.sparkplug.actions import EdgeAction
from vigie_protocols.sparkplug.edge import EdgeNode
from vigie_protocols.sparkplug.model import DataType, Metric

_GOOD = int(Quality.GOOD)
_KEY = (channel.EPOCH_METRIC, channel.INDEX_METRIC)


class Messages:
    """Makes them. devices: those of the gateway file; boot: the kernel's id of this boot."""

    def __init__(self, births: Births, devices: Set[str], boot: str, paced: bool) -> None:
        self._births = births
        self._types = births.types
        self._devices = devices
        self._boot = boot
        self._paced = paced

    def of(
        self, node: EdgeNode, epoch: int, record: Record, old: bool, now: int, trust: ClockTrust
    ) -> list[EdgeAction]:
        """The message of a record, and the births it needs before; ``now`` in UTC milliseconds, ``trust`` in it.

        Raises LinkDown when the node is not born.
        """
        if record.kind is Kind.SAMPLES:
            return self._samples(node, epoch, record, old, now, trust)
        if record.kind is Kind.EVENT:
            event = event_decoder.decode(record.payload)
            stamp = self._stamp(event, trust)
            return self._event(node, epoch, record.index, stamp, record.payload, old, now)
        gap = {"kind": "gap", "source": "journal", **json.loads(record.payload)}
        return self._event(node, epoch, record.index, now, json.dumps(gap).encode(), old, now)

    def _stamp(self, record: Samples | Event, trust: ClockTrust) -> int:
        """A record's UTC milliseconds.

        One from before the clock could be trusted is stamped anew by its monotonic time, once it can be trusted
        and as long as this is the boot it was made in.
        """
        before_sync = record.trust == ClockTrust.UNTRUSTED and trust is not ClockTrust.UNTRUSTED
        if before_sync and record.boot == self._boot and not self._paced:
            return round((clock.utc_now() - (clock.monotonic() - record.monotonic)) * 1000)
        return round(record.utc * 1000)

    def _samples(
        self, node: EdgeNode, epoch: int, record: Record, old: bool, now: int, trust: ClockTrust
    ) -> list[EdgeAction]:
        samples = samples_decoder.decode(record.payload)
        stamp = self._stamp(samples, trust)
        if samples.device and not old:
            actions = self._current(node, epoch, record.index, samples, stamp, now)
            if actions is not None:
                return actions
        metrics = list(channel.journal_metrics(epoch, record.index, stamp, historical=old))
        for name, value, quality in samples.samples:
            point = f"{samples.device}/{name}" if samples.device else f"${name}"
            datatype = self._types.get(point, int(DataType.DOUBLE))
            metrics.append(Metric(name, value, datatype, None, stamp, old, WIRE_QUALITY[quality]))
        if not samples.device:
            self._births.measured(samples.samples)
        if samples.device and samples.device not in self._devices:
            return self._orphan(node, epoch, record, samples, stamp, old, now)
        try:
            return node.data(samples.device, metrics, now)
        except FrameError:  # from before a profile was changed: a point had another type then
            return self._orphan(node, epoch, record, samples, stamp, old, now)

    def _current(
        self, node: EdgeNode, epoch: int, index: int, samples: Samples, stamp: int, now: int
    ) -> list[EdgeAction] | None:
        """Live samples that are all good, which is nearly every record; None: they take the long way."""
        names, values = samples.names, samples.values
        if not names or not samples.qualities.count(_GOOD) == len(names) == len(values):
            return None
        try:
            return node.current(samples.device, (*_KEY, *names), (epoch, index, *values), stamp, now)
        except FrameError:  # the long way tells which one does not fit
            return None

    def _event(
        self, node: EdgeNode, epoch: int, index: int, stamp: int, text: bytes, old: bool, now: int
    ) -> list[EdgeAction]:
        metrics = list(channel.journal_metrics(epoch, index, stamp, historical=old))
        metrics.append(Metric(channel.EVENT_METRIC, text.decode(), int(DataType.STRING), None, stamp, old))
        return node.data("", metrics, now)

    def _orphan(
        self, node: EdgeNode, epoch: int, record: Record, samples: Samples, stamp: int, old: bool, now: int
    ) -> list[EdgeAction]:
        """Samples of a device or type that the files no longer have: told as an event, so that no index is missing."""
        told = {
            "kind": "orphan",
            "source": "journal",
            "subject": samples.device,
            "samples": samples.samples,
            "utc": samples.utc,
        }
        return self._event(node, epoch, record.index, stamp, json.dumps(told).encode(), old, now)
