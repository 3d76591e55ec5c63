"""How phases and lamps go through their states: the one place that starts and ends them, each when it may.

A phase begins only when each channel in conflict with one of its channels has shown red for its clearance, and
each of its own is green or has been red for its red revert, so that overlaps are safe whatever the order.
"""

from vigie_controllers.signals.engine_state import EPS, FOREVER, EngineState
from vigie_controllers.signals.plan import PED_PAUSE_S
from vigie_controllers.signals.words import Lamp, Ped, PhaseState

_RED, _GREEN, _YELLOW, _CLEAR = (int(state) for state in PhaseState)
_L_RED, _L_YELLOW, _L_GREEN, _L_FLASH = (
    int(Lamp.RED),
    int(Lamp.YELLOW),
    int(Lamp.GREEN),
    int(Lamp.FLASH_GREEN),
)


class Phases(EngineState):
    """Phases, pedestrian services and lamps of a junction that runs; what is to run is decided elsewhere."""

    def _walk_s(self, p: int) -> float:
        order, own = self._order, self.plan.walk[p]
        return own if order is None or not order.end >> p & 1 else min(own, order.walk)

    def _ped_clear_s(self, p: int) -> float:
        order, own = self._order, self.plan.ped_clear[p]
        return own if order is None or not order.end >> p & 1 else min(own, order.ped_clear)

    def _advance(self, now: float) -> None:
        plan = self.plan
        for ring, p in enumerate(self.current):
            if p < 0:
                continue
            if self.state[p] == _GREEN:
                self._advance_ped(p, now)
                if self.leading >> p & 1 and now >= self.since[p] - EPS:
                    # Its minimum counts from the vehicles' green as shown, however late this scan came.
                    self.leading &= ~(1 << p)
                    self.since[p] = now
                    self.ready[p] = max(self.ready[p], now + self.plan.min_green[p])
                    self.version += 1
            if self.state[p] == _YELLOW and now - self.since[p] >= plan.phase_yellow[p] - EPS:
                self.state[p] = _CLEAR
                self.since[p] = self.red_at[p] = now
                self.version += 1
            if self.state[p] == _CLEAR and now - self.since[p] >= plan.phase_clear[p] - EPS:
                self.state[p] = _RED
                self.since[p] = now
                self.current[ring] = -1
                self.version += 1

    def _advance_ped(self, p: int, now: float) -> None:
        ped = self.ped[p]
        if ped == Ped.WALK and now - self.ped_since[p] >= self._walk_s(p) - EPS:
            if self._rests(p):
                return
            self.ped[p] = Ped.CLEARANCE
        elif ped == Ped.CLEARANCE and now - self.ped_since[p] >= self._ped_clear_s(p) - EPS:
            self.ped[p] = Ped.DONT_WALK
        elif ped == Ped.DONT_WALK and self.mode == "run":
            paused = now - self.ped_since[p] >= PED_PAUSE_S - EPS
            if paused and self._walks_again(p) and self._may_open(p, False, now):
                self._walk(p, now)
            return
        else:
            return
        self.ped_since[p] = now
        if self.ped[p] == Ped.CLEARANCE:
            self.ready[p] = max(self.ready[p], now + self.plan.ped_clear[p])
        self.version += 1

    def _walks_again(self, p: int) -> bool:
        """Whether a walk is wanted in a green that is not wanted to end."""
        bit, ask = 1 << p, self._ask
        return bool(ask.ped & self.plan.peds & bit and (not ask.force_off & bit or ask.hold & bit))

    def _rests(self, p: int) -> bool:
        """Whether a walk goes on because its green is held for walkers: rest in walk, where the site allows it."""
        bit, ask, order = 1 << p, self._ask, self._order
        held = ask.hold & ask.ped & self.plan.walk_rest & bit
        return bool(held and self.mode == "run" and (order is None or not order.end & bit))

    def _walk(self, p: int, now: float) -> None:
        self.ped[p] = Ped.WALK
        self.ped_since[p] = now
        self.ready[p] = max(self.ready[p], now + self.plan.walk[p] + self.plan.ped_clear[p])
        self.version += 1

    def _may_end(self, p: int, now: float) -> bool:
        return now >= self.ready_at(p) - EPS and self.ped[p] == Ped.DONT_WALK

    def ready_at(self, p: int) -> float:
        """From when a green may end: sooner than ``ready`` only while a pre-emption orders it to.

        ``ready`` itself is never shortened: when the order goes, so does what it allowed.
        """
        order = self._order
        if order is None or not order.end >> p & 1:
            return self.ready[p]
        sooner = self.since[p] + min(self.plan.min_green[p], order.min_green)
        if self.ped[p]:
            walk = self._walk_s(p) if self.ped[p] == Ped.WALK else 0.0
            sooner = max(sooner, self.ped_since[p] + walk + self._ped_clear_s(p))
        return min(self.ready[p], sooner)

    def _end(self, p: int, now: float) -> None:
        self.state[p] = _YELLOW
        self.since[p] = now
        self.version += 1

    def _may_begin(self, p: int, now: float) -> bool:
        plan = self.plan
        if now - self.red_at[p] < plan.revert[p] - EPS:
            return False
        rivals = plan.rivals[p]
        for q in self.current:
            if q >= 0 and rivals >> q & 1:
                return False
        lamp, since = self.lamp, self.lamp_since
        for c in plan.foes[p]:
            if lamp[c] != _L_RED or now - since[c] < plan.clear[c] - EPS:
                return False
        return self._may_open(p, True, now)

    def _may_open(self, p: int, vehicles: bool, now: float) -> bool:
        """Whether the phase's own lamps are green already, or red for so long that everybody has seen the red.

        Another phase of an overlap may still be clearing it, or have turned it red at this very instant.
        """
        plan, lamp, since = self.plan, self.lamp, self.lamp_since
        return all(
            lamp[c] == _L_GREEN or (lamp[c] == _L_RED and now - since[c] >= plan.red[c] - EPS)
            for c in plan.channels[p]
            if plan.vehicle[c] == vehicles
        )

    def _begin(self, ring: int, p: int, now: float) -> None:
        self.state[p] = _GREEN
        self.since[p] = now
        self.ready[p] = now + self.plan.min_green[p]
        self.current[ring] = p
        self.next[ring] = -1
        self.version += 1
        if self._ask.ped & self.plan.peds & 1 << p and self._may_open(p, False, now):
            if self.plan.lead[p]:
                self.since[p] = now + self.plan.lead[p]  # the vehicles' green, which the walk leads
                self.ready[p] = self.since[p] + self.plan.min_green[p]
                self.leading |= 1 << p
            self._walk(p, now)

    # -- lamps ---------------------------------------------------------------------------------------

    def _channels(self, now: float) -> None:
        if self.version == self._lit and now + EPS < self._yellow_over:
            return
        plan, lamp = self.plan, self.lamp
        self._yellow_over = FOREVER
        green = coming = walk = clearing = 0
        for ring, p in enumerate(self.current):
            if p >= 0 and self.state[p] == _GREEN:
                green |= 1 << p
                if self.ped[p] == Ped.WALK:
                    walk |= 1 << p
                elif self.ped[p] == Ped.CLEARANCE:
                    clearing |= 1 << p
            if self.next[ring] >= 0:
                coming |= 1 << self.next[ring]
        for c, parents in enumerate(plan.parents):
            shown = lamp[c]
            if not plan.vehicle[c]:
                want = _L_GREEN if parents & walk else _L_FLASH if parents & clearing else _L_RED
            elif shown == _L_GREEN:
                want = _L_GREEN if parents & (green | coming) else _L_YELLOW
            elif shown == _L_YELLOW:
                want = _L_RED if now - self.lamp_since[c] >= plan.yellow[c] - EPS else _L_YELLOW
            else:
                want = _L_GREEN if parents & green & ~self.leading else _L_RED
            if want != shown:
                lamp[c] = want
                self.lamp_since[c] = now
                self.version += 1
            if want == _L_YELLOW:
                self._yellow_over = min(self._yellow_over, self.lamp_since[c] + plan.yellow[c])
        self._lit = self.version

    def _next_wake(self, now: float) -> float:
        plan = self.plan
        mode = self.mode
        if mode in ("flash", "dark"):
            return FOREVER
        start = now if self.mode_since is None else self.mode_since
        if mode == "start":
            return start + self.flash_s
        if mode == "all-red":
            return start + plan.site.startup.all_red_s
        if mode == "takeover":
            return now  # short and rare: look at every scan
        wake = FOREVER
        for p in self.current:
            if p < 0:
                continue
            state = self.state[p]
            if state == _GREEN:
                if self.ped[p] and not (self.ped[p] == Ped.WALK and self._rests(p)):
                    length = self._walk_s(p) if self.ped[p] == Ped.WALK else self._ped_clear_s(p)
                    wake = min(wake, self.ped_since[p] + length)
                elif not self.ped[p] and self._walks_again(p):
                    wake = min(wake, self.ped_since[p] + PED_PAUSE_S)
                for due in (self.ready_at(p), self.since[p]):
                    if due > now + EPS:
                        wake = min(wake, due)
            else:
                length = plan.phase_yellow[p] if state == _YELLOW else plan.phase_clear[p]
                wake = min(wake, self.since[p] + length)
        for p in self.next:
            if p >= 0:
                revert = self.red_at[p] + plan.revert[p]
                wake = min(wake, revert if revert > now + EPS else wake)
        for c, shown in enumerate(self.lamp):
            if not plan.vehicle[c] and shown != _L_RED:
                continue
            lengths = (plan.clear[c], plan.red[c]) if shown == _L_RED else (plan.yellow[c],)
            for length in lengths if shown != _L_GREEN else ():
                over = self.lamp_since[c] + length
                if over > now + EPS:
                    wake = min(wake, over)
        return wake
