"""Vigie's own channel beside Sparkplug: policies, commands, their replies, acknowledgements.

Topics ``vigie/v1/<gateway>/<what>`` at QoS 1. ``desired`` (retained) and ``cmd`` carry signed envelopes
(``vigie_protocols.envelope``): verify first, then ``decode_bundle`` or ``decode_command`` on the verified
payload. ``reported`` (retained), ``resp``, ``ack`` and ``peer`` are plain JSON. Everything decoded here is
strict: bounded, no unknown field, no duplicate key, no NaN; what breaks that raises FrameError.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from vigie_protocols.errors import FrameError
from vigie_protocols.sparkplug.model import DataType, Metric
from vigie_protocols.sparkplug.topics import check_id
from vigie_protocols.strictjson import parse_strict_json

ROOT = "vigie/v1"
DESIRED = "desired"
REPORTED = "reported"
CMD = "cmd"
RESP = "resp"
ACK = "ack"
PEER = "peer"

PAYLOAD_TYPES: dict[str, str] = {
    "bundle": "application/vnd.vigie.bundle.v1+json",
    "policy": "application/vnd.vigie.policy.v1+json",
    "command": "application/vnd.vigie.command.v1+json",
    "keyring": "application/vnd.vigie.keyring.v1+json",
}
"""The payload type of each kind of signed envelope."""

MAX_DOCUMENT = 32 * 1024
"""Bytes of one policy document."""
MAX_DOCUMENTS = 64
"""Documents in one bundle."""
MAX_BUNDLE = 4 * 1024 * 1024
"""Bytes of a ``desired`` message (a document is base64 twice: 32 KB become 58 KB)."""
MAX_COMMAND = 16 * 1024
MAX_REPORTED = 256 * 1024
MAX_SMALL = 64 * 1024
"""Bytes of a response, an acknowledgement or a neighbour's message."""
MAX_SAID = 32
"""Messages in one word to a neighbour."""
MAX_ACK_RANGES = 1024
"""Ranges in one acknowledgement; leaving the higher ones out is safe, they come with the next."""

Word = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=4096)]
Hash = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Index = Annotated[int, Meta(ge=-1)]
"""Below 2**64, which ``decode_ack`` checks: msgspec has no bound beyond 63 bits."""
Nonce = Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{8,64}$")]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signature of an envelope; ``sig`` in base64."""

    keyid: Annotated[str, Meta(max_length=128)]
    sig: Annotated[str, Meta(max_length=128)]


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A DSSE envelope as JSON; ``payload`` in base64."""

    payloadType: Annotated[str, Meta(max_length=128)]
    payload: str
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=16)]


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All policy documents that apply to one gateway; a newer one replaces it whole.

    audience: the gateway. (root_epoch, generation): only greater than the gateway's floor is taken.
    issued_utc, apply_at: UTC seconds; apply_at is the common instant of a coupled set, None for at once.
    documents: the signed envelopes of the policies as their authors made them.
    """

    audience: Word
    root_epoch: Count
    generation: Count
    issued_utc: float
    documents: Annotated[tuple[Envelope, ...], Meta(max_length=MAX_DOCUMENTS)] = ()
    apply_at: float | None = None


BundleState = Literal["staged", "armed", "applied", "refused", "default"]


class DocumentState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one document stands at the gateway; ``hash`` is SHA-256 of its payload bytes."""

    id: Word
    version: Count
    state: Word
    hash: Hash = ""


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a bundle was refused; ``code`` as in errors.Refused, document and field where they are known."""

    generation: Count
    code: Word
    reason: Text
    document: Word = ""
    field: Word = ""


class Staged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle that is verified and waits for its instant (UTC seconds; None: the next scan)."""

    generation: Count
    bundle_hash: Hash
    apply_at: float | None = None


class Reported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What runs on a gateway.

    bundle_hash: SHA-256 of the running bundle's payload bytes, empty under the local default.
    effective_hash: SHA-256 of all effective parameters after merging. since_utc: UTC seconds.
    """

    root_epoch: Count
    generation: Count
    state: BundleState
    effective_hash: Hash
    since_utc: float
    bundle_hash: Hash = ""
    documents: Annotated[tuple[DocumentState, ...], Meta(max_length=MAX_DOCUMENTS)] = ()
    staged: Annotated[tuple[Staged, ...], Meta(max_length=8)] = ()
    refused: Refusal | None = None


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request to a gateway, such as ``lease.take``; ``args`` as the action defines them."""

    audience: Word
    nonce: Nonce
    expires_utc: float
    holder: Word
    action: Word
    args: dict[str, Any] = {}


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reply to the command with that nonce; ``code`` is a stable word, ``reason`` a sentence."""

    nonce: Nonce
    ok: bool
    code: Word = ""
    reason: Text = ""
    result: dict[str, Any] = {}


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the coordinator has committed of one epoch: all up to ``through`` and ``ranges`` beyond.

    epoch: the journal's, below 2**64. through: -1 for none; ranges: inclusive, lowest first.
    """

    epoch: Annotated[int, Meta(ge=0)]
    through: Index
    ranges: Annotated[tuple[tuple[Index, Index], ...], Meta(max_length=MAX_ACK_RANGES)] = ()


class PeerWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one gateway says to a neighbour, on ``vigie/v1/<who speaks>/peer/<who is spoken to>``.

    tick: of lock-step, 0 in wall-clock time. said: messages of its loops, in the words of their domain.
    Unsigned: a broker lets each gateway write below its own name alone.
    """

    tick: Count
    said: Annotated[tuple[dict[str, Any], ...], Meta(max_length=MAX_SAID)] = ()


Plain = TypeVar("Plain", Bundle, Command, Reported, Response, Ack, PeerWords)


def topic(gateway: str, what: str, neighbour: str = "") -> str:
    """``vigie/v1/<gateway>/<what>``, with ``/<neighbour>`` for ``peer``."""
    if what == PEER:
        return f"{ROOT}/{check_id(gateway)}/{PEER}/{check_id(neighbour)}"
    if what not in (DESIRED, REPORTED, CMD, RESP, ACK):
        raise ValueError(f"no such topic: {what}")
    return f"{ROOT}/{check_id(gateway)}/{what}"


def parse_topic(name: str) -> tuple[str, str, str]:
    """(gateway, what, neighbour or "") of a topic; raises FrameError when it is none of ours."""
    parts = name.split("/")
    if parts[:2] == ["vigie", "v1"] and all(parts) and len(name) <= 512:
        if len(parts) == 4 and parts[3] in (DESIRED, REPORTED, CMD, RESP, ACK):
            return parts[2], parts[3], ""
        if len(parts) == 5 and parts[3] == PEER:
            return parts[2], PEER, parts[4]
    raise FrameError(f"not a topic of this channel: {name[:80]!r}")


def encode(message: Bundle | Command | Reported | Response | Ack | PeerWords) -> bytes:
    """The JSON bytes of a message; for a bundle and a command, what is to be signed."""
    try:
        return msgspec.json.encode(message)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as why:
        raise FrameError(f"cannot be sent: {why}") from why


def decode_bundle(payload: bytes) -> Bundle:
    """A bundle from a verified payload."""
    return _decode(payload, Bundle, MAX_BUNDLE)


def decode_command(payload: bytes) -> Command:
    """A command from a verified payload."""
    return _decode(payload, Command, MAX_COMMAND)


def decode_reported(payload: bytes) -> Reported:
    """A gateway's ``reported``."""
    return _decode(payload, Reported, MAX_REPORTED)


def decode_response(payload: bytes) -> Response:
    """A gateway's ``resp``."""
    return _decode(payload, Response, MAX_SMALL)


def decode_peer(payload: bytes) -> PeerWords:
    """A neighbour's word; what its messages mean is for their loops to check."""
    return _decode(payload, PeerWords, MAX_SMALL)


def decode_ack(payload: bytes) -> Ack:
    """The coordinator's ``ack``; its ranges are in order and apart."""
    ack = _decode(payload, Ack, MAX_SMALL)
    last = ack.through
    if max(ack.epoch, last, *(high for _, high in ack.ranges)) >= 2**64:
        raise FrameError("an epoch or index beyond 64 bits")
    for low, high in ack.ranges:
        if low <= last + 1 or high < low:
            raise FrameError(f"acknowledged ranges out of order at {low}..{high}")
        last = high
    return ack


def _decode(payload: bytes, kind: type[Plain], max_bytes: int) -> Plain:
    value = parse_strict_json(payload, max_bytes)
    try:
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, OverflowError) as why:
        raise FrameError(f"not a {kind.__name__.lower()}: {why}") from why


# The mapping of journal records to Sparkplug: every DATA message says which record it is.
EPOCH_METRIC = "Vigie/Epoch"
INDEX_METRIC = "Vigie/Index"
EVENT_METRIC = "Vigie/Event"
"""String metric of the node: one event (decision, intervention, alarm, policy state) as JSON."""
CARRIER_METRICS: dict[str, DataType] = {
    EPOCH_METRIC: DataType.UINT64,
    INDEX_METRIC: DataType.UINT64,
    EVENT_METRIC: DataType.STRING,
}
"""Metrics that are no points. Epoch and Index stand in the births of the node and of each device."""


def journal_metrics(
    epoch: int, index: int, timestamp: int, *, historical: bool = False
) -> tuple[Metric, Metric]:
    """The two metrics that name a journal record in a DATA message (timestamp: UTC milliseconds)."""
    return (
        Metric(EPOCH_METRIC, epoch, DataType.UINT64, None, timestamp, historical),
        Metric(INDEX_METRIC, index, DataType.UINT64, None, timestamp, historical),
    )


def journal_key(metrics: tuple[Metric, ...]) -> tuple[int, int] | None:
    """(epoch, index) of the record a DATA message carries; None when it names none (foreign nodes)."""
    epoch = index = None
    for metric in metrics:
        if metric.name == INDEX_METRIC:
            index = metric.value
        elif metric.name == EPOCH_METRIC:
            epoch = metric.value
    if isinstance(epoch, int) and isinstance(index, int):
        return epoch, index
    return None
