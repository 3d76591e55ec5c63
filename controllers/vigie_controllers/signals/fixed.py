"""Fixed-time and coordinated control (kind ``signal.fixed``): cycle, splits and offset by time of day.

The phase that owns the present instant of the cycle is called, the others are ended. In an actuated plan only
the coordinated phases are kept to their instants; the others come when called, end in a gap or at their
force-off, and are not begun when it is too late for them: hold, force-off and omit over the calls of
another controller, as NTCIP 1202 coordinates.

Plans follow local time; an event plan goes before all. A new plan is taken where the old one's cycle is over, and
its step is found by its transition. While UTC cannot be trusted everything runs on by the held clock; where
UTC was never known, ``plan`` runs by the monotonic clock, out of step with its neighbours.
"""

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.coordination import CycleClock
from vigie_controllers.signals.cycle import Cycle, TimingPlan
from vigie_controllers.signals.heldclock import HeldClock
from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.schedule import DayEntry, Schedule, ScheduleRow
from vigie_controllers.signals.sensing import EPS
from vigie_controllers.signals.words import NONE, Ped, PhaseState, SignalInputs, SignalWants, Status

KIND = "signal.fixed"
_MINUTE_S = 60.0


class FixedConfig(Strict):
    """plans: by name. plan: the one in force where nothing else says one. event_plan: goes before everything;
    a policy sets it for as long as an event lasts. day_plans, schedule, holidays (ISO date: day plan): see
    ``schedule``; times are local to the site's ``time_zone``. pedestrians: serve them in every cycle.
    """

    plans: dict[str, TimingPlan] = Field(default_factory=lambda: {"normal": TimingPlan()})
    plan: str = "normal"
    event_plan: str | None = None
    day_plans: dict[str, tuple[DayEntry, ...]] = Field(default_factory=dict)
    schedule: tuple[ScheduleRow, ...] = ()
    holidays: dict[str, str] = Field(default_factory=dict)
    pedestrians: bool = True


class Fixed:
    """Controller[SignalInputs, SignalWants]; needs no detector; silent in a free plan."""

    def __init__(self, config: FixedConfig, plan: Plan) -> None:
        for field, name in (("plan", config.plan), ("event_plan", config.event_plan)):
            if name is not None and name not in config.plans:
                raise ValueError(
                    f"{field}: bad-plan: no plan {name!r}; name one of {', '.join(sorted(config.plans))}"
                )
        self._plan = plan
        self._config = config
        self._peds = plan.peds if config.pedestrians else 0
        self._schedule = Schedule(config.day_plans, config.schedule, config.holidays, config.plans)
        self._cycles: dict[str, Cycle | None] = {  # a wrong plan is refused before it is ever chosen
            name: None if timing.free else Cycle(f"plans.{name}", timing, plan, self._peds)
            for name, timing in config.plans.items()
        }
        self.leans = next(
            (
                f"plans.{name}.{'free' if timing.free else 'actuated'}: nobody calls the phases then; put "
                "signal.actuated behind this controller"
                for name, timing in config.plans.items()
                if timing.free or timing.actuated
            ),
            "",
        )
        """Why it cannot be the last of its list, with the field."""
        self._zone = Zone(plan.site.time_zone)
        self._utc = HeldClock()
        self._place = CycleClock()
        self._minute: float | None = None
        self._chosen, self._why = "", ""
        self._name = ""
        self._told = ""
        self._current = -1
        self._key: tuple[object, ...] | None = None
        self._wants: SignalWants | None = None

    def step(self, now: float, inputs: SignalInputs) -> SignalWants | None:
        """What the instant of the cycle asks; None in a free plan."""
        notes: list[Decision] = []
        before = self._utc.state
        utc = self._utc.read(now, inputs.clock)
        if self._utc.state != before and (before != "none" or self._name):
            notes.append(Decision(KIND, "clock", self._utc.state, _CLOCK[self._utc.state]))
        self._choose(utc)
        cycle = self._cycles[self._name] if self._name else None
        if cycle is None or self._cycles[self._chosen] is None:
            self._take(notes)
            cycle = self._cycles[self._name]
        if cycle is None:
            self._place.forget()
            self._current, self._key = -1, None
            return SignalWants(complete=False, decisions=tuple(notes)) if notes else None
        instant = now if utc is None else utc
        earlier = self._place.at
        at = self._place.step(now, cycle, (instant - cycle.zero + EPS) % cycle.length)
        if self._name != self._chosen and earlier - at > cycle.length / 2:
            self._take(notes)
            cycle = self._cycles[self._name] or cycle
            self._place.move(at % cycle.length)
        self._tell_step(notes)
        if cycle.timing.actuated:
            return self._coordinate(now, inputs.status, cycle, at, notes)
        return self._fixed(now, inputs.status, cycle, at, notes)

    # -- which plan ----------------------------------------------------------------------------------

    def _choose(self, utc: float | None) -> None:
        minute = -1.0 if utc is None else utc // _MINUTE_S
        if minute == self._minute:
            return
        self._minute = minute
        config = self._config
        self._chosen, self._why = config.plan, "no schedule says otherwise"
        if config.event_plan is not None:
            self._chosen, self._why = config.event_plan, "event plan"
            return
        if utc is None:
            self._why = "UTC is not known: out of step with its neighbours"
            return
        try:
            choice = self._schedule.at(self._zone.at(utc))
        except ValueError:
            self._why = "UTC is not plausible"
            return
        if choice is not None:
            self._chosen = choice.plan
            self._why = f"day plan {choice.day_plan}, from {choice.since} local time"

    def _take(self, notes: list[Decision]) -> None:
        if self._name != self._chosen:
            self._name = self._chosen
            what = "plan" if self._cycles[self._name] is not None else "free"
            notes.append(Decision(KIND, "junction", what, f"plan {self._name} in force: {self._why}"))
            self._current, self._key = -1, None

    def _tell_step(self, notes: list[Decision]) -> None:
        place = self._place
        told = "" if place.in_step else place.method
        if told != self._told:
            if told:
                text = f"plan {self._name}: {place.ahead:.1f} s ahead of its step: {_METHODS[told]}"
                notes.append(Decision(KIND, "junction", "transition", text))
            else:
                notes.append(Decision(KIND, "junction", "in-step", f"plan {self._name} is in step"))
            self._told = told

    # -- what is asked -------------------------------------------------------------------------------

    def _fixed(
        self, now: float, status: Status, cycle: Cycle, at: float, notes: list[Decision]
    ) -> SignalWants:
        """The phases that own this instant of the cycle, and no others."""
        owners = cycle.owners(at)
        red = spent = 0
        for p, phase in enumerate(status.phases):
            if phase.state is not PhaseState.GREEN:
                red |= 1 << p
            elif now >= phase.ready - EPS and phase.ped is Ped.DONT_WALK:
                spent |= 1 << p
        self._tell_owners(owners, cycle, at, notes)
        key = (owners, red, spent)
        wants = self._wants
        if key != self._key or wants is None:
            self._key = key
            names = self._plan.names
            wants = self._wants = SignalWants(
                force_off=frozenset(names(spent & ~owners)),
                call=frozenset(names(owners)),
                ped_call=frozenset(names(owners & red & self._peds)),
            )
        return _with(wants, notes)

    def _coordinate(
        self, now: float, status: Status, cycle: Cycle, at: float, notes: list[Decision]
    ) -> SignalWants:
        """Hold the coordinated phases to their yield point, force the others off, omit what comes too late."""
        owners, coordinated = cycle.owners(at), cycle.coordinated
        floating = cycle.timing.force_off == "floating"
        hold = force_off = omit = 0
        for p, phase in enumerate(status.phases):
            bit = 1 << p
            green = phase.state is PhaseState.GREEN
            lasted = now - phase.since
            gone = cycle.since_yield(p, at)
            if coordinated & bit:
                if green:
                    back = lasted < gone - EPS  # returned after its yield point: stays until the next
                    hold |= bit if owners & bit or back else 0
                    force_off |= 0 if owners & bit or back else bit
            elif not green:
                omit |= bit if gone > cycle.last_start(p) + EPS else 0
            else:
                # A green that began before the yield point is a rest of the last cycle.
                over = gone >= cycle.force_off_at(p) - EPS or lasted > gone + EPS
                split = cycle.splits[p] - cycle.away[p]
                force_off |= bit if over or (floating and lasted >= split - EPS) else 0
        self._tell_owners(owners & coordinated, cycle, at, notes)
        key = (hold, force_off, omit)
        wants = self._wants
        if key != self._key or wants is None:
            self._key = key
            names = self._plan.names
            wants = self._wants = SignalWants(
                hold=frozenset(names(hold)),
                force_off=frozenset(names(force_off)),
                omit=frozenset(names(omit)),
                call=frozenset(names(coordinated)),
                ped_call=NONE,
                complete=False,
            )
        return _with(wants, notes)

    def _tell_owners(self, owners: int, cycle: Cycle, at: float, notes: list[Decision]) -> None:
        if owners == self._current:
            return
        self._current = owners
        if owners:
            who = ", ".join(map(str, self._plan.names(owners)))
            text = f"plan {self._name}: turn of phase {who} at {at:.1f} s of the cycle of {cycle.length:g} s"
            notes.append(Decision(KIND, f"phase {who}", "split", text))

    # -- snapshots -----------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """The clock held, the position in the cycle, and who owns it."""
        cycle = self._cycles[self._name] if self._name else None
        owner, since = self._owner(cycle, self._place.at) if cycle is not None else (0, 0.0)
        return {
            "utc": self._utc.snapshot(),
            "place": self._place.snapshot(),
            "name": self._name,
            "told": self._told,
            "current": self._current,
            "owner": owner,
            "since": since,
        }

    def _owner(self, cycle: Cycle, at: float) -> tuple[int, float]:
        """A phase that owns its ring at a position, the first of them, and for how long it has."""
        owners = cycle.owners(at)
        p = next(p for ring in self._plan.rings for p in ring if owners >> p & 1)
        return self._plan.ids[p], (at - cycle.begin[p]) % cycle.length

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters: the clock and what is green go on."""
        self._utc.restore(state["utc"])
        self._place.restore(state["place"])
        name, owner, since = state["name"], state["owner"], state["since"]
        self._key = self._wants = None
        cycle = self._cycles.get(name)
        if cycle is not None and owner not in self._plan.place:
            raise ValueError("the snapshot belongs to another site")
        if cycle is not None and self._owner(cycle, self._place.at % cycle.length) != (owner, since):
            p = self._plan.place[owner]  # the plan was changed: stand where the same phase owns the ring
            self._place.move((cycle.begin[p] + min(since, cycle.window(p) - EPS)) % cycle.length)
        if name not in self._cycles:
            name = ""
            self._place.forget()
        self._name, self._told, self._current = name, state["told"], state["current"]
        self._minute = None


def _with(wants: SignalWants, notes: list[Decision]) -> SignalWants:
    if not notes:
        return wants
    return SignalWants(
        hold=wants.hold,
        force_off=wants.force_off,
        omit=wants.omit,
        call=wants.call,
        ped_call=wants.ped_call,
        complete=wants.complete,
        decisions=tuple(notes),
    )


_CLOCK = {
    "synced": "UTC is synchronised",
    "held": "UTC is not synchronised: the cycle goes on by the gateway's own clock",
    "none": "UTC is not known",
}
_METHODS = {
    "add": "cycles are lengthened",
    "subtract": "cycles are shortened",
    "dwell": "the coordinated phases wait",
}
