"""The command ``vigie-edge``: run an agent, check its files, look at it, hold a lease."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigie_edge import signalview, tools
from vigie_protocols.errors import InputError, Problem, VigieError, input_error

if TYPE_CHECKING:
    from vigie_edge.config import Plan

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="L'agent de passerelle / The gateway agent."
)
Config = Annotated[Path, typer.Option("--config", "-c", help="Gateway file (YAML).", exists=False)]


def main() -> None:
    """Entry point; bad input ends with one clear message and exit code 2."""
    try:
        app()
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except VigieError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


@app.command()
def run(
    config: Config,
    lockstep: Annotated[str, typer.Option(help="HOST:PORT of a simulator that paces this agent.")] = "",
    clock_trusted: Annotated[
        bool, typer.Option(help="UTC is kept by somebody else (a container's host) and may be trusted.")
    ] = False,
    single: Annotated[
        bool, typer.Option(help="All parts in one process, for development and simulation; not for duty.")
    ] = False,
    field_user: Annotated[
        str, typer.Option(envvar="VIGIE_FIELD_USER", help="Whom field runs as: a name, or UID:GID.")
    ] = "",
    uplink_user: Annotated[
        str, typer.Option(envvar="VIGIE_UPLINK_USER", help="Whom the uplink runs as: a name, or UID:GID.")
    ] = "",
) -> None:
    """Run the agent of one gateway until it is told to stop."""
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
def check(files: Annotated[list[Path], typer.Argument(help="Gateway files or device profiles.")]) -> None:
    """Vérifier / Check gateway files or profiles: every problem at once, with its line; exit code 2 if any."""
    from vigie_edge.advice import gateway_advice, profile_advice
    from vigie_edge.config import load_plan
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
                typer.echo(f"{file}: {say('boucle', 'loop')} {spec.name}: {line}")
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
    from vigie_protocols.gateway import load_gateway
    from vigie_protocols.localsocket import ask

    answer = ask(load_gateway(config).gateway.runtime_dir, action, args, holder)
    if not answer.get("ok"):
        from vigie_edge.language import say

        refused = say("refusé", "refused")
        sys.stderr.write(f"{refused}: {answer.get('code')}: {answer.get('reason')}\n")
        sys.exit(1)
    result: dict[str, Any] = answer.get("result", {})
    return result


@app.command()
def status(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every device, also of a large gateway.")] = False,
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
    point: Annotated[str, typer.Argument(help="device/point")],
    value: Annotated[str, typer.Argument(help="JSON value: true, 3, 12.5")],
    reason: Annotated[str, typer.Option(help="Why; it is journalled.")],
    holder: Annotated[str, typer.Option(help="Who.")],
    ttl: Annotated[float, typer.Option(help="Seconds to live.")] = 600.0,
) -> None:
    """Force one point (commissioning). Guards still come after it; it ends by itself."""
    try:
        forced = json.loads(value)
    except ValueError:
        sys.stderr.write(f"VALUE = {value}: not a JSON value. Write true, false or a number.\n")
        sys.exit(2)
    args = {"forces": {point: forced}, "reason": reason, "ttl_s": ttl}
    typer.echo(json.dumps(_ask(config, "lease.take", args, holder)))


@lease_app.command("renew")
def lease_renew(
    config: Config,
    lease_id: Annotated[str, typer.Argument(help="As lease take or lease list gave it.")],
    holder: Annotated[str, typer.Option(help="Who took it.")],
    ttl: Annotated[float, typer.Option(help="Seconds to live from now.")] = 600.0,
) -> None:
    """Let a lease run on."""
    typer.echo(json.dumps(_ask(config, "lease.renew", {"id": lease_id, "ttl_s": ttl}, holder)))


@lease_app.command("release")
def lease_release(
    config: Config,
    lease_id: Annotated[str, typer.Argument(help="As lease take or lease list gave it.")],
    holder: Annotated[str, typer.Option(help="Who took it.")],
) -> None:
    """Give a lease back early."""
    typer.echo(json.dumps(_ask(config, "lease.release", {"id": lease_id}, holder)))


@lease_app.command("list")
def lease_list(config: Config) -> None:
    """Leases in force."""
    typer.echo(json.dumps(_ask(config, "lease.list", {})["leases"], indent=2))


fault_app = typer.Typer(
    no_args_is_help=True, help="Défauts / Faults that stay until a named person resets them."
)
app.add_typer(fault_app, name="fault")


@fault_app.command("list")
def fault_list(config: Config) -> None:
    """Faults that are latched now."""
    typer.echo(json.dumps(_ask(config, "fault.list", {})["faults"], indent=2))


@fault_app.command("reset")
def fault_reset(
    config: Config,
    loop: Annotated[str, typer.Argument(help="Name of the loop, as fault list shows it.")],
    subject: Annotated[str, typer.Argument(help='What it concerns, such as "pump 1".')],
    holder: Annotated[str, typer.Option(help="Who vouches that the cause is gone.")],
    reason: Annotated[str, typer.Option(help="What was found; it is journalled.")],
) -> None:
    """Reset a latched fault; one whose cause is still there latches again."""
    typer.echo(
        json.dumps(_ask(config, "fault.reset", {"loop": loop, "subject": subject, "reason": reason}, holder))
    )


@app.command()
def confirm(config: Config) -> None:
    """Vouch for the policy bundle that waits while the clock cannot be trusted."""
    _ask(config, "policy.confirm", {})
    typer.echo("confirmed")


tools.register(app)
signalview.register(app)

if __name__ == "__main__":
    main()
