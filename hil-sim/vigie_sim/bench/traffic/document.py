"""The report: Markdown for people, beside the targets."""

from collections.abc import Iterator, Sequence

from vigie_sim.bench.traffic.jobs import Outcome
from vigie_sim.bench.traffic.subjects import SUBJECTS
from vigie_sim.bench.traffic.summary import TARGETS, Group, grouped, marks

_HEAD = (
    "controller", "delay s", "worst seed", "p95 s", "wait s", "stops", "arrived / loaded", "longest red s",
    "collisions", "teleports", "interventions", "trips", "decision ms mean / p99",
)  # fmt: skip


def markdown(outcomes: Sequence[Outcome], surroundings: str, planned: int, chart: str = "") -> str:
    """The whole report. planned: runs asked for, so that a partial report says that it is one; chart: file
    name of the picture beside it."""
    lines = ["# Traffic bench", "", surroundings, ""]
    if len(outcomes) < planned:
        lines += [f"**Partial: {len(outcomes)} of {planned} runs are done.**", ""]
    lines += [
        "Yellow 3 s, red clearance 2 s, minimum green 5 s for all but `net_fixed`. Delay: mean over all loaded "
        "vehicles of timeLoss + departDelay, never-departed ones counted; mean over seeds +- sample standard "
        "deviation. Wait and stops: means over inserted vehicles. Decision: CPU of one scan of one junction.",
        "",
    ]
    cases = grouped(outcomes)
    if chart:
        lines += [f"![mean delay]({chart})", ""]
    lines += _overview(cases)
    for case, groups in cases.items():
        lines += ["", f"## {case}", "", *_case(groups)]
    lines += _told(outcomes)
    return "\n".join(lines) + "\n"


def _overview(cases: dict[str, list[Group]]) -> Iterator[str]:
    subjects = [
        name for name in SUBJECTS if any(one.subject == name for row in cases.values() for one in row)
    ]
    yield _row("mean delay s", *subjects, "at least", "aim", "fixed / SUMO actuated measured before")
    yield _row(*["---"] * (len(subjects) + 4))
    for case, groups in cases.items():
        found = {one.subject: f"{one.mean('delay_s'):.1f}" for one in groups}
        target = TARGETS.get(case)
        ends = (
            ("", "", "")
            if target is None
            else (f"{target.least:g}", f"{target.aim:g}", f"{target.fixed:g} / {target.actuated:g}")
        )
        yield _row(case, *(found.get(name, "") for name in subjects), *ends)


def _case(groups: Sequence[Group]) -> Iterator[str]:
    seeds = sorted({one.job.seed for group in groups for one in group.outcomes})
    yield f"Seeds {', '.join(map(str, seeds))}."
    yield ""
    yield _row(*_HEAD)
    yield _row(*["---"] * len(_HEAD))
    for one in groups:
        yield _row(*_cells(one))
    rows = list(marks(groups))
    if rows:
        yield ""
        yield _row("asked of `adaptive`", "found", "")
        yield _row("---", "---", "---")
        for asked, found, holds in rows:
            yield _row(asked, found, "held" if holds else "**missed**")


def _cells(one: Group) -> Iterator[str]:
    worst = one.worst("delay_s")
    yield f"`{one.subject}`"
    yield f"{one.mean('delay_s'):.1f} +- {one.spread('delay_s'):.1f}"
    yield f"{worst:.1f} ({worst / one.mean('delay_s'):.2f} x)" if one.mean("delay_s") else f"{worst:.1f}"
    yield f"{one.mean('p95_delay_s'):.0f}"
    yield f"{one.mean('wait_s'):.1f}"
    yield f"{one.mean('stops'):.2f}"
    yield f"{one.mean('arrived'):.0f} / {one.mean('loaded'):.0f}"
    yield f"{one.worst('longest_red_s'):.0f}"
    for metric in ("collisions", "teleports", "guard_interventions", "monitor_trips"):
        yield f"{one.total(metric):g}" if one.has(metric) else ""
    if one.has("decision_ms_p99"):
        yield f"{one.mean('decision_ms_mean'):.2f} / {one.worst('decision_ms_p99'):.2f}"
    else:
        yield ""


def _told(outcomes: Sequence[Outcome]) -> Iterator[str]:
    failed = [one for one in outcomes if one.failure]
    if failed:
        yield from ("", "## Runs that failed", "")
        for one in failed:
            yield f"- {one.job.case}, `{one.job.subject}`, seed {one.job.seed}: {one.failure}"
    noted = [one for one in outcomes if one.notes]
    if noted:
        yield from ("", "## Notes", "")
        for one in noted:
            yield f"- {one.job.case}, `{one.job.subject}`, seed {one.job.seed}: {'; '.join(one.notes)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
