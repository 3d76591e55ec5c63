"""The command ``vigie-edge``: run an agent, check its files, look at it, hold a lease."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigie_edge import signalview, tools
from vigie_edge.options import CLOCK_HELP, LEASE_ID_HELP, SINGLE_HELP, TTL_HELP, AsJson, Config, Files
from vigie_protocols.errors import InputError, LinkDown, Problem, VigieError, input_error

if TYPE_CHECKING:
    from vigie_edge.config import Plan

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="L'agent de passerelle / The gateway agent."
)


def main() -> None:
    """Entry point; bad input ends with one clear message and exit code 2."""
    try:
        app()
    except VigieError as error:
        from vigie_edge.french import told_error

        sys.stderr.write(f"{told_error(error)}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except PermissionError as error:
        from vigie_edge.language import say

        words = say(
            "accès refusé. Le faire comme root ou comme l'usager de l'agent.",
            "access denied. Do it as root, or as the agent's own user.",
        )
        sys.stderr.write(f"{error.filename or 'vigie-edge'}: {words}\n")
        sys.exit(1)


@app.command()
def run(
    config: Config,
    lockstep: Annotated[
        str,
        typer.Option(help="HÔTE:PORT du simulateur qui le cadence / HOST:PORT of a simulator that paces it."),
    ] = "",
    clock_trusted: Annotated[bool, typer.Option(help=CLOCK_HELP)] = False,
    single: Annotated[bool, typer.Option(help=SINGLE_HELP)] = False,
    field_user: Annotated[
        str,
        typer.Option(
            envvar="VIGIE_FIELD_USER", help="Utilisateur de field / Whom field runs as: a name, or UID:GID."
        ),
    ] = "",
    uplink_user: Annotated[
        str,
        typer.Option(
            envvar="VIGIE_UPLINK_USER",
            help="Utilisateur d'uplink / Whom the uplink runs as: a name, or UID:GID.",
        ),
    ] = "",
) -> None:
    """Faire tourner l'agent d'une passerelle / Run the agent of one gateway until it is told to stop."""
    from vigie_edge.config import load_plan
    from vigie_edge.identity import users_from
    from vigie_edge.processes.alone import alone
    from vigie_edge.processes.supervisor import Supervisor
    from vigie_edge.wiring import Bells, Wiring, prepare_runtime

    if lockstep:
        _check_address("--lockstep", lockstep)
    plan = load_plan(config)
    if single:
        _run_single(plan, lockstep, clock_trusted)
        return
    users = users_from(field_user, uplink_user)
    runtime = prepare_runtime(plan, users)
    with alone(runtime, "supervisor"):
        wiring = Wiring(plan, runtime, Bells.named(runtime), lockstep, clock_trusted, users)
        sys.exit(Supervisor(wiring).run())


def _run_single(plan: "Plan", lockstep: str, clock_trusted: bool) -> None:
    from vigie_edge.memory.mapped import Heap
    from vigie_edge.processes.alone import alone
    from vigie_edge.processes.single import run_single
    from vigie_edge.wiring import Bells, Wiring, prepare_runtime

    runtime = prepare_runtime(plan)
    with alone(runtime, "supervisor"):
        run_single(Wiring(plan, runtime, Bells(), lockstep, clock_trusted, heap=Heap()))


def _check_address(option: str, text: str) -> None:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise input_error("command line", option, text, "not a host and a port", "Write HOST:PORT.")


@app.command()
def check(files: Files) -> None:
    """Vérifier / Check gateway files or profiles: every problem at once, with its line; exit code 2 if any."""
    from vigie_edge.advice import gateway_advice, profile_advice
    from vigie_edge.config import load_plan
    from vigie_edge.french import told
    from vigie_edge.language import say
    from vigie_edge.loopcheck import bounds_of
    from vigie_protocols.envelope import load_key_ring
    from vigie_protocols.profile import load_profile
    from vigie_protocols.yamlfile import read_yaml

    problems: list[Problem] = []
    for file in files:
        try:
            data = read_yaml(file).data
            if isinstance(data, dict) and "profile" in data:
                profile = load_profile(file)
                counts = f"{len(profile.expand())} points"
                good = say(
                    f"profil {profile.profile}, {counts}: bon", f"profile {profile.profile}, {counts}: good"
                )
                typer.echo(f"{file}: {good}")
                _warn(file, profile_advice(profile))
                continue
            plan = load_plan(file)
        except InputError as error:
            problems += error.problems
            continue
        name, devices = plan.gateway.gateway, len(plan.gateway.devices)
        points, loops = len(plan.points), len(plan.assembly.specs)
        good = say(
            f"passerelle {name}, {devices} appareils, {points} points, {loops} boucles: bon",
            f"gateway {name}, {devices} devices, {points} points, {loops} loops: good",
        )
        typer.echo(f"{file}: {good}")
        for spec in plan.assembly.specs:
            for line in bounds_of(spec):
                typer.echo(f"{file}: {say('boucle', 'loop')} {spec.name}: {told(line)}")
        uplink = plan.gateway.uplink
        if uplink is not None and uplink.keyring is not None and uplink.keyring.exists():
            try:
                load_key_ring(uplink.keyring, name)
            except InputError as error:
                problems += error.problems
        _warn(file, gateway_advice(plan))
    if problems:
        raise InputError(problems)


def _warn(file: Path, advice: Iterable[str]) -> None:
    from vigie_edge.language import say

    for words in advice:
        typer.echo(f"{file}: {say('avertissement', 'warning')}: {words}")


def _ask(config: Path, action: str, args: dict[str, Any], holder: str = "local") -> dict[str, Any]:
    from vigie_edge.language import say
    from vigie_protocols.gateway import load_gateway
    from vigie_protocols.localsocket import ask

    gateway = load_gateway(config).gateway
    try:
        answer = ask(gateway.runtime_dir, action, args, holder)
    except LinkDown as error:
        name, where = gateway.gateway, str(error).partition(" at ")[2] or error
        words = say(
            f"l'agent de {name} ne répond pas: {where}. Est-il en marche? systemctl status 'vigie-edge@*'",
            f"the agent of {name} does not answer: {where}. Does it run? systemctl status 'vigie-edge@*'",
        )
        sys.stderr.write(f"{words}\n")
        sys.exit(1)
    if not answer.get("ok"):
        from vigie_edge.french import told

        refused = say("refusé", "refused")
        sys.stderr.write(f"{refused}: {answer.get('code')}: {told(str(answer.get('reason')))}\n")
        sys.exit(1)
    result: dict[str, Any] = answer.get("result", {})
    return result


@app.command()
def status(
    config: Config,
    as_json: AsJson = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Tous les appareils / Every device, also of a large gateway.")
    ] = False,
) -> None:
    """État d'un agent / A running agent: what is wrong, processes, devices, scans, journal, policies, leases."""
    from vigie_edge.status import show
    from vigie_protocols.gateway import load_gateway
    from vigie_protocols.localsocket import ask

    runtime = load_gateway(config).gateway.runtime_dir
    told = _ask(config, "status", {})
    answers = True
    for action, name in _STATUS.items():
        # The first silence is enough: a control that is down must not cost a person half a minute.
        answer = ask(runtime, action, {}) if answers else {}
        answers = bool(answer.get("ok"))
        result = answer.get("result", {})
        told[name] = (result if name == "policies" else result[name]) if answers else None
    if as_json:
        typer.echo(json.dumps(told))
    else:
        show(told, everything)


_STATUS = {
    "lease.list": "leases",
    "alarm.list": "alarms",
    "policy.show": "policies",
    "fault.list": "faults",
    "drift.list": "drift",
}
"""What control is asked for a status: action -> what it is called there."""


lease_app = typer.Typer(no_args_is_help=True, help="Baux / Leases: force a point for a while, with a reason.")
app.add_typer(lease_app, name="lease")


@lease_app.command("take")
def lease_take(
    config: Config,
    point: Annotated[str, typer.Argument(help="appareil/point / device/point")],
    value: Annotated[str, typer.Argument(help="Valeur JSON / JSON value: true, 3, 12.5")],
    reason: Annotated[str, typer.Option(help="Pourquoi, pour le journal / Why; it is journalled.")],
    holder: Annotated[str, typer.Option(help="Qui / Who.")],
    ttl: Annotated[float, typer.Option(help=TTL_HELP)] = 600.0,
) -> None:
    """Forcer un point / Force one point. Guards still come after it; it ends by itself."""
    try:
        forced = json.loads(value)
    except ValueError:
        raise input_error(
            "command line", "VALUE", value, "not a JSON value", "Write true, false or a number."
        ) from None
    args = {"forces": {point: forced}, "reason": reason, "ttl_s": ttl}
    typer.echo(json.dumps(_ask(config, "lease.take", args, holder)))


@lease_app.command("renew")
def lease_renew(
    config: Config,
    lease_id: Annotated[str, typer.Argument(help=LEASE_ID_HELP)],
    holder: Annotated[str, typer.Option(help="Qui l'a pris / Who took it.")],
    ttl: Annotated[float, typer.Option(help=TTL_HELP)] = 600.0,
) -> None:
    """Prolonger un bail / Let a lease run on."""
    typer.echo(json.dumps(_ask(config, "lease.renew", {"id": lease_id, "ttl_s": ttl}, holder)))


@lease_app.command("release")
def lease_release(
    config: Config,
    lease_id: Annotated[str, typer.Argument(help=LEASE_ID_HELP)],
    holder: Annotated[str, typer.Option(help="Qui l'a pris / Who took it.")],
) -> None:
    """Rendre un bail / Give a lease back early."""
    typer.echo(json.dumps(_ask(config, "lease.release", {"id": lease_id}, holder)))


@lease_app.command("list")
def lease_list(config: Config) -> None:
    """Baux en cours / Leases in force."""
    typer.echo(json.dumps(_ask(config, "lease.list", {})["leases"], indent=2))


fault_app = typer.Typer(
    no_args_is_help=True, help="Défauts / Faults that stay until a named person resets them."
)
app.add_typer(fault_app, name="fault")


@fault_app.command("list")
def fault_list(config: Config) -> None:
    """Défauts verrouillés / Faults that are latched now."""
    typer.echo(json.dumps(_ask(config, "fault.list", {})["faults"], indent=2))


@fault_app.command("reset")
def fault_reset(
    config: Config,
    loop: Annotated[
        str, typer.Argument(help="Boucle, telle que dans fault list / Loop, as fault list shows it.")
    ],
    subject: Annotated[str, typer.Argument(help='Ce qui est visé / What it concerns, such as "pump 1".')],
    holder: Annotated[
        str, typer.Option(help="Qui répond de la cause levée / Who vouches that the cause is gone.")
    ],
    reason: Annotated[str, typer.Option(help="Ce qui fut trouvé / What was found; it is journalled.")],
) -> None:
    """Réarmer un défaut / Reset a latched fault; one whose cause is still there latches again."""
    typer.echo(
        json.dumps(_ask(config, "fault.reset", {"loop": loop, "subject": subject, "reason": reason}, holder))
    )


@app.command()
def confirm(config: Config) -> None:
    """Confirmer une politique en attente / Vouch for a policy that waits while the clock cannot be trusted."""
    _ask(config, "policy.confirm", {})
    from vigie_edge.language import say

    typer.echo(say("confirmé", "confirmed"))


tools.register(app)
signalview.register(app)

if __name__ == "__main__":
    main()
