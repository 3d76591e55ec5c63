"""The ring-and-barrier engine: the only place where lamps change.

It takes requests for phases and makes every transition itself: green not shorter than the minimum and the
pedestrian service, yellow, red clearance, red revert, barrier crossings, start-up, legal clearance before a
wanted flash. Here stand its modes and what is to run next; ``engine_phases`` lets phases begin and end. It is
total: any request at any spacing of scans gives a lawful state, and no time is ever shorter than configured.

Words and order of service follow NEMA TS 2 (rings, barriers, overlaps, red revert, start-up).
"""

from vigie_controllers.signals.engine_phases import Phases
from vigie_controllers.signals.engine_state import EPS, FOREVER, NEVER, Ask, Order, Stop
from vigie_controllers.signals.takeover import Takeover, stages_of
from vigie_controllers.signals.words import Lamp, PhaseState

__all__ = ["EPS", "FOREVER", "NEVER", "Ask", "Engine", "Order", "Stop"]

_RED, _GREEN = int(PhaseState.RED), int(PhaseState.GREEN)
_L_RED = int(Lamp.RED)


class Engine(Phases):
    """Lamp states of one junction; see ``EngineState`` for what may be read."""

    def step(self, now: float, ask: Ask, stop: Stop | None, order: Order | None = None) -> None:
        """Advance to ``now`` under a request; ``now`` never goes back."""
        if now + EPS < self.wake and ask == self._ask and stop == self._stop and order == self._order:
            return
        if order != self._order:
            self.version += 1  # with it changes what may end when
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
                self._recommit(order)
            self._decide(now)
            if order is not None:
                self._end_all(order.end, now)
            for ring, place in enumerate(self.next):
                if place >= 0 and self.current[ring] < 0 and self._may_begin(place, now):
                    self._begin(ring, place, now)
        self._channels(now)

    def _recommit(self, order: Order) -> None:
        """Take back what is to begin and must not."""
        for ring, q in enumerate(self.next):
            if q >= 0 and order.end >> q & 1:
                self.next[ring] = -1
                self.version += 1

    def _end_all(self, phases: int, now: float) -> None:
        """End greens that nobody follows in their ring: they must not stay on beside what is wanted."""
        for p in self.current:
            if p >= 0 and phases >> p & 1 and self.state[p] == _GREEN and self._may_end(p, now):
                self._end(p, now)

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
        if not calls:  # red rest: what is to end and not to begin ends although nobody follows
            self._end_all(ending & ask.omit, now)

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
