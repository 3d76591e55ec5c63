"""The command ``vigie-sim``: runs, the demo, scaffolds, benches."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from vigie_protocols.errors import InputError, VigieError
from vigie_sim import report as reports
from vigie_sim.apart import apart
from vigie_sim.bench.cli import bench_app
from vigie_sim.options import check_controller, check_output, demo_seconds, made_folder, ticks_of
from vigie_sim.scaffold.cli import scaffold_app
from vigie_sim.traffic.cli import traffic_app

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Le simulateur / The hardware-in-the-loop simulator."
)
app.add_typer(traffic_app, name="traffic")
app.add_typer(bench_app, name="bench")
app.add_typer(scaffold_app, name="scaffold")
console = Console()

Report = Annotated[Path | None, typer.Option("--report", help="Write the report (JSON) here.")]
Score = Annotated[Path | None, typer.Option("--score", help="Write the score (seeded outcomes alone) here.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.")]


def main() -> None:
    """Entry point; bad input ends with one clear message and exit code 2."""
    # Told to end, a run stops its agents, coordinator and brokers, as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
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
    sumo: Annotated[Path, typer.Option("--sumo", help="SUMO configuration (.sumocfg) with traffic lights.")],
    report: Report = None,
    score: Score = None,
    seed: Seed = 1,
    in_process: Annotated[bool, typer.Option("--in-process", help="The same without sockets.")] = False,
    central: Annotated[bool, typer.Option(help="With a coordinator and its broker.")] = True,
    controller: Annotated[str, typer.Option(help="Kind of the first controller.")] = "signal.adaptive",
    seconds: Annotated[float | None, typer.Option(help="Only the first so many simulated seconds.")] = None,
    baseline: Annotated[bool, typer.Option(help="Also run the network's own programs.")] = True,
    neighbours: Annotated[
        bool, typer.Option(help="Junctions tell each other what they let out, over the coordinator's broker.")
    ] = False,
) -> None:
    """Put every signal of a SUMO scenario under real agents over OPC UA, in lock-step, for its whole time."""
    from vigie_controllers.loops import ControllerSpec
    from vigie_sim.foreign import ForeignScenario

    check_controller(controller)
    check_output("--report", report)
    check_output("--score", score)
    chain = [controller, *(name for name in ("signal.actuated",) if name != controller)]
    # Without a broker nobody hears anybody: the same then in one process.
    scenario = ForeignScenario(
        sumo, [ControllerSpec(kind=name) for name in chain], neighbours=neighbours and central
    )
    ticks = ticks_of("--seconds", seconds, scenario.run.duration)
    runner = _run_in_process if in_process else _run_wire
    document = runner(scenario, seed, ticks, central)
    document["controller"] = controller
    if baseline:
        document["baseline"] = apart(_baseline, sumo, chain, seed, ticks)
    _finish(document, report, score)


@app.command()
def serve(
    folder: Annotated[Path, typer.Option(help="Where gateway files with the real endpoints go.")],
    seed: Seed = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=100, help="Physics seconds per real second.")] = 1.0,
) -> None:
    """Serve the district's devices in wall-clock time, so that real gateways can connect; Ctrl-C ends it."""
    import asyncio

    import uvloop

    from vigie_sim.scenario import World
    from vigie_sim.serve import serve_district

    place = made_folder("--folder", folder)

    def told(world: World, files: list[Path]) -> None:
        console.print(f"{len(world.rigs)} appareils en service / devices are served. Passerelles / gateways:")
        for file in files:
            console.print(f"  vigie-edge run --clock-trusted --config {file}", soft_wrap=True)

    async def until_told() -> World:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await serve_district(place, seed, speed, stop, told)

    world = uvloop.run(until_told())
    show({"scenario": "district", **reports.outcomes_of(world.outcomes())})


@app.command()
def demo(
    report: Report = None,
    score: Score = None,
    seed: Seed = 1,
    headless: Annotated[bool, typer.Option(help="Without the page.")] = False,
    stay: Annotated[bool, typer.Option(help="Keep the page up at the end, until Ctrl-C.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Only the first so many simulated minutes.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep everything it writes here.")] = None,
    controller: Annotated[str, typer.Option(help="Kind that leads at every signal.")] = "signal.actuated",
) -> None:
    """Bring up the whole district, run an hour of it in lock-step, and compare it with no control."""
    import uvloop

    from vigie_sim.demoscreen import run_demo

    check_controller(controller)
    check_output("--report", report)
    check_output("--score", score)
    duration = demo_seconds(minutes)
    kept = None if folder is None else made_folder("--folder", folder, empty=True)
    with tempfile.TemporaryDirectory(prefix="vigie-demo-") as temporary:
        place = kept or Path(temporary)
        whole = uvloop.run(run_demo(place, seed, duration, headless, stay, console, controller))
    if report is not None:
        reports.write(report, whole)
    if score is not None:
        reports.write(score, reports.score_of(whole))
    if whole["monitor_trips"] or whole["samples_lost"] or whole["samples_duplicated"]:
        raise typer.Exit(1)


def _run_in_process(scenario: Any, seed: int, ticks: int | None, _central: bool) -> dict[str, Any]:
    from vigie_sim.inprocess import gateways_in_process, run_in_process

    world = scenario.world(seed)
    with tempfile.TemporaryDirectory(prefix="vigie-") as folder:
        gateways = gateways_in_process(scenario.write_gateways(Path(folder), {}, lambda _: {}), world)
        begun = time.monotonic()
        run_in_process(world, gateways, ticks)
    wall = time.monotonic() - begun
    found = world.outcomes()
    simulated = (world.ticks if ticks is None else ticks) * world.step_s
    return {
        **reports.outcomes_of(found),
        "scenario": scenario.name,
        "seed": seed,
        "guard_interventions": sum(one.interventions for one in gateways),
        "scans": sum(one.scans for one in gateways),
        "run": {"mode": "in-process", "real_time_factor": simulated / wall, "wall_s": wall},
    }


def _run_wire(scenario: Any, seed: int, ticks: int | None, central: bool) -> dict[str, Any]:
    from vigie_sim.wire import WireRun

    async def whole(folder: Path) -> dict[str, Any]:
        run = WireRun(scenario, folder, seed, central=central)
        try:
            await run.start()
            await run.run(ticks)
            counts = await run.finish()
            simulated = run.now
        finally:
            await run.stop()
        found = run.world.outcomes()
        document = {
            **reports.outcomes_of(found),
            "scenario": scenario.name,
            "seed": seed,
            "guard_interventions": counts.guard_interventions,
            "run": {"mode": "wire", "real_time_factor": simulated / run.wall_s, "wall_s": run.wall_s},
        }
        if central:
            document.update(
                scans=counts.scans,
                scans_missed=counts.scans_missed,
                samples_published=counts.samples_published,
                samples_lost=counts.samples_lost,
                samples_duplicated=counts.samples_duplicated,
            )
        return document

    import uvloop

    with tempfile.TemporaryDirectory(prefix="vigie-") as folder:
        return uvloop.run(whole(Path(folder)))


def _baseline(sumo: Path, chain: list[str], seed: int, ticks: int | None) -> dict[str, Any]:
    from vigie_controllers.loops import ControllerSpec
    from vigie_sim.foreign import ForeignScenario

    scenario = ForeignScenario(sumo, [ControllerSpec(kind=name) for name in chain])
    world = scenario.world(seed, controlled=False)
    world.start()
    try:
        for number in range(1, (world.ticks if ticks is None else ticks) + 1):
            world.step(number * world.step_s)
    finally:
        world.stop()
    return reports.outcomes_of(world.outcomes())


def _finish(document: dict[str, Any], report: Path | None, score: Path | None) -> None:
    """Print the outcomes; write score and report."""
    run = document.pop("run")
    if score is not None:
        reports.write(score, reports.score_of(document))
    whole = {
        **document,
        "real_time_factor": run["real_time_factor"],
        "versions": reports.versions(),
        "run": {**run, "machine": reports.machine()},
    }
    if report is not None:
        reports.write(report, whole)
    show(whole)


def show(document: dict[str, Any]) -> None:
    """The outcomes as a table, beside the reference when there is one."""
    base = document.get("baseline", {})
    table = Table(
        "mesure / outcome", "vigie", "référence / reference", title=str(document.get("scenario", ""))
    )
    for name, value in document.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            table.add_row(
                name, f"{reports.number(value)}", str(reports.number(base[name])) if name in base else ""
            )
    console.print(table)


if __name__ == "__main__":
    main()
