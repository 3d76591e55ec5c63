"""What a telemetry journal holds: one device's samples at one instant, or one event."""

import msgspec

from vigie_protocols.points import Value


class Samples(msgspec.Struct, array_like=True, frozen=True):
    """One device's samples at one instant.

    utc: seconds; monotonic and boot tell when it was if UTC was not to be trusted (``trust``).
    samples: (point name within the device, value, quality).
    """

    device: str
    utc: float
    monotonic: float
    boot: str
    trust: int
    samples: list[tuple[str, Value, int]]


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
