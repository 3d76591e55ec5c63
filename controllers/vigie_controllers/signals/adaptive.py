"""Adaptive control (kind ``signal.adaptive``): plans some 40 s ahead each second on zone counts alone.

It sees vehicles and standing vehicles per zone of each approach and standing vehicles at the exits; no
identities, routes or speeds. Constants hold for every site; what differs per lane is estimated on the way.
When too little can be seen, or after an overrun, it is silent and the next controller in the list speaks.
Its work is bounded by a count of plans, never by time.
"""

from dataclasses import replace

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.coming import Coming
from vigie_controllers.signals.learn import CAR_M, Learner
from vigie_controllers.signals.leaving import Leaving
from vigie_controllers.signals.model import FULL_EXIT, INFINITY, Model, Service, View
from vigie_controllers.signals.neighbours import Forecast
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.predict import LanePrediction
from vigie_controllers.signals.search import HOLDS, Choice, Search
from vigie_controllers.signals.sensing import EPS, Sensing, greens
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Ped, PhaseState, SignalInputs, SignalWants
from vigie_protocols.points import Quality

KIND = "signal.adaptive"
HIDDEN_RATE = 0.25
"""Vehicles per second assumed behind a queue that fills the view."""
SILENT_S = 10.0
"""Silence after an overrun."""
TELL_S = 10.0
"""A green that goes on is explained so often."""
_NOTHING = SignalWants()
PED_WEIGHT = 1.0
"""Vehicles that one waiting pedestrian call counts as."""


class AdaptiveConfig(Strict):
    """horizon_s: how far it plans; plans: how many plans one decision compares, about (see ``Search.best``);
    urgent_share: part of the maximum red after which a waiting phase is served next; blind_share: part of the
    lanes that may be unseen before it is silent."""

    horizon_s: int = Field(default=40, ge=20, le=120)
    plans: int = Field(default=600, ge=20, le=5000)
    urgent_share: float = Field(default=0.7, ge=0.2, le=0.9)
    blind_share: float = Field(default=0.4, ge=0.0, le=1.0)


class Adaptive:
    """Controller[SignalInputs, SignalWants]."""

    def __init__(self, config: AdaptiveConfig, site: SignalSite, plan: Plan) -> None:
        self._config, self._plan = config, plan
        self._model = Model(site, plan)
        if not self._model.lanes:
            raise ValueError("site.movements: this controller needs lanes, movements and zone detectors")
        self._view = View(self._model, tuple(one.id for one in site.detectors))
        self._sensing = Sensing(site, plan, 50.0, 35.0)
        count = len(self._model.lanes)
        self._learner = Learner(self._model)
        self._coming = Coming(site, self._model)
        self._leaving = Leaving(site, plan, self._model)
        self._red_at: list[float | None] = [None] * count
        self._ped = 0
        self._target = -1
        self._hold_s = 0
        self._rate_at = -1e18
        self._plan_at = -1e18
        self._silent_until = -1e18
        self._told_at = -1e18
        self._silent = False
        self._frame: object = None
        self._status: object = None
        self._wants = SignalWants()

    def step(self, now: float, inputs: SignalInputs) -> SignalWants | None:
        """The stage to serve; None when it cannot see."""
        status, frame = inputs.status, inputs.frame
        self._coming.hear(inputs.clock, inputs.heard)
        if now < self._rate_at - 1.0 - EPS:
            self._begin_anew()
        if inputs.overrun:
            self._silent_until = now + SILENT_S
        silent = now < self._silent_until
        due = min(self._plan_at, self._rate_at)
        if frame is self._frame and status is self._status and not silent and now + EPS < due:
            return self._wants
        if frame is not self._frame:
            self._view.look(frame, status.failed)
        self._frame, self._status = frame, status
        green = greens(status)
        second = now >= self._rate_at - EPS
        if second:
            self._rate_at = now + 1.0
            self._learner.learn(self._view, self._model.stage_of(green))
            self._coming.learn(self._view)
        self._note_red(now, green)
        self._note_pedestrians(inputs)
        if silent or self._blind():
            self._target = -1
            if self._silent:
                return None
            self._silent = True
            why = "the last scan came too late" if silent else "too few lanes can be seen"
            return SignalWants(decisions=(Decision(KIND, "junction", "silent", f"{why}: others decide"),))
        self._silent = False
        if status.mode != "run":
            return _NOTHING
        decisions: tuple[Decision, ...] = ()
        if now >= self._plan_at - EPS or now < self._plan_at - 60.0:
            decisions = self._decide(now, inputs, green)
        wants = self._ask(now, inputs, green)
        if wants != self._wants:
            self._wants = wants
        said = self._say(now, inputs, green) if second and self._leaving.told else None
        if decisions or said is not None:
            return replace(self._wants, decisions=decisions, forecast=said)
        return self._wants

    def _begin_anew(self) -> None:
        """The clock began anew, with the machine: no instant that was noted before means anything."""
        self._rate_at = self._plan_at = self._told_at = self._silent_until = -1e18
        self._red_at = [None] * len(self._red_at)
        self._target = -1
        self._leaving.forget()

    # -- seeing --------------------------------------------------------------------------------------

    def _note_pedestrians(self, inputs: SignalInputs) -> None:
        self._sensing.look(inputs.frame, inputs.status.failed)
        self._ped |= (self._sensing.ped | self._sensing.ped_blind) & self._plan.peds
        for p, phase in enumerate(inputs.status.phases):
            if phase.ped is Ped.WALK:
                self._ped &= ~(1 << p)

    def _note_red(self, now: float, green: int) -> None:
        for k, lane in enumerate(self._model.lanes):
            if lane.phases & green:
                self._red_at[k] = None
            elif self._red_at[k] is None:
                self._red_at[k] = now

    def _blind(self) -> bool:
        blind = self._view.blind
        return sum(blind) > self._config.blind_share * len(blind)

    # -- planning ------------------------------------------------------------------------------------

    def _decide(self, now: float, inputs: SignalInputs, green: int) -> tuple[Decision, ...]:
        status, stages = inputs.status, self._model.stages
        if status.next:
            return ()  # committed: nothing to decide until it is green
        present = self._model.stage_of(green)
        if present < 0:  # a ring is idle, or nothing is on yet: fill up
            if self._target < 0 or green & ~stages[self._target]:
                self._target = next((s for s, stage in enumerate(stages) if not green & ~stage), 0)
            return ()
        ready = max(phase.ready for p, phase in enumerate(status.phases) if green >> p & 1)
        if any(phase.ped is not Ped.DONT_WALK for phase in status.phases):
            ready = max(ready, now + 0.5)
        if now < ready - EPS:
            self._target, self._plan_at, self._told_at = present, ready, -1e18
            return ()
        self._plan_at = now + 1.0
        return self._search(now, inputs, present)

    def _search(self, now: float, inputs: SignalInputs, present: int) -> tuple[Decision, ...]:
        model = self._model
        # Walk and clearance bind a green: where they are called, the plan looks farther ahead by as much.
        horizon = self._config.horizon_s + round(
            max(model.least(stage, self._ped) - model.least(stage, 0) for stage in model.stages)
        )
        lanes, rates, most = self._expect(now, horizon)
        services = [list(lane.service) for lane in model.lanes]
        self._add_pedestrians(now, inputs, lanes, services, rates)
        most += [[INFINITY] * len(model.stages)] * (len(lanes) - len(most))
        search = Search(model, lanes, services, rates, most, self._ped, present)
        urgent = self._urgent(now, inputs, present)
        following = urgent or tuple(s for s in range(len(model.stages)) if s != present)
        if not following:
            self._target = present
            return ()
        holds = (0,) if urgent else tuple(h for h in HOLDS if h < self._config.horizon_s)
        choice = search.best(holds, following, self._config.plans)
        self._target = choice.stage
        self._hold_s = choice.hold_s
        self._leaving.follow(now, present, choice)
        if self._target == present:
            return self._kept(now, present, choice)
        names = self._plan.names
        left = ", ".join(map(str, names(model.stages[present] & ~model.stages[self._target])))
        to = ", ".join(map(str, names(model.stages[self._target] & ~model.stages[present])))
        if urgent:
            text = f"phase {left} ended: phase {to} has waited long enough"
            return (Decision(KIND, f"phase {left}", "urgent", text),)
        text = f"phase {left} ended: {choice.then_s} s planned for phase {to} saves {choice.saved:.0f} veh s"
        return (Decision(KIND, f"phase {left}", "planned", text),)

    def _expect(
        self, now: float, horizon: int
    ) -> tuple[list[LanePrediction], list[list[tuple[float, float]]], list[list[float]]]:
        """Every lane over the horizon; per stage its rates, and how many can leave at all."""
        model = self._model
        lanes = [self._predict(now, k, horizon) for k in range(len(model.lanes))]
        coming = [sum(lane.arrivals) / lane.horizon for lane in lanes]
        rates = []
        for k, lane in enumerate(model.lanes):
            row = [(0.0, 0.0)] * len(model.stages)
            for s, one in enumerate(lane.service):
                if one is not None:
                    low, high = one.rates(sum(coming[other] for other in one.opposing))
                    part = self._view.full(one, FULL_EXIT) * self._learner.factor(k, s)
                    row[s] = (low * part, high * part)
            rates.append(row)
        most = [[self._learner.most(k, s) for s in range(len(model.stages))] for k in range(len(model.lanes))]
        return lanes, rates, most

    def _say(self, now: float, inputs: SignalInputs, green: int) -> Forecast | None:
        """What neighbours shall hear this second; nothing without a clock."""
        if inputs.clock.quality is Quality.BAD:
            return None
        horizon = self._config.horizon_s
        lanes, rates, most = self._expect(now, horizon)
        present = self._model.stage_of(green)
        return self._leaving.forecast(now, inputs.clock.value, present, lanes, rates, most, horizon)

    def _kept(self, now: float, present: int, choice: Choice) -> tuple[Decision, ...]:
        """Why a green goes on: told when it could first end, and then every ten seconds."""
        if now < self._told_at + TELL_S - EPS:
            return ()
        self._told_at = now
        phases = ", ".join(map(str, self._plan.names(self._model.stages[present])))
        text = f"phase {phases} goes on: to end it now would cost {choice.saved:.0f} veh s more"
        return (Decision(KIND, f"phase {phases}", "kept", text),)

    def _predict(self, now: float, k: int, horizon: int) -> LanePrediction:
        """Queue and arrivals of a lane over the horizon."""
        lane, view, rate = self._model.lanes[k], self._view, self._learner.rate[k]
        at = self._red_at[k]
        red_s = None if at is None else now - at
        if view.blind[k]:
            return LanePrediction(rate * min(red_s or 0.0, 60.0), [rate] * horizon, red_s)
        arrivals = [0.0] * horizon
        queue = 0.0
        for z, zone in enumerate(lane.zones):
            dark = view.dark[k][z]
            queue += self._unseen(k, z, rate * (red_s or 0.0) - queue) if dark else view.halting[k][z]
            moving = view.moving[k][z]
            if moving:
                first = int(zone.from_m / lane.speed)
                last = max(first + 1, round(zone.to_m / lane.speed))
                for t in range(first, min(last, horizon)):
                    arrivals[t] += moving / (last - first)
        if view.halting[k][-1] >= 1.0:
            rate = max(rate, HIDDEN_RATE)
        beyond = round(lane.reach / lane.speed)
        for t, one in enumerate(self._coming.arrivals(k, rate, beyond, horizon), beyond):
            arrivals[t] += one
        return LanePrediction(queue, arrivals, red_s)

    def _unseen(self, k: int, z: int, expected: float) -> float:
        """Who may stand in a zone that cannot be seen: it is full when somebody stands behind it, else at most
        ``expected``, and nobody while the zone before it is seen not to be full."""
        zones, halting = self._model.lanes[k].zones, self._view.halting[k]
        room = (zones[z].to_m - zones[z].from_m) * zones[z].share / CAR_M
        if z + 1 < len(zones) and halting[z + 1] >= 1.0:
            return room
        if z and not self._view.dark[k][z - 1] and halting[z - 1] < 1.0:
            return 0.0
        return min(room, max(0.0, expected))

    def _add_pedestrians(
        self,
        now: float,
        inputs: SignalInputs,
        lanes: list[LanePrediction],
        services: list[list[Service | None]],
        rates: list[list[tuple[float, float]]],
    ) -> None:
        """Each waiting pedestrian call is a lane of its own that empties at once when its phase begins."""
        nobody = [0.0] * lanes[0].horizon
        for p, phase in enumerate(inputs.status.phases):
            if self._ped >> p & 1 and phase.state is not PhaseState.GREEN:
                since = now if phase.ped_waiting is None else phase.ped_waiting
                lanes.append(LanePrediction(PED_WEIGHT, nobody, now - since))
                walks = Service(0.0, (), (), 1.0, 1 << (64 + p))
                on = [stage >> p & 1 for stage in self._model.stages]
                services.append([walks if one else None for one in on])
                rates.append([(9.0, 9.0) if one else (0.0, 0.0) for one in on])

    def _ask(self, now: float, inputs: SignalInputs, green: int) -> SignalWants:
        plan = self._plan
        if self._target < 0:
            return _NOTHING
        stage = self._model.stages[self._target]
        ending, ready, walk = green & ~stage, 0, self._ped & stage & ~green
        for p, phase in enumerate(inputs.status.phases):
            if now >= phase.ready - EPS and phase.ped is Ped.DONT_WALK:
                ready |= 1 << p
            if (self._ped & stage & green) >> p & 1 and self._hold_s >= self._config.horizon_s:
                walk |= 1 << p  # nobody else is expected: let them go now
        return SignalWants(
            hold=frozenset(plan.names(green & stage)),
            force_off=frozenset(plan.names(0 if ending & ~ready else ending)),
            call=frozenset(plan.names(stage & ~green)),
            ped_call=frozenset(plan.names(walk)),
        )

    def _urgent(self, now: float, inputs: SignalInputs, present: int) -> tuple[int, ...]:
        """The stages that serve the phase that has waited longest, once it may wait no more."""
        worst, urgent = 0.0, -1
        for p, phase in enumerate(inputs.status.phases):
            since = [at for at in (phase.waiting, phase.ped_waiting) if at is not None]
            if since and not self._model.stages[present] >> p & 1:
                over = (now - min(since)) / self._plan.max_red[p] - self._config.urgent_share
                if over > worst:
                    worst, urgent = over, p
        if urgent < 0:
            return ()
        return tuple(s for s, stage in enumerate(self._model.stages) if stage >> urgent & 1)

    def snapshot(self) -> State:
        """What was learnt, what is wanted, and when to plan again."""
        return {
            "learnt": self._learner.snapshot(),
            "coming": self._coming.snapshot(),
            "leaving": self._leaving.snapshot(),
            "red_at": list(self._red_at),
            "ped": self._ped,
            "target": self._target,
            "hold_s": self._hold_s,
            "rate_at": self._rate_at,
            "plan_at": self._plan_at,
            "silent_until": self._silent_until,
            "silent": self._silent,
            "told_at": self._told_at,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters of the same site."""
        self._learner.restore(state["learnt"])
        self._coming.restore(state["coming"])
        self._leaving.restore(state["leaving"])
        self._red_at = list(state["red_at"])
        self._ped, self._target, self._hold_s = state["ped"], state["target"], state["hold_s"]
        self._rate_at, self._plan_at = state["rate_at"], state["plan_at"]
        self._silent_until, self._silent = state["silent_until"], state["silent"]
        self._told_at = state["told_at"]
        self._frame = self._status = None
