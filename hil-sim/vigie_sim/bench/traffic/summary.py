"""Runs of one subject in one case, seeds together, and what is asked of them."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vigie_sim.bench.traffic.jobs import Outcome
from vigie_sim.bench.traffic.subjects import SUBJECTS

LONGEST_RED_S = 120.0
WORST_SHARE = 1.15
DECISION_MS = 20.0
OURS = "adaptive"


@dataclass(frozen=True, slots=True)
class Target:
    """Mean delay over seeds 1 to 5, seconds. fixed, actuated: as measured before with SUMO 1.28 on the
    network's own yellows (no all-red); least: to be reached; aim: to be hoped for."""

    fixed: float
    actuated: float
    least: float
    aim: float


TARGETS: dict[str, Target] = {
    "cologne1": Target(42.9, 68.6, 17.0, 15.0),
    "cologne3": Target(36.1, 35.7, 22.0, 19.0),
    "ingolstadt1": Target(29.7, 19.8, 13.5, 12.5),
    "ingolstadt7": Target(84.5, 33.3, 24.0, 21.5),
}


@dataclass(frozen=True)
class Group:
    """Every finished run of one subject in one case."""

    case: str
    scenario: str
    subject: str
    outcomes: tuple[Outcome, ...]

    def mean(self, metric: str) -> float:
        """Over seeds."""
        return statistics.fmean(self.values(metric))

    def spread(self, metric: str) -> float:
        """Sample standard deviation over seeds, 0 for one."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def worst(self, metric: str) -> float:
        """The greatest."""
        return max(self.values(metric))

    def total(self, metric: str) -> float:
        """Sum over seeds."""
        return sum(self.values(metric))

    def values(self, metric: str) -> list[float]:
        """One per seed."""
        return [one.metrics[metric] for one in self.outcomes]

    def has(self, metric: str) -> bool:
        """Whether this subject tells it."""
        return all(metric in one.metrics for one in self.outcomes)


def grouped(outcomes: Sequence[Outcome]) -> dict[str, list[Group]]:
    """Case -> its groups in the order of subjects; runs that failed are left out."""
    rows: dict[tuple[str, str], list[Outcome]] = {}
    cases: dict[str, str] = {}
    for one in outcomes:
        if not one.failure:
            cases.setdefault(one.job.case, one.job.scenario)
            rows.setdefault((one.job.case, one.job.subject), []).append(one)
    return {
        case: [
            Group(case, scenario, subject, tuple(sorted(rows[case, subject], key=lambda o: o.job.seed)))
            for subject in SUBJECTS
            if (case, subject) in rows
        ]
        for case, scenario in cases.items()
    }


def marks(groups: Sequence[Group], subject: str = OURS) -> Iterator[tuple[str, str, bool]]:
    """(what is asked, what was found, whether it holds) for one subject of a case."""
    mine = next((one for one in groups if one.subject == subject), None)
    if mine is None:
        return
    by_name = {one.subject: one for one in groups}
    delay = mine.mean("delay_s")
    plain = mine.case == mine.scenario
    target = TARGETS.get(mine.scenario) if plain else None
    if target is not None:
        yield f"mean delay at least {target.least:g} s", f"{delay:.1f} s", delay <= target.least
        yield f"mean delay, aim {target.aim:g} s", f"{delay:.1f} s", delay <= target.aim
    if len(mine.outcomes) > 1:
        share = mine.worst("delay_s") / delay if delay else 1.0
        yield f"worst seed <= {WORST_SHARE:g} x mean", f"{share:.2f} x", share <= WORST_SHARE
    for rival in ("sumo_actuated", "actuated"):
        if rival in by_name and rival != subject:
            theirs = by_name[rival].mean("p95_delay_s")
            p95 = mine.mean("p95_delay_s")
            yield f"p95 no worse than {rival} ({theirs:.0f} s)", f"{p95:.0f} s", p95 <= theirs
    if not plain and "fixed" in by_name and subject != "fixed":
        theirs = by_name["fixed"].mean("delay_s")
        yield f"no worse than fixed ({theirs:.1f} s)", f"{delay:.1f} s", delay <= theirs
    red = mine.worst("longest_red_s")
    yield f"no red with demand above {LONGEST_RED_S:g} s", f"{red:.0f} s", red <= LONGEST_RED_S
    for metric, words in (("collisions", "collisions"), ("teleports", "teleports"),
                          ("monitor_trips", "monitor trips")):  # fmt: skip
        if mine.has(metric):
            count = mine.total(metric)
            yield f"0 {words}", f"{count:g}", count == 0
    if mine.has("decision_ms_p99"):
        cpu = mine.worst("decision_ms_p99")
        yield f"decision <= {DECISION_MS:g} ms (p99, CPU)", f"{cpu:.1f} ms", cpu <= DECISION_MS
