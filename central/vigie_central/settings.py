"""Where the coordinator keeps its things and what it listens on.

Everything lives in one state directory::

    keys/            0700: root, author and bundle signing keys
    operator.token   0600: the bearer token of the operator
    coordinator.json where the running coordinator listens (also the ready line)
    postgres/        records, when the embedded server is used
    history/         hot table and Parquet files
    broker/          configuration and data of a broker we started
"""

import os
from dataclasses import dataclass
from pathlib import Path

from vigie_central.wording import COMMAND_LINE
from vigie_protocols.errors import input_error

STATE_VARIABLE = "VIGIE_STATE"
DATABASE_VARIABLE = "VIGIE_DATABASE_URL"
DEFAULT_HTTP = "127.0.0.1:8600"


@dataclass(frozen=True, slots=True)
class StateDir:
    """The paths inside a state directory; nothing is created by naming them."""

    root: Path

    @property
    def keys(self) -> Path:
        """Directory of the signing keys, mode 0700."""
        return self.root / "keys"

    @property
    def token(self) -> Path:
        """File of the operator's bearer token, mode 0600."""
        return self.root / "operator.token"

    @property
    def address(self) -> Path:
        """JSON written by the running coordinator: where it listens."""
        return self.root / "coordinator.json"

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def history(self) -> Path:
        """Directory of the history store."""
        return self.root / "history"

    @property
    def broker(self) -> Path:
        """Directory of a broker started by us."""
        return self.root / "broker"

    @classmethod
    def find(cls, given: Path | None) -> "StateDir":
        """The directory given, else ``VIGIE_STATE``; raises InputError when neither is there."""
        named = given or (Path(os.environ[STATE_VARIABLE]) if os.environ.get(STATE_VARIABLE) else None)
        if named is None:
            raise input_error(
                COMMAND_LINE,
                "--state",
                None,
                "aucun dossier d'état nommé / no state directory named",
                f"Donner / Give --state DIR, ou / or {STATE_VARIABLE}.",
            )
        return cls(named.absolute())

    def initialised(self) -> bool:
        """True once ``vigie-central init`` has been here."""
        return self.token.exists() and self.keys.is_dir()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; port 0 asks for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, option: str) -> "Endpoint":
        """Read ``host:port``, ``host/port`` or ``[v6]:port``; raises InputError naming ``option``."""
        host, separator, port = text.replace("/", ":").rpartition(":")
        host = host.strip("[]")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise input_error(
                COMMAND_LINE,
                option,
                text,
                "pas un hôte et un port / not a host and a port",
                "Écrire / Write host:port, 127.0.0.1:8600; port 0 : le premier libre / any free one.",
            )
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``vigie-central run`` was asked for.

    broker: None starts one in the state directory (on broker_port, 0: any), else the one to join.
    groups: Sparkplug groups hosted; empty hosts every group.
    """

    state: StateDir
    http: Endpoint
    broker: Endpoint | None = None
    broker_port: int = 0
    groups: tuple[str, ...] = ()
    host_id: str = "vigie"
    ready_file: Path | None = None
    database_url: str | None = None
