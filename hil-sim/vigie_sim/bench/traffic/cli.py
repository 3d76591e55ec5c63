"""``vigie-sim bench traffic``: any SUMO scenarios x controllers x seeds, with a report."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from vigie_protocols.errors import input_error
from vigie_sim.bench.figures import Row, surroundings, write
from vigie_sim.bench.traffic.chart import svg
from vigie_sim.bench.traffic.document import markdown
from vigie_sim.bench.traffic.generated import GENERATED
from vigie_sim.bench.traffic.jobs import Job, Outcome
from vigie_sim.bench.traffic.pool import cores, run_all
from vigie_sim.bench.traffic.scenarios import scenarios as find_scenarios
from vigie_sim.bench.traffic.subjects import SUBJECTS, known
from vigie_sim.bench.traffic.summary import TARGETS, grouped, marks

LISTS = ("--scenarios", "--controllers")
"""Options that take every word up to the next option."""
COMMAND = "command line"


class ListCommand(typer.core.TyperCommand):
    """A command whose list options take several words: ``--controllers adaptive fixed``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option's name before each of its words."""
        spread: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-"):
                current = word if word in LISTS else ""
                if current:
                    continue
            elif current:
                spread.append(current)
            spread.append(word)
        return super().parse_args(ctx, spread)


def traffic(
    scenarios: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR_OR_CFG...",
            help=f"SUMO configurations, folders of them, or {', '.join(GENERATED)} (made when needed). "
            "Default: the shared scenarios where they are, and the generated ones.",
        ),
    ] = None,
    controllers: Annotated[
        list[str] | None, typer.Option(metavar="NAME...", help=f"Of {', '.join(SUBJECTS)}; default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of seeds, from --first-seed on.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    json: Annotated[Path | None, typer.Option("--json", help="Write all rows (JSON list) here.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write traffic.md and traffic.svg into this folder.")
    ] = None,
    failed_detectors: Annotated[
        float, typer.Option(help="This share (0 to 1) of all detectors, drawn by seed, reads bad.")
    ] = 0.0,
    pedestrians: Annotated[
        bool, typer.Option("--pedestrians", help="Pedestrians call every phase all the time.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Only the first so many simulated seconds of each run.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes side by side; at most the cores.")] = None,
) -> None:
    """Compare controllers on SUMO scenarios, one process per run; Ctrl-C keeps what is done."""
    names = _controllers(controllers)
    _check_numbers(failed_detectors, seconds, jobs)
    _check_outputs(json, report)
    found = find_scenarios(scenarios or ())
    plan = [
        Job(name, path, subject, seed, seconds, failed_detectors, pedestrians)
        for name, path in found.items()
        for seed in range(first_seed, first_seed + seeds)
        for subject in names
    ]
    console = Console()
    around = surroundings()
    console.print(around)
    outcomes: list[Outcome] = []
    complete = _run(console, plan, min(jobs or cores(), cores()), outcomes, json, report, around)
    console.print(summary_table(outcomes))
    for one in outcomes:
        if one.failure:
            console.print(f"[red]{one.job.case}, {one.job.subject}, seed {one.job.seed}: {one.failure}")
    if not complete:
        console.print(f"interrompu / interrupted: {len(outcomes)} of {len(plan)} runs are kept")
        raise typer.Exit(130)
    if any(one.failure for one in outcomes):
        raise typer.Exit(1)


def _run(
    console: Console, plan: Sequence[Job], workers: int, outcomes: list[Outcome], json: Path | None,
    report: Path | None, around: str,
) -> bool:  # fmt: skip
    """Fill ``outcomes``, files kept up to date; False when somebody interrupted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        whole = shown.add_task("essais / runs", total=len(plan))
        tasks: dict[Job, TaskID] = {}

        def progress(job: Job, share: float) -> None:
            if job not in tasks:
                tasks[job] = shown.add_task(f"{job.case}, {job.subject}, {job.seed}", total=100)
            shown.update(tasks[job], completed=int(100 * share))

        _save(outcomes, len(plan), json, report, around)
        with contextlib.closing(run_all(plan, workers, progress)) as runs:
            try:
                for one in runs:
                    outcomes.append(one)
                    shown.remove_task(tasks.pop(one.job))
                    shown.advance(whole)
                    shown.console.print(_line(one))
                    _save(outcomes, len(plan), json, report, around)
            except KeyboardInterrupt:
                return False
    return True


def _line(one: Outcome) -> str:
    job = one.job
    if one.failure:
        return f"[red]{job.case}, {job.subject}, {job.seed}: {one.failure}"
    return f"{job.case}, {job.subject}, seed {job.seed}: {one.metrics['delay_s']:.1f} s"


def _save(
    outcomes: Sequence[Outcome], planned: int, json: Path | None, report: Path | None, around: str
) -> None:
    if json is not None:
        rows: list[Row] = [row for one in outcomes for row in one.rows()]
        write(json, rows)
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        (report / "traffic.md").write_text(
            markdown(outcomes, around, planned, "traffic.svg"), encoding="utf-8"
        )
        (report / "traffic.svg").write_text(svg(outcomes), encoding="utf-8")


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """Mean delays beside the targets, and how many marks are held."""
    cases = grouped(outcomes)
    subjects = [
        name for name in SUBJECTS if any(one.subject == name for row in cases.values() for one in row)
    ]
    table = Table("cas / case", *subjects, "cible / target", "adaptive", title="retard moyen / mean delay, s")
    for case, groups in cases.items():
        found = {one.subject: f"{one.mean('delay_s'):.1f}" for one in groups}
        target = TARGETS.get(case)
        held = [holds for _, _, holds in marks(groups)]
        table.add_row(
            case,
            *(found.get(name, "") for name in subjects),
            "" if target is None else f"{target.least:g} ({target.aim:g})",
            f"{sum(held)} / {len(held)}" if held else "",
        )
    return table


# -- input -----------------------------------------------------------------------------------------------


def _controllers(given: Sequence[str] | None) -> list[str]:
    there = known()
    for name in given or ():
        if name not in there:
            raise input_error(
                COMMAND, "--controllers", name, "no such controller", f"Take some of {', '.join(there)}."
            )
    return list(dict.fromkeys(given or there))


def _check_numbers(failed: float, seconds: float | None, jobs: int | None) -> None:
    if not 0.0 <= failed <= 1.0:
        raise input_error(COMMAND, "--failed-detectors", failed, "is no share", "Give 0 to 1, such as 0.2.")
    if seconds is not None and not seconds >= 1.0:
        raise input_error(COMMAND, "--seconds", seconds, "is too short", "Give at least 1.")
    if jobs is not None and jobs < 1:
        raise input_error(COMMAND, "--jobs", jobs, "is below 1", "Give 1 or more.")


def _check_outputs(json: Path | None, report: Path | None) -> None:
    # Known before hours of runs: that there is a place for their results.
    if json is not None and json.is_dir():
        raise input_error(COMMAND, "--json", str(json), "is a folder", "Name a file.")
    for option, path in (("--json", None if json is None else json.absolute().parent), ("--report", report)):
        if path is None:
            continue
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot be made a folder: {error.strerror}"
            raise input_error(COMMAND, option, str(path), reason, "Name another place.") from error
        if not os.access(path, os.W_OK):
            raise input_error(COMMAND, option, str(path), "cannot be written to", "Name another place.")
