"""High-resolution events out of what the guard shows of the junction and what the detectors report.

A pure observer: it sees ``Status``, ``Frame``, lamps and decisions after each scan, and nothing depends on it.
"""

from collections.abc import Mapping, Sequence

from vigie_controllers.contract import Decision, State
from vigie_controllers.signals.diagnosis import CHATTER, IMPLAUSIBLE, NO_READING
from vigie_controllers.signals.engine_state import Ask
from vigie_controllers.signals.measures.codes import Code, Event, Flash
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, Lamp, PanelMode, Ped, PhaseState, PhaseStatus, Status

EPS = 1e-6
FOREVER = 1e18
_ORDER = (PhaseState.RED, PhaseState.GREEN, PhaseState.YELLOW, PhaseState.RED_CLEAR)
"""A phase's states in the order of its service."""
_ENTER = {
    PhaseState.GREEN: (Code.PHASE_ON, Code.GREEN_BEGIN),
    PhaseState.YELLOW: (Code.GREEN_END, Code.YELLOW_BEGIN),
    PhaseState.RED_CLEAR: (Code.YELLOW_END, Code.RED_CLEAR_BEGIN),
    PhaseState.RED: (Code.RED_CLEAR_END, Code.PHASE_OFF),
}
_CUT = {
    PhaseState.GREEN: (Code.GREEN_END, Code.PHASE_OFF),
    PhaseState.YELLOW: (Code.YELLOW_END, Code.PHASE_OFF),
    PhaseState.RED_CLEAR: (Code.RED_CLEAR_END, Code.PHASE_OFF),
    PhaseState.RED: (),
}
"""What a phase leaves behind when the junction goes to flash at once."""
_PED = {Ped.WALK: Code.WALK_BEGIN, Ped.CLEARANCE: Code.PED_CLEAR_BEGIN, Ped.DONT_WALK: Code.DONT_WALK_BEGIN}
_WHY = {"gap-out": Code.GAP_OUT, "max-out": Code.MAX_OUT}
_FAULTS = {
    NO_READING: Code.DETECTOR_WATCHDOG,
    CHATTER: Code.DETECTOR_ERRATIC,
    IMPLAUSIBLE: Code.DETECTOR_ERRATIC,
}
_STAGES = {
    "preempt-entry": Code.PREEMPT_ENTRY,
    "preempt-track": Code.PREEMPT_TRACK,
    "preempt-dwell": Code.PREEMPT_DWELL,
    "preempt-exit": Code.PREEMPT_EXIT,
}
_GRANTS = {
    "granted-early": (Code.PRIORITY_IN, Code.PRIORITY_EARLY),
    "granted-insertion": (Code.PRIORITY_IN, Code.PRIORITY_EARLY),
    "granted-extension": (Code.PRIORITY_IN, Code.PRIORITY_EXTENDED),
    "ended": (Code.PRIORITY_OUT,),
}
_LIT = {
    int(Lamp.GREEN): Code.OVERLAP_GREEN,
    int(Lamp.YELLOW): Code.OVERLAP_YELLOW,
    int(Lamp.RED): Code.OVERLAP_RED_CLEAR,
}


class Events:
    """Call ``look`` after each scan. due: when time alone makes the next event (monotonic seconds).

    values: the detectors' numbers as last seen, in the site's order, None where they cannot be read.
    priority: subject of the transit priority that is granted, or empty.
    """

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        self._plan = plan
        self._overlaps = tuple(
            c for c, one in enumerate(site.channels) if one.kind == "vehicle" and len(one.phases) > 1
        )
        self._clear = {c: plan.clear[c] for c in self._overlaps}
        self._rows = tuple(
            (one.kind == "button", one.phases[0] if one.kind == "button" else k)
            for k, one in enumerate(site.detectors, start=1)
        )
        self._told = tuple(one.kind in ("presence", "count", "button") for one in site.detectors)
        self._names = tuple(one.id for one in site.detectors)
        count = len(plan.ids)
        self.values: list[float | None] = [None] * len(site.detectors)
        self.failed: Mapping[str, str] = {}
        self._phases: tuple[PhaseStatus, ...] = tuple(PhaseStatus(number) for number in plan.ids)
        self._lamps: list[int] = [0] * len(self._overlaps)
        self._over: list[float | None] = [None] * len(self._overlaps)
        self._min_at: list[float | None] = [None] * count
        self._checked = [False] * count
        self._ended: dict[int, tuple[float, int]] = {}
        self._held = self._omitted = 0
        self._barrier = -1
        self._flash = int(Flash.NOT_FLASH)
        self._calls_when = tuple(one.calls_when for one in site.preemptions)
        self._preempts = {f"preemption {one.id}": k for k, one in enumerate(site.preemptions, start=1)}
        self._called = [False] * len(site.preemptions)
        self._priorities = {f"priority {one.id}": k for k, one in enumerate(site.priority, start=1)}
        self.priority = ""
        self.due = -FOREVER

    def look(
        self,
        now: float,
        frame: Frame,
        values: Sequence[float | None],
        status: Status,
        lamps: Sequence[int],
        failed: Mapping[str, str],
        decisions: Sequence[Decision],
        asked: Ask,
    ) -> list[Event]:
        """The events since the last look, as they happened.

        values: of the detectors, as numbers; asked: of the phases, after the guard.
        """
        out: list[Event] = []
        self._reasons(out, now, decisions)
        if values != self.values:
            self._switched(out, now, values)
        if failed is not self.failed:
            self._faults(out, now, failed)
        self._unit(out, now, frame, status)
        self._claims(out, now, frame, decisions)
        if (asked.hold, asked.omit) != (self._held, self._omitted):
            self._requests(out, now, asked)
        if status.phases is not self._phases:
            for p, (old, new) in enumerate(zip(self._phases, status.phases, strict=True)):
                if old is not new:
                    self._phase(out, now, p, old, new, status)
            self._phases = status.phases
            self._checks(out, now)
        if lamps:
            self._lit(out, now, lamps)
        self._timers(out, now)
        return out

    # -- phases --------------------------------------------------------------------------------------

    def _phase(
        self, out: list[Event], now: float, p: int, old: PhaseStatus, new: PhaseStatus, status: Status
    ) -> None:
        number = new.id
        if old.state is not new.state:
            least = self._min_at[p]
            if least is not None and new.since >= least - EPS:  # it ended as soon as it might
                out.append(Event(least, Code.MIN_COMPLETE, number))
            self._min_at[p] = None
            if status.mode in ("run", "closing"):
                self._passed(out, p, old, new)
            else:
                out.extend(Event(new.since, code, number) for code in _CUT[old.state])
            if old.state is PhaseState.GREEN:
                self._ended[p] = new.since, self._forced(status)
        if old.ped is not new.ped:
            out.append(Event(new.ped_since if new.ped_since > 0 else now, _PED[new.ped], number))
        if (old.waiting is None) is not (new.waiting is None):
            out.append(Event(now, Code.CALL_DROPPED if new.waiting is None else Code.CALL, number))
        if old.ped_waiting is None and new.ped_waiting is not None:
            out.append(Event(new.ped_waiting, Code.PED_CALL, number))

    def _forced(self, status: Status) -> int:
        """What ends a green of which no controller says that it gapped or maxed out.

        A pre-emption asks no controller, but for the limited service of its dwell.
        """
        if status.preemption and status.preempt_stage != "dwell":
            return Code.PREEMPT_FORCE_OFF
        return Code.PRIORITY_FORCE_OFF if self.priority else Code.FORCE_OFF

    def _passed(self, out: list[Event], p: int, old: PhaseStatus, new: PhaseStatus) -> None:
        """Every state on the way, in order; what was passed within one scan bears the same instant."""
        at, place = new.since, _ORDER.index(old.state)
        while _ORDER[place] is not new.state:
            place = (place + 1) % len(_ORDER)
            entered = _ORDER[place]
            out.extend(Event(at, code, new.id) for code in _ENTER[entered])
            if entered is PhaseState.GREEN:
                self._begun(out, p, at)

    def _begun(self, out: list[Event], p: int, at: float) -> None:
        self._min_at[p] = at + self._plan.min_green[p]
        self._checked[p] = False
        barrier = self._plan.barrier[p]
        if self._barrier not in (-1, barrier):
            out.append(Event(at, Code.BARRIER, self._plan.site.phases[p].barrier))
        self._barrier = barrier

    def _checks(self, out: list[Event], now: float) -> None:
        """The first call against each green."""
        waiting = sum(
            1 << p
            for p, one in enumerate(self._phases)
            if one.waiting is not None or one.ped_waiting is not None
        )
        for p, one in enumerate(self._phases):
            against = waiting & ~self._plan.company[p]
            if one.state is PhaseState.GREEN and against and not self._checked[p]:
                self._checked[p] = True
                out.append(Event(now, Code.PHASE_CHECK, one.id))

    def _reasons(self, out: list[Event], now: float, decisions: Sequence[Decision]) -> None:
        """Why the greens ended that ended in the scan before: controllers say it when they see it."""
        if not self._ended:
            return
        told = {one.subject: _WHY[one.what] for one in decisions if one.what in _WHY}
        for p, (at, forced) in self._ended.items():
            number = self._plan.ids[p]
            why = forced if forced == Code.PREEMPT_FORCE_OFF else told.get(f"phase {number}", forced)
            out.append(Event(at, why, number))
        self._ended = {}

    def _requests(self, out: list[Event], now: float, asked: Ask) -> None:
        for was, now_is, on, off in (
            (self._held, asked.hold, Code.HOLD_ON, Code.HOLD_OFF),
            (self._omitted, asked.omit, Code.OMIT_ON, Code.OMIT_OFF),
        ):
            for p, number in enumerate(self._plan.ids):
                if (was ^ now_is) >> p & 1:
                    out.append(Event(now, on if now_is >> p & 1 else off, number))
        self._held, self._omitted = asked.hold, asked.omit

    def _timers(self, out: list[Event], now: float) -> None:
        due = now if self._ended else FOREVER
        for p, at in enumerate(self._min_at):
            if at is not None:
                if now >= at - EPS:
                    out.append(Event(at, Code.MIN_COMPLETE, self._plan.ids[p]))
                    self._min_at[p] = None
                else:
                    due = min(due, at)
        for k, at in enumerate(self._over):
            if at is not None:
                if now >= at - EPS:
                    out.append(Event(at, Code.OVERLAP_OFF, k + 1))
                    self._over[k] = None
                else:
                    due = min(due, at)
        self.due = due

    def _lit(self, out: list[Event], now: float, lamps: Sequence[int]) -> None:
        for k, c in enumerate(self._overlaps):
            lamp = lamps[c]
            if lamp == self._lamps[k]:
                continue
            before, self._lamps[k] = self._lamps[k], lamp
            code = _LIT.get(lamp)
            if code is None or (code is Code.OVERLAP_RED_CLEAR and before != Lamp.YELLOW):
                continue
            out.append(Event(now, code, k + 1))
            self._over[k] = now + self._clear[c] if code is Code.OVERLAP_RED_CLEAR else None

    # -- detectors and the unit ----------------------------------------------------------------------

    def _switched(self, out: list[Event], now: float, values: Sequence[float | None]) -> None:
        for k, value in enumerate(values):
            before = self.values[k]
            if value == before:
                continue
            self.values[k] = value
            if self._told[k] and bool(value) is not bool(before):
                button, parameter = self._rows[k]
                on, off = Code.DETECTOR_ON, Code.DETECTOR_OFF
                if button:
                    on, off = Code.BUTTON_ON, Code.BUTTON_OFF
                out.append(Event(now, on if value else off, parameter))

    def _faults(self, out: list[Event], now: float, failed: Mapping[str, str]) -> None:
        for k, name in enumerate(self._names):
            was, why = self.failed.get(name), failed.get(name)
            if was == why or not self._told[k]:
                continue
            button, parameter = self._rows[k]
            if why is None:
                out.append(Event(now, Code.BUTTON_RESTORED if button else Code.DETECTOR_RESTORED, parameter))
            elif button:
                out.append(Event(now, Code.BUTTON_FAILED, parameter))
            else:
                out.append(Event(now, _FAULTS.get(why, Code.DETECTOR_FAULT), parameter))
        self.failed = failed

    def _unit(self, out: list[Event], now: float, frame: Frame, status: Status) -> None:
        if status.mode in ("run", "all-red", "closing", "takeover"):
            flash = Flash.NOT_FLASH
        elif frame.monitor_fault is not None and frame.monitor_fault.value:
            flash = Flash.MMU
        elif frame.panel is not None and frame.panel.value != PanelMode.AUTO:
            flash = Flash.LOCAL_MANUAL
        else:
            flash = Flash.STARTUP if status.mode == "start" else Flash.OTHER
        if flash != self._flash:
            self._flash = int(flash)
            out.append(Event(now, Code.FLASH_STATUS, self._flash))

    def _claims(self, out: list[Event], now: float, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Pre-emption and transit priority."""
        for k, reading in enumerate(frame.preempts):
            on = bool(reading.value) == self._calls_when[k] if reading.usable else self._called[k]
            if on != self._called[k]:
                self._called[k] = on
                out.append(Event(now, Code.PREEMPT_ON if on else Code.PREEMPT_OFF, k + 1))
        for one in decisions:  # one scan may bring several stages
            preempt = self._preempts.get(one.subject)
            if preempt is not None and one.what in _STAGES:
                out.append(Event(now, _STAGES[one.what], preempt))
            number = self._priorities.get(one.subject)
            if number is not None and one.what in _GRANTS:
                self.priority = "" if one.what == "ended" else one.subject
                out.extend(Event(now, code, number) for code in _GRANTS[one.what])

    # -- snapshots -----------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "values": list(self.values),
            "failed": dict(self.failed),
            "phases": [
                [
                    int(one.state),
                    one.since,
                    int(one.ped),
                    one.ped_since,
                    one.ready,
                    one.waiting,
                    one.ped_waiting,
                ]
                for one in self._phases
            ],
            "lamps": list(self._lamps),
            "over": list(self._over),
            "min_at": list(self._min_at),
            "checked": list(self._checked),
            "ended": [[p, *row] for p, row in self._ended.items()],
            "asked": [self._held, self._omitted],
            "barrier": self._barrier,
            "flash": self._flash,
            "called": list(self._called),
            "priority": self.priority,
        }

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        self.values, self.failed = list(state["values"]), dict(state["failed"])
        self._phases = tuple(
            PhaseStatus(number, PhaseState(row[0]), row[1], Ped(row[2]), *row[3:])
            for number, row in zip(self._plan.ids, state["phases"], strict=True)
        )
        self._lamps, self._over = list(state["lamps"]), list(state["over"])
        self._min_at, self._checked = list(state["min_at"]), list(state["checked"])
        self._ended = {p: (at, forced) for p, at, forced in state["ended"]}
        self._held, self._omitted = state["asked"]
        self._barrier, self._flash = state["barrier"], state["flash"]
        self._called, self.priority = list(state["called"]), state["priority"]
        self.due = -FOREVER
