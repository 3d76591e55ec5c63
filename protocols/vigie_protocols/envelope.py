"""Signed envelopes in the form of DSSE with Ed25519 (secure-systems-lab/dsse, envelope.md and protocol.md).

The signature covers the payload bytes as sent and their type, so nothing is ever canonicalised. Verify
first, parse after: ``verify`` gives back bytes; ``parse_strict_json`` or ``vigie_protocols.channel`` read
them.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vigie_protocols.channel import PAYLOAD_TYPES, Envelope, Signature
from vigie_protocols.errors import FrameError, Refused, SignatureError, input_error
from vigie_protocols.keys import (
    MAX_KEY_RING,
    ROOT_ROLE,
    KeyRing,
    SigningKey,
    decode_key_ring,
    encode_key_ring,
)
from vigie_protocols.strictjson import parse_strict_json

__all__ = [
    "ROLE_OF",
    "Verified",
    "accept_key_ring",
    "encode_pae",
    "load_key_ring",
    "parse_strict_json",
    "sign",
    "sign_key_ring",
    "to_bytes",
    "verify",
]

ROLE_OF: dict[str, str] = {
    PAYLOAD_TYPES["bundle"]: "bundle",
    PAYLOAD_TYPES["policy"]: "author",
    PAYLOAD_TYPES["command"]: "command",
    PAYLOAD_TYPES["keyring"]: ROOT_ROLE,
}
"""The role a key needs to sign each type of payload."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a valid envelope holds: the payload as signed, and the ids of the keys that signed it."""

    payload: bytes
    key_ids: tuple[str, ...]


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Sequence[SigningKey]) -> bytes:
    """The envelope of ``payload`` signed by every key, as JSON; raises ValueError without a key."""
    if not keys:
        raise ValueError("an envelope needs a key to sign it")
    message = encode_pae(payload_type, payload)
    signatures = tuple(Signature(key.id, _to_text(key.private.sign(message))) for key in keys)
    return to_bytes(Envelope(payload_type, _to_text(payload), signatures))


def to_bytes(envelope: Envelope) -> bytes:
    """An envelope that came nested in a bundle, as the bytes that ``verify`` takes."""
    return msgspec.json.encode(envelope)


def verify(
    envelope: bytes,
    keyring: KeyRing,
    payload_type: str,
    max_bytes: int,
    *,
    role: str | None = None,
    threshold: int = 1,
) -> Verified:
    """The payload when at least ``threshold`` different keys with ``role`` signed it.

    role: by default the one that ROLE_OF gives for the type. Signatures by keys that the ring does not hold
    do not count, nor do those of its keys without the role (authors and approvers may sign the same
    payload); but one wrong signature by a key of the ring refuses the whole.

    Raises FrameError when it is no envelope or is longer than ``max_bytes``; Refused("payload-type") when
    it holds another type; SignatureError when a signature is missing, unknown, wrong, or not enough count.
    """
    value = parse_strict_json(envelope, max_bytes)
    try:
        read = msgspec.convert(value, Envelope)
    except msgspec.ValidationError as why:
        raise FrameError(f"not a signed envelope: {why}") from why
    payload = _from_text(read.payload)
    wanted = ROLE_OF[payload_type] if role is None else role
    if not read.signatures:
        raise SignatureError("it is not signed")
    message = encode_pae(read.payloadType, payload)
    seen: set[str] = set()
    counted: list[str] = []
    unknown: list[str] = []
    for signature in read.signatures:
        key = _find(keyring, signature.keyid)
        if key is None:
            # Not ours to judge: while keys are exchanged, a payload is signed with the old and the new one.
            unknown.append(signature.keyid)
            continue
        if signature.keyid in seen:
            raise SignatureError(f"signed twice by the key {signature.keyid}")
        seen.add(signature.keyid)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(_from_text(signature.sig), message)
        except InvalidSignature:
            raise SignatureError(f"the signature by the key {signature.keyid} is wrong") from None
        if keyring.find(signature.keyid, wanted) is not None:
            counted.append(signature.keyid)
    if read.payloadType != payload_type:
        raise Refused("payload-type", f"holds {read.payloadType[:80]!r}, not {payload_type!r}")
    if not seen:
        raise SignatureError(f"signed by {unknown[0][:40]!r}, which the key ring does not hold")
    if len(counted) < max(1, threshold):
        raise SignatureError(f"{len(counted)} of its keys may sign as {wanted}; it takes {max(1, threshold)}")
    return Verified(payload, tuple(counted))


def sign_key_ring(ring: KeyRing, root: SigningKey) -> bytes:
    """The file of a key ring, signed by its root."""
    if root.id != ring.root.id:
        raise ValueError("a key ring is signed by the root it names")
    return sign(PAYLOAD_TYPES["keyring"], encode_key_ring(ring), [root])


def load_key_ring(path: Path, gateway: str) -> KeyRing:
    """The key ring in a file of this gateway's own disk; raises InputError."""
    remedy = f"Make it with: vigie-central enrol {gateway}"
    try:
        data = path.read_bytes()
    except OSError as why:
        reason = why.strerror or "it cannot be read"
        raise input_error(str(path), "key ring", None, reason, remedy) from why
    try:
        ring = decode_key_ring(_unverified(data))
        verify(data, ring, PAYLOAD_TYPES["keyring"], MAX_KEY_RING * 2)
    except (FrameError, SignatureError, Refused) as why:
        raise input_error(str(path), "key ring", None, str(why), remedy) from why
    if ring.gateway != gateway:
        reason = f"it belongs to the gateway {ring.gateway}, not to {gateway}"
        raise input_error(str(path), "key ring", None, reason, remedy)
    return ring


def accept_key_ring(current: KeyRing, envelope: bytes) -> KeyRing:
    """A newer ring from outside, signed by the root of ``current``.

    Raises SignatureError and FrameError as ``verify`` does, Refused("audience") when it is another
    gateway's and Refused("older-key-ring") when it is not newer by (root epoch, time of issue).
    """
    verified = verify(envelope, current, PAYLOAD_TYPES["keyring"], MAX_KEY_RING * 2)
    ring = decode_key_ring(verified.payload)
    if ring.gateway != current.gateway:
        raise Refused("audience", f"the key ring belongs to the gateway {ring.gateway}")
    if (ring.root_epoch, ring.issued_utc) <= (current.root_epoch, current.issued_utc):
        raise Refused("older-key-ring", "the key ring is not newer than the one in use")
    return ring


def _find(keyring: KeyRing, key_id: str) -> bytes | None:
    for key in (keyring.root, *keyring.keys):
        if key.id == key_id:
            return key.public
    return None


def _unverified(envelope: bytes) -> bytes:
    # The first ring names its own root: the trust in it is the trust in this gateway's disk.
    value = parse_strict_json(envelope, MAX_KEY_RING * 2)
    try:
        return _from_text(msgspec.convert(value, Envelope).payload)
    except msgspec.ValidationError as why:
        raise FrameError(f"not a signed envelope: {why}") from why


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_text(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as why:
        raise FrameError("not a signed envelope: bad base64") from why
    if _to_text(data) != text:
        # Base64 leaves spare bits in the last digit: one meaning, one spelling.
        raise FrameError("not a signed envelope: bad base64")
    return data
