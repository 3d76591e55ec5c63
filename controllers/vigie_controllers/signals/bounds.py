"""How long a pre-emption takes at most until its first phases are green: proved by the guard's properties."""

from typing import NamedTuple

from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.preemption import Preemption
from vigie_controllers.signals.site import SignalSite

TIMERS = 5
"""Timers that may follow one another on the way: walk, pedestrian clearance or green, yellow, red; and the input."""


def time_to_green(plan: Plan, row: Preemption, scan_s: float = 0.0) -> float:
    """Seconds from a call to green on all track phases, or dwell phases where no tracks are cleared.

    Holds from every state of a running junction, whatever controllers ask; delay_s included, start-up and flash
    not. Each timer may be seen over one scan late, hence ``scan_s``, the period of the loop.
    The worst of: the longest phase that must end and has just begun, with walk; then the longest yellow and
    red of what must end, and of an overlap that closes although a wanted phase needs it again. A wanted phase
    may also just have begun to be led by its walk.
    """
    wanted = plan.mask(row.track_phases or row.dwell_phases)
    phases = range(len(plan.ids))
    ending = [p for p in phases if not wanted >> p & 1]
    green = max((_green_s(plan, row, p) for p in ending), default=0.0)
    red = [plan.phase_yellow[p] + plan.phase_clear[p] for p in phases]
    red += [plan.phase_yellow[p] + plan.revert[p] for p in phases if wanted >> p & 1]
    for p in (p for p in phases if wanted >> p & 1):
        red += [plan.yellow[c] + plan.clear[c] for c in plan.foes[p]]
        red += [plan.yellow[c] + plan.red[c] for c in plan.channels[p] if plan.vehicle[c]]
    led = max(plan.lead[p] for p in phases if wanted >> p & 1)
    return row.delay_s + max(green + max(red), led) + TIMERS * scan_s


def _green_s(plan: Plan, row: Preemption, p: int) -> float:
    """The longest that a phase which has just begun stays green once it must end."""

    def least(own: float, entry: float | None) -> float:
        return own if entry is None else min(own, entry)

    peds = least(plan.walk[p], row.entry_walk_s) + least(plan.ped_clear[p], row.entry_ped_clear_s)
    return max(plan.lead[p] + least(plan.min_green[p], row.entry_min_green_s), peds)


class Bound(NamedTuple):
    """A pre-emption, the phases that it needs first, and the seconds after its call within which they are green."""

    id: str
    phases: str
    seconds: float


def preemption_bounds(site: SignalSite, scan_s: float) -> tuple[Bound, ...]:
    """How soon after its call each pre-emption's first phases are green at the latest.

    Nothing for a cabinet, which pre-empts by itself. scan_s: period of the loop.
    """
    if site.actuation == "cabinet":
        return ()
    plan = Plan(site)
    return tuple(
        Bound(
            row.id,
            ", ".join(map(str, row.track_phases or row.dwell_phases)),
            time_to_green(plan, row, scan_s),
        )
        for row in site.preemptions
    )
