"""The ring-and-barrier engine: the only place where lamps change.

It takes requests for phases and makes every transition itself: green not shorter than the minimum and the
pedestrian service, yellow, red clearance, red revert, barrier crossings, start-up, legal clearance before a
wanted flash. A phase begins only when each channel in conflict with one of its channels has shown red for
its clearance, and each of its own is green or has been red for its red revert, so that overlaps are safe
whatever the order. It is total: any request at any spacing of scans gives a lawful state, and no time is
ever shorter than configured.

Words and order of service follow NEMA TS 2 (rings, barriers, overlaps, red revert, start-up).
"""

from vigie_controllers.signals.engine_state import (
    EPS,
    FOREVER,
    NEVER,
    Ask,
    EngineState,
    Order,
    Stop,
)
from vigie_controllers.signals.plan import PED_PAUSE_S
from vigie_controllers.signals.takeover import Takeover, stages_of
from vigie_controllers.signals.words import Lamp, Ped, PhaseState

__all__ = ["EPS", "FOREVER", "NEVER", "Ask", "Engine", "Order", "Stop"]

_RED, _GREEN, _YELLOW, _CLEAR = (int(state) for state in PhaseState)
_L_RED, _L_YELLOW, _L_GREEN, _L_FLASH = (
    int(Lamp.RED),
    int(Lamp.YELLOW),
    int(Lamp.GREEN),
    int(Lamp.FLASH_GREEN),
)


class Engine(EngineState):
    """Lamp states of one junction; see ``EngineState`` for what may be read."""

    def step(self, now: float, ask: Ask, stop: Stop | None, order: Order | None = None) -> None:
        """Advance to ``now`` under a request; ``now`` never goes back."""
        if now + EPS < self.wake and ask == self._ask and stop == self._stop and order == self._order:
            return
        self._ask, self._stop, self._order = ask, stop, order
        if self.mode_since is None:
            self.mode_since = now
        before = self.version
        for _ in range(64):  # several things may fall due in one scan; each turn does at least one
            version = self.version
            self._turn(now)
            if self.version == version:
                break
        if self.version != before:
            lamps = tuple(self.lamp)
            if lamps != self.lamps:
                self.lamps = lamps
        self.wake = self._next_wake(now)

    def take_over(self, now: float, shown: tuple[int, ...]) -> bool:
        """Begin from lamps already on; False when they make no lawful running state."""
        rows = stages_of(self.plan, shown)
        if rows is None:
            return False
        self._takeover = Takeover(rows, [now] * len(rows))
        self._set_mode("takeover", now)
        self.lamp = list(shown)
        self.lamps = tuple(self.lamp)
        return True

    def restart(self, now: float) -> None:
        """Back to flash and through the start-up: what the street shows is no longer what stands here."""
        if self.mode not in ("flash", "dark"):
            self._extinguish(now, None)
            self.lamps = tuple(
                self.lamp
            )  # now: a stop that stands may keep the next step from changing anything
            self.wake = NEVER

    # -- modes ---------------------------------------------------------------------------------------

    def _set_mode(self, mode: str, now: float) -> None:
        self.mode = mode
        self.mode_since = now
        self.version += 1

    def _turn(self, now: float) -> None:
        mode, stop = self.mode, self._stop
        if stop is not None and stop.at_once and mode not in ("flash", "dark"):
            self._extinguish(now, stop)
        elif mode == "run":
            if stop is not None:
                self.next = [-1] * len(self.next)
                self._set_mode("closing", now)
            self._run(now)
        elif mode == "closing":
            self._close(now)
        elif mode in ("flash", "dark"):
            if stop is None:
                self.flash_s = self.plan.site.startup.flash_s
                self._extinguish(now, stop)
                self._set_mode("start", now)
            elif stop.dark != (mode == "dark"):
                self._extinguish(now, stop)
        elif mode == "start":
            if stop is not None:
                self._extinguish(now, stop)
            elif self._elapsed(now, self.flash_s):
                self._all_red(now)
        elif mode == "takeover":
            self._run_takeover(now)
        elif stop is not None:
            self._set_mode("closing", now)
        elif self._elapsed(now, self.plan.site.startup.all_red_s):
            for place in self.plan.start:
                self.next[self.plan.ring[place]] = place
                self.barrier = self.plan.barrier[place]
            self._set_mode("run", now)

    def _elapsed(self, now: float, seconds: float) -> bool:
        return now - (self.mode_since if self.mode_since is not None else now) >= seconds - EPS

    def _extinguish(self, now: float, stop: Stop | None) -> None:
        """Drop everything to flash or dark."""
        dark = stop is not None and stop.dark
        phases = len(self.state)
        self.state, self.since = [_RED] * phases, [now] * phases
        self.red_at, self.ped = [now] * phases, [0] * phases
        self.current, self.next, self.leading = [-1] * len(self.current), [-1] * len(self.next), 0
        self.lamp = [0] * len(self.lamp) if dark else list(self._flash)
        self.lamp_since = [now] * len(self.lamp)
        self._takeover = None
        self._set_mode("dark" if dark else "flash", now)

    def _all_red(self, now: float) -> None:
        self.lamp = [_L_RED] * len(self.lamp)
        self.lamp_since = [now] * len(self.lamp)
        self._takeover = None
        self._set_mode("all-red", now)

    def _run_takeover(self, now: float) -> None:
        if self._takeover is None:
            self._all_red(now)
            return
        lamps, over = self._takeover.step(now)
        if list(lamps) != self.lamp:
            self.lamp = list(lamps)
            self.version += 1
        if over:
            self._all_red(now)

    def _close(self, now: float) -> None:
        for place in self.current:
            if place >= 0 and self.state[place] == _GREEN and self._may_end(place, now):
                self._end(place, now)
        self._advance(now)
        self._channels(now)
        if all(place < 0 for place in self.current) and all(
            self.lamp[c] == _L_RED and now - self.lamp_since[c] >= max(self.plan.clear[c], 1.0) - EPS
            for c in range(len(self.lamp))
        ):
            self._extinguish(now, self._stop)

    # -- running -------------------------------------------------------------------------------------

    def _run(self, now: float) -> None:
        self._advance(now)
        self._channels(now)
        if self.mode == "run":
            order = self._order
            if order is not None:
                self._recommit(order, now)
            self._decide(now)
            if order is not None:
                self._end_all(order.end, now)
            for ring, place in enumerate(self.next):
                if place >= 0 and self.current[ring] < 0 and self._may_begin(place, now):
                    self._begin(ring, place, now)
        self._channels(now)

    def _recommit(self, order: Order, now: float) -> None:
        """Take back what is to begin and must not; let what must end be as short as ``order`` allows."""
        plan = self.plan
        for ring, q in enumerate(self.next):
            if q >= 0 and order.end >> q & 1:
                self.next[ring] = -1
                self.version += 1
        for p in self.current:
            if p >= 0 and self.state[p] == _GREEN and order.end >> p & 1:
                ready = self.since[p] + min(plan.min_green[p], order.min_green)
                if self.ped[p]:
                    walk = self._walk_s(p) if self.ped[p] == Ped.WALK else 0.0
                    ready = max(ready, self.ped_since[p] + walk + self._ped_clear_s(p))
                if ready < self.ready[p]:
                    self.ready[p] = ready
                    self.version += 1

    def _end_all(self, phases: int, now: float) -> None:
        """End greens that nobody follows in their ring: they must not stay on beside what is wanted."""
        for p in self.current:
            if p >= 0 and phases >> p & 1 and self.state[p] == _GREEN and self._may_end(p, now):
                self._end(p, now)

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
            self.ready[p] = max(self.ready[p], now + self._ped_clear_s(p))
        self.version += 1

    def _walks_again(self, p: int) -> bool:
        """Whether a walk is wanted in a green that is not wanted to end."""
        bit, ask = 1 << p, self._ask
        return bool(ask.ped & self.plan.peds & bit and (not ask.force_off & bit or ask.hold & bit))

    def _walk(self, p: int, now: float) -> None:
        self.ped[p] = Ped.WALK
        self.ped_since[p] = now
        self.ready[p] = max(self.ready[p], now + self.plan.walk[p] + self.plan.ped_clear[p])
        self.version += 1

    def _may_end(self, p: int, now: float) -> bool:
        return now >= self.ready[p] - EPS and self.ped[p] == Ped.DONT_WALK

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

    def _decide(self, now: float) -> None:
        """Which greens end, and what follows them. A commitment is never taken back in ``run``."""
        plan, ask = self.plan, self._ask
        calls = ask.call & ~ask.omit
        away = calls & ~plan.barriers[self.barrier]
        ending = ask.force_off & ~ask.hold
        together = True  # whether every ring is ready to cross the barrier
        moves: list[tuple[int, int]] = []
        for ring, p in enumerate(self.current):
            if p < 0 or self.state[p] != _GREEN:
                together = together and self.next[ring] < 0
                continue
            if not ending >> p & 1 or not self._may_end(p, now):
                together = False
                continue
            q, wrapped = self._after(ring, p, calls & ~away)
            if q >= 0 and not (wrapped and away):
                moves.append((ring, q))
                together = False
        if away and together:
            self._cross(calls, now)
            return
        for ring, q in moves:
            self._end(self.current[ring], now)
            self.next[ring] = q
        for ring, p in enumerate(self.current):
            if p < 0 and self.next[ring] < 0:
                q = self._first(ring, calls & ~away)
                if q >= 0:
                    self.next[ring] = q
                    self.version += 1

    def _after(self, ring: int, p: int, calls: int) -> tuple[int, bool]:
        """The next called phase of a ring after ``p`` in cyclic order, and whether that is a new round."""
        order = self.plan.rings[ring]
        here = order.index(p)
        for q in order[here + 1 :]:
            if calls >> q & 1:
                return q, False
        for q in order[:here]:
            if calls >> q & 1:
                return q, True
        return -1, False

    def _first(self, ring: int, calls: int) -> int:
        for q in self.plan.rings[ring]:
            if calls >> q & 1:
                return q
        return -1

    def _cross(self, calls: int, now: float) -> None:
        barriers = self.plan.barriers
        target = self.barrier
        while True:
            target = (target + 1) % len(barriers)
            if calls & barriers[target]:
                break
        self.barrier = target
        for ring, p in enumerate(self.current):
            if p >= 0 and self.state[p] == _GREEN:
                self._end(p, now)
            self.next[ring] = self._first(ring, calls & barriers[target])
        self.version += 1

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
                if self.ped[p]:
                    length = self._walk_s(p) if self.ped[p] == Ped.WALK else self._ped_clear_s(p)
                    wake = min(wake, self.ped_since[p] + length)
                elif self._walks_again(p):
                    wake = min(wake, self.ped_since[p] + PED_PAUSE_S)
                for due in (self.ready[p], self.since[p]):
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
