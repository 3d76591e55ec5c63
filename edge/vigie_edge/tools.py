"""Commands that look at files: replay a journal, print or export one, show what will be asked of the devices."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vigie_edge.french import told
from vigie_edge.journal.journal import list_segments
from vigie_edge.journal.salvage import examine, good_records
from vigie_edge.journal.segment import Kind, Record
from vigie_edge.language import say
from vigie_edge.options import EXPORT_HELP, ONLY_HELP, AsJson, Config, Directory
from vigie_protocols.errors import InputError, Problem


def replay(directory: Directory, config: Config, as_json: AsJson = False) -> None:
    """Rejouer le journal / Run the replay journal again and tell every decision that differs; exit code 1 if any."""
    from vigie_edge.config import load_plan
    from vigie_edge.replay import Replay

    report = Replay(load_plan(config)).run(directory)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(report)))
    else:
        for note in report.notes:
            typer.echo(f"note: {note}")
        for one in report.differences:
            differ = say(f"{one.what} diffèrent", f"{one.what} differ")
            typer.echo(f"{say('cycle', 'scan')} {one.scan}, {one.utc:.3f}: {differ}")
            typer.echo(
                f"  {say('journal', 'recorded')} {one.recorded}\n  {say('rejeu', 'replayed')} {one.replayed}"
            )
        differences = len(report.differences)
        typer.echo(
            say(
                f"{report.scans} cycles de {report.snapshots} instantanés dans {report.segments} segments rejoués, "
                f"{report.skipped} passés, {report.missing} manquants, {differences} différences",
                f"{report.scans} scans from {report.snapshots} snapshots in {report.segments} segments run again, "
                f"{report.skipped} skipped, {report.missing} missing, {differences} differences",
            )
        )
    sys.exit(1 if report.differences or not report.scans else 0)


def journal(
    directory: Directory,
    export: Annotated[bool, typer.Option("--export", help=EXPORT_HELP)] = False,
    only: Annotated[str, typer.Option(help=ONLY_HELP)] = "",
) -> None:
    """Contenu des journaux, par segment / What the journals hold, segment by segment."""
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
            aside = say("était abîmé et mis de côté", "was damaged and set aside")
            typer.echo(f"{name}: {path.name} {aside}", err=export)
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
        end = say("la fin", "its end")
        gone = ", ".join(f"{low} - {high or end}" for low, high in found.missing) or say("aucun", "none")
        tail = say(f", abîmé, enregistrements perdus: {gone}", f", damaged, records gone: {gone}")
    elif len(found.kept) != len(data):
        open_bytes = len(data) - len(found.kept)
        tail = say(f", {open_bytes} octets pas encore durables", f", {open_bytes} bytes not committed")
    return say(
        f"{name}: époque {epoch}, enregistrements {first} à {found.last}, {len(data)} octets ({told}){tail}",
        f"{name}: epoch {epoch}, records {first} to {found.last}, {len(data)} bytes ({told}){tail}",
    )


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
    files: Annotated[list[Path], typer.Argument(help="Fichiers de passerelle / Gateway files.")],
    as_json: AsJson = False,
) -> None:
    """Ce qui sera demandé aux appareils / What will be asked of the devices: reads, nodes, topics, writes."""
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
    from rich.table import Column, Table

    table = Table(
        say("lien", "link"), say("appareil", "device"), Column(say("demande", "request"), overflow="fold"), "points",
        say("toutes les (s)", "every s"), say("en trop", "spare"), title=str(file),
    )  # fmt: skip
    for row in rows:
        itself = say("de lui-même", "by itself")
        every = (
            say("au besoin", "when changed") if row.writes else f"{row.every_s:g}" if row.every_s else itself
        )
        request = f"{say('écrit', 'writes')}: {told(row.request)}" if row.writes else told(row.request)
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
    """Paquets de régulateurs / Controllers of other packages installed here, as a gateway file names them."""
    from vigie_protocols.packages import digest, installed

    for whole, points in installed():
        typer.echo(f"- {{distribution: {whole.name}, sha256: {digest(points)}}}")
        for point in points:
            typer.echo(f"  # {point.name}, {whole.version}: {point.value}")


def schema(what: Annotated[str, typer.Argument(help="gateway ou profile / gateway or profile")]) -> None:
    """Schéma JSON pour les éditeurs / The JSON Schema of a kind of file, for editors."""
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
