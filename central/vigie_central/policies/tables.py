"""Reading and writing the records of enrolments, documents, bundles and reports, on a given connection."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from vigie_central.store.tables import bundles, documents, gateways, reported


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A gateway that has a key ring of ours."""

    gateway: str
    district: str | None
    root_epoch: int


@dataclass(frozen=True, slots=True)
class Document:
    """A signed policy document in the store. Times are UTC seconds."""

    id: str
    version: int
    kind: str
    scope: str
    hash: str
    key_id: str
    envelope: str
    body: dict[str, Any]
    pushed_at: float
    withdrawn_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle as signed. contents: hash over the documents in it; hash: of its payload bytes."""

    gateway: str
    generation: int
    hash: str
    contents: str
    documents: list[dict[str, Any]]
    envelope: str
    made_at: float


def enrol(connection: Connection, gateway: Enrolled, key_ring: str, at: float) -> None:
    """Note a gateway and its ring; a second enrolment replaces the first."""
    row = {
        "district": gateway.district,
        "root_epoch": gateway.root_epoch,
        "key_ring": key_ring,
        "enrolled_at": at,
    }
    statement = upsert(gateways).values(gateway=gateway.gateway, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["gateway"], set_=row))


def enrolled(connection: Connection) -> dict[str, Enrolled]:
    """All enrolled gateways by name."""
    rows = connection.execute(select(gateways.c.gateway, gateways.c.district, gateways.c.root_epoch))
    return {row.gateway: Enrolled(row.gateway, row.district, row.root_epoch) for row in rows}


def add_document(connection: Connection, document: Document) -> None:
    """Keep a document; its (id, version) is new."""
    connection.execute(
        insert(documents).values(**{name: getattr(document, name) for name in Document.__slots__})
    )


def all_documents(connection: Connection, limit: int = 1000) -> list[Document]:
    """Documents, newest first."""
    rows = connection.execute(
        select(documents).order_by(documents.c.pushed_at.desc(), documents.c.version.desc()).limit(limit)
    )
    return [Document(**row._mapping) for row in rows]


def newest_document(connection: Connection, document_id: str) -> Document | None:
    """The highest version of a document, withdrawn or not."""
    row = connection.execute(
        select(documents).where(documents.c.id == document_id).order_by(documents.c.version.desc()).limit(1)
    ).first()
    return None if row is None else Document(**row._mapping)


def current_documents(connection: Connection) -> list[Document]:
    """The highest version of every document, without those withdrawn, by id."""
    newest = (
        select(documents.c.id, func.max(documents.c.version).label("version"))
        .group_by(documents.c.id)
        .subquery()
    )
    rows = connection.execute(
        select(documents)
        .join(newest, (documents.c.id == newest.c.id) & (documents.c.version == newest.c.version))
        .where(documents.c.withdrawn_at.is_(None))
        .order_by(documents.c.id)
    )
    return [Document(**row._mapping) for row in rows]


def withdraw(connection: Connection, document_id: str, at: float) -> int:
    """Take a document out, with all its versions; gives how many there were."""
    done = connection.execute(
        update(documents)
        .where((documents.c.id == document_id) & documents.c.withdrawn_at.is_(None))
        .values(withdrawn_at=at)
    )
    return done.rowcount


def newest_bundles(connection: Connection) -> dict[str, StoredBundle]:
    """The bundle of the highest generation of every gateway."""
    rows = connection.execute(
        select(bundles).distinct(bundles.c.gateway).order_by(bundles.c.gateway, bundles.c.generation.desc())
    )
    return {row.gateway: StoredBundle(**row._mapping) for row in rows}


def add_bundle(connection: Connection, bundle: StoredBundle) -> None:
    """Keep a bundle; (gateway, generation) is new."""
    connection.execute(
        insert(bundles).values(**{name: getattr(bundle, name) for name in StoredBundle.__slots__})
    )


def put_reported(connection: Connection, gateway: str, body: dict[str, Any], at: float) -> None:
    """Keep what a gateway reported last."""
    statement = upsert(reported).values(gateway=gateway, body=body, at=at)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["gateway"], set_={"body": body, "at": at})
    )


def all_reported(connection: Connection) -> dict[str, dict[str, Any]]:
    """The last report of every gateway."""
    return {row.gateway: row.body for row in connection.execute(select(reported))}
