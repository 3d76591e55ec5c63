"""Commands that look at files: replay a journal, print or export one, show what will be asked of the devices."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vigie_edge.journal.journal import list_segments
from vigie_edge.journal.salvage import examine, good_records
from vigie_edge.journal.segment import Kind, Record
from vigie_edge.language import say
from vigie_protocols.errors import InputError, Problem

Config = Annotated[Path, typer.Option("--config", "-c", help="Gateway file (YAML).", exists=False)]
Directory = Annotated[Path, typer.Argument(help="A journal's directory.")]


def replay(
    directory: Directory, config: Config, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """Run the replay journal again and tell every decision that differs; exit code 1 if there is any."""
    from vigie_edge.config import load_plan
    from vigie_edge.replay import Replay

    report = Replay(load_plan(config)).run(directory)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(report)))
    else:
        for note in report.notes:
            typer.echo(f"note: {note}")
        for one in report.differences:
            typer.echo(f"scan {one.scan} at {one.utc:.3f}: {one.what} differ")
            typer.echo(f"  recorded {one.recorded}\n  replayed {one.replayed}")
        typer.echo(
            f"{report.scans} scans from {report.snapshots} snapshots in {report.segments} segments run again, "
            f"{report.skipped} skipped, {report.missing} missing, {len(report.differences)} differences"
        )
    sys.exit(1 if report.differences or not report.scans else 0)


def journal(
    directory: Directory,
    export: Annotated[bool, typer.Option("--export", help="Every record as a line of JSON.")] = False,
    only: Annotated[str, typer.Option(help="telemetry or replay; both when empty.")] = "",
) -> None:
    """Show what the journals hold, segment by segment; with --export every record as a line of JSON."""
    found = False
    for name in ("telemetry", "replay"):
        folder = directory / name
        if only not in ("", name) or not folder.is_dir():
            continue
        for epoch, first, path in list_segments(folder):
            found = True
            if export:
                for row in _rows(name, epoch, path):
                    sys.stdout.write(json.dumps(row) + "\n")
            else:
                typer.echo(_summary(name, epoch, first, path))
        for path in sorted(folder.glob("*.corrupt")):
            typer.echo(f"{name}: {path.name} was damaged and set aside", err=export)
    if not found:
        reason, remedy = "no journal segments there", "Name the journal directory of a gateway file."
        raise InputError([Problem(str(directory), "journal", only, reason, remedy)])


def _summary(name: str, epoch: int, first: int, path: Path) -> str:
    data = path.read_bytes()
    found = examine(data, first)
    kinds: dict[str, int] = {}
    for _, _, record in good_records(found.kept):
        if record.kind is not Kind.MARK:
            kinds[record.kind.name.lower()] = kinds.get(record.kind.name.lower(), 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    tail = ""
    if found.damaged:
        gone = ", ".join(f"{low} to {high or 'its end'}" for low, high in found.missing) or "none"
        tail = f", damaged, records gone: {gone}"
    elif len(found.kept) != len(data):
        tail = f", {len(data) - len(found.kept)} bytes not committed"
    return f"{name}: epoch {epoch}, records {first} to {found.last}, {len(data)} bytes ({told}){tail}"


def _rows(name: str, epoch: int, path: Path) -> Iterator[dict[str, Any]]:
    for _, _, record in good_records(path.read_bytes()):
        if record.kind is Kind.MARK:
            continue
        row = {"journal": name, "epoch": epoch, "index": record.index, "kind": record.kind.name.lower()}
        yield {**row, **_content(record)}


def _content(record: Record) -> dict[str, Any]:
    """A record's fields by name; bytes as hex."""
    from vigie_edge.records import decode_control, decode_field
    from vigie_edge.telemetry_records import samples_decoder

    if record.kind in (Kind.PREAMBLE, Kind.EVENT, Kind.GAP):
        told: dict[str, Any] = json.loads(record.payload)
        return {"content": told}
    value: Any
    if record.kind is Kind.SAMPLES:
        value = samples_decoder.decode(record.payload)
    elif record.kind is Kind.READINGS:
        value = decode_field(record.payload)
    else:
        value = decode_control(record.payload)
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return {"content": msgspec.to_builtins(fields, enc_hook=str)}


def plan(
    files: Annotated[list[Path], typer.Argument(help="Gateway files.")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what will be asked of the devices: each block read, monitored node and topic, per link."""
    from vigie_protocols.fieldplan import plan_rows
    from vigie_protocols.gateway import load_gateway

    for file in files:
        rows = plan_rows(load_gateway(file))
        if as_json:
            typer.echo(json.dumps(msgspec.to_builtins(rows)))
            continue
        _print_plan(file, rows)


def _print_plan(file: Path, rows: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        say("lien", "link"), say("appareil", "device"), say("demande", "request"), "points",
        say("toutes les (s)", "every s"), say("en trop", "spare"), title=str(file),
    )  # fmt: skip
    for row in rows:
        itself = say("de lui-même", "by itself")
        every = (
            say("au besoin", "when changed") if row.writes else f"{row.every_s:g}" if row.every_s else itself
        )
        request = f"{say('écrit', 'writes')}: {row.request}" if row.writes else row.request
        table.add_row(row.link, row.device, request, str(row.points), every, str(row.spare or ""))
    reads = [row for row in rows if not row.writes]
    per_s = sum(1 / row.every_s for row in reads if row.every_s)
    points = sum(row.points for row in reads)
    table.caption = say(
        f"{len(reads)} demandes, {per_s:.1f} par seconde, {points} points",
        f"{len(reads)} requests, {per_s:.1f} a second, {points} points",
    )
    Console().print(table)


def packages() -> None:
    """Paquets de contrôleurs / Controllers of other packages installed here, as a gateway file names them."""
    from vigie_protocols.packages import digest, installed

    for whole, points in installed():
        typer.echo(f"- {{distribution: {whole.name}, sha256: {digest(points)}}}")
        for point in points:
            typer.echo(f"  # {point.name}, {whole.version}: {point.value}")


def schema(what: Annotated[str, typer.Argument(help="gateway or profile")]) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    from vigie_protocols.schemas import SCHEMAS
    from vigie_protocols.yamlfile import json_schema

    if what not in SCHEMAS:
        known = ", ".join(sorted(SCHEMAS))
        raise InputError(
            [Problem("vigie-edge schema", "WHAT", what, "no such kind of file", f"Say one of {known}.")]
        )
    typer.echo(json_schema(*SCHEMAS[what]))


def register(app: typer.Typer) -> None:
    """Put these commands beside the others."""
    for command in (replay, journal, plan, packages, schema):
        app.command()(command)
