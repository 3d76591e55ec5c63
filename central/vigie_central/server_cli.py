"""``vigie-central``: make a city's keys, enrol gateways, run the coordinator."""

import asyncio
import json
import logging
import os
import re
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
import uvloop

from vigie_central.commands import make_command, out, run
from vigie_central.settings import (
    DATABASE_VARIABLE,
    DEFAULT_HTTP,
    STATE_VARIABLE,
    Endpoint,
    Settings,
    StateDir,
)
from vigie_central.wording import ANOTHER_PLACE, COMMAND_LINE
from vigie_protocols.errors import input_error

if TYPE_CHECKING:
    from sqlalchemy import Connection

app = make_command("Le coordonnateur d'une ville / The coordinator of a city.")
State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar=STATE_VARIABLE, help="Dossier d'état / State directory.", show_default=False
    ),
]
GATEWAY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TOPIC_WORD = re.compile(r"[^+/#]+")


@app.command()
def init(state: State = None) -> None:
    """Créer les clés de la ville et le jeton d'opérateur / Make the city's keys and the operator's token."""
    from vigie_central.policies.keys import make_keys

    where = StateDir.find(state)
    _make_folder("--state", where.root)
    make_keys(where.keys, time.time())
    handle = os.open(where.token, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    out.print(f"Clés / Keys: {where.keys}", markup=False)
    out.print("  garder root.pem ailleurs aussi / keep a copy of root.pem off this machine", markup=False)
    out.print(f"Jeton / Token: {where.token}", markup=False)


@app.command()
def enrol(
    gateways: Annotated[
        list[str],
        typer.Argument(
            metavar="GATEWAY...", help="Noms, comme dans leurs fichiers / Names, as in their files."
        ),
    ],
    out_path: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Fichier du trousseau, ou dossier pour plusieurs / Key ring's file, or a directory for several.",
        ),
    ],
    district: Annotated[str | None, typer.Option(help="Leur district / The district they belong to.")] = None,
    state: State = None,
) -> None:
    """Inscrire des passerelles et écrire leurs trousseaux / Enrol gateways and write their key rings."""
    from vigie_central.policies import tables
    from vigie_central.policies.keys import make_gateway_ring
    from vigie_central.store import audit
    from vigie_central.store.records import Records

    where = _initialised(state)
    for option, value in (*(("GATEWAY", one) for one in gateways), ("--district", district)):
        if value is not None and not GATEWAY_NAME.fullmatch(value):
            raise input_error(
                COMMAND_LINE,
                option,
                value,
                "pas un nom / not a name",
                "De a à z, 0 à 9 et -, au plus 63 / Use a to z, 0 to 9 and -, at most 63 characters.",
            )
    now = time.time()
    files = {one: out_path if len(gateways) == 1 else out_path / f"{one}.json" for one in gateways}
    rings = {one: make_gateway_ring(where.keys, one, now) for one in gateways}
    records = Records(where, os.environ.get(DATABASE_VARIABLE))
    try:
        records.open()

        def note(connection: "Connection") -> None:
            for name, (ring, root_epoch) in rings.items():
                tables.enrol(connection, tables.Enrolled(name, district, root_epoch), ring.decode(), now)
                body = {"district": district, "root_epoch": root_epoch}
                audit.append(connection, now, "vigie-central enrol", "gateway.enrol", name, body)

        records.call(note)
    finally:
        records.close()
    for name, file in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(rings[name][0])
        except OSError as why:
            raise input_error(
                COMMAND_LINE,
                "--out",
                str(file),
                f"impossible à écrire / cannot be written: {why.strerror}",
                ANOTHER_PLACE,
            ) from why
        out.print(f"Trousseau / Key ring: {name}: {file}", markup=False)


@app.command(name="run")
def run_coordinator(
    http: Annotated[
        str, typer.Option(help="Adresse et port de l'API, 0 : libre / Address and port of the API, 0: any.")
    ] = DEFAULT_HTTP,
    broker: Annotated[str, typer.Option(help="start, start:PORT, ou / or host:port.")] = "start",
    group: Annotated[
        list[str] | None, typer.Option(help="Groupe Sparkplug, tous sinon / Sparkplug group, else all.")
    ] = None,
    host_id: Annotated[str, typer.Option(help="Nom d'hôte Sparkplug / Sparkplug host id.")] = "vigie",
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Fichier JSON écrit quand l'API répond / JSON file written once the API answers."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error.")] = "info",
    state: State = None,
) -> None:
    """Faire tourner le coordonnateur jusqu'à SIGTERM / Run the coordinator until SIGTERM."""
    where = _initialised(state)
    _set_up_logging(log_level)
    own, _, port = broker.partition(":")
    if own == "start" and (not port or port.isdigit()):
        joined, own_port = None, int(port or 0)
    else:
        joined, own_port = Endpoint.parse(broker, "--broker"), 0
    for option, names in (("--group", group or []), ("--host-id", [host_id])):
        for name in names:
            if not TOPIC_WORD.fullmatch(name):
                reason = "ne peut entrer dans un sujet MQTT / cannot be a part of a topic"
                raise input_error(
                    COMMAND_LINE, option, name, reason, "Écrire un nom sans / Write a name without + / #."
                )
    if ready_file is not None:
        _make_folder("--ready-file", ready_file.absolute().parent)
    settings = Settings(
        state=where,
        http=Endpoint.parse(http, "--http"),
        broker=joined,
        broker_port=own_port,
        groups=tuple(group or ()),
        host_id=host_id,
        ready_file=ready_file,
        database_url=os.environ.get(DATABASE_VARIABLE),
    )
    from vigie_central.policies.kinds import policy_kinds
    from vigie_central.server import serve

    policy_kinds()  # a package that cannot be used is told now, and not when somebody pushes a policy
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


@app.command()
def audit(state: State = None) -> None:
    """Vérifier la chaîne d'audit, code 1 si elle est rompue / Check the audit's chain, exit code 1 if broken."""
    from vigie_central.store import audit as chain
    from vigie_central.store.records import Records

    records = Records(_initialised(state), os.environ.get(DATABASE_VARIABLE))
    try:
        records.open()
        broken = records.call(chain.verify)
        lines = records.call(chain.length)
    finally:
        records.close()
    out.print(json.dumps({"lines": lines, "broken_at": broken}), markup=False)
    if broken is not None:
        raise typer.Exit(1)


def _make_folder(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        reason = f"impossible à créer / cannot be made: {why.strerror}"
        raise input_error(COMMAND_LINE, option, str(folder), reason, ANOTHER_PLACE) from why


def _initialised(state: Path | None) -> StateDir:
    where = StateDir.find(state)
    if not where.initialised():
        raise input_error(
            COMMAND_LINE,
            "--state",
            str(where.root),
            "ce dossier d'état n'a jamais été préparé / this state directory was never initialised",
            f"Lancer / Run: vigie-central init --state {where.root}",
        )
    return where


def _set_up_logging(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise input_error(
            COMMAND_LINE,
            "--log-level",
            level,
            "niveau inconnu / no such level",
            "Écrire un de ceux-ci / Use debug, info, warning or error.",
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    """Entry point of ``vigie-central``."""
    run(app)
