"""Detectors: which may be believed, which phases they call, and what stands in for those that failed.

A detector that cannot be believed puts its phases on recall, or leaves them to the historic profile where its
site says so: a failed loop must never starve an approach.
"""

from collections.abc import Sequence

from vigie_controllers.contract import State
from vigie_controllers.signals.diagnosis import Diagnosis, number_of
from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.profile import StandIn
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import PhaseState
from vigie_protocols.points import Reading, Value

__all__ = ["DetectorBank", "number_of"]

EPS = 1e-6
FOREVER = 1e18
_GREEN = int(PhaseState.GREEN)


class DetectorBank:
    """Diagnoses every detector and gives the demand per phase as masks of places.

    on: phases with a vehicle on one of their detectors, or expected there; recall: phases with a failed vehicle
    detector or without any; ped_on, ped_recall: the same for buttons. failed: why each failed detector is not
    believed. stand_in: failed detectors that the historic profile stands in for, and whether a vehicle is
    expected there now. due: when time alone may change any of it.
    """

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        detectors = site.detectors
        self._detectors = detectors
        self._masks = [0 if one.kind == "exit" else plan.mask(one.phases) for one in detectors]
        self._button = [one.kind == "button" for one in detectors]
        self._locks = [one.locks and one.kind != "button" for one in detectors]
        vehicles = buttons = 0
        for mask, button in zip(self._masks, self._button, strict=True):
            vehicles |= 0 if button else mask
            buttons |= mask if button else 0
        # A phase nobody watches must be taken as waiting; one that only pedestrians call need not be.
        self._blind = plan.all & ~vehicles & ~(buttons & self._ped_only(site, plan))
        self._diagnosis = Diagnosis(detectors, Zone(site.time_zone))
        self._stand_ins = {
            k: StandIn(max(1.0 / plan.max_red[plan.place[number]] for number in one.phases))
            for k, one in enumerate(detectors)
            if one.fallback == "profile" and one.kind not in ("button", "exit") and one.phases
        }
        self.on = self.locked = self.ped_on = self.ped_recall = 0
        self.recall = self._blind
        self.failed: dict[str, str] = {}
        self.stand_in: dict[str, bool] = {}
        self.due = -FOREVER
        self._green = 0
        self._readings: Sequence[Reading[Value]] | None = None

    @property
    def values(self) -> Sequence[float | None]:
        """The detectors' newest readings as numbers, in the site's order; None where one cannot be read."""
        return self._diagnosis.values

    @staticmethod
    def _ped_only(site: SignalSite, plan: Plan) -> int:
        mask = plan.all
        for channel in site.channels:
            if channel.kind != "pedestrian":
                mask &= ~plan.mask(channel.phases)
        return mask

    def update(
        self, now: float, readings: Sequence[Reading[Value]], clock: Reading[float], states: Sequence[int]
    ) -> bool:
        """Look at a frame's detectors; True when anything given out changed. states: of the phases."""
        green = 0
        if self.stand_in:
            green = sum(1 << p for p, state in enumerate(states) if state == _GREEN)
        changed = False
        if readings is not self._readings:
            self._readings = readings
            changed = self._diagnosis.look(now, readings)
        if not changed and now + EPS < self.due and green == self._green:
            return False
        self._green = green
        before = (self.on, self.locked, self.recall, self.ped_on, self.ped_recall, self.failed, self.stand_in)
        failed, due = self._diagnosis.judge(now, clock)
        stand_in: dict[str, bool] = {}
        on = ped_on = ped_recall = locked = 0
        recall = self._blind
        for k, value in enumerate(self._diagnosis.values):
            mask = self._masks[k]
            one = self._detectors[k]
            if one.id in failed:
                expected = self._diagnosis.profile.expected(k) if k in self._stand_ins else None
                if self._button[k]:
                    ped_recall |= mask
                elif expected is None:
                    recall |= mask
                else:
                    waits, until = self._stand_ins[k].step(now, expected, bool(green & mask))
                    stand_in[one.id] = waits
                    due = min(due, until)
                    on |= mask if waits else 0
            elif value:
                if self._button[k]:
                    ped_on |= mask
                else:
                    on |= mask
                    if self._locks[k]:
                        locked |= mask
        self.on, self.locked, self.recall = on, locked, recall
        self.ped_on, self.ped_recall, self.due = ped_on, ped_recall, due
        if failed != self.failed:
            self.failed = failed
        if stand_in != self.stand_in:
            self.stand_in = stand_in
        return before != (on, locked, recall, ped_on, ped_recall, failed, stand_in)

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "diagnosis": self._diagnosis.snapshot(),
            "stand_ins": {str(k): one.snapshot() for k, one in self._stand_ins.items()},
            "failed": dict(self.failed),
            "stand_in": dict(self.stand_in),
            "green": self._green,
        }

    def restore(self, state: State) -> None:
        """After a restart: the historic profile is kept, every diagnosis begins anew."""
        self._diagnosis.restore(state["diagnosis"])

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        self._diagnosis.resume(state["diagnosis"])
        for k, one in self._stand_ins.items():
            one.resume(state["stand_ins"][str(k)])
        self.failed, self.stand_in = dict(state["failed"]), dict(state["stand_in"])
        self._green = state["green"]
        self._readings, self.due = None, -FOREVER
