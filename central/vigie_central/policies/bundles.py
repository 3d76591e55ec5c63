"""Which documents a gateway gets, and the signed bundle made of them."""

import hashlib
from collections.abc import Sequence

import msgspec

from vigie_central.policies.tables import Document, Enrolled, StoredBundle
from vigie_protocols.channel import MAX_DOCUMENTS, PAYLOAD_TYPES, Bundle, Envelope, encode
from vigie_protocols.envelope import sign
from vigie_protocols.errors import Refused
from vigie_protocols.keys import SigningKey


def applies(scope: str, gateway: Enrolled) -> bool:
    """True when a document of ``scope`` (city, district:NAME, site:GATEWAY) concerns the gateway."""
    level, _, name = scope.partition(":")
    if level == "city":
        return True
    if level == "district":
        return gateway.district is not None and gateway.district == name
    return level == "site" and gateway.gateway == name


def contents_hash(documents: Sequence[Document]) -> str:
    """A hash that changes when the documents do, whatever their order."""
    return hashlib.sha256("\n".join(sorted(document.hash for document in documents)).encode()).hexdigest()


def make_bundle(
    gateway: Enrolled, generation: int, documents: Sequence[Document], key: SigningKey, now: float
) -> StoredBundle:
    """The signed bundle of ``documents``, in the order of their ids; raises Refused when they are too many."""
    if len(documents) > MAX_DOCUMENTS:
        raise Refused(
            "too-many-documents",
            f"{len(documents)} documents visent {gateway.gateway}, un lot en contient {MAX_DOCUMENTS} / "
            f"{len(documents)} documents apply to {gateway.gateway}; a bundle holds {MAX_DOCUMENTS}",
        )
    ordered = sorted(documents, key=lambda document: document.id)
    bundle = Bundle(
        audience=gateway.gateway,
        root_epoch=gateway.root_epoch,
        generation=generation,
        issued_utc=now,
        documents=tuple(msgspec.json.decode(document.envelope, type=Envelope) for document in ordered),
    )
    payload = encode(bundle)
    return StoredBundle(
        gateway=gateway.gateway,
        generation=generation,
        hash=hashlib.sha256(payload).hexdigest(),
        contents=contents_hash(ordered),
        documents=[{"id": each.id, "version": each.version, "kind": each.kind} for each in ordered],
        envelope=sign(PAYLOAD_TYPES["bundle"], payload, [key]).decode(),
        made_at=now,
    )
