"""``vigie-sim traffic``: look at a network's signals, write gateway files for it, serve it as devices."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vigie_controllers.loops import ControllerSpec
from vigie_protocols.errors import InputError
from vigie_sim.options import check_controller
from vigie_sim.traffic.check import check_gateway, matrix_text
from vigie_sim.traffic.derive import Junction, derive, load_scenario
from vigie_sim.traffic.documents import write_gateway

traffic_app = typer.Typer(name="traffic", help="Traffic signals of a SUMO network.", no_args_is_help=True)

Net = Annotated[Path, typer.Argument(help="A .sumocfg or .net.xml file, .gz too.")]


@contextmanager
def _input_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@traffic_app.command()
def matrix(
    net: Net,
    check: Annotated[
        list[Path] | None, typer.Option(help="A gateway file whose conflicts must hold all of the network's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Print the conflict matrix of every signal, or check gateway files against it."""
    with _input_errors():
        junctions = derive(load_scenario(net))
        if as_json:
            typer.echo(json.dumps([_plain(one) for one in junctions], indent=2, ensure_ascii=False))
        else:
            typer.echo("\n\n".join(matrix_text(one) for one in junctions))
        for file in check or ():
            for note in check_gateway(junctions, file):
                typer.echo(f"{file}: {note}")
            typer.echo(f"{file}: holds every conflict of the network")


def _plain(junction: Junction) -> dict[str, object]:
    groups = junction.head.groups
    return {
        "signal": junction.signal,
        "name": junction.name,
        "channels": [
            {"id": channel.id, "approach": group.approach, "pedestrian": group.pedestrian,
             "links": list(group.links), "phases": list(channel.phases), "permissive": list(channel.permissive)}
            for group, channel in zip(groups, junction.site.channels, strict=True)
        ],
        "conflicts": [list(pair) for pair in junction.site.conflicts],
        "permitted": [[groups[i].id, groups[j].id] for i, j in sorted(junction.head.permitted)],
        "warnings": list(junction.warnings),
    }  # fmt: skip


@traffic_app.command()
def gateways(
    net: Net,
    out: Annotated[Path, typer.Argument(help="Folder for profiles and gateway files.")],
    url: Annotated[str, typer.Option(help="Endpoint of each device; {device} stands for its name.")] = (
        "opc.tcp://127.0.0.1:4840/{device}"
    ),
    controller: Annotated[list[str] | None, typer.Option(help="Controllers in order of rank.")] = None,
) -> None:
    """Write one gateway file and one device profile per signal."""
    with _input_errors():
        specs = _ranked(controller)
        for one in derive(load_scenario(net)):
            urls = {one.name: url.replace("{device}", one.device)}
            path = write_gateway(out, one.gateway, [one], urls, {one.name: specs})
            typer.echo(str(path))


def _ranked(controllers: list[str] | None) -> list[ControllerSpec]:
    kinds = controllers or ["signal.actuated"]
    for kind in kinds:
        check_controller(kind)
    return [ControllerSpec(kind=kind) for kind in kinds]


@traffic_app.command()
def serve(
    net: Net,
    out: Annotated[
        Path | None, typer.Option(help="Folder for gateway files that fit the served devices.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the physics.")] = 1,
    speed: Annotated[float, typer.Option(min=0.01, help="Simulated seconds per second.")] = 1.0,
    controller: Annotated[
        list[str] | None, typer.Option(help="Controllers for --out, in order of rank.")
    ] = None,
) -> None:
    """Serve every signal of a scenario as an OPC UA device in real time, for gateways run by themselves."""
    with _input_errors():
        specs = _ranked(controller)
        asyncio.run(_serve(net, out, seed, speed, specs, typer.echo))


async def _serve(
    net: Path,
    out: Path | None,
    seed: int,
    speed: float,
    specs: list[ControllerSpec],
    say: Callable[[str], None],
) -> None:
    from vigie_sim.traffic.field import TrafficField
    from vigie_sim.traffic.wall import serve as run

    field = TrafficField.load(net, seed=seed)
    field.start()
    stop = asyncio.Event()
    try:
        for junction, rig in zip(field.junctions, field.rigs, strict=True):
            url = await rig.start()
            say(f"{junction.device}  {url}")
            if out is not None:
                write_gateway(out, junction.gateway, [junction], {junction.name: url}, {junction.name: specs})
        await run(field, stop, speed=speed)
    finally:
        for rig in field.rigs:
            await rig.stop()
        field.stop()
    for name, value in field.outcomes().items():
        say(f"{name:>20}  {value:g}")
