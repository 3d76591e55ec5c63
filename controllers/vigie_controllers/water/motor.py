"""One pump motor as the guard sees it: is it on, since when, how often started, what has latched."""

import math

from vigie_controllers.contract import State
from vigie_controllers.water.site import PANEL_AUTO, PANEL_HAND, PANEL_OFF, PumpSite
from vigie_controllers.water.words import PumpInput, contact, number
from vigie_protocols.points import Reading, Value

HOUR_S = 3600.0


class Motor:
    """State of one pump. Only the guard changes it."""

    def __init__(self, n: int, site: PumpSite) -> None:
        self.name = f"pump {n}"
        self.site = site
        self.on = False
        self.since = 0.0
        self.starts: list[float] = []
        self.latched: dict[str, str] = {}
        self._dry_since: float | None = None
        self._over_since: float | None = None
        self._speed = 0.0

    # -- what is read ---------------------------------------------------------------------------------

    def panel(self, pump: PumpInput, now: float, max_age: float) -> int | None:
        """What the switch reads; auto when there is none; None when it cannot be read."""
        if pump.mode is None:
            return PANEL_AUTO
        value = number(pump.mode) if pump.mode.fresh(now, max_age) else None
        return int(value) if value in (PANEL_OFF, PANEL_HAND, PANEL_AUTO) else None

    def protect(self, now: float, pump: PumpInput, max_age: float) -> None:
        """Latch what must latch; a good reading of OFF at the panel clears it once the cause has gone."""
        fault = contact(pump.fault)
        if fault:
            self.latched["fault"] = "the starter reports a fault"
        running = self.on and contact(pump.running) is not False
        amps = number(pump.current) if pump.current is not None and pump.current.fresh(now, max_age) else None
        low, high = self.site.current_dry_a, self.site.current_max_a
        dry = running and amps is not None and low is not None and amps < low
        over = running and amps is not None and high is not None and amps > high
        self._dry_since = (now if self._dry_since is None else self._dry_since) if dry else None
        self._over_since = (now if self._over_since is None else self._over_since) if over else None
        if self._dry_since is not None and now - self._dry_since >= max(self.site.dry_s, 1e-9):
            self.latched["dry-run"] = f"its current stayed below {low} A: it pumps air"
        if self._over_since is not None and now - self._over_since >= max(self.site.overload_s, 1e-9):
            self.latched["overload"] = f"its current stayed above {high} A"
        if (
            pump.mode is not None
            and pump.mode.good
            and self.panel(pump, now, max_age) == PANEL_OFF
            and not fault
        ):
            self.latched.clear()

    def start_barrier(self, pump: PumpInput, now: float, max_age: float) -> tuple[str, str] | None:
        """What keeps it from starting until somebody or something changes: rule and reason."""
        if self.latched:
            rule, reason = next(iter(self.latched.items()))
            return rule, f"latched: {reason}"
        panel = self.panel(pump, now, max_age)
        if panel is None:
            return "panel-unreadable", "the hand/off/auto switch cannot be read"
        if panel != PANEL_AUTO:
            return "panel", "the switch at the panel is not on auto"
        if pump.fault is not None and _closed(pump.fault, now, max_age) is None:
            return "fault-unreadable", "the fault contact cannot be read"
        return None

    def rationed(self, now: float) -> bool:
        """True when the starts of the last hour are used up."""
        while self.starts and now - self.starts[0] >= HOUR_S:
            del self.starts[0]
        return len(self.starts) >= self.site.max_starts_per_hour

    # -- what changes ---------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Switch on; the caller has checked every limit."""
        self.on, self.since = True, now
        self.rationed(now)  # lets go of starts that count no more
        self.starts.append(now)

    def stop(self, now: float) -> None:
        """Switch off."""
        if self.on:
            self.on, self.since = False, now
            self._dry_since = self._over_since = None

    def resync(self, now: float, running: bool) -> None:
        """After an interruption: take the feedback for the truth, and count the pause from now."""
        if running:
            if not self.on:
                self.on, self.since = True, now
        else:
            self.on, self.since = False, now

    def reset(self) -> bool:
        """Clear the latches; True when there was one."""
        had = bool(self.latched)
        self.latched.clear()
        self._dry_since = self._over_since = None
        return had

    def drive(self, step: float, wanted: float | None) -> float:
        """Speed in percent after ``step`` seconds towards ``wanted``; starts at the lowest, 0 when off."""
        site = self.site
        if not self.on:
            self._speed = 0.0
            return 0.0
        goal = site.speed_high_pct if wanted is None or not math.isfinite(wanted) else wanted
        goal = min(max(goal, site.speed_low_pct), site.speed_high_pct)
        if self._speed < site.speed_low_pct:
            self._speed = site.speed_low_pct
        else:
            reach = site.speed_ramp_pct_per_s * max(step, 0.0)
            self._speed = min(max(goal, self._speed - reach), self._speed + reach)
        return self._speed

    # -- snapshots ------------------------------------------------------------------------------------

    def shift(self, by: float) -> None:
        """Move all instants by ``by`` seconds: the monotonic clock began anew."""
        self.since += by
        self.starts = [start + by for start in self.starts]
        self._dry_since = self._over_since = None

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "on": self.on,
            "since": self.since,
            "starts": list(self.starts),
            "latched": dict(self.latched),
            "dry_since": self._dry_since,
            "over_since": self._over_since,
            "speed": self._speed,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot; KeyError when it is not one."""
        self.on, self.since = bool(state["on"]), float(state["since"])
        self.starts = [float(start) for start in state["starts"]]
        self.latched = dict(state["latched"])
        self._dry_since, self._over_since = state["dry_since"], state["over_since"]
        self._speed = float(state["speed"])


def _closed(reading: Reading[Value], now: float, max_age: float) -> bool | None:
    return contact(reading) if reading.fresh(now, max_age) else None
