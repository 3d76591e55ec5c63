"""Pre-emption: which call holds the junction, at which stage it is, and what that makes of all requests.

It never touches a lamp: it gives the engine requests and an order of which phases must end, and the engine
ends them by legal clearance as ever. Stages (NTCIP 1202): ``entry`` until the first wanted phases are green,
``track``, ``dwell``, ``exit``. No policy reaches any of this.
"""

from collections.abc import Sequence

from vigie_controllers.contract import Decision, Intervention, State
from vigie_controllers.signals.cabinet import Cabinet
from vigie_controllers.signals.engine import Engine
from vigie_controllers.signals.engine_state import EPS, FOREVER, Ask, Order, Stop
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.words import PhaseState
from vigie_protocols.points import Quality, Reading, Value

_GREEN = int(PhaseState.GREEN)
IDLE, ENTRY, TRACK, DWELL, EXIT = "", "entry", "track", "dwell", "exit"


class Preemptor:
    """The pre-emptions of one junction. Places follow the site's list.

    active: place of the one that holds the junction, or -1; stage: see above; since: when the stage began,
    in ``dwell`` when its phases were first all green, None before. version: counts every change of these.
    doubtful: calls that are not believed, by id, and why; a new object whenever it changes.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = plan.site.preemptions
        count = len(self._rows)
        self._cabinet = plan.site.actuation == "cabinet"
        self._tracks = [plan.mask(row.track_phases) for row in self._rows]
        self._dwells = [plan.mask(row.dwell_phases) for row in self._rows]
        self._cycles = [plan.mask(row.cycling_phases) for row in self._rows]
        self._peds = [plan.mask(row.peds) for row in self._rows]
        self._exits = [plan.mask(row.exit_phases) for row in self._rows]
        ids = [row.id for row in self._rows]
        self._link = [-1 if row.link is None else ids.index(row.link) for row in self._rows]
        self._on_since: list[float | None] = [None] * count
        self._kept = [False] * count
        self._lost = [False] * count
        self._stuck = [False] * count
        self._linked = [False] * count
        self.active = -1
        self.stage = IDLE
        self.since: float | None = None
        self._entered = 0.0
        self.doubtful: dict[str, str] = {}
        self.version = 0

    # -- what the guard asks ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether time alone may change something: look again at each scan."""
        return self.active >= 0 or any(since is not None for since in self._on_since)

    @property
    def name(self) -> str:
        """The id of the one that holds the junction, or nothing."""
        return self._rows[self.active].id if self.active >= 0 else ""

    @property
    def stop(self) -> Stop | None:
        """Flash because a call that outranks normal service never ends."""
        for row, stuck in zip(self._rows, self._stuck, strict=True):
            if stuck and row.flashes:
                return Stop("preempt-max-presence", f"pre-emption {row.id} has been called for too long")
        return None

    def stuck(self) -> tuple[tuple[str, str, str], ...]:
        """Every call that outlasted its maximum presence, as a latched fault."""
        return tuple(
            (f"preemption {row.id}", "preempt-max-presence", f"called for more than {row.max_presence_s:g} s")
            for row, stuck in zip(self._rows, self._stuck, strict=True)
            if stuck
        )

    # -- calls and stages ------------------------------------------------------------------------------

    def update(
        self,
        now: float,
        readings: Sequence[Reading[Value]],
        plant: Engine | Cabinet,
        decisions: list[Decision],
        notes: list[Intervention],
    ) -> None:
        """Take up the inputs and the phases as the last scan left them."""
        for k in range(len(self._rows)):
            self._listen(k, now, readings[k], notes)
        doubtful = {row.id: why for k, row in enumerate(self._rows) if (why := self._doubt(k))}
        if doubtful != self.doubtful:
            self.doubtful = doubtful
        if self._cabinet:
            called = next((k for k in range(len(self._rows)) if self._on_since[k] is not None), -1)
            if called != self.active:
                self._enter(called, ENTRY if called >= 0 else IDLE, now, decisions)
            return
        best = self._best(now)
        if best >= 0 and self._outranks(best):
            self._enter(best, ENTRY, now, decisions)
            row = self._rows[best]
            notes.append(
                Intervention(
                    "preempted", "junction", f"{row.kind} pre-emption {row.id} sets all requests aside"
                )
            )
        if self.active < 0:
            return
        if plant.mode == "run":
            self._advance(now, best, plant, decisions)
        elif not self._called(self.active, now):
            self._enter(-1, IDLE, now, decisions)
        elif self.stage != ENTRY:  # flash or start-up came between: begin anew from what is shown then
            self._enter(self.active, ENTRY, now, decisions)

    def _outranks(self, k: int) -> bool:
        """Whether a call takes the junction from the one that holds it, if any."""
        if self.active < 0 or self.stage == EXIT:
            return True
        return self._rows[k].rank < self._rows[self.active].rank

    def _doubt(self, k: int) -> str:
        if self._stuck[k]:
            return f"called for more than {self._rows[k].max_presence_s:g} s"
        return "its input cannot be read" if self._lost[k] else ""

    def _listen(self, k: int, now: float, reading: Reading[Value], notes: list[Intervention]) -> None:
        row, subject = self._rows[k], f"preemption {self._rows[k].id}"
        lost = reading.quality is Quality.BAD or reading.value not in (0, 1)
        if lost != self._lost[k]:
            self._lost[k] = lost
            if lost:
                taken = "a call" if row.kind == "rail" else "no call"
                notes.append(
                    Intervention("preempt-input", subject, f"its input cannot be read: taken as {taken}")
                )
        on = row.kind == "rail" if lost else bool(reading.value) == row.calls_when
        if on:
            since = self._on_since[k]
            if since is None:
                self._on_since[k] = since = now
                self._kept[k] = row.locking
            if row.max_presence_s and now - since >= row.max_presence_s - EPS and not self._stuck[k]:
                self._stuck[k] = True
                self.version += 1
                where = "flash" if row.flashes else "normal service"
                notes.append(
                    Intervention(
                        "preempt-max-presence",
                        subject,
                        f"called for more than {row.max_presence_s:g} s: {where} until it goes off",
                    )
                )
            return
        if not self._kept[k] or self._stuck[k]:
            self._on_since[k], self._kept[k], self._linked[k] = None, False, False
        if self._stuck[k] and not lost:
            self._stuck[k] = False
            self.version += 1

    def _called(self, k: int, now: float) -> bool:
        """Whether a call stands that has to be served: by its input after the delay, or by a link."""
        if self._stuck[k]:
            return False
        since = self._on_since[k]
        if since is not None and now - since >= self._rows[k].delay_s - EPS:
            return True
        return any(link == k and self._linked[j] for j, link in enumerate(self._link))

    def _best(self, now: float) -> int:
        """The place of the most important call, the running one among equals; -1 without any."""
        called = [k for k in range(len(self._rows)) if self._called(k, now)]
        return min(called, key=lambda k: (self._rows[k].rank, k != self.active, k), default=-1)

    def _advance(self, now: float, best: int, plant: Engine | Cabinet, decisions: list[Decision]) -> None:
        k, row, stage = self.active, self._rows[self.active], self.stage
        if stage == ENTRY:
            if self._green(self._first(k), plant, now):
                self._enter(k, TRACK if row.track_phases else DWELL, now, decisions)
        elif stage == TRACK:
            if self.since is not None and now - self.since >= row.track_green_s - EPS:
                self._enter(k, DWELL, now, decisions)
        elif stage == EXIT:
            if self._green(self._exits[k], plant, now):
                self._enter(-1, IDLE, now, decisions)
        elif self.since is None:
            if self._green(self._dwells[k], plant, now):
                self.since = now
                self.version += 1
        elif now - self.since >= row.dwell_s - EPS:
            called = self._called(k, now)
            if self._link[k] >= 0 and self._on_since[k] is not None and not self._stuck[k]:
                self._linked[k] = True
            if not called and now - self._entered >= row.min_duration_s - EPS:
                if best >= 0:
                    self._enter(best, ENTRY, now, decisions)
                elif self._exits[k]:
                    self._enter(k, EXIT, now, decisions)
                else:
                    self._enter(-1, IDLE, now, decisions)

    def _enter(self, k: int, stage: str, now: float, decisions: list[Decision]) -> None:
        subject = f"preemption {self._rows[k if k >= 0 else self.active].id}"
        if k != self.active and k >= 0:
            self._entered = now
        if k >= 0 and stage in (TRACK, DWELL):
            self._kept[k] = False  # it has been served: from here on the input itself counts
        self.active, self.stage = k, stage
        self.since = None if stage == DWELL else now
        self.version += 1
        decisions.append(Decision("signal.guard", subject, f"preempt-{stage or 'end'}", self._why(k, stage)))

    def _why(self, k: int, stage: str) -> str:
        if k < 0:
            return "back to the requests of controllers"
        row = self._rows[k]
        if self._cabinet:
            return "the cabinet pre-empts: nothing is asked of it"
        phases = {TRACK: row.track_phases, DWELL: row.dwell_phases, EXIT: row.exit_phases}.get(
            stage, row.track_phases or row.dwell_phases
        )
        shown = ", ".join(map(str, phases))
        return {
            ENTRY: f"phases {shown}: every other phase ends by legal clearance",
            TRACK: f"phases {shown}: the tracks are cleared for {row.track_green_s:g} s",
            DWELL: f"phases {shown}: at least {row.dwell_s:g} s, until the call is over",
            EXIT: f"phases {shown}: first after the pre-emption",
        }[stage]

    def _first(self, k: int) -> int:
        return self._tracks[k] or self._dwells[k]

    @staticmethod
    def _green(mask: int, plant: Engine | Cabinet, now: float) -> bool:
        """Whether all of ``mask`` are green, for vehicles too where a walk leads."""
        return all(
            state == _GREEN and plant.since[p] <= now + EPS
            for p, state in enumerate(plant.state)
            if mask >> p & 1
        )

    # -- what it makes of requests -----------------------------------------------------------------------

    def cycling(self, now: float) -> int:
        """The phases that controllers and waiting demand may have served now, 0 while none may."""
        k = self.active
        if self.stage != DWELL or self.since is None or now - self.since < self._rows[k].dwell_s - EPS:
            return 0
        return self._dwells[k] | self._cycles[k] if self._cycles[k] else 0

    def order(self, now: float) -> Order | None:
        """The phases that must end, and how short they may be; None when no pre-emption holds a bare junction."""
        k = self.active
        if k < 0 or self._cabinet:
            return None
        row = self._rows[k]
        if self.stage == ENTRY:
            least = (row.entry_min_green_s, row.entry_walk_s, row.entry_ped_clear_s)
            return Order(self._plan.all & ~self._first(k), *(FOREVER if s is None else s for s in least))
        wanted = {TRACK: self._tracks[k], EXIT: self._exits[k]}.get(self.stage, self._dwells[k])
        return Order(self._plan.all & ~(self.cycling(now) or wanted))

    def bend(self, now: float, ask: Ask, order: Order) -> Ask:
        """What remains of a request under ``order``."""
        may = self._plan.all & ~order.end
        peds = ask.ped & self._peds[self.active] if self.stage == DWELL else 0
        if not self.cycling(now):
            return Ask(call=may, ped=peds, hold=may, force_off=order.end, omit=order.end)
        return Ask(ask.call & may, peds, ask.hold & may, ask.force_off | order.end, ask.omit | order.end)

    # -- snapshots ---------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """The exact state."""
        rows = {name: list(getattr(self, f"_{name}")) for name in _LISTS}
        plain = {"active": self.active, "stage": self.stage, "since": self.since, "entered": self._entered}
        return {**rows, **plain}

    def restore(self, state: State) -> None:
        """After a restart: what was stuck stays so until its input is seen off; no timer is trusted."""
        if len(state["stuck"]) == len(self._rows):
            self._stuck = list(state["stuck"])

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        for name in _LISTS:
            if len(state[name]) != len(self._rows):
                raise ValueError("preemptions: the snapshot belongs to another site")
            setattr(self, f"_{name}", list(state[name]))
        self.active, self.stage = state["active"], state["stage"]
        self.since, self._entered = state["since"], state["entered"]
        self.version += 1


_LISTS = ("on_since", "kept", "lost", "stuck", "linked")
