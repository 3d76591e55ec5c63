"""Where a cycle stands, and how it comes into step after a change of plan or of the clock.

The position goes on continuously, whatever the plan or the clock does, and is brought to where it ought to be
by the plan's transition. Only at the beginning, when there is nothing to go on from, is it set.
"""

from vigie_controllers.contract import State
from vigie_controllers.signals.cycle import Cycle
from vigie_controllers.signals.sensing import EPS

SNAP_S = 0.1
"""A difference up to this is taken at once: clocks jitter."""
LOST_S = 60.0
"""After so long without a step the junction has gone through other things: begin anew."""


class CycleClock:
    """The position in a cycle.

    at: seconds, 0 to the cycle's length. in_step: it is where it ought to be. ahead: seconds by which it is too
    far on, from 0 to the cycle's length. method: ``add``, ``subtract`` or ``dwell`` while not in step.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self.in_step = False
        self.ahead = 0.0
        self.method = ""
        self._now: float | None = None
        self._dwelt = 0.0

    def forget(self) -> None:
        """Nothing to go on from: the next step sets the position."""
        self._now = None

    def move(self, at: float) -> None:
        """Stand at another position, of another plan; it may be out of step there."""
        self.at, self.in_step, self.method = at, False, ""

    def step(self, now: float, cycle: Cycle, target: float) -> float:
        """Advance to ``now``; ``target``: where the cycle ought to stand. The position."""
        length = cycle.length
        last, self._now = self._now, now
        if last is None or not 0.0 <= now - last <= LOST_S:
            self._settle(target)
            return self.at
        passed = now - last
        ahead = (self.at + passed - target) % length
        if min(ahead, length - ahead) <= SNAP_S:
            self._settle(target)
            return self.at
        if not self.method or not 0.0 < ahead < length:
            self.method = _choose(cycle, ahead)
        self.in_step, self.ahead = False, ahead
        share = cycle.timing.transition_pct / 100.0
        if self.method == "add":
            gain = -min(ahead, passed * share / (1.0 + share))
        elif self.method == "subtract":
            gain = min(length - ahead, passed * min(share / (1.0 - share), cycle.spare(self.at)))
        else:
            gain = -self._dwell(cycle, passed, ahead, share)
        self.at = (self.at + passed + gain) % length
        return self.at

    def _dwell(self, cycle: Cycle, passed: float, ahead: float, share: float) -> float:
        """Seconds to wait at the end of the coordinated phases, or of the first ones."""
        plan_end = cycle.dwell_at
        room = (plan_end - self.at) % cycle.length
        if room > passed and room < cycle.length - EPS:
            self._dwelt = 0.0
            return 0.0
        room = 0.0 if room >= cycle.length - EPS else room
        wait = min(passed - room, ahead, cycle.length * share - self._dwelt)
        self._dwelt += max(0.0, wait)
        return max(0.0, wait)

    def _settle(self, target: float) -> None:
        self.at, self.in_step, self.ahead, self.method, self._dwelt = target, True, 0.0, "", 0.0

    def snapshot(self) -> State:
        """All of it."""
        return {
            "at": self.at,
            "in_step": self.in_step,
            "ahead": self.ahead,
            "method": self.method,
            "now": self._now,
            "dwelt": self._dwelt,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self.at, self.in_step, self.ahead = state["at"], state["in_step"], state["ahead"]
        self.method, self._now, self._dwelt = state["method"], state["now"], state["dwelt"]


def _choose(cycle: Cycle, ahead: float) -> str:
    """The way into step; shortway compares how long adding and subtracting would take."""
    timing = cycle.timing
    share = timing.transition_pct / 100.0
    faster = min(share / (1.0 - share), cycle.mean_spare)
    if timing.transition == "dwell" or timing.transition == "add":
        return timing.transition
    if faster <= EPS:  # every split is at its minimum already: only longer cycles are left
        return "add"
    if timing.transition == "subtract":
        return "subtract"
    return "add" if ahead * (1.0 + share) / share <= (cycle.length - ahead) / faster else "subtract"
