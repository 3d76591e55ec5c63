"""``vigie``: policies, the fleet and its events, from the operator's side."""

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vigie_central.client import Client
from vigie_central.commands import make_command, out, run
from vigie_central.orders_cli import fault, lease
from vigie_central.settings import STATE_VARIABLE, StateDir
from vigie_protocols.errors import Refused, input_error

app = make_command("Politiques, passerelles, événements / Policies, the fleet, leases and events.")
policy = make_command("Validate, sign and push policies; see them applied.")
app.add_typer(policy, name="policy")
app.add_typer(lease, name="lease")
app.add_typer(fault, name="fault")

State = Annotated[
    Path | None, typer.Option("--state", envvar=STATE_VARIABLE, help="State directory.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PolicyFile = Annotated[Path, typer.Argument(help="Policy file, YAML or JSON.")]
ScopeOption = Annotated[str | None, typer.Option("--scope", help="city, district:NAME or site:GATEWAY.")]


def _client(state: Path | None) -> Client:
    return Client(StateDir(state.absolute()) if state else None)


@policy.command()
def validate(file: PolicyFile, scope: ScopeOption = None) -> None:
    """Check a policy file; needs no coordinator."""
    from vigie_central.policies.files import read_policy

    checked = read_policy(file, scope)
    document = checked.document
    out.print(f"{file}: valid: {document.key}, {document.kind}, {checked.scope}", markup=False)


@policy.command()
def sign(
    file: PolicyFile,
    to: Annotated[Path, typer.Option("--out", help="Where to write the signed envelope.")],
    scope: ScopeOption = None,
    key: Annotated[Path | None, typer.Option(help="Author's private key; the city's own without it.")] = None,
    state: State = None,
) -> None:
    """Sign a policy file as its author."""
    signed = _signed(file, scope, key, state)
    try:
        to.write_bytes(signed)
    except OSError as why:
        reason = f"cannot be written: {why.strerror}"
        raise input_error("command line", "--out", str(to), reason, "Choose another place.") from why
    out.print(f"Signed: {to}", markup=False)


@policy.command()
def push(
    file: Annotated[Path, typer.Argument(help="Policy file, or a signed envelope.")],
    scope: ScopeOption = None,
    key: Annotated[Path | None, typer.Option(help="Author's private key; the city's own without it.")] = None,
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """Send a policy to its scope; a file that is not signed yet is signed first."""
    from vigie_central.policies.files import read_envelope

    client = _client(state)
    envelope = read_envelope(file)
    if envelope is None:
        envelope = json.loads(_signed(file, scope, key, state))
    asked = scope or _scope_of(envelope)
    pushed = client.post("/policies/push", {"envelope": envelope, "scope": _plain(asked)})
    if as_json:
        out.print_json(data=pushed)
        return
    out.print(f"{pushed['id']}@{pushed['version']} pushed to {len(pushed['bundles'])} gateways", markup=False)
    for name, desired in pushed["bundles"].items():
        out.print(f"  {name}: generation {desired['generation']}, {desired['hash'][:12]}", markup=False)


@policy.command()
def withdraw(
    document: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")], state: State = None
) -> None:
    """Take a policy out of every bundle."""
    bundles = _client(state).post(f"/policies/{document}/withdraw", {})
    out.print(f"{document} withdrawn from {len(bundles)} gateways", markup=False)


@policy.command()
def status(as_json: AsJson = False, state: State = None) -> None:
    """Per gateway: the bundle it should run and what it reports."""
    rows = _client(state).get("/policies/status")["gateways"]
    if as_json:
        out.print_json(data=rows)
        return
    table = Table("gateway", "desired", "reported", "hash", "policies", "in step")
    for row in rows:
        desired, reported = row["desired"] or {}, row["reported"] or {}
        said = reported.get("state", "-")
        if reported.get("reason"):
            said += f": {reported['reason']} ({reported.get('code')})"
        table.add_row(
            row["gateway"],
            str(desired.get("generation", "-")),
            f"{reported.get('generation', '-')} {said}",
            (reported.get("hash") or "-")[:12],
            " ".join(f"{each['id']}@{each['version']}" for each in desired.get("policies", [])) or "-",
            "yes" if row["in_step"] else "no",
        )
    out.print(table)


@app.command()
def fleet(as_json: AsJson = False, state: State = None) -> None:
    """The gateways: online, devices, what was stored of them."""
    gateways = _client(state).get("/gateways")["gateways"]
    if as_json:
        out.print_json(data=gateways)
        return
    table = Table("gateway", "district", "state", "since", "devices", "samples", "duplicates", "missing")
    for row in gateways:
        online = sum(each["online"] for each in row["devices"])
        counters = row["counters"]
        table.add_row(
            row["id"],
            row["district"] or "-",
            "online" if row["online"] else "offline",
            _time(row["since"]),
            f"{online}/{len(row['devices'])}",
            str(counters["samples_stored"]),
            str(counters["duplicates_dropped"]),
            str(counters["missing"]),
        )
    out.print(table)


@app.command()
def events(
    gateway: Annotated[str | None, typer.Option(help="Of this gateway alone.")] = None,
    kind: Annotated[str | None, typer.Option(help="Of this kind alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """What happened, newest first."""
    found = _client(state).get("/events", gateway=gateway, kind=kind, limit=limit)["events"]
    if as_json:
        out.print_json(data=found)
        return
    for row in found:
        out.print(f"{_time(row['utc'])}  {row['gateway']}  {row['kind']}  {_told(row['body'])}", markup=False)


def _signed(file: Path, scope: str | None, key: Path | None, state: Path | None) -> bytes:
    from vigie_central.policies.files import read_policy, sign_policy
    from vigie_central.policies.keys import load_author

    checked = read_policy(file, scope)
    return sign_policy(checked, load_author(StateDir.find(state).keys, key))


def _scope_of(envelope: dict[str, Any]) -> str:
    import base64

    from vigie_central.policies.check import check_document

    try:
        payload = base64.b64decode(envelope["payload"])
    except (KeyError, TypeError, ValueError):
        raise Refused("format", "the file is no signed envelope") from None
    return check_document(payload, "envelope").scope


def _plain(scope: str) -> str:
    level, _, name = scope.partition(":")
    if level == "city":
        return level
    if level in ("district", "site") and name:
        return scope
    raise input_error(
        "command line", "--scope", scope, "not a scope", "Write city, district:NAME or site:GATEWAY."
    )


def _time(utc: float) -> str:
    if not utc:
        return "-"
    return datetime.datetime.fromtimestamp(utc, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _told(body: dict[str, Any]) -> str:
    words = [str(body[word]) for word in ("source", "rule", "subject", "what") if body.get(word)]
    return "  ".join([*words, str(body.get("reason") or "")]).strip()


def main() -> None:
    """Entry point of ``vigie``."""
    run(app)
