"""UTC for coordination, held over by the monotonic clock while nobody vouches for UTC.

While UTC is synchronised the rate of the monotonic clock against it is learned, so that after a cut the cycle
does not drift with the oscillator: what is left is how well the rate was known and how it changes with
temperature. In holdover the system's own UTC is free-running too, so the learned rate is preferred to it.
"""

from vigie_controllers.contract import State
from vigie_protocols.points import Reading

STEP_S = 1.0
"""A difference beyond this is a clock that was set, not one that drifts."""
LEARN_S = 3600.0
"""Shortest span over which a rate is believed: 10 ms of jitter over it are 3 ppm, 0.24 s a day."""
RENEW_S = 6 * 3600.0
"""Longest span: an older rate belongs to another temperature."""
_MOST = 500e-6
"""No oscillator worth the name is worse; a larger rate is a clock being slewed."""


class HeldClock:
    """state: ``none`` (UTC was never known), ``synced`` or ``held``."""

    def __init__(self) -> None:
        self.state = "none"
        self._base: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._rate = 1.0

    def read(self, now: float, clock: Reading[float]) -> float | None:
        """UTC seconds at ``now``, or None when it was never known since the machine began."""
        last = self._last
        if last is not None and now < last[0]:  # the monotonic clock began anew, with the machine
            self._base = self._last = last = None
            self._rate = 1.0
        if clock.good:
            self._learn(now, clock.value)
            self.state = "synced"
            return clock.value
        if last is not None:
            self.state = "held"
            return last[1] + (now - last[0]) * self._rate
        if clock.usable:
            self._last = (now, clock.value)
            self.state = "held"
            return clock.value
        self.state = "none"
        return None

    def _learn(self, now: float, utc: float) -> None:
        base, last = self._base, self._last
        if base is None or last is None or abs(utc - last[1] - (now - last[0])) > STEP_S:
            self._base = base = (now, utc)
        span = now - base[0]
        if span >= LEARN_S:
            rate = (utc - base[1]) / span
            if abs(rate - 1.0) <= _MOST:
                self._rate = rate
            if span >= RENEW_S:
                self._base = (now, utc)
        self._last = (now, utc)

    def snapshot(self) -> State:
        """All of it."""
        return {
            "state": self.state,
            "base": None if self._base is None else list(self._base),
            "last": None if self._last is None else list(self._last),
            "rate": self._rate,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self.state = state["state"]
        self._base = None if state["base"] is None else (state["base"][0], state["base"][1])
        self._last = None if state["last"] is None else (state["last"][0], state["last"][1])
        self._rate = state["rate"]
