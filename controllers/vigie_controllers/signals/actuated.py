"""Actuated control (kind ``signal.actuated``): phases extend while traffic comes and end in its gaps.

Works for any number of rings. A green ends, once somebody else waits, when no vehicle has been near the stop
line for the passage time (gap-out) or when its maximum green is over (max-out). With gap reduction the
passage time shrinks while others wait. Words and behaviour follow NEMA TS 2.
"""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.sensing import EPS, FOREVER, Sensing, check_greens, greens, per_phase
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Ped, PhaseState, SignalInputs, SignalWants, Status

Recall = Literal["none", "min", "max", "ped", "soft"]
Seconds = Field(ge=0.0, le=30.0)
KIND = "signal.actuated"


class ActuatedConfig(Strict):
    """Times in seconds. Mappings are by phase id and override the default of the same name.

    plan: which set of maximum greens holds, ``normal`` or ``event``. passage_s: gap that ends a green;
    min_gap_s, reduce_before_s, reduce_over_s: when others have waited ``reduce_before_s``, the gap falls to
    ``min_gap_s`` within ``reduce_over_s``. recall: ``min`` calls the phase always, ``max`` also keeps it to
    its maximum, ``ped`` calls its pedestrians, ``soft`` calls it when nobody else is called.
    dynamic_max_s, dynamic_step_s: a phase that maxes out twice in a row gets so much more each time, up to this
    maximum, and loses it again by gaps. ped_recycle: who asks in a running green may walk again in it while
    nobody else waits. dual_entry: phases that begin beside a called phase when their own ring has nobody.
    simultaneous_gap: greens of two rings cross a barrier only when both have their gap at once; else a
    phase that had its gap and waits for the other ring is not extended again. red_rest: without any call
    the junction rests in red, else in the greens that were last.
    blind_green_s: green of a phase whose detectors cannot be believed.
    call_within_m, extend_within_m: zones that call and that extend, metres before the stop line.
    """

    plan: Literal["normal", "event"] = "normal"
    default_passage_s: float = Field(default=2.0, ge=0.0, le=10.0)
    passage_s: dict[int, float] = Field(default_factory=dict)
    default_min_gap_s: float = Field(default=1.0, ge=0.0, le=10.0)
    min_gap_s: dict[int, float] = Field(default_factory=dict)
    reduce_before_s: float = Field(default=15.0, ge=0.0, le=120.0)
    reduce_over_s: float = Field(default=20.0, ge=1.0, le=120.0)
    default_max_green_s: float = Field(default=40.0, ge=5.0, le=300.0)
    max_green_s: dict[int, float] = Field(default_factory=dict)
    default_event_max_green_s: float = Field(default=60.0, ge=5.0, le=300.0)
    event_max_green_s: dict[int, float] = Field(default_factory=dict)
    dynamic_max_s: dict[int, float] = Field(default_factory=dict)
    dynamic_step_s: float = Field(default=5.0, ge=1.0, le=60.0)
    ped_recycle: bool = True
    default_recall: Recall = "none"
    recall: dict[int, Recall] = Field(default_factory=dict)
    dual_entry: tuple[int, ...] = ()
    simultaneous_gap: bool = True
    red_rest: bool = False
    blind_green_s: float = Field(default=20.0, ge=5.0, le=120.0)
    call_within_m: float = Field(default=50.0, gt=0.0, le=500.0)
    extend_within_m: float = Field(default=35.0, gt=0.0, le=500.0)


class Actuated:
    """Controller[SignalInputs, SignalWants]; never silent: it is the fallback of cleverer ones."""

    def __init__(self, config: ActuatedConfig, site: SignalSite, plan: Plan) -> None:
        self._plan = plan
        self._passage = per_phase(plan, "passage_s", config.default_passage_s, config.passage_s)
        self._min_gap = per_phase(plan, "min_gap_s", config.default_min_gap_s, config.min_gap_s)
        if config.plan == "event":
            name, default, given = (
                "event_max_green_s",
                config.default_event_max_green_s,
                config.event_max_green_s,
            )
        else:
            name, default, given = "max_green_s", config.default_max_green_s, config.max_green_s
        self._max = per_phase(plan, name, default, given)
        check_greens(plan, name, self._max, given)
        limits = per_phase(plan, "dynamic_max_s", 0.0, config.dynamic_max_s)
        self._limit = [max(limit, most) for limit, most in zip(limits, self._max, strict=True)]
        check_greens(plan, "dynamic_max_s", self._limit, config.dynamic_max_s)
        self._step = config.dynamic_step_s
        self._recycles = config.ped_recycle
        self._before, self._over = config.reduce_before_s, config.reduce_over_s
        self._blind_green = config.blind_green_s
        self._latches = not config.simultaneous_gap
        self._red_rest = config.red_rest
        self._recalls(config)
        self._dual = 0
        for number in config.dual_entry:
            if number not in plan.place:
                raise ValueError(f"dual_entry: phase {number} is not declared at this site")
            self._dual |= 1 << plan.place[number]
        self._sensing = Sensing(site, plan, config.call_within_m, config.extend_within_m)
        count = len(plan.ids)
        self._locked = 0
        self._ped = 0
        self._out = 0
        self._green = self._near = 0
        self._now = -FOREVER
        self._begun = [0.0] * count
        self._last_on = [0.0] * count
        self._conflict: list[float | None] = [None] * count
        self._why = [""] * count
        self._grown = [0.0] * count
        self._streak = [0] * count
        self._due = -FOREVER
        self._status: Status | None = None
        self._frame: object = None
        self._wants = SignalWants()

    def _recalls(self, config: ActuatedConfig) -> None:
        plan = self._plan
        chosen = dict.fromkeys(plan.ids, config.default_recall)
        for number, recall in config.recall.items():
            if number not in chosen:
                raise ValueError(f"recall.{number}: phase {number} is not declared at this site")
            if recall == "ped" and not plan.peds >> plan.place[number] & 1:
                raise ValueError(f"recall.{number}: phase {number} has no pedestrian service")
            chosen[number] = recall
        by = {
            kind: plan.mask(n for n, own in chosen.items() if own == kind)
            for kind in ("min", "max", "ped", "soft")
        }
        self._min_recall = by["min"] | by["max"]
        self._max_recall = by["max"]
        self._ped_recall = by["ped"] & plan.peds
        self._soft_recall = by["soft"]

    def step(self, now: float, inputs: SignalInputs) -> SignalWants:
        """What to call and what to end at ``now``."""
        status, frame = inputs.status, inputs.frame
        if now < self._now:  # the clock began anew, with the machine
            self._shift(now - self._now)
        if now + EPS < self._due and status is self._status and frame is self._frame:
            return self._wants
        self._sensing.look(frame, status.failed, status.stand_in)
        green = greens(status)
        ended = self._green & ~green
        decisions = self._ends(now, ended) if ended and status.mode == "run" else ()
        fresh = green & ~self._green
        self._remember(now, status, green)
        call, ped_call = self._calls(green, status)
        force_off = self._endings(now, status, green, fresh, call) if status.mode == "run" else 0
        hold = rest = 0
        for p, phase in enumerate(status.phases):
            bit = 1 << p
            if self._conflict[p] is not None:  # no second walk while others wait
                ped_call &= ~(green & bit)
            elif phase.ped is Ped.WALK and self._plan.walk_rest & bit:
                hold |= bit
            elif not self._recycles:
                ped_call &= ~(green & bit)
        ped_call |= hold
        if self._red_rest and status.mode == "run" and not (call or ped_call):
            rest = self._to_red(now, green)
            force_off |= rest
        self._now = now
        self._status, self._frame = status, frame
        names = self._plan.names
        wants = SignalWants(
            hold=frozenset(names(hold)),
            force_off=frozenset(names(force_off)),
            omit=frozenset(names(rest)),
            call=frozenset(names(call)),
            ped_call=frozenset(names(ped_call)),
        )
        if wants != self._wants:
            self._wants = wants
        if not decisions:
            return self._wants
        self._due = -FOREVER  # the next scan gives the same without the decisions
        return replace(wants, decisions=decisions)

    def _shift(self, by: float) -> None:
        self._last_on = [at + by for at in self._last_on]
        self._begun = [at + by for at in self._begun]
        self._conflict = [None if at is None else at + by for at in self._conflict]
        self._due = -FOREVER

    def _remember(self, now: float, status: Status, green: int) -> None:
        """Lock calls until served; time traffic near the stop line of each green."""
        sensing = self._sensing
        self._locked = (self._locked | sensing.locked) & ~green
        self._ped |= (sensing.ped | sensing.ped_blind) & self._plan.peds
        for p, phase in enumerate(status.phases):
            bit = 1 << p
            if phase.ped is Ped.WALK:
                self._ped &= ~bit
            if green & bit and not self._green & bit:
                self._last_on[p] = now
                self._conflict[p] = None
                self._why[p] = ""
                self._begun[p] = now
                self._out &= ~bit
            if (sensing.near | self._near) & bit:
                self._last_on[p] = now
        self._near = sensing.near
        self._green = green

    def _calls(self, green: int, status: Status) -> tuple[int, int]:
        sensing, plan = self._sensing, self._plan
        call = sensing.calls | self._locked | sensing.blind | self._min_recall
        ped = self._ped
        for p, phase in enumerate(status.phases):
            if self._ped_recall >> p & 1 and phase.state is not PhaseState.GREEN:
                ped |= 1 << p
        call |= ped
        if self._soft_recall and not call & ~green:
            call |= self._soft_recall
        for p in range(len(plan.ids)):
            bit = 1 << p
            if self._dual & bit and not call & bit:
                own = sum(1 << q for q in plan.rings[plan.ring[p]]) & plan.barriers[plan.barrier[p]]
                if not (call | green) & own and call & plan.company[p]:
                    call |= bit
        return call, ped

    def _endings(self, now: float, status: Status, green: int, fresh: int, call: int) -> int:
        """The greens to end now; sets when to look again."""
        plan, sensing = self._plan, self._sensing
        force_off = 0
        due = FOREVER
        for p, phase in enumerate(status.phases):
            bit = 1 << p
            if not green & bit:
                continue
            if not call & ~green & ~plan.company[p]:
                self._conflict[p] = None
                self._out &= ~bit
                continue
            conflict = self._conflict[p]
            if conflict is None:  # somebody who waited already has waited since this green began
                self._conflict[p] = conflict = phase.since if fresh & bit else now
            most = self._max[p] + self._grown[p]
            max_at = conflict + (min(self._blind_green, most) if sensing.blind & bit else most)
            if sensing.blind & bit or self._max_recall & bit or sensing.near & bit:
                gap_at = FOREVER
            else:
                gap_at = self._gap_end(p, conflict)
            ready = phase.ready
            if phase.ped is not Ped.DONT_WALK:
                ready = max(ready, now + 0.1)
            at = max(ready, min(max_at, gap_at))
            if self._out & bit and now >= ready - EPS:
                force_off |= bit
            elif now >= at - EPS:
                force_off |= bit
                self._out |= bit if self._latches else 0
                self._why[p] = "max-out" if max_at <= gap_at else "gap-out"
            else:
                due = min(due, at)
        self._due = due
        return force_off

    def _to_red(self, now: float, green: int) -> int:
        """The greens that rest in red now, as nobody has come for their passage time."""
        rest = 0
        for p in range(len(self._plan.ids)):
            if green >> p & 1:
                at = self._last_on[p] + self._passage[p]
                if now >= at - EPS:
                    rest |= 1 << p
                    self._why[p] = "red-rest"
                else:
                    self._due = min(self._due, at)
        return rest

    def _gap_end(self, p: int, conflict: float) -> float:
        """When the gap since the last vehicle reaches the passage time, which shrinks while others wait."""
        last, passage = self._last_on[p], self._passage[p]
        least = min(self._min_gap[p], passage)
        shrinks = conflict + self._before
        if last + passage <= shrinks:
            return last + passage
        slope = (passage - least) / self._over
        meets = (last + passage + slope * shrinks) / (1.0 + slope)
        return meets if meets <= shrinks + self._over else last + least

    def _ends(self, now: float, ended: int) -> tuple[Decision, ...]:
        told = []
        for p, number in enumerate(self._plan.ids):
            if ended >> p & 1:
                lasted = now - self._begun[p]
                why = self._why[p] or "force-off"
                self._grow(p, why)
                if why == "gap-out":
                    text = (
                        f"phase {number} ended after {lasted:.1f} s: a gap in its traffic while others wait"
                    )
                elif why == "max-out":
                    text = (
                        f"phase {number} ended after {lasted:.1f} s: others wait and it had its maximum green"
                    )
                elif why == "red-rest":
                    text = f"phase {number} ended after {lasted:.1f} s: nobody calls"
                else:
                    text = (
                        f"phase {number} ended after {lasted:.1f} s: by the guard, or a controller before it"
                    )
                told.append(Decision(KIND, f"phase {number}", why, text))
        return tuple(told)

    def _grow(self, p: int, why: str) -> None:
        """Dynamic maximum (NTCIP 1202 phaseDynamicMaxLimit and -Step): two of a kind in a row move it."""
        if why not in ("max-out", "gap-out"):
            return
        streak = self._streak[p]
        self._streak[p] = streak = max(streak, 0) + 1 if why == "max-out" else min(streak, 0) - 1
        if abs(streak) >= 2:
            grown = self._grown[p] + (self._step if streak > 0 else -self._step)
            self._grown[p] = min(max(grown, 0.0), self._limit[p] - self._max[p])

    def snapshot(self) -> State:
        """Calls kept, timers of running greens."""
        return {
            "now": self._now,
            "locked": self._locked,
            "near": self._near,
            "begun": list(self._begun),
            "ped": self._ped,
            "out": self._out,
            "green": self._green,
            "last_on": list(self._last_on),
            "conflict": list(self._conflict),
            "why": list(self._why),
            "grown": list(self._grown),
            "streak": list(self._streak),
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters of the same site."""
        if len(state["last_on"]) != len(self._last_on):
            raise ValueError("the snapshot belongs to another site")
        self._locked, self._ped, self._green = state["locked"], state["ped"], state["green"]
        self._out = state["out"]
        self._last_on, self._conflict = list(state["last_on"]), list(state["conflict"])
        self._why = list(state["why"])
        self._now, self._near, self._begun = state["now"], state["near"], list(state["begun"])
        self._grown = [
            min(was, most - own)
            for was, most, own in zip(state["grown"], self._limit, self._max, strict=True)
        ]
        self._streak = list(state["streak"])
        self._due = -FOREVER
        self._status = None
