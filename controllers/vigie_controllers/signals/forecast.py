"""When what a junction shows will end: earliest and latest, from the guard's state and the plan alone.

What the engine has committed itself to (yellow, clearances, walk, the start of a phase that follows) has an
exact end; a green that only a controller's wish ends has an earliest end and no latest. A monitor's trip or a
hand at the panel can cut anything short: no forecast knows of it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vigie_controllers.signals.engine_phases import Phases
from vigie_controllers.signals.engine_state import EPS
from vigie_controllers.signals.words import Lamp, Ped, PhaseState

_RED, _GREEN, _YELLOW, _CLEAR = (int(state) for state in PhaseState)
_L_RED, _L_YELLOW, _L_GREEN, _L_WALK_OUT = (
    int(Lamp.RED),
    int(Lamp.YELLOW),
    int(Lamp.GREEN),
    int(Lamp.FLASH_GREEN),
)


class End(NamedTuple):
    """Monotonic seconds. latest: None where nothing bounds it; equal to ``earliest`` when it is committed."""

    earliest: float
    latest: float | None


class At(NamedTuple):
    """An instant that is certain, or only a lower bound."""

    time: float
    sure: bool


class Forecast:
    """The ends of what every channel shows at ``now``.

    stopped: a reason not to run stands, so that nothing new begins. grid_s: the loop's period; a change comes
    with the first scan after it is due, and scans come at whole multiples of the period.
    """

    def __init__(self, plant: Phases, now: float, grid_s: float, stopped: bool) -> None:
        self._plant, self._plan = plant, plant.plan
        self._now, self._grid_s, self._stopped = now, grid_s, stopped

    def ends(self) -> Sequence[End | None]:
        """Per channel; None where nothing can be said."""
        plant = self._plant
        start = self._now if plant.mode_since is None else plant.mode_since
        count = len(plant.lamp)
        if plant.mode == "start":
            return [None if self._stopped else self._end(At(start + plant.flash_s, True))] * count
        if plant.mode in ("run", "closing"):
            return [self._channel(c) for c in range(count)]
        if plant.mode == "all-red" and not self._stopped:
            return [self._started(c, start + self._plan.site.startup.all_red_s) for c in range(count)]
        return [None] * count

    def _end(self, at: At) -> End:
        soonest = max(at.time, self._now)
        return End(soonest, self._scan(soonest) if at.sure else None)

    def _scan(self, at: float) -> float:
        """The first scan at which something due at ``at`` is done."""
        return max(at, math.ceil((at - EPS) / self._grid_s) * self._grid_s)

    # -- channels ------------------------------------------------------------------------------------

    def _channel(self, c: int) -> End:
        plan, plant = self._plan, self._plant
        shown = plant.lamp[c]
        if shown == _L_YELLOW and plan.vehicle[c]:
            return self._end(At(plant.lamp_since[c] + plan.yellow[c], True))
        if shown != _L_RED:
            return self._end(self._green_end(c) if plan.vehicle[c] else self._walk_end(c, shown))
        if plant.mode == "closing":
            return End(self._now, None)
        return self._opens(c, [self._begins(p) for p in self._members(c)])

    def _started(self, c: int, at: float) -> End:
        """A red channel of the start-up's all red, which ends with the start phases."""
        rows = []
        for p in self._members(c):
            begins = self._begins(p)
            rows.append(At(max(at, begins.time), p in self._plan.start))
        return self._opens(c, rows)

    def _opens(self, c: int, begins: list[At]) -> End:
        """A red channel opens with the first of its phases; a walk only if somebody asks for it by then."""
        plan, plant = self._plan, self._plant
        earliest = min((one.time for one in begins), default=self._now)
        if not plan.vehicle[c]:
            return End(max(self._now, earliest, plant.lamp_since[c] + plan.red[c]), None)
        sure = [one.time + self._lead(p) for p, one in zip(self._members(c), begins, strict=True) if one.sure]
        return End(max(self._now, earliest), self._scan(min(sure)) if sure else None)

    def _lead(self, p: int) -> float:
        """By how much a walk may yet come before the vehicles' green of a phase."""
        return 0.0 if self._plant.state[p] == _GREEN else self._plan.lead[p]

    def _members(self, c: int) -> list[int]:
        return [p for p in range(len(self._plan.ids)) if self._plan.parents[c] >> p & 1]

    def _green_end(self, c: int) -> At:
        """A green lasts while any of its phases is on, or comes next."""
        plant = self._plant
        at, sure = self._now, plant.mode == "closing"
        for p in self._members(c):
            if plant.state[p] == _GREEN and p in plant.current:
                at = max(at, plant.ready_at(p))
            elif p in plant.next:
                at = max(at, self._begins(p).time + self._plan.min_green[p])
        return At(at, sure)

    def _walk_end(self, c: int, shown: int) -> At:
        plan, plant = self._plan, self._plant
        want, lengths = (Ped.WALK, plan.walk) if shown == _L_GREEN else (Ped.CLEARANCE, plan.ped_clear)
        ends = [plant.ped_since[p] + lengths[p] for p in self._members(c) if plant.ped[p] == want]
        return At(max(ends, default=self._now), bool(ends))

    # -- phases --------------------------------------------------------------------------------------

    def _cleared(self, p: int) -> At:
        """When a phase that is on has cleared its ring."""
        plan, plant = self._plan, self._plant
        rest = plan.phase_yellow[p] + plan.phase_clear[p]
        if plant.state[p] == _GREEN:
            return At(max(plant.ready_at(p), self._now) + rest, False)
        if plant.state[p] == _YELLOW:
            return At(plant.since[p] + rest, True)
        return At(plant.since[p] + plan.phase_clear[p], True)

    def _begins(self, p: int) -> At:
        """When a phase begins at the earliest; certain when it is committed and only clearances stand before it."""
        plan, plant = self._plan, self._plant
        if plant.state[p] == _GREEN:  # lit, or led by a walk until then
            return At(max(self._now, plant.since[p]), plant.since[p] > self._now + EPS)
        ring = plan.ring[p]
        at, sure = self._now, p in plant.next and plant.mode == "run"
        for q in plant.current:
            if q >= 0 and (plan.ring[q] == ring or plan.rivals[p] >> q & 1):
                cleared = self._cleared(q)
                at, sure = max(at, cleared.time), sure and cleared.sure
        before = plant.next[ring]
        if before not in (-1, p):
            service = plan.min_green[before] + plan.phase_yellow[before] + plan.phase_clear[before]
            at = max(at, self._begins(before).time + service)
        at = max(at, self._red_at(p) + plan.revert[p])
        for c in plan.foes[p]:
            clear = self._foe_clear(c)
            at, sure = max(at, clear.time), sure and clear.sure
        for c in plan.channels[p]:
            if plan.vehicle[c] and plant.lamp[c] == _L_YELLOW:
                at = max(at, plant.lamp_since[c] + plan.yellow[c] + plan.red[c])
            elif plan.vehicle[c] and plant.lamp[c] == _L_RED:
                at = max(at, plant.lamp_since[c] + plan.red[c])
        return At(at, sure)

    def _red_at(self, p: int) -> float:
        """When a phase's own red began, or will begin after its yellow."""
        plant = self._plant
        if plant.state[p] == _YELLOW and p in plant.current:
            return plant.since[p] + self._plan.phase_yellow[p]
        return plant.red_at[p]

    def _foe_clear(self, c: int) -> At:
        """When a channel in conflict has shown red for its clearance."""
        plan, plant = self._plan, self._plant
        shown, clear = plant.lamp[c], plan.clear[c]
        if shown == _L_RED:
            waiting = any(p in plant.next for p in self._members(c))
            return At(plant.lamp_since[c] + clear, not waiting)
        if shown == _L_YELLOW:
            return At(plant.lamp_since[c] + plan.yellow[c] + clear, True)
        if plan.vehicle[c]:
            end = self._now
            for p in self._members(c):
                if plant.state[p] == _GREEN and p in plant.current:
                    end = max(end, plant.ready_at(p))
            return At(end + plan.yellow[c] + clear, False)
        rests = [
            plant.ped_since[p] + plan.ped_clear[p] + (plan.walk[p] if plant.ped[p] == Ped.WALK else 0.0)
            for p in self._members(c)
            if plant.ped[p]
        ]
        return At(max(rests, default=self._now) + clear, bool(rests))
