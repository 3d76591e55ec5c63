"""``vigie-edge events``, ``measures`` and ``spat``: what a gateway's junctions did, and what they are about to do."""

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from vigie_edge import french
from vigie_edge.journal.journal import list_segments
from vigie_edge.journal.segment import Kind, scan_records
from vigie_edge.language import say
from vigie_edge.options import AsJson, Config, Directory
from vigie_edge.records import Scan, decode_control
from vigie_protocols.errors import input_error

_NAMES = {
    "greens": ("verts", "greens"),
    "green_s": ("secondes de vert", "seconds of green"),
    "gap_outs": ("fins d’intervalle", "gap outs"),
    "max_outs": ("verts maximaux", "max outs"),
    "force_offs": ("fins imposées", "force-offs"),
    "green_occupancy": ("occupation au vert", "occupancy in green"),
    "red_occupancy": ("occupation au début du rouge", "occupancy at the start of red"),
    "split_failures": ("verts insuffisants", "split failures"),
    "arrivals": ("arrivées", "arrivals"),
    "arrivals_on_green": ("part des arrivées au vert", "share of arrivals on green"),
    "ped_services": ("services piétons", "pedestrian services"),
    "ped_delay_s": ("attente moyenne des piétons, s", "mean pedestrian wait, s"),
    "ped_delay_max_s": ("attente la plus longue des piétons, s", "longest pedestrian wait, s"),
    "queue_max": ("file la plus longue, véh.", "longest queue, veh"),
    "delay_veh_s": ("retard, véh·s", "delay, veh s"),
}
"""What people are told each figure is: French, English."""
HEADER = ("time", "device", "event_code", "parameter")
"""The columns that ATSPM tools read: an instant, a signal, a code of the public enumeration, its parameter."""


def events(
    directory: Directory,
    loop: Annotated[
        str, typer.Option(help="Un carrefour, sinon tous / One junction's loop; all when empty.")
    ] = "",
    since: Annotated[
        str, typer.Option(help="Depuis, ISO 8601 / Since when, UTC unless it says otherwise.")
    ] = "",
) -> None:
    """Événements de feux / High-resolution signal events as CSV: time, device, event code, parameter."""
    start = 0.0
    if since:
        try:
            told = datetime.fromisoformat(since)
        except ValueError as error:
            remedy = "Write it as 2026-07-01T08:00:00."
            raise input_error("command line", "--since", since, "not an ISO 8601 instant", remedy) from error
        start = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    folder = directory / "replay" if (directory / "replay").is_dir() else directory
    segments = list_segments(folder)
    if not segments:
        remedy = "Name the journal directory of a gateway file."
        raise input_error(str(directory), "journal", "", "no replay segments there", remedy)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEADER)
    for _, _, path in segments:
        for name, tenths, code, parameter in _events(path):
            if loop in ("", name) and tenths / 10 >= start:
                writer.writerow((instant(tenths), name, code, parameter))


def _events(path: Path) -> Iterator[tuple[str, int, int, int]]:
    for _, record in scan_records(path.read_bytes()):
        if record.kind is Kind.SCAN:
            scan = decode_control(record.payload)
            if isinstance(scan, Scan):
                yield from scan.events


def instant(tenths: int) -> str:
    """ISO 8601 in UTC to the tenth of a second."""
    seconds, tenth = divmod(tenths, 10)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{tenth}Z"


def _ask(config: Path, action: str) -> dict[str, Any]:
    from vigie_protocols.gateway import load_gateway
    from vigie_protocols.localsocket import ask

    answer = ask(load_gateway(config).gateway.runtime_dir, action, {})
    if not answer.get("ok"):
        reason = french.told(str(answer.get("reason")))
        sys.stderr.write(f"{say('refusé', 'refused')}: {answer.get('code')}: {reason}\n")
        sys.exit(1)
    result: dict[str, Any] = answer["result"]
    return result


def spat(config: Config) -> None:
    """Phases et temps des carrefours / Signal phase and timing of the junctions (SAE J2735), as JSON."""
    typer.echo(json.dumps(_ask(config, "spat")["intersections"]))


def measures(config: Config, as_json: AsJson = False) -> None:
    """Mesures des carrefours / What the junctions measured in the last whole period and so far in this one."""
    told = _ask(config, "measures")["measures"]
    if as_json:
        typer.echo(json.dumps(told))
        return
    for loop, one in told.items():
        _print(loop, one)


def _print(loop: str, told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    phases: dict[str, dict[str, tuple[Any, Any]]] = {}
    for name, value in told["so_far"].items():
        phase, _, what = name.partition("/")
        phases.setdefault(what, {})[phase] = (told["last"].get(name), value)
    first = next(iter(phases.values()), {})
    ended = instant(int(told["ended_utc"] * 10)) if told["last"] else say("aucune encore", "none yet")
    last_period, so_far = say("dernière période", "last period"), say("période en cours", "so far")
    title = f"{loop}: {last_period} ({ended}) / {so_far}"
    table = Table(say("mesure", "measure"), *(f"phase {number}" for number in first), title=title)
    for what, row in phases.items():
        name = say(*_NAMES[what]) if what in _NAMES else what
        table.add_row(name, *(f"{_figure(last)} / {_figure(now)}" for last, now in row.values()))
    Console().print(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def register(app: typer.Typer) -> None:
    """Put these commands beside the others."""
    for command in (events, measures, spat):
        app.command()(command)
