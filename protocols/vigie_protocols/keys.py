"""Keys and key rings: what a gateway trusts, and the private keys of those who sign.

A *key ring* is a small signed file that ``vigie-central enrol`` makes for one gateway: the root's public
key and the keys it vouches for, each with its roles. A gateway takes its first ring from its own disk; a
later one must be signed by the root it knows and carry a greater root epoch or issue time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROLES = frozenset(("bundle", "author", "command", "approver"))


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
        """The key with that id when it holds that role."""
        ...


def generate_key() -> SigningKey:
    """A new private key."""
    ...


def public_of(key: SigningKey, roles: Sequence[str], name: str = "") -> PublicKey:
    """The public half of a key with its roles, for a key ring."""
    ...


def save_private_key(path: Path, key: SigningKey) -> None:
    """Write a private key: PEM, mode 0600, in a directory of mode 0700; never over an existing file."""
    ...


def load_private_key(path: Path) -> SigningKey:
    """Read a private key; raises InputError when it is no Ed25519 key or others may read it."""
    ...


def sign_key_ring(ring: KeyRing, root: SigningKey) -> bytes:
    """The signed file of a key ring."""
    ...


def load_key_ring(path: Path, gateway: str) -> KeyRing:
    """The key ring in a file of this gateway's own disk; raises InputError."""
    ...


def accept_key_ring(current: KeyRing, envelope: bytes) -> KeyRing:
    """A newer ring from outside, signed by the root of ``current``; SignatureError, FrameError, Refused."""
    ...
