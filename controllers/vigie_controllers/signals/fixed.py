"""Fixed-time control (kind ``signal.fixed``): cycle, splits and offset against UTC.

Each ring's cycle is cut into its phases' splits; a split holds green, yellow and red clearance. The phase
that owns the present instant is called, the others are ended. A plan or clock that jumps needs no special
transition: minimum greens and clearances hold whatever happens, and the owner of the instant is reached
within a cycle. While UTC cannot be trusted at all the cycle runs on from the monotonic clock.
"""

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.sensing import EPS
from vigie_controllers.signals.words import Ped, PhaseState, SignalInputs, SignalWants

KIND = "signal.fixed"


class TimingPlan(Strict):
    """One plan. cycle_s: None makes it the sum of the splits. splits_s: by phase id, every phase of the site;
    None shares the cycle evenly. offset_s: seconds after UTC midnight of 1970 at which a cycle begins."""

    cycle_s: float | None = Field(default=None, ge=20.0, le=240.0)
    splits_s: dict[int, float] | None = None
    offset_s: float = Field(default=0.0, ge=0.0, le=240.0)


class FixedConfig(Strict):
    """plans: by name; plan: the one in force. pedestrians: serve them in every cycle."""

    plans: dict[str, TimingPlan] = Field(default_factory=lambda: {"normal": TimingPlan()})
    plan: str = "normal"
    pedestrians: bool = True


class Fixed:
    """Controller[SignalInputs, SignalWants]; never silent, needs no detector."""

    def __init__(self, config: FixedConfig, plan: Plan) -> None:
        if config.plan not in config.plans:
            raise ValueError(f"plan: {config.plan!r} is none of {', '.join(sorted(config.plans))}")
        self._plan = plan
        self._name = config.plan
        self._peds = plan.peds if config.pedestrians else 0
        for name, timing in config.plans.items():  # a wrong plan is refused before it is ever chosen
            rows = self._windows(f"plans.{name}", timing)
            if name == config.plan:
                self._offset = timing.offset_s
                self._cycle, self._rings = rows
        self._edges = sorted({start for ring in self._rings for start, _ in ring})
        self._owners = tuple(self._owner_mask(edge) for edge in self._edges)
        self._drift: float | None = None
        self._current = -1
        self._key: tuple[int, int, int] | None = None
        self._wants = SignalWants()

    def _windows(self, field: str, timing: TimingPlan) -> tuple[float, list[list[tuple[float, int]]]]:
        """The cycle and per ring the instants in it at which each phase comes to own the ring."""
        splits = self._splits(field, timing)
        plan = self._plan
        cycle = timing.cycle_s
        rings: list[list[tuple[float, int]]] = []
        bounds: list[list[float]] = []
        for order in plan.rings:
            total = sum(splits[p] for p in order)
            cycle = total if cycle is None else cycle
            if abs(total - cycle) > 0.01:
                name = plan.site.phases[order[0]].ring
                raise ValueError(f"{field}: the splits of ring {name} sum to {total:g} s, not to {cycle:g} s")
            at, row, shares = 0.0, [], [0.0] * len(plan.barriers)
            for p in order:
                # The next phase owns the ring from the moment this one must turn yellow.
                at += splits[p]
                shares[plan.barrier[p]] += splits[p]
                row.append((at - plan.phase_yellow[p] - plan.phase_clear[p], p))
            rings.append([(row[k - 1][0] % cycle, row[k][1]) for k in range(len(row))])
            bounds.append(shares)
        for shares in bounds[1:]:
            if any(abs(a - b) > 0.01 for a, b in zip(shares, bounds[0], strict=True)):
                raise ValueError(f"{field}: the rings reach a barrier at different times")
        if cycle is None:
            raise ValueError(f"{field}: no phase")
        return cycle, rings

    def _splits(self, field: str, timing: TimingPlan) -> list[float]:
        plan = self._plan
        least = [
            max(plan.min_green[p], plan.walk[p] + plan.ped_clear[p] if self._peds >> p & 1 else 0.0)
            + plan.phase_yellow[p]
            + plan.phase_clear[p]
            for p in range(len(plan.ids))
        ]
        if timing.splits_s is None:
            return self._shared(least, timing.cycle_s)
        for number in timing.splits_s:
            if number not in plan.place:
                raise ValueError(f"{field}.splits_s.{number}: phase {number} is not declared at this site")
        for p, number in enumerate(plan.ids):
            split = timing.splits_s.get(number)
            if split is None:
                raise ValueError(f"{field}.splits_s: phase {number} has no split")
            if split < least[p] - EPS:
                raise ValueError(
                    f"{field}.splits_s.{number}: {split:g} s is below the {least[p]:g} s that minimum green, "
                    "pedestrians and clearance take"
                )
        return [timing.splits_s[number] for number in plan.ids]

    def _shared(self, least: list[float], cycle: float | None) -> list[float]:
        """Even splits: each barrier as long as its neediest ring, what is left of the cycle shared."""
        plan = self._plan
        need = [
            max(sum(least[p] for p in order if plan.barrier[p] == b) for order in plan.rings)
            for b in range(len(plan.barriers))
        ]
        total = sum(need)
        length = max(total * 1.5, 60.0) if cycle is None else cycle
        if length < total - EPS:
            raise ValueError(f"cycle_s: {length:g} s is below the {total:g} s that all phases take at least")
        splits = list(least)
        for b, own in enumerate(need):
            whole = own * length / total
            for order in plan.rings:
                inside = [p for p in order if plan.barrier[p] == b]
                spare = whole - sum(least[p] for p in inside)
                for p in inside:
                    splits[p] += spare / len(inside)
        return splits

    def _owner_mask(self, at: float) -> int:
        mask = 0
        for ring in self._rings:
            past = [(start, p) for start, p in ring if start <= at + EPS]
            mask |= 1 << (max(past)[1] if past else max(ring)[1])
        return mask

    def step(self, now: float, inputs: SignalInputs) -> SignalWants:
        """The phases that own this instant of the cycle."""
        clock = inputs.clock
        if clock.usable:
            self._drift = clock.value - now
        at = (now + (self._drift or 0.0) - self._offset + EPS) % self._cycle
        place = len(self._edges) - 1
        for k, edge in enumerate(self._edges):
            if edge > at:
                break
            place = k
        owners = self._owners[place] if self._edges[0] <= at else self._owners[-1]
        status = inputs.status
        red = spent = 0
        for p, phase in enumerate(status.phases):
            if phase.state is not PhaseState.GREEN:
                red |= 1 << p
            elif now >= phase.ready - EPS and phase.ped is Ped.DONT_WALK:
                spent |= 1 << p
        key = (owners, red, spent)
        if key == self._key:
            return self._wants
        self._key = key
        plan = self._plan
        self._wants = SignalWants(
            force_off=frozenset(plan.names(spent & ~owners)),
            call=frozenset(plan.names(owners)),
            ped_call=frozenset(plan.names(owners & red & self._peds)),
        )
        if owners == self._current:
            return self._wants
        self._current = owners
        self._key = None  # tell it once, then the plain object
        who = ", ".join(map(str, plan.names(owners)))
        note = Decision(
            KIND, f"phase {who}", "split", f"plan {self._name}: at {at:.1f} s of {self._cycle:g} s"
        )
        return SignalWants(
            force_off=self._wants.force_off,
            call=self._wants.call,
            ped_call=self._wants.ped_call,
            decisions=(note,),
        )

    def snapshot(self) -> State:
        """How far UTC is from the monotonic clock, and who owned the cycle."""
        return {"drift": self._drift, "current": self._current}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self._drift, self._current = state["drift"], state["current"]
        self._key = None
