"""Max pressure and greedy control (kinds ``signal.max_pressure``, ``signal.greedy``).

Each step the stage with the largest pressure is served: the sum over its lanes of weight x (vehicles waiting
upstream - mean waiting downstream), weighted by saturation so that permissive turns do not count as fully
served, and seen upstream of short lanes as far as the zones reach. Greedy is the same on all vehicles close
to the stop line. Baselines, and a choice for junctions without more detectors (Varaiya 2013).

Without an order of service both starve short approaches and lock up networks. Three things prevent that: a
change must be worth its clearance, a lane whose exits are full counts for little, and whoever has waited
for a set share of the maximum red comes next (semi-cyclic service, see Levin et al. 2020).
"""

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.model import FULL_EXIT, Model, View
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.sensing import EPS, Sensing, greens
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Ped, PhaseState, SignalInputs, SignalWants

KIND = "signal.max_pressure"
GREEDY = "signal.greedy"


class PressureConfig(Strict):
    """step_s: time between decisions; reach_m: how far upstream vehicles count; switch_cost: vehicles by which
    another stage must lead before the present one is left; urgent_share: part of the maximum red after which a
    waiting phase comes next."""

    step_s: float = Field(default=10.0, ge=1.0, le=60.0)
    reach_m: float = Field(default=150.0, ge=10.0, le=500.0)
    switch_cost: float = Field(default=1.0, ge=0.0, le=20.0)
    urgent_share: float = Field(default=0.5, ge=0.1, le=0.9)


class GreedyConfig(PressureConfig):
    """As max pressure, close to the stop line."""

    reach_m: float = Field(default=50.0, ge=10.0, le=500.0)


class Pressure:
    """Controller[SignalInputs, SignalWants]; silent (None) when no lane can be seen."""

    def __init__(self, kind: str, config: PressureConfig, site: SignalSite, plan: Plan) -> None:
        self._kind, self._config, self._plan = kind, config, plan
        self._model = Model(site, plan)
        self._view = View(self._model, tuple(one.id for one in site.detectors))
        self._sensing = Sensing(site, plan, 50.0, 50.0)
        self._target = -1
        self._next = -1e18
        self._now = -1e18
        self._ped = 0

    def step(self, now: float, inputs: SignalInputs) -> SignalWants | None:
        """The stage to serve; held between decisions."""
        status = inputs.status
        if now < self._now:
            self._next = now
        self._now = now
        self._sensing.look(inputs.frame, status.failed)
        self._ped |= (self._sensing.ped | self._sensing.ped_blind) & self._plan.peds
        for p, phase in enumerate(status.phases):
            if phase.ped is Ped.WALK:
                self._ped &= ~(1 << p)
        if status.mode != "run":
            return SignalWants()
        decisions: tuple[Decision, ...] = ()
        if now >= self._next - EPS:
            self._view.look(inputs.frame, status.failed)
            if not self._model.lanes or all(self._view.blind):
                return None
            self._next = now + self._config.step_s
            decisions = self._choose(now, inputs)
        return self._wants(now, inputs, decisions)

    def _choose(self, now: float, inputs: SignalInputs) -> tuple[Decision, ...]:
        pressures = [self._pressure(s) for s in range(len(self._model.stages))]
        overdue = self._overdue(now, inputs)
        best = max(overdue or range(len(pressures)), key=pressures.__getitem__)
        if best == self._target:
            return ()
        lead = pressures[best] - (pressures[self._target] if self._target >= 0 else 0.0)
        if self._target >= 0 and not overdue and lead <= self._config.switch_cost:
            return ()
        old, self._target = self._target, best
        names = self._plan.names
        now_on = ", ".join(map(str, names(self._model.stages[best])))
        before = 0.0 if old < 0 else pressures[old]
        text = f"phase {now_on} next: a pressure of {pressures[best]:.1f} vehicles against {before:.1f}"
        return (Decision(self._kind, f"phase {now_on}", "pressure", text),)

    def _overdue(self, now: float, inputs: SignalInputs) -> list[int]:
        """The stages that serve who has waited longest beyond the set share of the maximum red; else none."""
        worst, longest = -1, 0.0
        for p, phase in enumerate(inputs.status.phases):
            since = phase.waiting
            if since is None or phase.state is PhaseState.GREEN:
                continue
            beyond = now - since - self._config.urgent_share * self._plan.max_red[p]
            if beyond > longest:
                worst, longest = p, beyond
        if worst < 0:
            return []
        return [s for s, stage in enumerate(self._model.stages) if stage >> worst & 1]

    def _pressure(self, stage: int) -> float:
        total = 0.0
        view, reach = self._view, self._config.reach_m
        for k, lane in enumerate(self._model.lanes):
            service = lane.service[stage]
            if service is None:
                continue
            here = 0.0
            for z, zone in enumerate(lane.zones):
                if zone.from_m < reach:
                    here += view.halting[k][z]
                    if self._kind == GREEDY:
                        here += view.moving[k][z]
            if view.blind[k]:
                here = 1.0
            if self._kind != GREEDY and service.exits:
                here -= sum(max(view.exit_halting[d] for d in way) for way in service.exits) / len(
                    service.exits
                )
            here = min(here, service.most)  # who stands behind one that must stay red is not served
            total += service.weight * (here * view.full(service, FULL_EXIT) if here > 0.0 else here)
        waiting = self._ped & self._model.stages[stage]
        return total + 2.0 * bin(waiting).count("1")

    def _wants(self, now: float, inputs: SignalInputs, decisions: tuple[Decision, ...]) -> SignalWants:
        plan = self._plan
        if self._target < 0:
            return SignalWants(decisions=decisions)
        stage = self._model.stages[self._target]
        green = greens(inputs.status)
        ready = 0
        for p, phase in enumerate(inputs.status.phases):
            if now >= phase.ready - EPS and phase.ped is Ped.DONT_WALK:
                ready |= 1 << p
        ending = green & ~stage
        return SignalWants(
            hold=frozenset(plan.names(green & stage)),
            force_off=frozenset(plan.names(ending if not ending & ~ready else 0)),
            call=frozenset(plan.names(stage & ~green)),
            ped_call=frozenset(plan.names(self._ped & stage & ~green)),
            decisions=decisions,
        )

    def snapshot(self) -> State:
        """The stage served and when to decide again."""
        return {"target": self._target, "next": self._next, "now": self._now, "ped": self._ped}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        if not -1 <= state["target"] < len(self._model.stages):
            raise ValueError("the snapshot belongs to another site")
        self._target, self._next = state["target"], state["next"]
        self._now, self._ped = state["now"], state["ped"]
