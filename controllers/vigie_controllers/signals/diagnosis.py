"""Detector diagnostics: stuck on, stuck off, chatter, no activity, implausible counts.

Total: whatever a reading holds, each detector is either believed or failed with a reason, and nothing raises.
The words are those of NEMA TS 2 (max presence, no activity, erratic output), put plainly.
"""

from collections.abc import Sequence

from vigie_controllers.contract import State
from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.profile import FOREVER, Profile
from vigie_controllers.signals.site import Detector
from vigie_protocols.points import Quality, Reading, Value

EPS = 1e-6
NO_READING = "no usable reading"
ABSURD = "absurd value"
STUCK_ON = "stuck on"
STUCK_OFF = "stuck off"
NO_ACTIVITY = "no activity"
CHATTER = "chatter"
IMPLAUSIBLE = "implausible counts"

WINDOW_S = 60.0
"""Changes and leaps are counted over so long."""
LEAPS = 2
"""Leaps of a count within the window that are still believed."""
LEAP, LEAP_PER_S = 4.0, 2.0
"""A count that changes by more than this, plus so much for each second between two frames, has leapt: more
vehicles cannot cross the two ends of a zone and change lanes into it."""
_COUNTING = ("count", "halting", "exit")


def number_of(reading: Reading[Value]) -> float | None:
    """The value as a number, or None when it is bad, no number, not finite or negative."""
    value = reading.value
    if reading.quality is Quality.BAD or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return value


class Diagnosis:
    """Watches the readings of ``detectors``, in their order. values: the newest as numbers, None where bad."""

    def __init__(self, detectors: Sequence[Detector], zone: Zone) -> None:
        count = len(detectors)
        self._detectors = tuple(detectors)
        self._counting = [one.kind in _COUNTING for one in detectors]
        self._limit = [LEAPS if one.kind in _COUNTING else one.chatter_per_min for one in detectors]
        self._peers = [self._beside(k) for k in range(count)]
        self.profile = Profile(count, zone)
        self.values: list[float | None] = [None] * count
        self._changed: list[float | None] = [None] * count
        self._window = [0.0] * count
        self._strikes = [0] * count
        self._erratic = [False] * count
        self._passed = [0] * count
        self._quiet_at = [0.0] * count
        self._looked = -FOREVER

    def _beside(self, k: int) -> tuple[int, ...]:
        """Detectors that see the same vehicles one after another: of the same lane, and of no other."""
        own = self._detectors[k]
        if own.kind not in ("presence", "count") or len(own.lanes) != 1:
            return ()
        return tuple(
            place
            for place, one in enumerate(self._detectors)
            if place != k and one.kind in ("presence", "count") and one.lanes == own.lanes
        )

    def look(self, now: float, readings: Sequence[Reading[Value]]) -> bool:
        """Take up a frame; True when any value in it is another than before."""
        between = now - self._looked
        self._looked = now
        values = self.values
        changed = False
        for k, reading in enumerate(readings):
            value = number_of(reading)
            if value != values[k] or self._changed[k] is None:
                self._note_change(k, value, now, between)
                changed = True
        return changed

    def _note_change(self, k: int, value: float | None, now: float, between: float) -> None:
        before, self.values[k] = self.values[k], value
        self._changed[k] = now
        self._passed[k] = 0
        more = 0 if value is None or before is None else int(value - before)
        if more > 0:
            self.profile.saw(k, more)
            for peer in self._peers[k]:
                self._passed[peer] += more
        if self._counting[k] and not abs(more) > LEAP + LEAP_PER_S * between:
            return
        if now - self._window[k] >= WINDOW_S:
            self._erratic[k] = self._strikes[k] > self._limit[k]
            self._window[k], self._strikes[k] = now, 0
        self._strikes[k] += 1
        if self._strikes[k] > self._limit[k]:
            self._erratic[k] = True

    def judge(self, now: float, clock: Reading[float]) -> tuple[dict[str, str], float]:
        """Why each failed detector is not believed, and when time alone may change that."""
        profile = self.profile
        if now + EPS >= profile.due:
            profile.turn(now, clock)
        failed: dict[str, str] = {}
        due = profile.due
        for k, one in enumerate(self._detectors):
            why, until = self._why(k, now)
            due = min(due, until)
            if why:
                failed[one.id] = why
                profile.spoil(k)
        return failed, due

    def _why(self, k: int, now: float) -> tuple[str, float]:
        """Why it is not believed ("" if it is), and when that may change by time alone."""
        one, value = self._detectors[k], self.values[k]
        if value is None:
            return NO_READING, FOREVER
        if value > one.max_value or (self._counting[k] and value != int(value)):
            return ABSURD, FOREVER
        changed = self._changed[k]
        since = now if changed is None else changed
        due = FOREVER
        if value > 0:
            due = since + one.stuck_on_s
            if now >= due - EPS:
                return STUCK_ON, FOREVER
        elif self._peers[k] and 0 < one.stuck_off_after * len(self._peers[k]) <= self._passed[k]:
            return STUCK_OFF, FOREVER
        quiet = self._silent(k, one, since, now)
        if now >= quiet - EPS:
            return NO_ACTIVITY, FOREVER
        due = min(due, quiet)
        if self._erratic[k]:
            calm = self._window[k] + 2 * WINDOW_S
            if now < calm - EPS:
                return IMPLAUSIBLE if self._counting[k] else CHATTER, calm
            self._erratic[k] = False
        return "", due

    def _silent(self, k: int, one: Detector, since: float, now: float) -> float:
        """When its silence is no longer believable: after a fixed time, or by what this hour should bring."""
        quiet = since + one.no_activity_s if one.no_activity_s > 0 else FOREVER
        if one.quiet_vehicles > 0 and one.kind in ("presence", "count"):
            at = self._quiet_at[k]
            if now >= at - EPS:  # asked anew only when the answer may matter: changes cost nothing
                at = self.profile.silence_ends(k, since, one.quiet_vehicles)
                self._quiet_at[k] = min(at, max(now, self.profile.due)) if at > now else at
            quiet = min(quiet, at)
        return quiet

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "values": list(self.values),
            "changed": list(self._changed),
            "window": list(self._window),
            "strikes": list(self._strikes),
            "erratic": list(self._erratic),
            "passed": list(self._passed),
            "quiet_at": list(self._quiet_at),
            "looked": self._looked,
            "profile": self.profile.snapshot(),
        }

    def restore(self, state: State) -> None:
        """After a restart: the historic profile alone."""
        self.profile.restore(state["profile"])

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        if len(state["values"]) != len(self._detectors):
            raise ValueError("detectors: the snapshot belongs to another site")
        self.values, self._changed = list(state["values"]), list(state["changed"])
        self._window, self._strikes = list(state["window"]), list(state["strikes"])
        self._erratic, self._passed = list(state["erratic"]), list(state["passed"])
        self._quiet_at, self._looked = list(state["quiet_at"]), state["looked"]
        self.profile.resume(state["profile"])
