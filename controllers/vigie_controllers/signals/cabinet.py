"""A real controller cabinet as the guard sees it: phase states read back, requests filtered.

The cabinet makes its lamps and its own monitor is the last authority. Here we only time what it reports, so
that no force-off is sent before the minimum green and the pedestrian service are over, and so that the
maximum red can be kept. What it reports may be wrong: states that no ring-and-barrier controller can show are
not believed, and whatever it reports no hold lasts for ever. Attributes match those of ``Engine``;
unseen_peds: phases whose pedestrian service is not reported, so that a green counts as served.
"""

from collections.abc import Mapping

from vigie_controllers.contract import State
from vigie_controllers.signals.engine import EPS, FOREVER, NEVER, Ask, Stop
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.words import Frame, Lamp, Ped, PhaseState
from vigie_protocols.points import Quality, Reading, Value

_RED, _GREEN, _YELLOW, _CLEAR = (int(state) for state in PhaseState)
_STATES: Mapping[float, int] = {
    int(Lamp.RED): _RED,
    int(Lamp.YELLOW): _YELLOW,
    int(Lamp.GREEN): _GREEN,
    int(Lamp.FLASH_GREEN): _GREEN,
}
_PEDS: Mapping[float, int] = {
    int(Lamp.DARK): Ped.DONT_WALK,
    int(Lamp.RED): Ped.DONT_WALK,
    int(Lamp.GREEN): Ped.WALK,
    int(Lamp.FLASH_GREEN): Ped.CLEARANCE,
}
SETTLE_S = 3.0
"""After states that cannot be, so long a time without any such before reports are believed again."""


class Cabinet:
    """Phase states as reported; ``asked`` is what may be sent. mode ``unknown`` when they cannot be believed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        phases = len(plan.ids)
        self.mode = "unknown"
        self.state = [_RED] * phases
        self.since = [NEVER] * phases
        self.ready = [NEVER] * phases
        self.ped = [0] * phases
        self.ped_since = [NEVER] * phases
        self.current = [-1] * len(plan.rings)
        self.next = [-1] * len(plan.rings)
        self.lamps: tuple[int, ...] = ()
        self.asked = Ask()
        self.unseen_peds = 0
        self.version = 0
        self.wake = FOREVER
        self._doubted: float | None = None
        self._held: list[float | None] = [None] * phases
        self._patience = tuple(
            min((plan.max_red[q] for q in range(phases) if not plan.company[p] >> q & 1), default=FOREVER)
            for p in range(phases)
        )
        self._frame: Frame | None = None

    def observe(self, now: float, frame: Frame) -> None:
        """Take up what the cabinet reports."""
        if frame is not self._frame:
            self._frame = frame
            self.unseen_peds = sum(1 << p for p, ped in enumerate(frame.cabinet_ped) if ped is None)
            states = [_known(reading, _STATES) for reading in frame.cabinet]
            peds = [None if one is None else _known(one, _PEDS) for one in frame.cabinet_ped]
            mode = self._judged(now, frame, states, peds)
            if mode == "run" and self.mode != "run":  # what was on meanwhile was not seen: all has just begun
                self.state = [_RED] * len(self.state)
                self.ped = [0] * len(self.ped)
            if mode == "run":
                for p, state in enumerate(states):
                    self._note(p, _RED if state is None else state, now)
                    self._note_ped(p, peds[p], now)
            self._set_mode(mode)
        elif self._doubted is not None and now - self._doubted >= SETTLE_S - EPS:
            self._frame = None
            self.observe(now, frame)
            return
        self._tick(now)

    def _judged(self, now: float, frame: Frame, states: list[int | None], peds: list[int | None]) -> str:
        """The mode that a report stands for."""
        flash = frame.cabinet_flash
        unread = any(state is None for state in states) or any(
            ped is None and one is not None for ped, one in zip(peds, frame.cabinet_ped, strict=True)
        )
        on = [p for p, state in enumerate(states) if state in (_GREEN, _YELLOW)]
        company = self.plan.company
        if any(not company[p] >> q & 1 for p in on for q in on):
            self._doubted = now
        elif self._doubted is not None and now - self._doubted >= SETTLE_S - EPS:
            self._doubted = None
        if flash is not None and flash.quality is not Quality.BAD and flash.value:
            return "flash"
        unread = unread or self._doubted is not None
        return "unknown" if unread or (flash is not None and flash.quality is Quality.BAD) else "run"

    def _set_mode(self, mode: str) -> None:
        if mode != self.mode:
            self.mode = mode
            self.version += 1

    def _note(self, p: int, state: int, now: float) -> None:
        old = self.state[p]
        if state == old or (state == _RED and old == _CLEAR):
            return
        if state == _RED and old == _YELLOW:
            state = _CLEAR
        self.state[p] = state
        self.since[p] = now
        self.version += 1
        if state == _GREEN:
            self.ready[p] = now + self.plan.min_green[p]

    def _note_ped(self, p: int, ped: int | None, now: float) -> None:
        if ped is None or ped == self.ped[p]:
            return
        self.ped[p], self.ped_since[p] = ped, now
        self.version += 1
        if ped != Ped.DONT_WALK:
            walk = self.plan.walk[p] if ped == Ped.WALK else 0.0
            self.ready[p] = max(self.ready[p], now + walk + self.plan.ped_clear[p])

    def _tick(self, now: float) -> None:
        plan = self.plan
        self.current = [-1] * len(plan.rings)
        wake = FOREVER
        for p, state in enumerate(self.state):
            if state == _CLEAR:
                over = self.since[p] + plan.phase_clear[p]
                if now >= over - EPS:
                    self.state[p], self.since[p] = _RED, now
                    self.version += 1
                    continue
                wake = min(wake, over)
            if state != _RED:
                self.current[plan.ring[p]] = p
                if state == _GREEN and self.ready[p] > now + EPS:
                    wake = min(wake, self.ready[p])
        self.wake = wake if self._doubted is None else min(wake, self._doubted + SETTLE_S)

    def step(self, now: float, ask: Ask, stop: Stop | None) -> None:
        """Filter a request: nothing at all unless the cabinet runs, no force-off before it is legal or in a hold.

        Whatever is reported: a phase that shows green is not omitted, and one that has been held for as long as
        the others' maximum red is not held any more until the hold has been withdrawn once.
        """
        if stop is not None or self.mode != "run":
            self.asked = Ask()
            self._held = [None] * len(self._held)
            return
        legal = green = worn = 0
        for p, state in enumerate(self.state):
            bit = 1 << p
            if state == _GREEN:
                green |= bit
                if now >= self.ready[p] - EPS and self.ped[p] == Ped.DONT_WALK:
                    legal |= bit
            if not ask.hold & bit:
                self._held[p] = None
                continue
            since = self._held[p]
            if since is None:
                self._held[p] = since = now
            if now - since >= self._patience[p] - EPS:
                worn |= bit
            else:
                self.wake = min(self.wake, since + self._patience[p])
        hold = ask.hold & ~worn
        ending = ask.force_off & ~hold
        # No walk is called for in a green that is to end: it would keep it from ending.
        self.asked = Ask(
            ask.call, ask.ped & self.plan.peds & ~(ending & green), hold, ending & legal, ask.omit & ~green
        )

    def ready_at(self, p: int) -> float:
        """From when a green may end."""
        return self.ready[p]

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "mode": self.mode,
            "doubted": self._doubted,
            "held": list(self._held),
            **{name: list(getattr(self, name)) for name in _LISTS},
        }

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        for name in _LISTS:
            if len(state[name]) != len(getattr(self, name)):
                raise ValueError(f"{name}: the snapshot belongs to another site")
            setattr(self, name, list(state[name]))
        self.mode, self._doubted, self._held = state["mode"], state["doubted"], list(state["held"])
        self._frame = None
        self.version += 1


def _known(reading: Reading[Value], words: Mapping[float, int]) -> int | None:
    """What a reading says in our words, None where it cannot be read or says nothing."""
    value = reading.value
    return None if reading.quality is Quality.BAD or isinstance(value, str) else words.get(value)


_LISTS = ("state", "since", "ready", "ped", "ped_since", "current")
