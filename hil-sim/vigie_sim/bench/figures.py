"""What a bench gives: rows that any two can be compared by, and a table for people."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.table import Table

from vigie_sim import report as reports

OURS = "vigie"


class Row(msgspec.Struct, frozen=True):
    """One figure. subject: ``vigie`` or the name of the reference; n: runs or samples the value stands for."""

    area: str
    case: str
    subject: str
    metric: str
    value: float
    unit: str
    seed: int
    n: int


@dataclass
class Figures:
    """The figures of one area, in the order they came.

    quick: less of everything, to see that it works. folder: a place of its own for files. soak_min: minutes of
    what only shows after long, 0 for none. notes: what could not be measured, and why.
    """

    area: str
    seed: int
    quick: bool
    folder: Path
    rows: list[Row] = field(default_factory=list)
    targets: dict[tuple[str, str], str] = field(default_factory=dict)
    soak_min: float = 0.0
    notes: list[str] = field(default_factory=list)
    mine: str = OURS
    """Our subject's name, where an area has several of its own."""

    def ours(self, case: str, metric: str, value: float, unit: str, n: int = 1, target: str = "") -> None:
        """A figure of ours. target: in words, as ``>= 30``."""
        if target:
            self.targets[case, metric] = target
        self._add(case, self.mine, metric, value, unit, n)

    def reference(self, case: str, subject: str, metric: str, value: float, unit: str, n: int = 1) -> None:
        """The same figure of somebody else, measured in this run."""
        self._add(case, subject, metric, value, unit, n)

    def note(self, text: str) -> None:
        """Something that is missing from the table, with its reason."""
        self.notes.append(text)

    def _add(self, case: str, subject: str, metric: str, value: float, unit: str, n: int) -> None:
        self.rows.append(Row(self.area, case, subject, metric, float(value), unit, self.seed, n))

    def lines(self) -> Iterator[tuple[str, str, str, list[Row]]]:
        """(case, metric, target, rows: ours first) in the order of first mention."""
        grouped: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            grouped.setdefault((row.case, row.metric), []).append(row)
        for (case, metric), rows in grouped.items():
            rows.sort(key=lambda row: row.subject != self.mine)
            yield case, metric, self.targets.get((case, metric), ""), rows


def table(figures: Figures) -> Table:
    """The area's figures, each beside its target and its references."""
    shown = Table(
        "cas / case",
        "mesure / metric",
        "vigie",
        "cible / target",
        "référence / reference",
        title=figures.area,
        caption="\n".join(figures.notes) or None,
    )
    last = ""
    for case, metric, target, rows in figures.lines():
        mine = ", ".join(_number(row.value) for row in rows if row.subject == figures.mine)
        others = "\n".join(
            f"{row.subject}: {_number(row.value)}" for row in rows if row.subject != figures.mine
        )
        unit = rows[0].unit
        label = f"{metric} [{unit}]".replace("[", r"\[") if unit else metric
        shown.add_row("" if case == last else case, label, mine, target, others)
        last = case
    return shown


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value)}"
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
    return f"{value:.{digits}f}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0..1) of all do not exceed, by nearest rank."""
    ordered = sorted(values)
    return float(ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)])


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows)), indent=1) + b"\n")


def surroundings() -> str:
    """Versions and machine, in one line; the load says whether somebody else was at work."""
    machine = reports.machine()
    versions = ", ".join(f"{name} {number}" for name, number in reports.versions().items())
    with open("/proc/loadavg") as load:
        busy = " ".join(load.read().split()[:2])
    return f"{versions}; {machine['cores']} cores, {machine['machine']}, {machine['system']}, load {busy}"
