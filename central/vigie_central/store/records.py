"""Records in PostgreSQL: enrolments, policy documents, bundles, inventory, the audit.

``Records.run`` takes a function of a connection and runs it in a thread inside one transaction; the
functions themselves stand in the modules that own their tables.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from vigie_central.settings import DATABASE_VARIABLE, StateDir
from vigie_central.store.history import StoreError
from vigie_central.store.postgres import EmbeddedPostgres
from vigie_protocols.errors import input_error

T = TypeVar("T")
_MIGRATION_LOCK = 7_316_401


class Records:
    """The records of one coordinator: a server of its own, or the one at ``url``."""

    def __init__(self, state: StateDir, url: str | None = None) -> None:
        self._url = url
        self._embedded = None if url else EmbeddedPostgres(state.postgres)
        self._thread = ThreadPoolExecutor(max_workers=2, thread_name_prefix="records")
        self._engine: Engine | None = None

    def open(self) -> None:
        """Start or reach the server, bring its tables up to date. Blocking; raises InputError, StoreError."""
        url = self._url or (self._embedded.start() if self._embedded else "")
        try:
            self._engine = create_engine(_with_driver(url), pool_size=2, max_overflow=2, pool_pre_ping=True)
            with self._engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                config = Config()
                config.set_main_option("script_location", "vigie_central:store/migrations")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except ArgumentError as why:
            raise input_error(
                "environment",
                DATABASE_VARIABLE,
                url,
                str(why),
                "Écrire / Write postgresql://user:password@host/database.",
            ) from why
        except OperationalError as why:
            raise StoreError(
                f"la base de données ne répond pas / the database of the records does not answer: {why.orig}"
            ) from why

    def close(self) -> None:
        """Let go of the connections and stop our own server. Blocking."""
        self._thread.shutdown()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self._embedded is not None:
            self._embedded.stop()

    def call(self, work: Callable[[Connection], T]) -> T:
        """``work`` in one transaction, in this thread; raises StoreError when the server cannot."""
        if self._engine is None:
            raise StoreError("the records are not open")
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except DBAPIError as why:
            raise StoreError(f"records: {why.orig}") from why

    async def run(self, work: Callable[[Connection], T]) -> T:
        """``work`` in one transaction, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.call, work)


def _with_driver(url: str) -> str:
    """``postgresql://`` means psycopg 3 here."""
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url.removeprefix(plain)
    return url
