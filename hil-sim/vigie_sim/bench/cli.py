"""``vigie-sim bench``: all areas, or those named."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vigie_protocols.errors import input_error
from vigie_sim.bench.areas import AREAS
from vigie_sim.bench.figures import Figures, Row, surroundings, table, write


def bench(
    areas: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(AREAS)}; all when none is named.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write all rows (JSON list) here.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything: to see that it works.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
) -> None:
    """Measure, each figure beside its reference in the same run."""
    console = Console()
    for area in areas or ():
        if area not in AREAS:
            raise input_error(
                "command line", "AREA", area, "no such area", f"Take one of {', '.join(AREAS)}."
            )
    rows: list[Row] = []
    console.print(surroundings())
    for area in areas or AREAS:
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            figures = Figures(area, seed, quick, Path(folder))
            AREAS[area](figures)
        console.print(table(figures))
        rows += figures.rows
        if json is not None:
            write(json, rows)
    console.print(surroundings())
