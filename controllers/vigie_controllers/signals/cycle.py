"""A timing plan and its cycle: splits cut into the instants at which each phase must end.

Each ring's cycle is cut into its phases' splits; a split holds green, yellow and red clearance. A phase owns
its ring from the moment the one before must turn yellow until it must turn yellow itself.
"""

from typing import Literal

from pydantic import Field

from vigie_controllers.loops import Strict
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.sensing import EPS

_JUST_BEFORE_S = 0.001


class TimingPlan(Strict):
    """One plan. Times in seconds.

    cycle_s: None makes it the sum of the splits. splits_s: by phase id, every phase of the site; None shares
    the cycle evenly. offset_s: seconds after a whole number of cycles since 1970-01-01 00:00 UTC at which
    the first coordinated phase, or else the first phase, begins its green: equal cycles stay in step across
    midnight and across changes to and from daylight-saving time.
    coordinated: phases that own the time others do not use. actuated: the other phases come only when called
    and may end in a gap; another controller further down the list (``signal.actuated``) must call them and see
    the gaps. force_off ``fixed``: a phase may use what its forerunner left, to the end of its own split;
    ``floating``: never more than its split, what is left goes to the coordinated phases.
    transition: how the cycle comes into step after a change: ``dwell`` waits in the coordinated phases, ``add``
    lengthens cycles, ``subtract`` shortens them where minimum times leave room, ``shortway`` takes the quicker
    of these two. transition_pct: by at most so much of a cycle in each.
    free: no plan at all: the controllers further down run the junction alone.
    """

    cycle_s: float | None = Field(default=None, ge=20.0, le=240.0)
    splits_s: dict[int, float] | None = None
    offset_s: float = Field(default=0.0, ge=0.0, le=240.0)
    coordinated: tuple[int, ...] = ()
    actuated: bool = False
    force_off: Literal["fixed", "floating"] = "floating"
    transition: Literal["dwell", "add", "subtract", "shortway"] = "shortway"
    transition_pct: float = Field(default=20.0, ge=5.0, le=50.0)
    free: bool = False


class Cycle:
    """A timing plan compiled for one site.

    length: seconds. zero: seconds after a whole number of cycles of UTC at which position 0 stands, where the
    first phase of each ring begins its green. splits: per phase. begin, end: positions from and until
    which a phase owns its ring. need: shortest time it may own it for. coordinated: mask. dwell_at: position
    where a dwell waits. mean_spare: how much faster than time a whole cycle may run.
    Raises ValueError that begins with ``field`` when the plan does not fit the site and its guard.
    """

    def __init__(self, field: str, timing: TimingPlan, plan: Plan, peds: int) -> None:
        self.timing = timing
        self._plan = plan
        self.green = [
            max(
                plan.min_green[p] + (plan.lead[p] if peds >> p & 1 else 0.0),
                plan.walk[p] + plan.ped_clear[p] if peds >> p & 1 else 0.0,
            )
            for p in range(len(plan.ids))
        ]
        self.away = [
            yellow + clear for yellow, clear in zip(plan.phase_yellow, plan.phase_clear, strict=True)
        ]
        least = [green + away for green, away in zip(self.green, self.away, strict=True)]
        self.splits = self._splits(field, timing, least)
        self.length = self._length(field, timing)
        self._place()
        self.zero = timing.offset_s
        self.coordinated = self._coordinated(field, timing)
        if timing.coordinated:
            self.zero -= self._green_at[plan.place[timing.coordinated[0]]]
        if timing.splits_s is not None:
            self._check_reds(field)
        edges = {at for ring in plan.rings for p in ring for at in (self.begin[p], self.end[p])}
        self.edges = sorted(edges)
        self._owners = [self._owning(edge) for edge in self.edges]
        waits = self.coordinated or self._owners[0]
        ends = min(self.end[p] for p in range(len(plan.ids)) if waits >> p & 1)
        self.dwell_at = (ends - _JUST_BEFORE_S) % self.length
        spans = [
            (((self.edges[k + 1] if k + 1 < len(self.edges) else self.edges[0] + self.length) - edge), edge)
            for k, edge in enumerate(self.edges)
        ]
        self.mean_spare = sum(span * self.spare(edge) for span, edge in spans) / self.length

    def _splits(self, field: str, timing: TimingPlan, least: list[float]) -> list[float]:
        plan = self._plan
        if timing.splits_s is None:
            return _shared(field, plan, least, timing.cycle_s)
        for number in timing.splits_s:
            if number not in plan.place:
                raise ValueError(
                    f"{field}.splits_s.{number}: bad-plan: phase {number} is not declared at this site; "
                    f"its phases are {', '.join(map(str, plan.ids))}"
                )
        for p, number in enumerate(plan.ids):
            split = timing.splits_s.get(number)
            if split is None:
                raise ValueError(f"{field}.splits_s: bad-plan: phase {number} has no split; give it one")
            if split < least[p] - EPS:
                raise ValueError(
                    f"{field}.splits_s.{number}: split-overrun: {split:g} s is below the {least[p]:g} s that minimum "
                    f"green, pedestrians and clearance take; give it {least[p]:g} s or more"
                )
        return [timing.splits_s[number] for number in plan.ids]

    def _length(self, field: str, timing: TimingPlan) -> float:
        plan, cycle = self._plan, timing.cycle_s
        names = [plan.site.phases[order[0]].ring for order in plan.rings]
        shares = [
            [sum(self.splits[p] for p in order if plan.barrier[p] == b) for b in range(len(plan.barriers))]
            for order in plan.rings
        ]
        # A ring without phases between two barriers (at a T-junction) rests there.
        self.spans = [max(own) for own in zip(*shares, strict=True)]
        for name, own in zip(names, shares, strict=True):
            total = sum(span if share == 0 else share for share, span in zip(own, self.spans, strict=True))
            cycle = total if cycle is None else cycle
            if abs(total - cycle) > 0.01:
                raise ValueError(
                    f"{field}: split-overrun: the splits of ring {name} sum to {total:g} s, not to {cycle:g} s; "
                    "correct the splits or cycle_s"
                )
            if any(share and abs(share - span) > 0.01 for share, span in zip(own, self.spans, strict=True)):
                raise ValueError(
                    f"{field}: bad-plan: the rings reach a barrier at different times; give each ring the same "
                    "sum of splits between barriers"
                )
        assert cycle is not None  # there is a ring
        if timing.offset_s >= cycle:
            raise ValueError(
                f"{field}.offset_s: invalid-offset: {timing.offset_s:g} s is not below the cycle of {cycle:g} s; "
                f"take {timing.offset_s % cycle:g} s"
            )
        return cycle

    def _place(self) -> None:
        plan, length = self._plan, self.length
        count = len(plan.ids)
        self.begin, self.end, self._green_at = [0.0] * count, [0.0] * count, [0.0] * count
        self.need = [0.0] * count
        starts = [sum(self.spans[:b]) for b in range(len(self.spans))]
        crossing = [0.0] * len(starts)  # the longest clearance with which each side of a barrier is left
        for order in plan.rings:
            at, side = 0.0, -1
            for p in order:
                at = starts[plan.barrier[p]] if plan.barrier[p] != side else at
                side = plan.barrier[p]
                self._green_at[p] = at
                at += self.splits[p]
                self.end[p] = (at - self.away[p]) % length
            for k, p in enumerate(order):
                if k + 1 == len(order) or plan.barrier[order[k + 1]] != plan.barrier[p]:
                    crossing[plan.barrier[p]] = max(crossing[plan.barrier[p]], self.away[p])
        for order in plan.rings:
            for k, p in enumerate(order):
                before, side = order[k - 1], plan.barrier[p]
                sides = (side - plan.barrier[before]) % len(starts)
                if sides > 1 or (sides == 0 and k == 0 and len(starts) > 1):
                    # The ring has rested meanwhile: the other rings' clearance comes first.
                    self.begin[p] = (self._green_at[p] - crossing[side - 1]) % length
                    self.need[p] = self.green[p] + crossing[side - 1]
                else:
                    self.begin[p] = self.end[before]
                    self.need[p] = self.green[p] + self.away[before]

    def _coordinated(self, field: str, timing: TimingPlan) -> int:
        plan = self._plan
        mask = 0
        for number in timing.coordinated:
            p = plan.place.get(number)
            if p is None:
                raise ValueError(
                    f"{field}.coordinated: bad-plan: phase {number} is not declared at this site; "
                    f"its phases are {', '.join(map(str, plan.ids))}"
                )
            if mask & ~plan.company[p] or any(mask >> q & 1 for q in plan.rings[plan.ring[p]]):
                raise ValueError(
                    f"{field}.coordinated: bad-plan: phase {number} cannot be on with the other coordinated ones; "
                    "name phases of one barrier, one per ring"
                )
            mask |= 1 << p
        if timing.actuated and not mask:
            raise ValueError(
                f"{field}.coordinated: bad-plan: an actuated plan has no coordinated phase; name one per ring"
            )
        return mask

    def _check_reds(self, field: str) -> None:
        plan = self._plan
        for p, number in enumerate(plan.ids):
            if plan.lit(plan.all & ~(1 << p)) >> p & 1:
                continue  # its traffic also goes, giving way, in other phases
            red = self.length - self.splits[p] + self.away[p]
            if red > plan.max_red[p] + EPS:
                raise ValueError(
                    f"{field}.splits_s.{number}: bad-plan: phase {number} would be red for {red:g} s, longer than its "
                    f"max_red_s of {plan.max_red[p]:g} s; shorten the cycle or give it a longer split"
                )

    def _owning(self, at: float) -> int:
        return sum(
            1 << p for p in range(len(self.begin)) if (at - self.begin[p]) % self.length < self.window(p)
        )

    def window(self, p: int) -> float:
        """How long a phase owns its ring."""
        if self.begin[p] == self.end[p]:  # alone in its ring, whatever the others do
            return self.length
        return (self.end[p] - self.begin[p]) % self.length

    def owners(self, at: float) -> int:
        """The mask of phases that own their ring at a position from 0 to ``length``."""
        found = self._owners[-1]
        for edge, owners in zip(self.edges, self._owners, strict=True):
            if edge > at + EPS:
                break
            found = owners
        return found

    def since_yield(self, p: int, at: float) -> float:
        """Seconds from the yield point of a phase's ring, where its coordinated phase must end, to a position."""
        return (at - self._yield(p)) % self.length

    def last_start(self, p: int) -> float:
        """Seconds after its ring's yield point until which a phase may still be begun in this cycle."""
        return (self.end[p] - self._yield(p)) % self.length - self.need[p]

    def force_off_at(self, p: int) -> float:
        """Seconds after its ring's yield point at which a phase must end."""
        return (self.end[p] - self._yield(p)) % self.length

    def _yield(self, p: int) -> float:
        plan = self._plan
        own = [q for q in plan.rings[plan.ring[p]] if self.coordinated >> q & 1]
        return self.end[own[0]] if own else (self.dwell_at + _JUST_BEFORE_S) % self.length

    def spare(self, at: float) -> float:
        """How much faster than time the cycle may run at a position without cutting a minimum: 0 not at all."""
        least = 1.0
        owners = self.owners(at)
        for p in range(len(self.begin)):
            if owners >> p & 1:
                least = min(least, self.window(p) / self.need[p] - 1.0)
        return max(0.0, least)


def _shared(field: str, plan: Plan, least: list[float], cycle: float | None) -> list[float]:
    """Even splits: each barrier as long as its neediest ring, what is left of the cycle shared."""
    need = [
        max(sum(least[p] for p in order if plan.barrier[p] == b) for order in plan.rings)
        for b in range(len(plan.barriers))
    ]
    total = sum(need)
    length = max(total * 1.5, 60.0) if cycle is None else cycle
    if length < total - EPS:
        raise ValueError(
            f"{field}.cycle_s: split-overrun: {length:g} s is below the {total:g} s that all phases take at least; "
            f"give it {total:g} s or more"
        )
    splits = list(least)
    for b, own in enumerate(need):
        whole = own * length / total
        for order in plan.rings:
            inside = [p for p in order if plan.barrier[p] == b]
            spare = whole - sum(least[p] for p in inside)
            for p in inside:
                splits[p] += spare / len(inside)
    return splits
