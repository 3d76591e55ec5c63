"""``vigie-sim bench``: all areas, or those named."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from vigie_protocols.errors import input_error
from vigie_sim.bench.areas import AREAS
from vigie_sim.bench.figures import Figures, Row, surroundings, table, write
from vigie_sim.bench.traffic.cli import ListCommand, traffic

_AREAS = "areas"


class BenchGroup(TyperGroup):
    """``bench AREA...`` and sub-commands side by side: a first word that is no sub-command belongs to areas."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the areas' command first where it is left out."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [_AREAS, *args]
        return super().parse_args(ctx, args)


bench_app = typer.Typer(cls=BenchGroup, help="Measure, each figure beside its reference in the same run.")
bench_app.command("traffic", cls=ListCommand)(traffic)


@bench_app.command(_AREAS)
def bench(
    areas: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(AREAS)}; all when none is named.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write all rows (JSON list) here.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything: to see that it works.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    soak: Annotated[
        float, typer.Option(min=0, help="Minutes of the soak in area edge; 0 leaves it out.")
    ] = 0,
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
            figures = Figures(area, seed, quick, Path(folder), soak_min=soak)
            try:
                AREAS[area](figures)
            finally:  # what was measured before something failed is worth keeping
                console.print(table(figures))
                rows += figures.rows
                if json is not None:
                    write(json, rows)
    console.print(surroundings())
