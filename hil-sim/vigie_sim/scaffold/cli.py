"""``vigie-sim scaffold``: devices and controllers to begin with."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from vigie_protocols.errors import input_error
from vigie_protocols.profile import Protocol

scaffold_app = typer.Typer(
    no_args_is_help=True, help="Commencer une pièce nouvelle / Begin a new part: files that work as written."
)
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder", help="Dossier, sinon ./NAME / Where to, else ./NAME. Nothing is ever overwritten."
    ),
]


@scaffold_app.command()
def device(
    name: Annotated[str, typer.Argument(help="Nom / Name: small letters, digits, dashes, as flow-meter.")],
    protocol: Annotated[str, typer.Option(help="modbus, opcua, mqtt.")] = "modbus",
    folder: Folder = None,
) -> None:
    """Appareil de terrain / A field device: its profile, a simulated twin, a conformance test that passes."""
    from vigie_sim.scaffold.device import scaffold_device

    known = get_args(Protocol)
    if protocol not in known:
        reason, remedy = "protocole inconnu / unknown protocol", f"Prendre / Take one of {', '.join(known)}."
        raise input_error("vigie-sim scaffold", "--protocol", protocol, reason, remedy)
    chosen: Protocol = "opcua" if protocol == "opcua" else "mqtt" if protocol == "mqtt" else "modbus"
    profile, twin, test = scaffold_device(name, chosen, folder)
    _tell([profile, twin, test], [f"vigie-edge check {profile}", f"pytest {test}", f"python {twin}"])


@scaffold_app.command()
def controller(
    name: Annotated[str, typer.Argument(help="Nom / Name: small letters, digits, dashes, as night-dim.")],
    domain: Annotated[str, typer.Option(help="signal, water, lighting.")] = "signal",
    folder: Folder = None,
) -> None:
    """Régulateur pur / A pure controller in a package of its own: parameters, entry point, test, page."""
    from vigie_sim.scaffold.controller import scaffold_controller

    written = scaffold_controller(name, domain, folder)
    home = written[0].parent
    _tell(written, [f"pip install -e {home}", f"pytest {written[-1]}", "vigie-edge packages"])


def _tell(written: list[Path], next_steps: list[str]) -> None:
    for path in written:
        typer.echo(f"écrit / written: {path}")
    typer.echo("ensuite / next:")
    for line in next_steps:
        typer.echo(f"  {line}")
