"""Keys and key rings: what a gateway trusts, and the private keys of those who sign.

A *key ring* is a small signed file that ``vigie-central enrol`` makes for one gateway: the root's public
key and the keys it vouches for, each with its roles. A gateway takes its first ring from its own disk; a
later one must be signed by the root it already knows and be newer. The root itself signs key rings alone.

On disk a key ring is a signed envelope (see ``envelope``) whose payload is JSON:
``{"gateway", "root_epoch", "issued_utc", "root": KEY, "keys": [KEY...]}`` with
``KEY = {"id", "public" (base64, 32 bytes), "roles": [...], "name"}``.
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Meta

from vigie_protocols.errors import FrameError, input_error
from vigie_protocols.strictjson import parse_strict_json

ROLES = frozenset(("bundle", "author", "approver", "command"))
"""What a key may sign: bundles of ``desired``, policies as author or approver, commands."""
ROOT_ROLE = "root"
MAX_KEY_RING = 64 * 1024
_MAX_KEYS = 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its id (the first 32 hex digits of SHA-256 of the raw public key)."""

    id: str
    private: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key (32 raw bytes) and what it may sign: words of ROLES; empty for the root."""

    id: str
    public: bytes
    roles: frozenset[str]
    name: str = ""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What one gateway trusts. ``issued_utc`` in UTC seconds."""

    gateway: str
    root_epoch: int
    issued_utc: float
    root: PublicKey
    keys: tuple[PublicKey, ...]

    def find(self, key_id: str, role: str) -> PublicKey | None:
        """The key with that id if it holds that role."""
        if role == ROOT_ROLE:
            return self.root if key_id == self.root.id else None
        for key in self.keys:
            if key.id == key_id and role in key.roles:
                return key
        return None


class _KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    public: Annotated[str, Meta(max_length=64)]
    roles: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    name: Annotated[str, Meta(max_length=128)] = ""


class _RingRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway: Annotated[str, Meta(min_length=1, max_length=256)]
    root_epoch: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    issued_utc: float
    root: _KeyRecord
    keys: Annotated[tuple[_KeyRecord, ...], Meta(max_length=_MAX_KEYS)]


def key_id(public: bytes) -> str:
    """The id of a raw public key."""
    return hashlib.sha256(public).hexdigest()[:32]


def generate_key() -> SigningKey:
    """A new private key."""
    private = Ed25519PrivateKey.generate()
    return SigningKey(key_id(private.public_key().public_bytes_raw()), private)


def public_of(key: SigningKey, roles: Iterable[str] = (), name: str = "") -> PublicKey:
    """The public half of a key with its roles, for a key ring."""
    wanted = frozenset(roles)
    if not wanted <= ROLES:
        raise ValueError(f"no such roles: {', '.join(sorted(wanted - ROLES))}")
    return PublicKey(key.id, key.private.public_key().public_bytes_raw(), wanted, name)


def save_private_key(path: Path, key: SigningKey) -> None:
    """Write a private key: PEM (PKCS 8), mode 0600, its directory 0700.

    Raises InputError when the file exists (a key is never overwritten) or the directory is open to others.
    """
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(path.parent, "directory", 0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        remedy = "Move it away by hand if it is really no longer needed"
        raise input_error(str(path), "key file", None, "it exists already", remedy) from None
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def load_private_key(path: Path) -> SigningKey:
    """Read a private key; raises InputError when it is no Ed25519 key or others may read it."""
    try:
        _check_private(path, "file", 0o600)
        _check_private(path.parent, "directory", 0o700)
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as why:
        raise input_error(
            str(path), "key file", None, why.strerror or "unreadable", "Run init first"
        ) from why
    except (ValueError, TypeError, UnsupportedAlgorithm) as why:
        raise input_error(str(path), "key file", None, "not a PEM private key", "Restore it") from why
    if not isinstance(private, Ed25519PrivateKey):
        raise input_error(str(path), "key file", None, "not an Ed25519 key", "Use a key made by init")
    return SigningKey(key_id(private.public_key().public_bytes_raw()), private)


def encode_key_ring(ring: KeyRing) -> bytes:
    """The JSON payload of a key ring, to be signed by its root (``envelope.sign_key_ring``)."""
    return msgspec.json.encode(
        _RingRecord(
            ring.gateway,
            ring.root_epoch,
            ring.issued_utc,
            _to_record(ring.root),
            tuple(_to_record(key) for key in ring.keys),
        )
    )


def decode_key_ring(payload: bytes) -> KeyRing:
    """The key ring in a payload; raises FrameError. Signatures are ``envelope``'s affair."""
    value = parse_strict_json(payload, MAX_KEY_RING)
    try:
        record = msgspec.convert(value, _RingRecord)
    except msgspec.ValidationError as why:
        raise FrameError(f"not a key ring: {why}") from why
    ring = KeyRing(
        record.gateway,
        record.root_epoch,
        record.issued_utc,
        _from_record(record.root),
        tuple(_from_record(key) for key in record.keys),
    )
    ids = [ring.root.id, *(key.id for key in ring.keys)]
    if len(set(ids)) != len(ids):
        raise FrameError("not a key ring: a key stands in it twice")
    if ring.root.roles:
        raise FrameError("not a key ring: the root signs key rings alone")
    return ring


def _to_record(key: PublicKey) -> _KeyRecord:
    return _KeyRecord(key.id, base64.b64encode(key.public).decode(), tuple(sorted(key.roles)), key.name)


def _from_record(record: _KeyRecord) -> PublicKey:
    try:
        public = base64.b64decode(record.public, validate=True)
        Ed25519PublicKey.from_public_bytes(public)
    except (ValueError, binascii.Error) as why:
        raise FrameError(f"not a key ring: key {record.id} is no Ed25519 key") from why
    roles = frozenset(record.roles)
    if key_id(public) != record.id or not roles <= ROLES:
        raise FrameError(f"not a key ring: key {record.id} has a wrong id or an unknown role")
    return PublicKey(record.id, public, roles, record.name)


def _check_private(path: Path, what: str, mode: int) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & 0o077:
        reason = f"others may use this {what} (mode {found:04o})"
        raise input_error(str(path), what, None, reason, f"Run: chmod {mode:04o} {path}")
