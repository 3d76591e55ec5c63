"""What field and control put into their rings for the recorder, and the recorder into the journal.

Small arrays in MessagePack: a few microseconds to write, and exact for every float.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from vigie_protocols.points import Value

Run = tuple[list[int], list[Value], int, float, float]
"""Changes that came together: places in the table, their values, and of all of them the quality, the source's
UTC seconds and the arrival on the monotonic clock."""


class Readings(msgspec.Struct, tag="c", array_like=True, frozen=True):
    """Readings whose value or quality changed, at ``now`` (monotonic) and ``utc`` seconds."""

    now: float
    utc: float
    trust: int
    runs: list[Run]


class Note(msgspec.Struct, tag="e", array_like=True, frozen=True):
    """Something field did or met that people should know."""

    now: float
    utc: float
    trust: int
    what: str
    subject: str
    reason: str


class Scan(msgspec.Struct, tag="s", array_like=True, frozen=True):
    """One scan, enough to run it again.

    body: the packed image when it is another than in the scan before. messages: what the mailbox brought,
    after what the policy shelf brought since the scan before (``OFFER``), before what neighbours said (``HEARD``).
    decisions: (source, subject, what, reason); interventions: (rule, subject, reason);
    outputs: (place in the outputs, value) of those that changed.
    """

    scan: int
    tick: int
    now: float
    utc: float
    trust: int
    overrun: bool
    body: bytes | None
    messages: list[bytes]
    decisions: list[tuple[str, str, str, str]]
    interventions: list[tuple[str, str, str]]
    outputs: list[tuple[int, Value]]
    alarms: list[tuple[str, bool, str, str]] = []
    """(point, active, severity, reason) of alarms that began or ended."""
    notes: int = 0
    """How many of the decisions, the first ones, came from around the engine: replay does not make them."""
    blind: bool = False
    """Field had fallen silent: every reading of the image counted as bad."""
    events: list[tuple[str, int, int, int]] = []
    """High-resolution events: (loop, UTC in tenths of a second, code, parameter)."""
    figures: list[tuple[str, dict[str, float | None]]] = []
    """(loop, name -> figure) of periods that ended in this scan."""


class Snapshot(msgspec.Struct, tag="p", array_like=True, frozen=True):
    """The state of all controllers and guards after a scan; a replay segment begins here."""

    scan: int
    now: float
    utc: float
    outputs: list[Value]
    state: dict[str, Any]
    start: bool = False
    """Control has just begun: it trusts its predecessor's state only as far as a restart may."""


OFFER = b"\0offer"
"""Begins a message of the policy shelf; no message of a mailbox can, those are JSON."""


class Offer(msgspec.Struct, array_like=True, frozen=True):
    """What the policy shelf gave the engine: a bundle, or (``code``) why there is none."""

    now: float
    utc: float
    trust: int
    confirmed: bool
    bundle: dict[str, Any]
    code: str = ""
    reason: str = ""


_offer: msgspec.msgpack.Decoder[Offer] = msgspec.msgpack.Decoder(Offer)


def encode_offer(offer: Offer) -> bytes:
    """An offer as a scan's message."""
    return OFFER + _encoder.encode(offer)


def decode_offer(message: bytes) -> Offer | None:
    """The offer in a scan's message, None when it is a mailbox's."""
    return _offer.decode(message[len(OFFER) :]) if message.startswith(OFFER) else None


HEARD = b"\0heard"
"""Begins a neighbour's message among those of a scan."""


def encode_heard(neighbour: str, message: Mapping[str, Any]) -> bytes:
    """A neighbour's message as a scan's message."""
    return HEARD + _encoder.encode([neighbour, message])


def decode_heard(message: bytes) -> tuple[str, dict[str, Any]] | None:
    """The neighbour and what it said in a scan's message, None when that is another's."""
    if not message.startswith(HEARD):
        return None
    neighbour, said = msgspec.msgpack.decode(message[len(HEARD) :])
    return neighbour, said


FromField = Readings | Note
FromControl = Scan | Snapshot

_encoder = msgspec.msgpack.Encoder()
_field: msgspec.msgpack.Decoder[FromField] = msgspec.msgpack.Decoder(FromField)
_control: msgspec.msgpack.Decoder[FromControl] = msgspec.msgpack.Decoder(FromControl)


def encode(record: FromField | FromControl) -> bytes:
    """A record as bytes."""
    return _encoder.encode(record)


def decode_field(payload: bytes) -> FromField:
    """A record of field's ring."""
    return _field.decode(payload)


def decode_control(payload: bytes) -> FromControl:
    """A record of control's ring."""
    return _control.decode(payload)
