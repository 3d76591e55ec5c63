"""Transit priority (kind ``signal.priority``): stands before the controller that runs the junction.

It asks only while a request is granted, for as little as serves it, and leaves the rest to the controllers
behind it: hold the vehicle's green until it has passed (extension), end the others as soon as that is legal
(early green), serve it out of turn (insertion). It never asks for the end of a green before its minimum and its
pedestrians are over. Requests are granted by lateness and load, within what others may be made to wait, a
budget of seconds, and a lockout after each grant. Words follow NTCIP 1211 and SAE J2735.
"""

from typing import Literal, NamedTuple

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.signals.demand import number_of
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.sensing import EPS
from vigie_controllers.signals.site import PriorityInput, SignalSite
from vigie_controllers.signals.words import (
    Ped,
    PhaseState,
    PhaseStatus,
    PriorityReadings,
    SignalInputs,
    SignalWants,
    Status,
)
from vigie_protocols.points import Quality, Reading, Value

KIND = "signal.priority"
GIVE_UP_S = 120.0
"""A grant that has not been used up by then is for a vehicle that will not come."""
RETURN_S = 60.0
"""How long after an insertion the phases left out are kept next."""

Mode = Literal["extension", "early", "insertion"]


class PriorityConfig(Strict):
    """Times in seconds.

    modes: what may be done. lines: whose requests are heard; empty: every line's. min_lateness_s,
    min_occupancy: asked of inputs that tell them; one that tells nothing usable is not granted.
    horizon_s: requests farther away wait. max_extension_s: longest hold of the vehicle's green while others
    wait. margin_s: how much too early an early green may come. max_wait_s: no grant begins or goes on that makes
    anybody wait longer (nor longer than the site's max_red_s). budget_s: seconds of hold and early ending
    that others may be made to bear within any window_s. lockout_s: no grant so soon after another.
    """

    modes: tuple[Mode, ...] = ("extension", "early")
    lines: tuple[str, ...] = ()
    min_lateness_s: float = Field(default=60.0, ge=-600.0, le=3600.0)
    min_occupancy: float = Field(default=0.0, ge=0.0, le=500.0)
    horizon_s: float = Field(default=60.0, ge=5.0, le=180.0)
    max_extension_s: float = Field(default=15.0, ge=0.0, le=60.0)
    margin_s: float = Field(default=3.0, ge=0.0, le=20.0)
    max_wait_s: float = Field(default=90.0, ge=20.0, le=300.0)
    window_s: float = Field(default=120.0, ge=30.0, le=600.0)
    budget_s: float = Field(default=30.0, ge=0.0, le=300.0)
    lockout_s: float = Field(default=90.0, ge=0.0, le=600.0)


class _Request(NamedTuple):
    place: int
    eta: float
    late: float | None
    words: str


class Priority:
    """Controller[SignalInputs, SignalWants]; silent (None) while nothing is granted."""

    def __init__(self, config: PriorityConfig, site: SignalSite, plan: Plan) -> None:
        if not site.priority:
            raise ValueError("modes: this site has no priority input; declare one under site.priority")
        known = {one.line for one in site.priority}
        for line in config.lines:
            if line not in known:
                raise ValueError(f"lines: no input of line {line!r}; name one of {', '.join(sorted(known))}")
        self.leans = (
            "modes: it only bends what others ask; put the controller that runs the junction behind it"
        )
        self._config = config
        self._plan = plan
        self._inputs = site.priority
        self._own = tuple(plan.mask(one.phases) for one in site.priority)
        self._readings: tuple[PriorityReadings, ...] = ()
        self._grant = -1
        self._mode = ""
        self._since = self._held = self._cost = 0.0
        self._skipped = 0
        self._return_until = 0.0
        self._locked_until: float | None = None
        self._now: float | None = None
        self._ledger: list[list[float]] = []
        """[instant, seconds] of what was spent, within the window."""
        self._told: dict[int, str] = {}
        self._wants: SignalWants | None = None

    def step(self, now: float, inputs: SignalInputs) -> SignalWants | None:
        """What to ask for the vehicle with the grant; None when there is none."""
        last, self._now = self._now, now
        if last is not None and now < last:  # the monotonic clock began anew, with the machine
            self._forget()
            last = None
        requests = [
            asked
            for place, readings in enumerate(inputs.frame.priority)
            if (asked := self._request(place, readings)) is not None
        ]
        self._readings = inputs.frame.priority
        for place in [place for place in self._told if all(one.place != place for one in requests)]:
            del self._told[place]
        if inputs.status.mode != "run":
            self._grant, self._skipped = -1, 0
            return None
        if not requests and self._grant < 0 and not self._skipped:
            return None
        notes: list[Decision] = []
        granted = next((one for one in requests if one.place == self._grant), None)
        if self._grant >= 0:
            why = self._ending(now, granted, inputs.status)
            if why:
                self._end(now, why, inputs.status, notes)
        if self._grant < 0 and requests:
            granted = self._choose(now, requests, inputs.status, notes)
        if self._grant >= 0 and granted is not None:
            return self._ask(now, 0.0 if last is None else now - last, granted, inputs.status, notes)
        return self._return(now, inputs.status, notes)

    # -- requests ------------------------------------------------------------------------------------

    def _request(self, place: int, readings: PriorityReadings) -> _Request | None:
        one = self._inputs[place]
        eta = number_of(readings.eta)
        if (
            eta is None
            or eta > self._config.horizon_s
            or (self._config.lines and one.line not in self._config.lines)
        ):
            return None
        late = _signed(readings.lateness)
        behind = "" if late is None else f", {late:.0f} s late"
        return _Request(place, eta, late, f"{_name(one)}{behind}, arrives in {eta:.0f} s")

    def _unfit(self, readings: PriorityReadings) -> str:
        config = self._config
        if readings.lateness is not None:
            late = _signed(readings.lateness)
            if late is None:
                return "its lateness is not known"
            if late < config.min_lateness_s:
                return f"{late:.0f} s late, at least {config.min_lateness_s:g} s are asked"
        if config.min_occupancy > 0 and readings.occupancy is not None:
            people = number_of(readings.occupancy)
            if people is None or people < config.min_occupancy:
                return f"too few people aboard, at least {config.min_occupancy:g} are asked"
        return ""

    def _choose(
        self, now: float, requests: list[_Request], status: Status, notes: list[Decision]
    ) -> _Request | None:
        """Grant the latest of the requests that may be granted now, then the nearest."""
        best: _Request | None = None
        for one in sorted(requests, key=lambda one: (-(one.late or 0.0), one.eta, one.place)):
            why = self._refusal(now, one, status)
            if why is None:
                best = best or one
            elif why and self._told.get(one.place) != why[0]:
                self._told[one.place] = why[0]
                notes.append(Decision(KIND, self._subject(one.place), "refused", f"{one.words}: {why[1]}"))
        if best is None:
            return None
        self._grant, self._since, self._held, self._cost = best.place, now, 0.0, 0.0
        self._told.pop(best.place, None)
        own = self._own[best.place]
        wanted = ", ".join(map(str, self._plan.names(own)))
        if self._green(own, status):
            self._mode = "extension"
            what = f"phase {wanted} is kept green, at most {self._config.max_extension_s:g} s"
        else:
            lead, inside = self._lead(now, own, status, every=True), self._between(own, status)
            late = lead > best.eta + self._config.margin_s
            self._mode = "insertion" if inside and late and "insertion" in self._config.modes else "early"
            self._skipped = inside if self._mode == "insertion" else 0
            what = (
                f"phase {wanted} comes early"
                if self._mode == "early"
                else f"phase {wanted} comes out of turn"
            )
        notes.append(
            Decision(KIND, self._subject(best.place), f"granted-{self._mode}", f"{best.words}: {what}")
        )
        return best

    def _refusal(self, now: float, one: _Request, status: Status) -> tuple[str, str] | tuple[()] | None:
        """(stable word, reason) why not; () when it is only too soon; None when it may be granted."""
        config, own = self._config, self._own[one.place]
        unfit = self._unfit(self._readings[one.place])
        if unfit:
            return "unfit", unfit
        if self._locked_until is not None and now < self._locked_until - EPS:
            return "lockout", f"another grant ended shortly ago, {self._locked_until - now:.0f} s to wait"
        if self._spent(now) >= config.budget_s - EPS:
            return "budget", f"{config.budget_s:g} s were spent in the last {config.window_s:g} s"
        green = self._green(own, status)
        if green and "extension" not in config.modes:
            return ()
        if green and one.eta > config.max_extension_s:
            return ()  # nearer, it may be held; or its next green may come early
        if not green:
            if not {"early", "insertion"} & set(config.modes):
                return ()
            lead = self._lead(now, own, status, every="insertion" not in config.modes)
            if one.eta > lead + config.margin_s:
                return ()
        waits = self._too_long(now, own, status, one.eta if green else 0.0)
        return ("others", waits) if waits else None

    # -- while granted -------------------------------------------------------------------------------

    def _ending(self, now: float, one: _Request | None, status: Status) -> str:
        """Why the grant is over, or nothing."""
        if one is None:
            return "passed"
        if now - self._since > GIVE_UP_S:
            return f"it did not come within {GIVE_UP_S:g} s"
        if self._held >= self._config.max_extension_s - EPS and self._green(self._own[one.place], status):
            return f"its green was held for {self._held:.0f} s, the most allowed"
        if self._spent(now) >= self._config.budget_s - EPS:
            return f"the budget of {self._config.budget_s:g} s is spent"
        return self._too_long(now, self._own[one.place], status, 0.0)

    def _end(self, now: float, why: str, status: Status, notes: list[Decision]) -> None:
        place, self._grant = self._grant, -1
        if self._cost > 0:  # a vehicle that met its own green took nothing from anybody
            self._locked_until = now + self._config.lockout_s
        self._return_until = now + RETURN_S
        if not self._green(self._own[place], status):
            self._skipped = 0
        name = _name(self._inputs[place])
        notes.append(Decision(KIND, self._subject(place), "ended", f"{name}: {why}"))

    def _ask(
        self, now: float, passed: float, one: _Request, status: Status, notes: list[Decision]
    ) -> SignalWants:
        plan, own = self._plan, self._own[one.place]
        names = plan.names
        others = self._waiting(status) & ~self._company(own)
        if self._green(own, status):
            if others and all(now >= phase.ready - EPS for phase in self._of(own, status)):
                self._held += passed
                self._spend(now, passed)
            wants = SignalWants(hold=frozenset(names(own)), call=frozenset(names(own)), complete=False)
        else:
            ending = 0
            for p, phase in enumerate(status.phases):
                over = now >= phase.ready - EPS and phase.ped is Ped.DONT_WALK
                if phase.state is PhaseState.GREEN and over and not self._company(own) >> p & 1:
                    ending |= 1 << p
            if ending:
                self._spend(now, passed)
            alone = self._mode == "insertion"
            wants = SignalWants(
                force_off=frozenset(names(ending)),
                omit=frozenset(names(plan.all & ~self._company(own))) if alone else frozenset(),
                call=frozenset(names(own if alone else own | self._waiting(status))),
                complete=False,
            )
        return self._given(wants, notes)

    def _return(self, now: float, status: Status, notes: list[Decision]) -> SignalWants | None:
        """After an insertion: the phases that were left out come first."""
        skipped = self._skipped
        if skipped and (now >= self._return_until or not skipped & self._waiting(status)):
            skipped = self._skipped = 0
        if not skipped:
            return SignalWants(complete=False, decisions=tuple(notes)) if notes else None
        names, plan = self._plan.names, self._plan
        away = plan.all & ~skipped
        for p in range(len(plan.ids)):
            if skipped >> p & 1:
                away &= ~plan.company[p]
        wants = SignalWants(omit=frozenset(names(away)), call=frozenset(names(skipped)), complete=False)
        return self._given(wants, notes)

    def _given(self, wants: SignalWants, notes: list[Decision]) -> SignalWants:
        if self._wants is None or wants != self._wants:
            self._wants = wants
        if not notes:
            return self._wants
        return SignalWants(
            hold=wants.hold,
            force_off=wants.force_off,
            omit=wants.omit,
            call=wants.call,
            complete=False,
            decisions=tuple(notes),
        )

    # -- the junction --------------------------------------------------------------------------------

    def _green(self, own: int, status: Status) -> bool:
        return all(phase.state is PhaseState.GREEN for phase in self._of(own, status))

    def _of(self, own: int, status: Status) -> list[PhaseStatus]:
        return [phase for p, phase in enumerate(status.phases) if own >> p & 1]

    def _company(self, own: int) -> int:
        """The phases that may be on with all of ``own``."""
        mask = self._plan.all
        for p in range(len(self._plan.ids)):
            if own >> p & 1:
                mask &= self._plan.company[p]
        return mask | own

    def _waiting(self, status: Status) -> int:
        mask = 0
        for p, phase in enumerate(status.phases):
            if phase.waiting is not None or phase.ped_waiting is not None:
                mask |= 1 << p
        return mask

    def _between(self, own: int, status: Status) -> int:
        """Waiting phases whose turn comes before ``own`` in their rings."""
        plan, mask = self._plan, 0
        waiting = self._waiting(status)
        for order in plan.rings:
            goal = next((p for p in order if own >> p & 1), None)
            here = next((p for p in order if status.phases[p].state is PhaseState.GREEN), None)
            if goal is None or here is None or goal == here:
                continue
            place = order.index(here) + 1
            for k in range(len(order)):
                p = order[(place + k) % len(order)]
                if p == goal:
                    break
                mask |= waiting & 1 << p
        return mask & ~self._company(own)

    def _lead(self, now: float, own: int, status: Status, every: bool) -> float:
        """Seconds until ``own`` could be green from now; ``every``: after the waiting phases before it."""
        plan, company = self._plan, self._company(own)
        lead = 0.0
        for p, phase in enumerate(status.phases):
            if company >> p & 1 or phase.state is PhaseState.RED:
                continue
            left = max(0.0, phase.ready - now) if phase.state is PhaseState.GREEN else 0.0
            lead = max(lead, left + plan.phase_yellow[p] + plan.phase_clear[p])
        between = self._between(own, status) if every else 0
        return lead + max(
            sum(
                plan.min_green[p] + plan.phase_yellow[p] + plan.phase_clear[p]
                for p in order
                if between >> p & 1
            )
            for order in plan.rings
        )

    def _too_long(self, now: float, own: int, status: Status, more: float) -> str:
        """Who else would wait longer than allowed if ``own`` were served for ``more`` seconds; else nothing."""
        for p, phase in enumerate(status.phases):
            if self._company(own) >> p & 1:
                continue
            since = min((at for at in (phase.waiting, phase.ped_waiting) if at is not None), default=None)
            limit = min(self._config.max_wait_s, self._plan.max_red[p])
            if since is not None and now - since + more >= limit - EPS:
                return f"phase {phase.id} has waited {now - since:.0f} s, {limit:g} s are the most"
        return ""

    # -- the budget ----------------------------------------------------------------------------------

    def _spend(self, now: float, seconds: float) -> None:
        self._cost += seconds
        if self._ledger and now - self._ledger[-1][0] < 1.0:
            self._ledger[-1][1] += seconds
        else:
            self._ledger.append([now, seconds])

    def _spent(self, now: float) -> float:
        while self._ledger and now - self._ledger[0][0] > self._config.window_s:
            self._ledger.pop(0)
        return sum(seconds for _, seconds in self._ledger)

    def _subject(self, place: int) -> str:
        return f"priority {self._inputs[place].id}"

    # -- snapshots -----------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._grant, self._skipped, self._locked_until = -1, 0, None
        self._ledger = []

    def snapshot(self) -> State:
        """The grant, what was spent, and what was said."""
        return {
            "grant": self._grant,
            "mode": self._mode,
            "since": self._since,
            "held": self._held,
            "cost": self._cost,
            "skipped": self._skipped,
            "return_until": self._return_until,
            "locked_until": self._locked_until,
            "now": self._now,
            "ledger": [list(row) for row in self._ledger],
            "told": [[place, word] for place, word in self._told.items()],
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters of the same site."""
        if not -1 <= state["grant"] < len(self._inputs):
            raise ValueError("the snapshot belongs to another site")
        self._grant, self._mode = state["grant"], state["mode"]
        self._since, self._held, self._cost = state["since"], state["held"], state["cost"]
        self._skipped, self._return_until = state["skipped"], state["return_until"]
        self._locked_until, self._now = state["locked_until"], state["now"]
        self._ledger = [list(row) for row in state["ledger"]]
        self._told = dict(state["told"])


def _name(one: PriorityInput) -> str:
    return " ".join(word for word in ("line", one.line or one.id, one.direction) if word)


def _signed(reading: Reading[Value] | None) -> float | None:
    """A lateness: may be negative; None when it cannot be used."""
    if reading is None or reading.quality is Quality.BAD or isinstance(reading.value, str):
        return None
    return float(reading.value) if abs(reading.value) < 1e6 else None
