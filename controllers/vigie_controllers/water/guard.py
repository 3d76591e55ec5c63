"""The pump guard: protects motors and people, and pumps when the level asks and nobody else does.

It is total: every input gives an answer. Missing or bad input closes: no level means pumping by the high
float; no level and no float means that the pumps rest and the heartbeat stands still, so that the
station's own floats take over; an unreadable switch or fault contact means no start.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vigie_controllers.contract import Decision, Intervention, State, Verdict
from vigie_controllers.water.motor import Motor
from vigie_controllers.water.site import PANEL_HAND, PANEL_OFF, WaterSite
from vigie_controllers.water.watch import LevelWatch
from vigie_controllers.water.words import Permit, PumpInput, WaterInputs, WaterOutputs, contact

SOURCE = "pump-guard"
OUTAGE_S = 120.0
"""Not asked for so long: the gateway was without power. Twice the longest period a loop may have."""
DRY_MARGIN_M = 0.05
"""The level must rise so far above the dry-run level before a pump may start again."""
SERVICE_SHARE = 0.3
"""High-level service ends when the level has fallen by this share of (alarm level - dry-run level)."""
HEARTBEATS = 65536


@dataclass(frozen=True, slots=True)
class _Well:
    """What the well needs, whoever wants what.

    level: believed, metres, or None; dry: no pump may run; high: high float or alarm level reached;
    blind: neither level nor float can be read; trusted: the wants of controllers count; why: in words.
    """

    level: float | None
    dry: bool
    high: bool
    blind: bool
    trusted: bool
    why: str


class _Notes:
    """What one scan has to say: interventions once when they begin, decisions as they come."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], str] = {}
        self.decisions: list[Decision] = []

    def intervene(self, rule: str, subject: str, reason: str) -> None:
        self.said.setdefault((rule, subject), reason)

    def decide(self, subject: str, what: str, reason: str) -> None:
        self.decisions.append(Decision(SOURCE, subject, what, reason))


class PumpGuard:
    """Turns wanted runs, speeds and openings into permitted ones."""

    def __init__(self, site: WaterSite) -> None:
        self.site = site
        self.motors = tuple(Motor(n, pump) for n, pump in enumerate(site.pumps, 1))
        self.permits = tuple(Permit(False, 0.0, False, "starting up") for _ in site.pumps)
        self._watch = LevelWatch(site)
        self._last: float | None = None
        self._step = 0.0
        self._hold_until = 0.0
        self._last_start: float | None = None
        self._serving = False
        self._high_at = 0.0
        self._dry = False
        self._gate: float | None = None
        self._heartbeat = 0
        self._said: set[tuple[str, str]] = set()

    def permit(self, now: float, wanted: WaterOutputs | None, inputs: WaterInputs) -> Verdict[WaterOutputs]:
        """The permitted outputs at ``now``; an intervention is named when it begins, not in every scan."""
        step = self._follow_clock(now, inputs)
        asked = WaterOutputs.silent(len(self.motors)) if wanted is None else wanted
        notes = _Notes()
        well = self._look(now, wanted is None, inputs)
        if well.why:
            notes.intervene("blind" if well.blind else "float-mode", "well", well.why)
        runs = [self._want(place, asked, well) for place in range(len(self.motors))]
        for motor, pump in zip(self.motors, inputs.pumps, strict=True):
            motor.protect(now, pump, self.site.reading_max_age_s)
        for motor, pump, run in zip(self.motors, inputs.pumps, runs, strict=True):
            self._stop_where_due(now, motor, pump, run, well, notes)
        for place in self._start_order(asked):
            self._start_where_due(now, place, asked, runs[place], inputs.pumps[place], well, notes)
        self.permits = tuple(self._permits(now, inputs.pumps))
        if not well.blind:
            self._heartbeat = (self._heartbeat + 1) % HEARTBEATS
        outputs = replace(
            asked,
            run=tuple(motor.on for motor in self.motors),
            speed=tuple(motor.drive(step, pct) for motor, pct in zip(self.motors, asked.speed, strict=True)),
            gate=self._open_gate(step, asked.gate, notes),
            heartbeat=self._heartbeat,
            decisions=(*asked.decisions, *notes.decisions),
        )
        begun = tuple(Intervention(*key, why) for key, why in notes.said.items() if key not in self._said)
        self._said = set(notes.said)
        return Verdict(outputs, begun)

    def reset(self, pump: int) -> bool:
        """Clear the latched faults of ``pump`` (from 1) for a named person; True when there was one.

        A fault whose cause is still there latches again in the next scan.
        """
        return self.motors[pump - 1].reset()

    def latched(self) -> tuple[tuple[str, str, str], ...]:
        """Every latched fault: pump, rule, reason."""
        return tuple(
            (motor.name, rule, reason) for motor in self.motors for rule, reason in motor.latched.items()
        )

    def reset_latched(self, subject: str) -> bool:
        """``reset`` by the pump's name."""
        return any(motor.reset() for motor in self.motors if motor.name == subject)

    # -- time -----------------------------------------------------------------------------------------

    def _follow_clock(self, now: float, inputs: WaterInputs) -> float:
        """Seconds since the last scan; takes the field for the truth after an interruption."""
        last, self._last = self._last, now
        if last is None or now < last or now - last > OUTAGE_S:
            if last is not None and now < last:
                self._shift(now - last)
            self._hold_until = now + self.site.restart_delay_s
            self._resync(now, inputs)
            self._step = 0.0
            return 0.0
        step = now - last
        if self._step > 0.0 and step > 3.0 * self._step + 1.0:
            # The outputs have expired meanwhile: a pump that does not say that it runs was stopped.
            self._resync(now, inputs)
        self._step = step
        return step

    def _resync(self, now: float, inputs: WaterInputs) -> None:
        for motor, pump in zip(self.motors, inputs.pumps, strict=True):
            motor.resync(now, contact(pump.running) is True)

    def _shift(self, by: float) -> None:
        for motor in self.motors:
            motor.shift(by)
        self._watch.shift(by)
        self._high_at += by
        self._last_start = None if self._last_start is None else self._last_start + by

    # -- what the well needs --------------------------------------------------------------------------

    def _look(self, now: float, unasked: bool, inputs: WaterInputs) -> _Well:
        site = self.site
        pumping = any(
            motor.on and contact(pump.running) is True
            for motor, pump in zip(self.motors, inputs.pumps, strict=True)
        )
        level, doubt = self._watch.judge(now, inputs, pumping)
        reading = inputs.float_high
        float_up = (
            contact(reading) if reading is not None and reading.fresh(now, site.reading_max_age_s) else None
        )
        high = float_up is True or (level is not None and level >= site.alarm_high_m)
        if high:
            self._serving, self._high_at = True, now
        elif level is not None:
            end = site.alarm_high_m - SERVICE_SHARE * (site.alarm_high_m - site.dry_run_m)
            self._serving = self._serving and level > end
        elif float_up is not None:
            emptied = contact(inputs.float_low) is False
            self._serving = self._serving and not emptied and now - self._high_at < site.float_run_s
        else:
            self._serving = False
            return _Well(None, False, False, True, False, f"{doubt} and no float can be read; the pumps rest")
        if level is not None:
            self._dry = level < site.dry_run_m + (DRY_MARGIN_M if self._dry else 0.0)
        else:
            self._dry = contact(inputs.float_low) is False and not high
        why = ""
        if level is None:
            why = f"{doubt}; pumping by the high float"
        elif unasked:
            why = "no controller can speak; pumping by the high level"
        return _Well(level, self._dry, high, False, level is not None, why)

    def _want(self, place: int, asked: WaterOutputs, well: _Well) -> bool:
        heard = well.trusted or place in asked.forced
        return self._serving or (heard and asked.run[place] is True)

    # -- pumps ----------------------------------------------------------------------------------------

    def _stop_where_due(
        self, now: float, motor: Motor, pump: PumpInput, run: bool, well: _Well, notes: _Notes
    ) -> None:
        panel = motor.panel(pump, now, self.site.reading_max_age_s)
        was_on = motor.on
        if panel == PANEL_HAND and not motor.latched:
            # The person at the panel runs it: our command follows, so that the way back is without a bump.
            running = contact(pump.running) is True
            if running and not was_on:
                motor.start(now)
                self._last_start = now
            elif not running:
                motor.stop(now)
            notes.intervene("panel", motor.name, "the switch at the panel is on hand")
        elif panel in (PANEL_HAND, PANEL_OFF):
            motor.stop(now)
            where = "hand with a latched fault" if panel == PANEL_HAND else "off"
            notes.intervene("panel", motor.name, f"the switch at the panel is on {where}")
        elif motor.latched and was_on:
            rule, reason = next(iter(motor.latched.items()))
            motor.stop(now)
            notes.decide(motor.name, "stop", f"{rule}: {reason}")
        elif well.dry and was_on:
            motor.stop(now)
            notes.intervene("dry-run", motor.name, f"the well is below {self.site.dry_run_m:.2f} m")
            notes.decide(motor.name, "stop", "the well is at its dry-run level")
        elif was_on and not run:
            ran = now - motor.since
            if ran < motor.site.min_run_s:
                notes.intervene("min-run", motor.name, f"it must run {motor.site.min_run_s - ran:.0f} s more")
            else:
                motor.stop(now)
                notes.decide(motor.name, "stop", f"no longer wanted after {ran:.0f} s")

    def _start_order(self, asked: WaterOutputs) -> list[int]:
        """Pumps that somebody asked for before those that only the level asks for."""
        return sorted(range(len(self.motors)), key=lambda place: asked.run[place] is not True)

    def _start_where_due(
        self,
        now: float,
        place: int,
        asked: WaterOutputs,
        run: bool,
        pump: PumpInput,
        well: _Well,
        notes: _Notes,
    ) -> None:
        motor, site = self.motors[place], self.site
        refused = asked.run[place] is True and not run
        if refused and not motor.on:
            notes.intervene("level-in-doubt", motor.name, "its start was asked for without a level to go by")
        barrier = motor.start_barrier(pump, now, site.reading_max_age_s)
        if barrier is not None and barrier[0] != "panel" and (run or motor.latched):
            notes.intervene(barrier[0], motor.name, barrier[1])
        if motor.on or not run or barrier is not None:
            return
        wait = self._why_wait(now, motor, well)
        if wait is not None:
            notes.intervene(wait[0], motor.name, wait[1])
            return
        if motor.rationed(now):
            notes.intervene(
                "start-limit-override",
                motor.name,
                f"started beyond {motor.site.max_starts_per_hour} starts an hour because the well is high",
            )
        if asked.run[place] is not True:
            notes.intervene("high-level", motor.name, "started though nobody asked, because the well is high")
        motor.start(now)
        self._last_start = now
        notes.decide(motor.name, "start", _why_start(asked.run[place] is True, well))

    def _why_wait(self, now: float, motor: Motor, well: _Well) -> tuple[str, str] | None:
        site = self.site
        if well.dry:
            return "dry-run", f"the well is below {site.dry_run_m + DRY_MARGIN_M:.2f} m"
        if now < self._hold_until:
            return "restart-delay", f"power has just come back; {self._hold_until - now:.0f} s to wait"
        if now - motor.since < motor.site.min_off_s:
            return "min-off", f"it must rest {motor.site.min_off_s - (now - motor.since):.0f} s more"
        if self._last_start is not None and now - self._last_start < site.start_gap_s:
            return "start-gap", "another pump has just started"
        if sum(other.on for other in self.motors) >= site.together:
            return "max-running", f"only {site.together} pumps may run together"
        if motor.rationed(now) and not well.high:
            return "max-starts", f"its {motor.site.max_starts_per_hour} starts of this hour are used up"
        return None

    def _permits(self, now: float, pumps: tuple[PumpInput, ...]) -> Iterator[Permit]:
        for motor, pump in zip(self.motors, pumps, strict=True):
            barrier = motor.start_barrier(pump, now, self.site.reading_max_age_s)
            why = "" if barrier is None else barrier[1]
            if not why and not motor.on and motor.rationed(now):
                why = "its starts of this hour are used up"
            yield Permit(motor.on, motor.since, not why, why)

    # -- basin ----------------------------------------------------------------------------------------

    def _open_gate(self, step: float, wanted: float | None, notes: _Notes) -> float | None:
        basin = self.site.basin
        if basin is None:
            return None
        goal = basin.gate_safe_pct
        if wanted is not None and math.isfinite(wanted):
            goal = min(max(wanted, basin.gate_low_pct), basin.gate_high_pct)
            if goal != wanted:
                notes.intervene(
                    "gate-range", "basin gate", f"{wanted:.0f} % was asked for, {goal:.0f} % is allowed"
                )
        else:
            notes.intervene("gate-safe", "basin gate", "nobody could say how far to open it")
        if self._gate is not None:
            reach = basin.gate_rate_pct_per_s * step
            goal = min(max(goal, self._gate - reach), self._gate + reach)
        self._gate = goal
        return goal

    # -- snapshots ------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "motors": [motor.snapshot() for motor in self.motors],
            "permits": [[p.on, p.since, p.available, p.why_not] for p in self.permits],
            "watch": self._watch.snapshot(),
            "last": self._last,
            "step": self._step,
            "hold_until": self._hold_until,
            "last_start": self._last_start,
            "serving": self._serving,
            "high_at": self._high_at,
            "dry": self._dry,
            "gate": self._gate,
            "heartbeat": self._heartbeat,
            "said": sorted([*key] for key in self._said),
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot of a station with as many pumps.

        Instants are absolute; should the monotonic clock have begun anew, the next scan moves them so
        that all ages are those at the snapshot: a pause is never counted longer than it surely was.
        """
        if len(state["motors"]) != len(self.motors):
            raise ValueError(f"the snapshot has {len(state['motors'])} pumps, the station {len(self.motors)}")
        for motor, saved in zip(self.motors, state["motors"], strict=True):
            motor.restore(saved)
        self.permits = tuple(Permit(*row) for row in state["permits"])
        self._watch.restore(state["watch"])
        self._last, self._step = state["last"], state["step"]
        self._hold_until, self._last_start = state["hold_until"], state["last_start"]
        self._serving, self._high_at, self._dry = state["serving"], state["high_at"], state["dry"]
        self._gate, self._heartbeat = state["gate"], state["heartbeat"]
        self._said = {(rule, subject) for rule, subject in state["said"]}


def _why_start(asked: bool, well: _Well) -> str:
    level = "unknown" if well.level is None else f"{well.level:.2f} m"
    return f"wanted, level {level}" if asked else f"the well is high, level {level}"
