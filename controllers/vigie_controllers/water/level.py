"""``water.level``: lead and lag pumps by level, with alternation, failover and a basin gate.

A storm policy is nothing but other levels: start earlier to make room, hold the basin's gate.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Strict
from vigie_controllers.water.domain import WaterDomain
from vigie_controllers.water.site import WaterSite
from vigie_controllers.water.words import WaterInputs, WaterOutputs, contact, level_of, plausible

KIND = "water.level"


class LevelConfig(Strict):
    """Parameters of ``water.level``: levels in metres above the well's floor, times in seconds.

    lead_start_m, lead_stop_m: the first pump's; lag_start_m, lag_stop_m: the second's; each further pump
    starts one lead-to-lag step higher, at most at the high alarm.
    """

    lead_start_m: float
    lead_stop_m: float
    lag_start_m: float
    lag_stop_m: float
    start_hold_s: float = Field(default=3.0, ge=0, le=300)
    """A start level must hold so long, so that a wave starts nothing."""
    alternate: Literal["each-start", "never"] = "each-start"
    alternate_after_s: float = Field(default=1800.0, ge=0, le=86400)
    """A lead pump alone hands over after so long; 0: never."""
    failover_s: float = Field(default=8.0, gt=0, le=300)
    """A pump commanded so long without its run contact closing is passed over."""
    retry_s: float = Field(default=600.0, gt=0, le=86400)
    gate_open_pct: float = Field(default=100.0, ge=0, le=100)
    gate_held_pct: float = Field(default=0.0, ge=0, le=100)
    """Opening while the well is full."""
    gate_hold_from_m: float | None = None
    gate_hold_to_m: float | None = None
    """Between these levels of the well the gate goes from ``gate_open_pct`` to ``gate_held_pct``."""
    gate_relief_m: float | None = None
    """From this level of the basin to its crest the gate opens again: a spill saved below is none if it
    happens above."""


@dataclass(frozen=True, slots=True)
class _Stage:
    start_m: float
    stop_m: float


class LevelController:
    """Counts how many pumps the level asks for, and chooses which."""

    def __init__(self, config: LevelConfig, site: WaterSite) -> None:
        self._config = config
        self._site = site
        step = config.lag_start_m - config.lead_start_m
        self._stages = tuple(
            _Stage(config.lead_start_m, config.lead_stop_m)
            if n == 0
            else _Stage(min(config.lag_start_m + (n - 1) * step, site.alarm_high_m), config.lag_stop_m)
            for n in range(site.together)
        )
        self._demand = 0
        self._rising_since: float | None = None
        self._order = list(range(len(site.pumps)))
        self._chosen: list[int] = []
        self._failed: dict[int, float] = {}
        self._last: float | None = None

    @classmethod
    def of(cls, config: LevelConfig, domain: WaterDomain) -> "LevelController":
        """A controller for this station; raises ValueError naming a level outside the guard's envelope."""
        _check(config, domain.site)
        return cls(config, domain.site)

    def step(self, now: float, inputs: WaterInputs) -> WaterOutputs | None:
        """Pumps, speeds and gate for this level; None without a level to go by."""
        self._follow_clock(now)
        level, _ = level_of(now, inputs, self._site)
        if level is None:
            self._rising_since = None
            return None
        said: list[Decision] = []
        self._count(now, level, said)
        self._choose(now, inputs, level, said)
        speed = self._speed(level)
        count = len(self._site.pumps)
        return WaterOutputs(
            run=tuple(place in self._chosen for place in range(count)),
            speed=(speed,) * count,
            gate=self._gate(now, level, inputs),
            decisions=tuple(said),
        )

    # -- how many -------------------------------------------------------------------------------------

    def _count(self, now: float, level: float, said: list[Decision]) -> None:
        before = self._demand
        while self._demand > 0 and level <= self._stages[self._demand - 1].stop_m:
            self._demand -= 1
        if self._demand < before:
            self._rising_since = None
            said.append(_say("well", "fewer", f"level {level:.2f} m: {self._demand} pump(s) suffice"))
            return
        if self._demand < len(self._stages) and level >= self._stages[self._demand].start_m:
            if self._rising_since is None:
                self._rising_since = now
            if now - self._rising_since >= self._config.start_hold_s:
                start = self._stages[self._demand].start_m
                self._demand += 1
                self._rising_since = None
                said.append(
                    _say(
                        "well",
                        "more",
                        f"level {level:.2f} m has reached {start:.2f} m: {self._demand} pump(s)",
                    )
                )
        else:
            self._rising_since = None

    # -- which ----------------------------------------------------------------------------------------

    def _choose(self, now: float, inputs: WaterInputs, level: float, said: list[Decision]) -> None:
        self._failed = {place: until for place, until in self._failed.items() if now < until}
        permits = inputs.permits
        for place in list(self._chosen):
            if not permits[place].available and not permits[place].on:
                self._chosen.remove(place)
                said.append(_say(f"pump {place + 1}", "passed-over", permits[place].why_not))
            elif self._silent(now, place, inputs):
                self._chosen.remove(place)
                self._failed[place] = now + self._config.retry_s
                said.append(
                    _say(
                        f"pump {place + 1}",
                        "failover",
                        f"commanded {self._config.failover_s:.0f} s ago and does not say that it runs",
                    )
                )
        # A pump that runs by hand does its share of the work.
        by_hand = [
            p for p in self._order if permits[p].on and not permits[p].available and p not in self._chosen
        ]
        need = max(0, self._demand - len(by_hand))
        while len(self._chosen) > need:
            last = self._chosen.pop()
            if not self._chosen and self._demand == 0 and self._config.alternate == "each-start":
                self._to_the_end(last)
        ready = [p for p in self._order if permits[p].available and p not in self._chosen]
        sound = [p for p in ready if p not in self._failed] or ready
        while len(self._chosen) < need and sound:
            place = sound.pop(0)
            word = "lead" if not self._chosen and not by_hand else "lag"
            self._chosen.append(place)
            said.append(_say(f"pump {place + 1}", word, f"chosen as {word} at level {level:.2f} m"))
        self._hand_over(now, inputs, [p for p in sound if p not in self._failed], said)

    def _hand_over(self, now: float, inputs: WaterInputs, others: list[int], said: list[Decision]) -> None:
        after = self._config.alternate_after_s
        if len(self._chosen) != 1 or after == 0.0 or not others or self._config.alternate == "never":
            return
        lead = self._chosen[0]
        permit = inputs.permits[lead]
        if permit.on and now - permit.since >= after:
            self._to_the_end(lead)
            self._chosen = [others[0]]
            said.append(
                _say(f"pump {others[0] + 1}", "alternate", f"pump {lead + 1} has run {after:.0f} s alone")
            )

    def _silent(self, now: float, place: int, inputs: WaterInputs) -> bool:
        permit, running = inputs.permits[place], inputs.pumps[place].running
        return (
            running is not None
            and permit.on
            and now - permit.since >= self._config.failover_s
            and contact(running) is not True
            and any(p.available for n, p in enumerate(inputs.permits) if n not in self._failed and n != place)
        )

    def _to_the_end(self, place: int) -> None:
        self._order.remove(place)
        self._order.append(place)

    # -- how much -------------------------------------------------------------------------------------

    def _speed(self, level: float) -> float:
        """Between the pumps' lowest and highest speed as the level goes from lead stop to lag start."""
        config, pump = self._config, self._site.pumps[0]
        share = (level - config.lead_stop_m) / (config.lag_start_m - config.lead_stop_m)
        # Whole tenths, so that not every millimetre of water is written to a drive.
        return round(
            pump.speed_low_pct + min(max(share, 0.0), 1.0) * (pump.speed_high_pct - pump.speed_low_pct), 1
        )

    def _gate(self, now: float, level: float, inputs: WaterInputs) -> float | None:
        config, basin = self._config, self._site.basin
        if basin is None:
            return None
        opening = config.gate_open_pct
        if config.gate_hold_from_m is not None and config.gate_hold_to_m is not None:
            share = (level - config.gate_hold_from_m) / (config.gate_hold_to_m - config.gate_hold_from_m)
            opening += min(max(share, 0.0), 1.0) * (config.gate_held_pct - config.gate_open_pct)
        if config.gate_relief_m is not None:
            stored = plausible(
                now, inputs.basin_level, self._site.reading_max_age_s, basin.level_min_m, basin.level_max_m
            )
            if stored is None:
                # Holding back water into a basin that nobody can see is not safe.
                return None
            share = (stored - config.gate_relief_m) / (basin.level_max_m - config.gate_relief_m)
            opening = max(opening, min(max(share, 0.0), 1.0) * basin.gate_high_pct)
        return min(max(round(opening, 1), basin.gate_low_pct), basin.gate_high_pct)

    # -- snapshots ------------------------------------------------------------------------------------

    def _follow_clock(self, now: float) -> None:
        last, self._last = self._last, now
        if last is not None and now < last:
            self._failed = {place: until + now - last for place, until in self._failed.items()}
            self._rising_since = None

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "demand": self._demand,
            "rising_since": self._rising_since,
            "order": list(self._order),
            "chosen": list(self._chosen),
            "failed": {str(place): until for place, until in self._failed.items()},
            "last": self._last,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot, also one made under other parameters."""
        order = [int(place) for place in state["order"]]
        if sorted(order) != sorted(self._order):
            raise ValueError("the snapshot is of a station with other pumps")
        self._order = order
        self._demand = min(int(state["demand"]), len(self._stages))
        self._rising_since = state["rising_since"]
        self._chosen = [int(place) for place in state["chosen"]]
        self._failed = {int(place): float(until) for place, until in state["failed"].items()}
        self._last = state["last"]


def _say(subject: str, what: str, reason: str) -> Decision:
    return Decision(KIND, subject, what, reason)


def _check(config: LevelConfig, site: WaterSite) -> None:
    """Raise ValueError, the field first, where the levels leave the guard's envelope."""
    if config.lead_stop_m <= site.dry_run_m:
        raise ValueError(
            f"lead_stop_m: {config.lead_stop_m} m is not above the dry-run level {site.dry_run_m} m"
        )
    if config.lead_start_m <= config.lead_stop_m:
        raise ValueError(
            f"lead_start_m: {config.lead_start_m} m is not above lead_stop_m {config.lead_stop_m} m"
        )
    if config.lag_start_m <= config.lead_start_m:
        raise ValueError(
            f"lag_start_m: {config.lag_start_m} m is not above lead_start_m {config.lead_start_m} m"
        )
    if not config.lead_stop_m <= config.lag_stop_m < config.lag_start_m:
        raise ValueError(f"lag_stop_m: {config.lag_stop_m} m is not between lead_stop_m and lag_start_m")
    if config.lag_start_m >= site.alarm_high_m:
        raise ValueError(
            f"lag_start_m: {config.lag_start_m} m is not below the high alarm {site.alarm_high_m} m"
        )
    hold = (config.gate_hold_from_m, config.gate_hold_to_m)
    basin = site.basin
    if basin is None:
        if hold != (None, None) or config.gate_relief_m is not None:
            raise ValueError("gate_hold_from_m: this station has no basin gate")
        return
    if (hold[0] is None) != (hold[1] is None):
        raise ValueError("gate_hold_to_m: give both gate_hold_from_m and gate_hold_to_m, or neither")
    if hold[0] is not None and hold[1] is not None and hold[0] >= hold[1]:
        raise ValueError("gate_hold_to_m: not above gate_hold_from_m")
    for name, opening in (("gate_open_pct", config.gate_open_pct), ("gate_held_pct", config.gate_held_pct)):
        if not basin.gate_low_pct <= opening <= basin.gate_high_pct:
            if name == "gate_held_pct" and hold[0] is None:
                continue
            raise ValueError(
                f"{name}: {opening} % is outside the gate's {basin.gate_low_pct} to {basin.gate_high_pct} %"
            )
    if config.gate_relief_m is not None and config.gate_relief_m >= basin.level_max_m:
        raise ValueError(f"gate_relief_m: not below the basin's crest {basin.level_max_m} m")
