"""How long demand has waited on red, and when the guard must serve it by itself."""

from vigie_controllers.contract import State
from vigie_controllers.signals.cabinet import Cabinet
from vigie_controllers.signals.demand import DetectorBank
from vigie_controllers.signals.engine import EPS, FOREVER, Ask, Engine
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.words import Ped, PhaseState

GONE_S = 3.0
"""Demand absent this long has gone away; a gap shorter than this does not restart its clock."""
PATIENCE_S = 20.0
"""So long past its limit a phase at a cabinet is asked for to the exclusion of others: it may be walking somebody."""
_GREEN = int(PhaseState.GREEN)


class Waiting:
    """Waiting times per phase, in seconds of monotonic time; None where nobody waits.

    since: vehicles (or both); ped_since: pedestrians. due: when something may become overdue.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        phases = len(plan.ids)
        self.since: list[float | None] = [None] * phases
        self.ped_since: list[float | None] = [None] * phases
        self._gone: list[float | None] = [None] * phases
        self._locked = 0
        self._green = self._lit = 0
        self._due = FOREVER
        self.due = FOREVER
        self.version = 0

    def update(self, now: float, plant: Engine | Cabinet, bank: DetectorBank) -> None:
        """Bring the clocks up to date after the plant's step."""
        plan, version = self._plan, self.version
        self._locked |= bank.locked
        calls = bank.on | bank.recall | self._locked
        peds = (bank.ped_on | bank.ped_recall) & plan.peds
        due = FOREVER
        green = sum(1 << p for p, state in enumerate(plant.state) if state == _GREEN)
        # A cabinet walks whom its own buttons call: a green that it ended without a walk is all that can be asked.
        passed = self._green & ~green if isinstance(plant, Cabinet) else 0
        if green != self._green:
            self._green, self._lit = green, plan.lit(green)
        for p, state in enumerate(plant.state):
            bit = 1 << p
            if self._lit & bit:
                self._locked &= ~bit
                self._gone[p] = None
                if self.since[p] is not None:
                    self.since[p] = None
                    self.version += 1
            elif calls & bit:
                self._gone[p] = None
                if self.since[p] is None:
                    self.since[p] = now
                    self.version += 1
            elif self.since[p] is not None:
                gone = self._gone[p]
                if gone is None:
                    self._gone[p] = gone = now
                if now - gone >= GONE_S - EPS:
                    self.since[p] = self._gone[p] = None
                    self.version += 1
                else:
                    due = min(due, gone + GONE_S)
            if not plan.peds & bit:
                continue
            if plant.ped[p] == Ped.WALK or (state == _GREEN and plant.unseen_peds & bit):
                if self.ped_since[p] is not None:
                    self.ped_since[p] = None
                    self.version += 1
            elif peds & bit and (self.ped_since[p] is None or passed & bit):
                self.ped_since[p] = now
                self.version += 1
        self._due = due
        # Whoever begins to wait now may be the next to be overdue: the next scan reckons with him.
        self.due = now if self.version != version else min(self.due, due)

    def earliest(self, p: int) -> float | None:
        """Since when anybody has waited for a phase."""
        since, ped = self.since[p], self.ped_since[p]
        if since is None or ped is None:
            return ped if since is None else since
        return min(since, ped)

    def rescue(
        self, now: float, plant: Engine | Cabinet, ask: Ask, bank: DetectorBank, within: int = -1
    ) -> tuple[Ask, int]:
        """``ask`` bent so that overdue demand is served; the place of the phase helped, or -1.

        within: mask of the phases that may be helped at all.

        The most overdue phase alone is called, with what may be on beside it; every other green is forced
        off as soon as that is legal. Pedestrians whose phase is already green get their walk there.

        A cabinet has calls of its own besides, and walks only whom its own buttons call. Others are omitted so that
        it comes to the phase at once. Where that has not helped for ``PATIENCE_S`` past the limit, nothing is
        held or omitted any more and every green ends early: it comes there in its own order, if it can be moved.
        """
        ours = isinstance(plant, Engine)
        lead = self._lead(now, plant)
        due, urgent, limit = self._due, -1, FOREVER
        for p in range(len(self.since)):
            since = self.earliest(p)
            if since is None or p in plant.next or not within >> p & 1:
                continue
            if plant.state[p] == _GREEN and not ours:
                continue
            last = since + self._plan.max_red[p]
            if now < last - lead - EPS:
                due = min(due, last - lead)
            elif last < limit:
                urgent, limit = p, last
        self.due = due
        if urgent < 0:
            return ask, -1
        bit, company = 1 << urgent, self._plan.company[urgent]
        ped = ask.ped | (bit if self.ped_since[urgent] is not None else 0)
        if plant.state[urgent] == _GREEN:
            return Ask(ask.call & company, ped, ask.hold, ask.force_off & ~bit, ask.omit), urgent
        beside = company & ~bit
        keep = beside & ~self._ring(urgent)
        waiting = ask.call | bank.on | bank.recall
        if not ours and now >= limit + PATIENCE_S - EPS:
            return Ask(waiting | bit, ped, force_off=self._plan.all & ~bit), urgent
        call = bit | (waiting & keep)
        if not ours:
            self.due = min(due, limit + PATIENCE_S)
        omit = ask.omit & keep | (0 if ours else self._plan.all & ~company)
        force_off = (self._plan.all & ~keep) | (ask.force_off & keep)
        return Ask(call, ped, ask.hold & keep, force_off, omit), urgent

    def _ring(self, p: int) -> int:
        return sum(1 << q for q in self._plan.rings[self._plan.ring[p]])

    def _lead(self, now: float, plant: Engine | Cabinet) -> float:
        """Seconds until another phase could be green if everything were ended now."""
        plan = self._plan
        lead = 0.0
        for p in plant.current:
            if p >= 0:
                left = max(0.0, plant.ready[p] - now) if plant.state[p] == _GREEN else 0.0
                if plant.ped[p] == Ped.WALK:  # it may rest there: its clearance is still to come
                    left = max(left, plan.ped_clear[p])
                lead = max(lead, left + plan.phase_yellow[p] + plan.phase_clear[p])
        return lead

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "since": list(self.since),
            "ped_since": list(self.ped_since),
            "gone": list(self._gone),
            "locked": self._locked,
            "due": self._due,
            "green": self._green,
        }

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        if len(state["since"]) != len(self.since):
            raise ValueError("waiting: the snapshot belongs to another site")
        self.since, self.ped_since = list(state["since"]), list(state["ped_since"])
        self._gone, self._locked, self._due = list(state["gone"]), state["locked"], state["due"]
        self._green = state["green"]
        self._lit = self._plan.lit(self._green)
        self.version += 1
