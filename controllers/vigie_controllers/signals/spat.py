"""The junction as a SPaT message would tell it (SAE J2735), as plain JSON values.

Names and codes are the standard's; what the message needs but nobody here knows (the intersection's number,
its map) is left out. Beside the standard's time marks stand seconds from now, which need no clock.
"""

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from vigie_controllers.signals.cabinet import Cabinet
from vigie_controllers.signals.engine_phases import Phases
from vigie_controllers.signals.forecast import At, End, Forecast
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.words import Frame, Lamp, PanelMode, Ped, PhaseState
from vigie_protocols.points import Reading

UNKNOWN_TIME = 36001
"""J2735 TimeMark: undefined or unknown."""
BEYOND_HOUR = 36000
"""J2735 TimeMark: more than an hour away."""
_FIXED = ("signal.fixed", "signal.coordinated")
_STATES = {
    Lamp.DARK: "dark",
    Lamp.RED: "stop-And-Remain",
    Lamp.FLASH_RED: "stop-Then-Proceed",
    Lamp.FLASH_YELLOW: "caution-Conflicting-Traffic",
}
_OF_PHASE = {
    PhaseState.GREEN: Lamp.GREEN,
    PhaseState.YELLOW: Lamp.YELLOW,
    PhaseState.RED: Lamp.RED,
    PhaseState.RED_CLEAR: Lamp.RED,
}


class _Ends(Forecast):
    """With walks that may rest: how long they last nobody knows, and so when what waits for them begins."""

    def _resting(self, c: int) -> bool:
        plant, resting = self._plant, self._plan.walk_rest
        return any(plant.ped[p] == Ped.WALK and resting >> p & 1 for p in self._members(c))

    def _walk_end(self, c: int, shown: int) -> At:
        end = super()._walk_end(c, shown)
        return end._replace(sure=False) if self._resting(c) else end

    def _foe_clear(self, c: int) -> At:
        clear = super()._foe_clear(c)
        return clear._replace(sure=False) if self._resting(c) else clear


def spat(
    guard: SignalGuard,
    frame: Frame,
    now: float,
    clock: Reading[float],
    grid_s: float,
    speaker: str,
    priority: bool = False,
) -> dict[str, Any]:
    """One intersection state.

    grid_s: the loop's period; speaker: kind of the controller that speaks, or ""; priority: transit priority is
    granted to somebody.
    """
    plant = guard.plant
    if isinstance(plant, Phases):
        states = _channels(guard, plant, now, clock, grid_s)
    else:
        states = _phases(guard, plant, now, clock)
    told: dict[str, Any] = {"status": _status(guard, frame, speaker, priority)}
    if _sane(clock):
        minute, second = divmod(clock.value, 60.0)
        first = (date(1970, 1, 1) + timedelta(minutes=minute)).replace(month=1, day=1)
        told |= {
            "moy": int(minute) - (first - date(1970, 1, 1)).days * 1440,
            "timeStamp": int(second * 1000),
        }
    return told | {"states": states}


def _sane(clock: Reading[float]) -> bool:
    return clock.usable and 0.0 <= clock.value < 4_102_444_800.0


def _status(guard: SignalGuard, frame: Frame, speaker: str, priority: bool) -> list[str]:
    """The standard's status bits that are set, by name."""
    status = guard.status
    bits = []
    panel = frame.panel
    if panel is not None and panel.value in (PanelMode.HAND, PanelMode.POLICE):
        bits.append("manualControlIsEnabled")
    if status.preemption:
        bits.append("preemptIsActive")
    if priority:
        bits.append("signalPriorityIsActive")
    fault = frame.monitor_fault
    if status.mode == "flash":
        bits.append("failureFlash" if fault is not None and fault.value else "standbyOperation")
    elif status.mode == "dark":
        bits.append("off")
    elif status.mode == "unknown":
        bits.append("failureMode")
    elif status.mode != "run":
        bits.append("standbyOperation")
    elif not speaker or speaker in _FIXED:
        bits.append("fixedTimeOperation")
    else:
        bits.append("trafficDependentOperation")
        if speaker == "signal.priority":  # it speaks only while a transit vehicle is being served
            bits.append("signalPriorityIsActive")
    return bits


def _channels(
    guard: SignalGuard, plant: Phases, now: float, clock: Reading[float], grid_s: float
) -> list[dict[str, Any]]:
    plan = guard.plan
    ends = _Ends(plant, now, grid_s, guard.stopped).ends()
    states = []
    for c, channel in enumerate(plan.site.channels):
        permissive = plan.mask(channel.permissive)
        on = [p for p in range(len(plan.ids)) if plan.parents[c] >> p & 1 and plant.state[p]]
        gives_way = bool(on) and all(permissive >> p & 1 for p in on)
        lamp = Lamp(plant.lamps[c])
        if lamp is Lamp.FLASH_GREEN and not plan.vehicle[c]:
            state = "protected-clearance"
        else:
            state = _event_state(lamp, gives_way)
        states.append(_movement(channel.id, c + 1, state, ends[c], now, clock))
    return states


def _phases(guard: SignalGuard, plant: Cabinet, now: float, clock: Reading[float]) -> list[dict[str, Any]]:
    """A cabinet makes its own times: all that is known is when our own force-off may end a green."""
    states = []
    for p, phase in enumerate(guard.status.phases):
        known = guard.status.mode == "run"
        state = _event_state(_OF_PHASE[phase.state], False) if known else "unavailable"
        end = End(max(now, plant.ready[p]), None) if phase.state is PhaseState.GREEN and known else None
        states.append(_movement(f"phase {phase.id}", phase.id, state, end, now, clock))
    return states


def _event_state(lamp: Lamp, gives_way: bool) -> str:
    """J2735 MovementPhaseState."""
    if lamp is Lamp.GREEN or lamp is Lamp.FLASH_GREEN or lamp is Lamp.YELLOW:
        way = "permissive" if gives_way else "protected"
        return f"{way}-clearance" if lamp is Lamp.YELLOW else f"{way}-Movement-Allowed"
    return _STATES[lamp]


def _movement(
    name: str, group: int, state: str, end: End | None, now: float, clock: Reading[float]
) -> dict[str, Any]:
    event: dict[str, Any] = {"eventState": state}
    if end is not None:
        earliest, latest = end
        marks = {"minEndTime": _mark(earliest - now, clock, math.floor)}
        seconds = {"min": round(earliest - now, 3)}
        if latest is not None:
            marks["maxEndTime"] = marks["likelyTime"] = _mark(latest - now, clock, math.ceil)
            seconds["max"] = round(latest - now, 3)
        event |= {"timing": marks, "seconds": seconds}
    return {"movementName": name, "signalGroup": group, "state-time-speed": [event]}


def _mark(ahead: float, clock: Reading[float], whole: Callable[[float], int]) -> int:
    """J2735 TimeMark: tenths of a second in the hour of UTC, this one or the next."""
    if not _sane(clock):
        return UNKNOWN_TIME
    if ahead >= 3600.0:
        return BEYOND_HOUR
    return whole(round((clock.value + ahead) * 10.0, 3)) % 36000
