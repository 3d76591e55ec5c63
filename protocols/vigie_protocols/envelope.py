"""Signed envelopes in the form of DSSE with Ed25519 (https://github.com/secure-systems-lab/dsse).

The signature covers the payload bytes as sent and their type, so nothing is canonicalised. Verify first,
parse after: ``verify`` gives back bytes, ``parse_strict_json`` or ``vigie_protocols.channel`` read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vigie_protocols.keys import KeyRing, SigningKey
from vigie_protocols.strictjson import parse_strict_json

__all__ = ["Verified", "encode_pae", "parse_strict_json", "sign", "verify"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a valid envelope holds: the payload as signed, and the ids of the keys that signed it."""

    payload: bytes
    key_ids: tuple[str, ...]


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    ...


def sign(payload_type: str, payload: bytes, keys: Sequence[SigningKey]) -> bytes:
    """The envelope of ``payload`` signed by every key, as JSON."""
    ...


def verify(
    envelope: bytes,
    keyring: KeyRing,
    payload_type: str,
    max_bytes: int,
    *,
    role: str | None = None,
    threshold: int = 1,
) -> Verified:
    """The payload when ``threshold`` different keys with ``role`` signed it.

    role: by default the one that belongs to the type (bundle, author for policies, command).
    Raises FrameError when it is no envelope or longer than ``max_bytes``, Refused("payload-type") when it
    is of another type, SignatureError when a signature is missing, unknown, lacks the role, or is wrong.
    """
    ...
