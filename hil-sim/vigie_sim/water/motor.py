"""One pump's motor and starter: what it does when asked to run, and how bad control destroys it."""

from collections import deque

from pydantic import Field

from vigie_protocols.strict import Strict

SQRT_3 = 1.7320508075688772
OFF, HAND, AUTO = 0, 1, 2
"""What a hand/off/auto selector reads."""


class MotorSpec(Strict):
    """A motor with its starter. Times in seconds, currents in amperes.

    start_delay_s, stop_delay_s: from the contactor's command to the run contact and back.
    anti_restart_s: the starter holds a start back for so long after a stop (back-spin).
    starts_per_hour: one more start within an hour overheats the windings; the motor trips.
    dry_s: running so long with the suction in air destroys the seal; the motor trips.
    cooling_s: a tripped motor can be reset only after so long.
    """

    start_delay_s: float = Field(default=2.0, ge=0, le=60)
    stop_delay_s: float = Field(default=1.0, ge=0, le=60)
    anti_restart_s: float = Field(default=10.0, ge=0, le=600)
    starts_per_hour: int = Field(default=15, ge=1, le=120)
    dry_s: float = Field(default=20.0, gt=0, le=600)
    cooling_s: float = Field(default=600.0, ge=0, le=7200)
    no_load_a: float = Field(default=9.0, ge=0)
    volts: float = Field(default=600.0, gt=0)
    power_factor: float = Field(default=0.85, gt=0, le=1)


class Motor:
    """State of one motor. ``burnt`` counts trips by overheating or dry running; good control keeps it 0.

    blocked: a fault to inject, the motor does not turn although its contactor is closed.
    """

    def __init__(self, spec: MotorSpec) -> None:
        self.spec = spec
        self.running = False
        self.fault = ""
        self.starts = 0
        self.burnt = 0
        self.run_s = 0.0
        self.blocked = False
        self._closed = False
        self._changed = -1e9
        self._stopped = -1e9
        self._tripped = -1e9
        self._dry = 0.0
        self._recent: deque[float] = deque()

    def step(self, now: float, seconds: float, wanted: bool, dry: bool) -> None:
        """Advance to ``now``, ``seconds`` after the last call; dry: the suction is in air."""
        if self.running:
            self.run_s += seconds
            self._dry = self._dry + seconds if dry else 0.0
            if self._dry >= self.spec.dry_s:
                self._trip(now, "dry")
        closed = wanted and not self.fault
        if closed and not self._closed and now - self._stopped < self.spec.anti_restart_s:
            closed = False
        if closed != self._closed:
            self._closed, self._changed = closed, now
            if closed:
                self._start(now)
        turning = self._closed and not self.fault and not self.blocked
        delay = self.spec.start_delay_s if self._closed else self.spec.stop_delay_s
        if self.fault or (turning != self.running and now - self._changed >= delay):
            self._turn(now, turning)

    def _start(self, now: float) -> None:
        self.starts += 1
        self._recent.append(now)
        while self._recent[0] <= now - 3600.0:
            self._recent.popleft()
        if len(self._recent) > self.spec.starts_per_hour:
            self._trip(now, "overheated")

    def _turn(self, now: float, turning: bool) -> None:
        if self.running and not turning:
            self._stopped = now
            self._dry = 0.0
        self.running = turning

    def _trip(self, now: float, why: str) -> None:
        self.fault = why
        self.burnt += 1
        self._tripped = now
        self._closed = False

    def power_lost(self, now: float) -> None:
        """The supply is gone: the contactor falls out at once."""
        self._closed, self._changed = False, now
        self._turn(now, False)

    def reset(self, now: float) -> bool:
        """Clear a trip once the motor has cooled; True when it did."""
        if not self.fault or now - self._tripped < self.spec.cooling_s:
            return False
        self.fault = ""
        self._recent.clear()
        return True

    def amperes(self, watts: float) -> float:
        """Line current for this electric power; near the no-load current when pumping air."""
        if not self.running:
            return self.spec.no_load_a * 6.0 if self._closed and self.blocked else 0.0
        return max(self.spec.no_load_a, watts / (SQRT_3 * self.spec.volts * self.spec.power_factor))
