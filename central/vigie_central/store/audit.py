"""The audit: who did what, each line chained to the one before by SHA-256, so that a change shows."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from vigie_central.store.tables import audit

_LOCK = 7_316_402
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line; ``hash`` is SHA-256 of the previous hash and everything else in it."""

    seq: int
    at: float
    actor: str
    action: str
    subject: str
    body: str
    previous: str
    hash: str


def _digest(seq: int, at: float, actor: str, action: str, subject: str, body: str, previous: str) -> str:
    whole = json.dumps([seq, at, actor, action, subject, body, previous], ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def append(
    connection: Connection, at: float, actor: str, action: str, subject: str, body: dict[str, Any]
) -> AuditLine:
    """Add a line within the caller's transaction, so that deed and line stand or fall together."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    at = float(at)
    written = json.dumps(body, sort_keys=True, ensure_ascii=False)
    line = AuditLine(
        seq,
        at,
        actor,
        action,
        subject,
        written,
        previous,
        _digest(seq, at, actor, action, subject, written, previous),
    )
    connection.execute(insert(audit).values(**asdict(line)))
    return line


def verify(connection: Connection) -> int | None:
    """The number of the first line that does not fit its chain, None when all do."""
    previous, expected = GENESIS, 1
    for row in connection.execute(select(audit).order_by(audit.c.seq)):
        digest = _digest(row.seq, row.at, row.actor, row.action, row.subject, row.body, row.previous)
        if row.seq != expected or row.previous != previous or row.hash != digest:
            return expected
        previous, expected = row.hash, expected + 1
    return None


def length(connection: Connection) -> int:
    """How many lines there are."""
    return connection.execute(select(func.count()).select_from(audit)).scalar_one()
