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
from vigie_central.wording import ANOTHER_PLACE, COMMAND_LINE, NO_SCOPE, SCOPE_REMEDY
from vigie_protocols.errors import Refused, input_error

app = make_command("Politiques, passerelles, baux, événements / Policies, the fleet, leases and events.")
policy = make_command(
    "Valider, signer et envoyer des politiques / Validate, sign and push policies; see them applied."
)
app.add_typer(policy, name="policy")
app.add_typer(lease, name="lease")
app.add_typer(fault, name="fault")

State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar=STATE_VARIABLE, help="Dossier d'état / State directory.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Écrire en JSON / Print JSON.")]
PolicyFile = Annotated[Path, typer.Argument(help="Fichier de politique / Policy file, YAML or JSON.")]
KEY_HELP = "Clé privée de l'auteur, sinon celle de la ville / Author's private key, else the city's own."
ScopeOption = Annotated[
    str | None, typer.Option("--scope", help="Portée / Scope: city, district:NAME, site:GATEWAY.")
]


def _client(state: Path | None) -> Client:
    return Client(StateDir(state.absolute()) if state else None)


@policy.command()
def validate(file: PolicyFile, scope: ScopeOption = None) -> None:
    """Vérifier un fichier de politique, sans coordonnateur / Check a policy file; needs no coordinator."""
    from vigie_central.policies.files import read_policy

    checked = read_policy(file, scope)
    document = checked.document
    out.print(f"{file}: valide / valid: {document.key}, {document.kind}, {checked.scope}", markup=False)


@policy.command()
def sign(
    file: PolicyFile,
    to: Annotated[
        Path, typer.Option("--out", help="Où écrire l'enveloppe signée / Where to write the signed envelope.")
    ],
    scope: ScopeOption = None,
    key: Annotated[Path | None, typer.Option(help=KEY_HELP)] = None,
    state: State = None,
) -> None:
    """Signer un fichier de politique comme auteur / Sign a policy file as its author."""
    signed = _signed(file, scope, key, state)
    try:
        to.write_bytes(signed)
    except OSError as why:
        reason = f"impossible à écrire / cannot be written: {why.strerror}"
        raise input_error(COMMAND_LINE, "--out", str(to), reason, ANOTHER_PLACE) from why
    out.print(f"Signé / Signed: {to}", markup=False)


@policy.command()
def push(
    file: Annotated[
        Path,
        typer.Argument(help="Fichier de politique ou enveloppe signée / Policy file, or a signed envelope."),
    ],
    scope: ScopeOption = None,
    key: Annotated[Path | None, typer.Option(help=KEY_HELP)] = None,
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """Envoyer une politique à sa portée, signée au besoin / Send a policy to its scope, signed if need be."""
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
    name, count = f"{pushed['id']}@{pushed['version']}", len(pushed["bundles"])
    out.print(f"{name} envoyée à {count} passerelle(s) / pushed to {count} gateway(s)", markup=False)
    for gateway, desired in pushed["bundles"].items():
        number, digest = desired["generation"], desired["hash"][:12]
        out.print(f"  {gateway}: génération / generation {number}, {digest}", markup=False)


@policy.command()
def withdraw(
    document: Annotated[
        str, typer.Argument(metavar="ID", help="Identifiant du document / The document's id.")
    ],
    state: State = None,
) -> None:
    """Retirer une politique de tous les lots / Take a policy out of every bundle."""
    bundles = _client(state).post(f"/policies/{document}/withdraw", {})
    count = len(bundles)
    out.print(
        f"{document} retirée de {count} passerelle(s) / withdrawn from {count} gateway(s)", markup=False
    )


@policy.command()
def status(as_json: AsJson = False, state: State = None) -> None:
    """Par passerelle, lot voulu et lot rapporté / Per gateway, bundle desired and bundle reported."""
    rows = _client(state).get("/policies/status")["gateways"]
    if as_json:
        out.print_json(data=rows)
        return
    table = Table(
        "passerelle / gateway",
        "voulu / desired",
        "rapporté / reported",
        "empreinte / hash",
        "politiques / policies",
        "concorde / in step",
    )
    for row in rows:
        desired, reported = row["desired"] or {}, row["reported"] or {}
        said = _named(reported.get("state", "-"))
        if reported.get("reason"):
            said += f": {reported['reason']} ({reported.get('code')})"
        table.add_row(
            row["gateway"],
            str(desired.get("generation", "-")),
            f"{reported.get('generation', '-')} {said}",
            (reported.get("hash") or "-")[:12],
            " ".join(f"{each['id']}@{each['version']}" for each in desired.get("policies", [])) or "-",
            "oui / yes" if row["in_step"] else "non / no",
        )
    out.print(table)


@app.command()
def fleet(as_json: AsJson = False, state: State = None) -> None:
    """Les passerelles, leurs appareils, leurs mesures / The gateways, their devices and samples."""
    gateways = _client(state).get("/gateways")["gateways"]
    if as_json:
        out.print_json(data=gateways)
        return
    table = Table(
        "passerelle / gateway",
        "district",
        "état / state",
        "depuis / since",
        "appareils / devices",
        "mesures / samples",
        "doubles / duplicates",
        "manquantes / missing",
    )
    for row in gateways:
        online = sum(each["online"] for each in row["devices"])
        counters = row["counters"]
        table.add_row(
            row["id"],
            row["district"] or "-",
            "en ligne / online" if row["online"] else "hors ligne / offline",
            _time(row["since"]),
            f"{online}/{len(row['devices'])}",
            str(counters["samples_stored"]),
            str(counters["duplicates_dropped"]),
            str(counters["missing"]),
        )
    out.print(table)


@app.command()
def events(
    gateway: Annotated[
        str | None, typer.Option(help="De cette passerelle seule / Of this gateway alone.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="De ce genre seul / Of this kind alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Au plus tant / At most so many.")] = 50,
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """Les événements, le plus récent en premier / What happened, newest first."""
    found = _client(state).get("/events", gateway=gateway, kind=kind, limit=limit)["events"]
    if as_json:
        out.print_json(data=found)
        return
    for row in found:
        out.print(f"{_time(row['utc'])}  {row['gateway']}  {row['kind']}  {_told(row['body'])}", markup=False)


_STATES = {
    "default": "réglage local / default",
    "staged": "reçue / staged",
    "applied": "appliquée / applied",
    "refused": "refusée / refused",
}


def _named(state: str) -> str:
    return _STATES.get(state, state)


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
        raise Refused(
            "format", "le fichier n'est pas une enveloppe signée / the file is no signed envelope"
        ) from None
    return check_document(payload, "envelope").scope


def _plain(scope: str) -> str:
    level, _, name = scope.partition(":")
    if level == "city":
        return level
    if level in ("district", "site") and name:
        return scope
    raise input_error(COMMAND_LINE, "--scope", scope, NO_SCOPE, SCOPE_REMEDY)


def _time(utc: float) -> str:
    if not utc:
        return "-"
    return datetime.datetime.fromtimestamp(utc, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _told(body: dict[str, Any]) -> str:
    title = body.get("title")
    if isinstance(title, dict) and title:
        return f"{body.get('source', '')}  {title.get('fr')} / {title.get('en')}  {body.get('reason') or ''}".strip()
    words = [str(body[word]) for word in ("source", "rule", "subject", "what") if body.get(word)]
    return "  ".join([*words, str(body.get("reason") or "")]).strip()


def main() -> None:
    """Entry point of ``vigie``."""
    run(app)
