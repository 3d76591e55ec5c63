"""A real controller cabinet as the guard sees it: phase states read back, requests filtered.

The cabinet makes its lamps and its own monitor is the last authority. Here we only time what it reports, so
that no force-off is sent before the minimum green and the pedestrian service are over, and so that the
maximum red can be kept. Attributes match those of ``Engine``; unseen_peds: phases whose pedestrian service
is not reported, so that a green counts as served.
"""

from vigie_controllers.contract import State
from vigie_controllers.signals.engine import EPS, FOREVER, NEVER, Ask, Stop
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.words import Frame, Lamp, Ped, PhaseState
from vigie_protocols.points import Quality, Reading, Value

_RED, _GREEN, _YELLOW, _CLEAR = (int(state) for state in PhaseState)
_STATES = {
    int(Lamp.RED): _RED,
    int(Lamp.YELLOW): _YELLOW,
    int(Lamp.GREEN): _GREEN,
    int(Lamp.FLASH_GREEN): _GREEN,
}
_PEDS = {int(Lamp.GREEN): Ped.WALK, int(Lamp.FLASH_GREEN): Ped.CLEARANCE}


class Cabinet:
    """Phase states as reported; ``asked`` is what may be sent. mode ``unknown`` when they cannot be read."""

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
        self._frame: Frame | None = None

    def observe(self, now: float, frame: Frame) -> None:
        """Take up what the cabinet reports."""
        if frame is not self._frame:
            self._frame = frame
            mode = "run"
            flash = frame.cabinet_flash
            if flash is not None and (flash.quality is Quality.BAD or flash.value):
                mode = "unknown" if flash.quality is Quality.BAD else "flash"
            self.unseen_peds = sum(1 << p for p, ped in enumerate(frame.cabinet_ped) if ped is None)
            for place, reading in enumerate(frame.cabinet):
                state = None if reading.quality is Quality.BAD else _STATES.get(_whole(reading.value))
                if state is None:
                    mode = "flash" if mode == "flash" else "unknown"
                else:
                    self._note(place, state, now)
                self._note_ped(place, frame.cabinet_ped[place], now)
            if mode != self.mode:
                self.mode = mode
                self.version += 1
        self._tick(now)

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

    def _note_ped(self, p: int, reading: Reading[Value] | None, now: float) -> None:
        if reading is None or reading.quality is Quality.BAD:
            return
        ped = _PEDS.get(_whole(reading.value), Ped.DONT_WALK)
        if ped == self.ped[p]:
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
        self.wake = wake

    def step(self, now: float, ask: Ask, stop: Stop | None) -> None:
        """Filter a request: nothing at all unless the cabinet runs, no force-off before it is legal."""
        if stop is not None or self.mode != "run":
            self.asked = Ask()
            return
        legal = 0
        for p, state in enumerate(self.state):
            if state == _GREEN and now >= self.ready[p] - EPS and self.ped[p] == Ped.DONT_WALK:
                legal |= 1 << p
        self.asked = ask._replace(force_off=ask.force_off & legal)

    def ready_at(self, p: int) -> float:
        """From when a green may end."""
        return self.ready[p]

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {"mode": self.mode, **{name: list(getattr(self, name)) for name in _LISTS}}

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        for name in _LISTS:
            if len(state[name]) != len(getattr(self, name)):
                raise ValueError(f"{name}: the snapshot belongs to another site")
            setattr(self, name, list(state[name]))
        self.mode = state["mode"]
        self._frame = None
        self.version += 1


def _whole(value: Value) -> int:
    return -1 if isinstance(value, str) or not -1e9 < value < 1e9 else int(value)


_LISTS = ("state", "since", "ready", "ped", "ped_since", "current")
