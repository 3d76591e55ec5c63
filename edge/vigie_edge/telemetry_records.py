"""What a telemetry journal holds: one device's samples at one instant, or one event."""

from collections.abc import Iterable, Sequence

import msgspec

from vigie_protocols.points import Value


class Samples(msgspec.Struct, array_like=True, frozen=True):
    """One device's samples at one instant, in columns: that is read in half the time, and half the bytes.

    utc: seconds; monotonic and boot tell when it was if UTC was not to be trusted (``trust``).
    names: points within the device, with their values and qualities.
    """

    device: str
    utc: float
    monotonic: float
    boot: str
    trust: int
    names: Sequence[str]
    values: Sequence[Value]
    qualities: Sequence[int]

    @property
    def samples(self) -> list[tuple[str, Value, int]]:
        """(point name within the device, value, quality) of each."""
        return list(zip(self.names, self.values, self.qualities, strict=True))


def samples_of(
    device: str, utc: float, monotonic: float, boot: str, trust: int, rows: Iterable[tuple[str, Value, int]]
) -> Samples:
    """Samples out of rows (point name within the device, value, quality)."""
    columns = tuple(list(column) for column in zip(*rows, strict=True)) or ([], [], [])
    return Samples(device, utc, monotonic, boot, trust, *columns)


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something people should know.

    kind: decision, intervention, alarm or gap; source, subject, what, reason as in Decision.
    severity, active: of alarms alone, as title: what it is, by language (``{"fr": ..., "en": ...}``).
    """

    kind: str
    source: str
    subject: str
    what: str
    reason: str
    utc: float
    monotonic: float
    boot: str
    trust: int
    severity: str = ""
    active: bool | None = None
    title: dict[str, str] | None = None


samples_decoder: msgspec.msgpack.Decoder[Samples] = msgspec.msgpack.Decoder(Samples)
event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
