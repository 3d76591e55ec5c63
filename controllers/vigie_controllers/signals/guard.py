"""The guard of a junction: independent of every controller, last in the loop, fails closed.

It owns the engine (bare lamps) or watches the cabinet, decides when the junction must not run, serves
pre-emptions before all requests, and waiting demand by itself when its red has lasted as long as the site
allows. That apart it grants nothing that no controller asked for. Without any controller it gives a fixed
service of all phases.
"""

from collections.abc import Mapping
from dataclasses import replace

from vigie_controllers.contract import Decision, Intervention, State, Verdict
from vigie_controllers.signals.cabinet import Cabinet
from vigie_controllers.signals.demand import DetectorBank
from vigie_controllers.signals.engine import EPS, NEVER, Ask, Engine, Order, Stop
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.preempt import Preemptor
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.stops import StopWatch
from vigie_controllers.signals.waiting import Waiting
from vigie_controllers.signals.words import (
    Frame,
    Ped,
    PhaseState,
    PhaseStatus,
    SignalInputs,
    SignalWants,
    Status,
)
from vigie_protocols.points import Quality

FAILURES, FAILURES_S = 3, 3600.0
"""So many failures of the guard itself within so long are no accident: it flashes until somebody resets it."""
RESTART_FLASH_S = 3.0
"""Least flash after a restart whose lamps cannot be read: drivers must notice that something changed."""
_GREEN = int(PhaseState.GREEN)
_STATES = tuple(PhaseState)
_PEDS = tuple(Ped)


class SignalGuard:
    """Guard[SignalInputs, SignalWants]. status: what controllers see of the junction; bank: its detectors."""

    def __init__(self, site: SignalSite, heartbeat: bool = False) -> None:
        self.plan = Plan(site)
        self._lamps = site.actuation == "lamps"
        self._plant: Engine | Cabinet = Engine(self.plan) if self._lamps else Cabinet(self.plan)
        self.bank = DetectorBank(site, self.plan)
        self._waiting = Waiting(self.plan)
        self._stops = StopWatch()
        self._preempt = Preemptor(self.plan)
        self._stop: Stop | None = None
        self._begun = False
        self._restarted = False
        self._helped = -1
        self._refused = 0
        self._mute = False
        self._replaced = ""
        self._trip = ""
        self._failures: list[float] = []
        self._ran = False
        self._ask = Ask()
        self._due = NEVER
        self._wanted: SignalWants | None = None
        self._frame: Frame | None = None
        self._heartbeat = heartbeat
        self._beat = 0
        self._quiet = Verdict(SignalWants())
        self._versions: tuple[object, ...] = ()
        self.status = self._status()

    def permit(self, now: float, wanted: SignalWants | None, inputs: SignalInputs) -> Verdict[SignalWants]:
        """What may be shown or asked of the cabinet at ``now``."""
        frame = inputs.frame
        if now + EPS < self._due and wanted is self._wanted and frame is self._frame:
            return self._beaten(now) if self._heartbeat else self._quiet
        decisions: list[Decision] = []
        notes: list[Intervention] = []
        plant = self._plant
        if isinstance(plant, Cabinet):
            plant.observe(now, frame)
        if self._replaced:
            self._restart(now, plant, notes)
        self._preempt.update(now, frame.preempts, plant, decisions, notes)
        stop = self._look(now, frame, notes)
        self.bank.update(now, frame.detectors, inputs.clock, plant.state)
        if wanted is not self._wanted or wanted is None:
            self._ask = self._translate(now, wanted, notes)
        if self._mute != (wanted is None):
            self._mute = wanted is None
            if self._mute:
                notes.append(Intervention("fail-safe", "junction", "no controller can speak: fixed service"))
        order = self._preempt.order(now)
        ask = self._help(now, notes) if self._preempt.active < 0 else self._preempted(now, order, notes)
        mode = plant.mode
        if isinstance(plant, Engine):
            plant.step(now, ask, stop, order)
        else:
            plant.step(now, ask, stop)
        if plant.mode != mode:
            decisions.append(Decision("signal.guard", "junction", plant.mode, self._cause(stop)))
        self._ran = self._ran or plant.mode == "run"
        self._waiting.update(now, plant, self.bank)
        self._note_failed(decisions)
        self.status = self._status()
        self._wanted, self._frame = wanted, frame
        self._due = self._next_due()
        return self._verdict(now, wanted, decisions, notes)

    @property
    def plant(self) -> Engine | Cabinet:
        """For who only looks: what makes the lamps, or watches the cabinet that does."""
        return self._plant

    @property
    def stopped(self) -> bool:
        """Whether a reason not to run stands."""
        return self._stop is not None

    def replaced(self, why: str) -> None:
        """The lamps have shown something else than our outputs meanwhile: the next scan starts up anew."""
        self._replaced = why
        self._due = NEVER

    def tripped(self, now: float, unlawful: bool) -> None:
        """What this guard gave was not shown: unlawful, or it failed. Latched at once, or at the third time.

        One failure goes from the first scan that fails to the next service; three of them within an hour latch.
        """
        if unlawful:
            self._trip = "the output check refused what the guard gave"
        elif self._ran:
            self._failures = [*(at for at in self._failures if now - at < FAILURES_S), now]
            if len(self._failures) >= FAILURES:
                self._trip = "the guard failed three times within an hour"
        self._ran = False
        self._due = NEVER

    def _restart(self, now: float, plant: Engine | Cabinet, notes: list[Intervention]) -> None:
        why, self._replaced = self._replaced, ""
        if isinstance(plant, Engine) and self._begun:
            plant.restart(now)
            notes.append(Intervention("interrupted", "junction", f"{why}: start-up from flash"))

    # -- what must stop the junction -----------------------------------------------------------------

    def _look(self, now: float, frame: Frame, notes: list[Intervention]) -> Stop | None:
        plant = self._plant
        running = self._lamps and plant.mode in ("run", "all-red", "closing")
        stop = self._stops.look(now, frame, self._lamps and self._begun, running) or self._preempt.stop
        if self._trip:
            stop = Stop("guard-trip", self._trip, at_once=True)
        if isinstance(plant, Engine) and not self._begun:
            if self._begin(now, plant, frame):
                self._begun = True
            elif stop is None:
                stop = Stop("lamp-feedback", "the lamps cannot be read")
        if stop != self._stop:
            self._stop = stop
            if stop is not None:
                notes.append(Intervention(stop.rule, "junction", stop.cause))
        return stop

    def _begin(self, now: float, plant: Engine, frame: Frame) -> bool:
        """The first scan: take over what the lamps show, else start up. False while they cannot be read."""
        if not frame.lamps:
            if self._restarted:
                plant.flash_s = max(plant.flash_s, RESTART_FLASH_S)
            return True
        shown = []
        for reading in frame.lamps:
            if reading.quality is Quality.BAD or isinstance(reading.value, str):
                return False
            shown.append(int(reading.value))
        if any(shown):  # all dark: a cold start, nothing to take over
            plant.take_over(now, tuple(shown))
        return True

    # -- what is asked -------------------------------------------------------------------------------

    def _translate(self, now: float, wanted: SignalWants | None, notes: list[Intervention]) -> Ask:
        plan = self.plan
        if wanted is None:
            return self._fixed_service(now)
        unknown = (wanted.call | wanted.hold | wanted.force_off | wanted.omit) - plan.place.keys()
        if unknown:
            text = f"not declared at this site: {', '.join(sorted(map(str, unknown)))}"
            notes.append(Intervention("unknown-phase", "junction", text))
        mask = plan.mask
        return Ask(
            mask(wanted.call),
            mask(wanted.ped_call),
            mask(wanted.hold),
            mask(wanted.force_off),
            mask(wanted.omit),
        )

    def _fixed_service(self, now: float) -> Ask:
        """Every phase in turn for the fallback green, pedestrians with it."""
        spent = 0
        for p, state in enumerate(self._plant.state):
            if state == _GREEN and now - self._plant.since[p] >= self.plan.site.fallback_green_s - EPS:
                spent |= 1 << p
        return Ask(call=self.plan.all, ped=self.plan.peds & ~spent, force_off=spent)

    def _preempted(self, now: float, order: Order | None, notes: list[Intervention]) -> Ask:
        """What a pre-emption leaves of all requests; of a cabinet, which pre-empts by itself, nothing is asked."""
        if order is None:
            self._helped = -1
            return Ask()
        within = self._preempt.cycling(now)
        return self._preempt.bend(now, self._help(now, notes, within) if within else self._ask, order)

    def _help(self, now: float, notes: list[Intervention], within: int = -1) -> Ask:
        if self._plant.mode != "run":
            self._helped = -1
            return self._ask
        ask, helped = self._waiting.rescue(now, self._plant, self._ask, self.bank, within)
        if helped >= 0 and helped != self._helped and ask != self._ask:
            number = self.plan.ids[helped]
            since = self._waiting.earliest(helped)
            waited = now - (now if since is None else since)
            limit = self.plan.max_red[helped]
            text = f"demand has waited {waited:.0f} s on red: called now, to be green by its limit of {limit:g} s"
            notes.append(Intervention("max-red", f"phase {number}", text))
        self._helped = helped
        self._note_early(now, ask, notes)
        return ask

    def _note_early(self, now: float, ask: Ask, notes: list[Intervention]) -> None:
        """Say once per green that a force-off came before it was legal."""
        plant = self._plant
        early = 0
        for p in plant.current:
            if p < 0 or plant.state[p] != _GREEN:
                continue
            bit = 1 << p
            ending = ask.force_off & ~ask.hold & bit and ask.call & ~ask.omit & ~self.plan.company[p]
            if (
                ending
                and self._helped < 0
                and (now < plant.ready_at(p) - EPS or plant.ped[p] != Ped.DONT_WALK)
            ):
                early |= bit
                if not self._refused & bit:
                    rule = "min-green" if plant.ped[p] == Ped.DONT_WALK else "ped-clearance"
                    left = max(0.0, plant.ready_at(p) - now)
                    notes.append(
                        Intervention(rule, f"phase {self.plan.ids[p]}", f"kept green {left:.1f} s more")
                    )
        self._refused = early

    # -- what is given out ---------------------------------------------------------------------------

    def _note_failed(self, decisions: list[Decision]) -> None:
        failed = self.bank.failed
        known = self.status.failed
        if failed.keys() == known:
            return
        for name in sorted(failed.keys() - known):
            stands_in = "the historic profile stands in" if name in self.bank.stand_in else "recall stands in"
            why = f"{failed[name]}: {stands_in}"
            decisions.append(Decision("signal.guard", f"detector {name}", "detector-failed", why))
        for name in sorted(known - failed.keys()):
            decisions.append(
                Decision("signal.guard", f"detector {name}", "detector-back", "readings are usable")
            )

    def _cause(self, stop: Stop | None) -> str:
        if stop is not None:
            return stop.cause
        return {"run": "running", "all-red": "start-up", "takeover": "lamps were on"}.get(
            self._plant.mode, "start-up"
        )

    def _status(self) -> Status:
        plant, waiting = self._plant, self._waiting
        versions = (
            plant.version,
            waiting.version,
            self.bank.failed,
            self.bank.stand_in,
            self._helped,
            self._stop,
            self._preempt.version,
        )
        if versions == self._versions:
            return self.status
        self._versions = versions
        ids = self.plan.ids
        return Status(
            mode=plant.mode,
            cause=self._cause(self._stop),
            phases=tuple(
                PhaseStatus(
                    ids[p],
                    _STATES[plant.state[p]],
                    plant.since[p],
                    _PEDS[plant.ped[p]],
                    plant.ped_since[p],
                    plant.ready_at(p),
                    waiting.since[p],
                    waiting.ped_since[p],
                )
                for p in range(len(ids))
            ),
            next=tuple(ids[p] for p in plant.next if p >= 0),
            failed=frozenset(self.bank.failed),
            overdue=() if self._helped < 0 else (ids[self._helped],),
            stand_in=self.bank.stand_in,
            preemption=self._preempt.name,
            preempt_stage=self._preempt.stage,
        )

    def _next_due(self) -> float:
        if not self._begun and self._lamps:
            return NEVER
        if self._mute or self._stop is not None or self._stops.listening or self._preempt.busy:
            return NEVER
        return min(self._plant.wake, self.bank.due, self._waiting.due)

    def _verdict(
        self, now: float, wanted: SignalWants | None, decisions: list[Decision], notes: list[Intervention]
    ) -> Verdict[SignalWants]:
        if self._heartbeat and self._in_charge:
            self._beat = int(now) & 0xFFFF
        plain = self._outputs()
        if plain != self._quiet.outputs:
            self._quiet = Verdict(plain)
        carried = () if wanted is None else wanted.decisions
        if not (carried or decisions or notes):
            return self._quiet
        return Verdict(replace(self._quiet.outputs, decisions=(*carried, *decisions)), tuple(notes))

    def _outputs(self) -> SignalWants:
        plant = self._plant
        if isinstance(plant, Engine):
            return SignalWants(lamps=plant.lamps, heartbeat=self._beat)
        names, asked = self.plan.names, plant.asked
        return SignalWants(
            hold=frozenset(names(asked.hold)),
            force_off=frozenset(names(asked.force_off)),
            omit=frozenset(names(asked.omit)),
            call=frozenset(names(asked.call)),
            ped_call=frozenset(names(asked.ped)),
            heartbeat=self._beat,
        )

    @property
    def _in_charge(self) -> bool:
        """Whether the heart beats: a cabinet of which nothing may be asked is left to run by itself."""
        running = self._plant.mode == "run" and self._stop is None and self._preempt.active < 0
        return self._lamps or running

    def _beaten(self, now: float) -> Verdict[SignalWants]:
        beat = int(now) & 0xFFFF
        if beat != self._beat and self._in_charge:
            self._beat = beat
            self._quiet = Verdict(replace(self._quiet.outputs, heartbeat=beat))
        return self._quiet

    @property
    def doubtful(self) -> Mapping[str, str]:
        """Pre-emptions whose call is not believed, and why. The same object while nothing changed."""
        return self._preempt.doubtful

    def latched(self) -> tuple[tuple[str, str, str], ...]:
        """Our own trip, until somebody resets it; the monitor's, which is reset in the cabinet; stuck calls."""
        found = [("junction", "guard-trip", self._trip)] if self._trip else []
        if self._stops.fault:
            found.append(("junction", "monitor-fault", "the conflict monitor has tripped"))
        return (*found, *self._preempt.stuck())

    def reset_latched(self, subject: str) -> bool:
        """Clear our own trip; True when there was one. ValueError for what is reset where it stands."""
        if subject == "junction" and self._trip:
            self._trip, self._failures = "", []
            self._due = NEVER
            return True
        if subject == "junction" and self._stops.fault:
            raise ValueError("the conflict monitor is reset at its cabinet; the guard follows by itself")
        if any(subject == one for one, _, _ in self._preempt.stuck()):
            raise ValueError("its input still calls: once that goes off the guard follows by itself")
        return False

    # -- snapshots -----------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """The exact state: ``resume`` takes all of it, ``restore`` only what may be trusted after a restart."""
        return {
            "plant": self._plant.snapshot(),
            "bank": self.bank.snapshot(),
            "waiting": self._waiting.snapshot(),
            "stops": self._stops.snapshot(),
            "preempt": self._preempt.snapshot(),
            "stop": None if self._stop is None else list(self._stop),
            "begun": self._begun,
            "restarted": self._restarted,
            "helped": self._helped,
            "refused": self._refused,
            "mute": self._mute,
            "replaced": self._replaced,
            "trip": self._trip,
            "failures": list(self._failures),
            "ran": self._ran,
            "beat": self._beat,
        }

    def restore(self, state: State) -> None:
        """After a restart: keeps faults and the panel's mode, trusts no timer, takes over what the lamps show."""
        self._stops.restore(state["stops"])
        self.bank.restore(state["bank"])
        if "preempt" in state:  # absent from what an older version left
            self._preempt.restore(state["preempt"])
        self._trip = state.get("trip", "")
        self._restarted = True

    def resume(self, state: State) -> None:
        """Take up the exact state, timers too; for replay, where the saved state is what really ran."""
        self._plant.resume(state["plant"])
        self.bank.resume(state["bank"])
        self._waiting.resume(state["waiting"])
        self._stops.resume(state["stops"])
        self._preempt.resume(state["preempt"])
        self._stop = None if state["stop"] is None else Stop(*state["stop"])
        self._begun, self._restarted = state["begun"], state["restarted"]
        self._helped, self._refused, self._mute = state["helped"], state["refused"], state["mute"]
        self._replaced, self._trip = state["replaced"], state["trip"]
        self._failures, self._ran, self._beat = list(state["failures"]), state["ran"], state["beat"]
        self.status = self._status()
        self._due = NEVER
