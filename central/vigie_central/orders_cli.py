"""``vigie lease`` and ``vigie fault``: what an operations centre asks of one gateway, by signed command."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vigie_central.client import Client
from vigie_central.commands import make_command, out
from vigie_central.settings import STATE_VARIABLE, StateDir
from vigie_central.wording import COMMAND_LINE
from vigie_protocols.errors import Refused, input_error

lease = make_command(
    "Baux / Leases: forcer un point pour un temps, après quoi viennent encore les garde-fous / "
    "force a point for a while; guards still come after it, and it ends by itself."
)
fault = make_command(
    "Défauts verrouillés / Latched faults: réarmés par une personne nommée / reset by a named person."
)

State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar=STATE_VARIABLE, help="Dossier d'état / State directory.", show_default=False
    ),
]
GatewayName = Annotated[str, typer.Argument(metavar="GATEWAY")]
Holder = Annotated[
    str, typer.Option(help="Qui en répond, gardé à l'audit / Who answers for it, kept in the audit.")
]
Reason = Annotated[str, typer.Option(help="Pourquoi, gardé à l'audit / Why, kept in the audit.")]


def send(state: Path | None, gateway: str, holder: str, action: str, args: dict[str, Any]) -> dict[str, Any]:
    """The result of a command; raises Refused with what the gateway said."""
    client = Client(StateDir(state.absolute()) if state else None)
    body = {"action": action, "holder": holder, "args": args}
    answer: dict[str, Any] = client.post(f"/gateways/{gateway}/commands", body)
    if not answer["ok"]:
        raise Refused(answer["code"], f"{gateway}: {answer['reason']} ({answer['code']})")
    return dict(answer["result"])


@lease.command("take")
def take(
    gateway: GatewayName,
    point: Annotated[
        str,
        typer.Argument(
            metavar="POINT", help="Point commandable, appareil/point / Writable point, device/point."
        ),
    ],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Valeur JSON / JSON value: true, 3, 12.5")],
    holder: Holder,
    reason: Reason,
    seconds: Annotated[
        float, typer.Option("--for", min=1, help="Durée en secondes / Seconds to live.")
    ] = 600.0,
    state: State = None,
) -> None:
    """Forcer un point d'une passerelle pour un temps / Force one point of a gateway for a while."""
    try:
        forced = json.loads(value)
    except ValueError:
        remedy = "Écrire / Write: true, false, un nombre / a number."
        raise input_error(
            COMMAND_LINE, "VALUE", value, "pas une valeur JSON / not a JSON value", remedy
        ) from None
    args = {"forces": {point: forced}, "reason": reason, "ttl_s": seconds}
    told = send(state, gateway, holder, "lease.take", args)
    out.print(f"{told['id']}: {point} = {value}, {told['remaining_s']:.0f} s", markup=False)


@lease.command("renew")
def renew(
    gateway: GatewayName,
    lease_id: Annotated[
        str, typer.Argument(metavar="ID", help="Donné par / As given by: lease take, lease list.")
    ],
    holder: Holder,
    seconds: Annotated[
        float,
        typer.Option("--for", min=1, help="Durée dès maintenant, en secondes / Seconds to live from now."),
    ] = 600.0,
    state: State = None,
) -> None:
    """Prolonger un bail / Let a lease live on."""
    told = send(state, gateway, holder, "lease.renew", {"id": lease_id, "ttl_s": seconds})
    out.print(f"{told['id']}: {told['remaining_s']:.0f} s", markup=False)


@lease.command("release")
def release(
    gateway: GatewayName,
    lease_id: Annotated[
        str, typer.Argument(metavar="ID", help="Donné par / As given by: lease take, lease list.")
    ],
    holder: Holder,
    state: State = None,
) -> None:
    """Rendre un bail avant son terme / Give a lease back early."""
    told = send(state, gateway, holder, "lease.release", {"id": lease_id})
    out.print(f"{told['id']} rendu / released", markup=False)


@lease.command("list")
def leases(gateway: GatewayName, holder: Holder = "operator", state: State = None) -> None:
    """Baux en vigueur sur une passerelle / Leases in force on a gateway."""
    table = Table(
        "bail / id",
        "titulaire / holder",
        "origine / origin",
        "force / forces",
        "reste / remaining (s)",
        "motif / reason",
    )
    for one in send(state, gateway, holder, "lease.list", {})["leases"]:
        forces = ", ".join(f"{point} = {value}" for point, value in one["forces"].items())
        remaining = f"{one['remaining_s']:.0f}"
        table.add_row(one["id"], one["holder"], one["origin"], forces, remaining, one["reason"])
    out.print(table)


@fault.command("list")
def faults(gateway: GatewayName, holder: Holder = "operator", state: State = None) -> None:
    """Défauts verrouillés d'une passerelle / Faults that are latched on a gateway."""
    table = Table("boucle / loop", "objet / subject", "règle / rule", "motif / reason")
    for one in send(state, gateway, holder, "fault.list", {})["faults"]:
        table.add_row(one["loop"], one["subject"], one["rule"], one["reason"])
    out.print(table)


@fault.command("reset")
def reset(
    gateway: GatewayName,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="Selon / As in: fault list.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help='Objet / What it concerns: "pump 1".')],
    holder: Holder,
    reason: Reason,
    state: State = None,
) -> None:
    """Réarmer un défaut, repris si sa cause demeure / Reset a fault; it latches again if its cause remains."""
    args = {"loop": loop, "subject": subject, "reason": reason}
    send(state, gateway, holder, "fault.reset", args)
    out.print(f"{gateway}: {loop}: {subject}: réarmé / reset", markup=False)
