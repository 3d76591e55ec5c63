"""Detectors: which may be believed, and which phases they call.

A detector that cannot be believed puts its phases on recall: a failed loop must never starve an approach.
"""

from collections.abc import Sequence

from vigie_controllers.contract import State
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_protocols.points import Quality, Reading, Value

EPS = 1e-6
FOREVER = 1e18


def number_of(reading: Reading[Value]) -> float | None:
    """The value as a number, or None when it is bad, no number, not finite or negative."""
    value = reading.value
    if reading.quality is Quality.BAD or isinstance(value, str) or not 0 <= value < 1e9:
        return None
    return value


class DetectorBank:
    """Diagnoses every detector and gives the demand per phase as masks of places.

    on: phases with a vehicle on one of their detectors; recall: phases with a failed vehicle detector or
    without any; ped_on, ped_recall: the same for buttons. failed: why each failed detector is not believed.
    due: when time alone may fail one.
    """

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        detectors = site.detectors
        self._detectors = detectors
        self._masks = [0 if one.kind == "exit" else plan.mask(one.phases) for one in detectors]
        self._button = [one.kind == "button" for one in detectors]
        self._pulsed = [one.kind in ("presence", "button") for one in detectors]
        self._locks = [one.locks and one.kind != "button" for one in detectors]
        vehicles = 0
        for mask, button in zip(self._masks, self._button, strict=True):
            vehicles |= 0 if button else mask
        buttons = self._any_button()
        # A phase nobody watches must be taken as waiting; one that only pedestrians call need not be.
        self._blind = plan.all & ~vehicles & ~(buttons & self._ped_only(site, plan))
        self.on = self.locked = self.ped_on = self.ped_recall = 0
        self.recall = self._blind
        self.failed: dict[str, str] = {}
        self.due = FOREVER
        count = len(detectors)
        self._value: list[float | None] = [None] * count
        self._changed: list[float | None] = [None] * count
        self._window = [0.0] * count
        self._pulses = [0] * count
        self._chatter = [False] * count
        self._readings: Sequence[Reading[Value]] | None = None

    def _any_button(self) -> int:
        mask = 0
        for own, button in zip(self._masks, self._button, strict=True):
            mask |= own if button else 0
        return mask

    @staticmethod
    def _ped_only(site: SignalSite, plan: Plan) -> int:
        mask = plan.all
        for channel in site.channels:
            if channel.kind == "vehicle":
                mask &= ~plan.mask(channel.phases)
        return mask

    def update(self, now: float, readings: Sequence[Reading[Value]]) -> bool:
        """Look at a frame's detectors; True when anything given out changed."""
        if readings is self._readings and now + EPS < self.due:
            return False
        fresh = readings is not self._readings
        self._readings = readings
        before = (self.on, self.locked, self.recall, self.ped_on, self.ped_recall, self.failed)
        failed: dict[str, str] = {}
        on = ped_on = ped_recall = locked = 0
        recall = self._blind
        due = FOREVER
        for k, reading in enumerate(readings):
            value = number_of(reading)
            if fresh and (value != self._value[k] or self._changed[k] is None):
                self._note_change(k, value, now)
            why, until = self._judge(k, value, now)
            due = min(due, until)
            mask = self._masks[k]
            if why:
                failed[self._detectors[k].id] = why
                if self._button[k]:
                    ped_recall |= mask
                else:
                    recall |= mask
            elif value:
                if self._button[k]:
                    ped_on |= mask
                else:
                    on |= mask
                    if self._locks[k]:
                        locked |= mask
        self.on, self.locked, self.recall = on, locked, recall
        self.ped_on, self.ped_recall, self.failed, self.due = ped_on, ped_recall, failed, due
        return before != (on, locked, recall, ped_on, ped_recall, failed)

    def _note_change(self, k: int, value: float | None, now: float) -> None:
        self._value[k] = value
        self._changed[k] = now
        if self._pulsed[k]:
            if now - self._window[k] >= 60.0:
                self._chatter[k] = self._pulses[k] > self._detectors[k].chatter_per_min
                self._window[k], self._pulses[k] = now, 0
            self._pulses[k] += 1
            if self._pulses[k] > self._detectors[k].chatter_per_min:
                self._chatter[k] = True

    def _judge(self, k: int, value: float | None, now: float) -> tuple[str, float]:
        """Why it is not believed ("" if it is), and when that may change by time alone."""
        one = self._detectors[k]
        if value is None:
            return "no usable reading", FOREVER
        if value > one.max_value:
            return "absurd value", FOREVER
        changed = self._changed[k]
        since = now if changed is None else changed
        due = FOREVER
        if value > 0:
            due = since + one.stuck_on_s
            if now >= due - EPS:
                return "stuck on", FOREVER
        if one.no_activity_s > 0:
            quiet = since + one.no_activity_s
            if now >= quiet - EPS:
                return "no activity", FOREVER
            due = min(due, quiet)
        if self._chatter[k]:
            calm = self._window[k] + 120.0
            if now < calm - EPS:
                return "chatter", calm
            self._chatter[k] = False
        return "", due

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "value": list(self._value),
            "changed": list(self._changed),
            "window": list(self._window),
            "pulses": list(self._pulses),
            "chatter": list(self._chatter),
            "failed": dict(self.failed),
        }

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        if len(state["value"]) != len(self._detectors):
            raise ValueError("detectors: the snapshot belongs to another site")
        self._value, self._changed = list(state["value"]), list(state["changed"])
        self._window, self._pulses = list(state["window"]), list(state["pulses"])
        self._chatter = list(state["chatter"])
        self.failed = dict(state["failed"])
        self._readings = None
