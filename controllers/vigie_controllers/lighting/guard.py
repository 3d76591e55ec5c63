"""The lighting floor guard: a street is never dark at night, and in doubt the light is on.

Total and small. It knows only the sun, the photocell, the panel's switch and the floors of the site.
"""

import math
from dataclasses import replace

from vigie_controllers.contract import Intervention, State, Verdict
from vigie_controllers.lighting.site import PANEL_HAND, PANEL_OFF, LightingSite
from vigie_controllers.lighting.words import LightingInputs, LightingOutputs, finite, good_lux

FULL = 100.0
HEARTBEATS = 65536


class LightingGuard:
    """Turns wanted levels into permitted ones."""

    def __init__(self, site: LightingSite) -> None:
        self.site = site
        self._last: float | None = None
        self._levels: tuple[float, ...] | None = None
        self._lamps: tuple[float, ...] | None = None
        self._heartbeat = 0
        self._said: set[tuple[str, str]] = set()

    def permit(
        self, now: float, wanted: LightingOutputs | None, inputs: LightingInputs
    ) -> Verdict[LightingOutputs]:
        """The permitted levels at ``now``; an intervention is named when it begins, not in every scan."""
        site = self.site
        elapsed = 0.0 if self._last is None else max(now - self._last, 0.0)
        self._last = now
        asked = (
            LightingOutputs.silent(len(site.segments), len(site.lamp_segments)) if wanted is None else wanted
        )
        said: dict[tuple[str, str], str] = {}
        doubt = self._doubt(now, inputs, said)
        night = inputs.sun is not None and inputs.sun.elevation_deg < site.dark_below_deg
        unasked = 0.0
        if inputs.sun is not None and inputs.sun.elevation_deg < site.service_below_deg:
            unasked = FULL
        panel = self._panel(inputs, said)
        full = doubt or panel == PANEL_HAND

        def permitted(subject: str, level: float | None, floor: float, before: float | None) -> float:
            must = FULL if full else floor if night else 0.0
            goal = self._goal(subject, level, must, unasked, said)
            return max(self._ramp(elapsed, before, goal), must)

        levels = tuple(
            permitted(f"segment {n}", level, segment.floor_pct, self._levels[n - 1] if self._levels else None)
            for n, (level, segment) in enumerate(zip(asked.segments, site.segments, strict=True), 1)
        )
        lamps = tuple(
            permitted(
                f"lamp {n}",
                levels[place - 1] if level is None else level,
                site.segments[place - 1].floor_pct,
                self._lamps[n - 1] if self._lamps else None,
            )
            for n, (level, place) in enumerate(zip(asked.lamps, site.lamp_segments, strict=True), 1)
        )
        self._levels, self._lamps = levels, lamps
        self._heartbeat = (self._heartbeat + 1) % HEARTBEATS
        outputs = replace(
            asked,
            segments=levels,
            lamps=lamps,
            contactor=self._contactor(asked.contactor, levels + lamps, panel, said),
            heartbeat=self._heartbeat,
        )
        begun = tuple(Intervention(*key, why) for key, why in said.items() if key not in self._said)
        self._said = set(said)
        return Verdict(outputs, begun)

    def _doubt(self, now: float, inputs: LightingInputs, said: dict[tuple[str, str], str]) -> bool:
        """True when nobody can say that it is day: then everything is fully on."""
        if inputs.sun is not None:
            return False
        lux = good_lux(now, inputs.photocell, self.site.photocell_max_age_s)
        if lux is not None and lux >= self.site.bright_lux:
            said["clock-untrusted", "cabinet"] = (
                f"UTC cannot be trusted; the photocell says day with {lux:.0f} lux"
            )
            return False
        said["clock-untrusted", "cabinet"] = (
            "UTC cannot be trusted and no photocell says that it is day: light on"
        )
        return True

    def _panel(self, inputs: LightingInputs, said: dict[tuple[str, str], str]) -> int | None:
        value = finite(inputs.mode)
        if value in (PANEL_OFF, PANEL_HAND):
            where = "hand: fully on" if value == PANEL_HAND else "off"
            said["panel", "cabinet"] = f"the switch at the panel is on {where}"
            return int(value or 0)
        return None

    def _goal(
        self,
        subject: str,
        wanted: float | None,
        must: float,
        unasked: float,
        said: dict[tuple[str, str], str],
    ) -> float:
        """The level to go to, and a word where it is not what was wanted; ``must`` is enforced after the ramp."""
        if wanted is None or not math.isfinite(wanted):
            goal = max(unasked, must)
            said["unasked", subject] = f"no usable level was asked for: {goal:.0f} %"
            return goal
        goal = min(max(wanted, 0.0), FULL)
        if goal != wanted:
            said["range", subject] = f"{wanted:.0f} % was asked for"
        if goal < must < FULL:
            said["floor", subject] = (
                f"{goal:.0f} % was asked for; the floor of this class is {must:.0f} % at night"
            )
        return goal

    def _ramp(self, elapsed: float, before: float | None, goal: float) -> float:
        rate = self.site.ramp_pct_per_s
        if before is None or rate == 0.0:
            return goal
        return min(max(goal, before - rate * elapsed), before + rate * elapsed)

    def _contactor(
        self,
        wanted: bool | None,
        levels: tuple[float, ...],
        panel: int | None,
        said: dict[tuple[str, str], str],
    ) -> bool:
        if panel == PANEL_OFF:
            return False
        if any(level > 0.0 for level in levels):
            if wanted is False:
                said["contactor", "cabinet"] = "kept closed, because lamps must be lit"
            return True
        return wanted is not False

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "last": self._last,
            "levels": None if self._levels is None else list(self._levels),
            "lamps": None if self._lamps is None else list(self._lamps),
            "heartbeat": self._heartbeat,
            "said": sorted([*key] for key in self._said),
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot of a cabinet with as many segments and lamps."""
        levels, lamps = state["levels"], state["lamps"]
        if levels is not None and len(levels) != len(self.site.segments):
            raise ValueError(
                f"the snapshot has {len(levels)} segments, the cabinet {len(self.site.segments)}"
            )
        if lamps is not None and len(lamps) != len(self.site.lamp_segments):
            raise ValueError(
                f"the snapshot has {len(lamps)} lamps, the cabinet {len(self.site.lamp_segments)}"
            )
        self._last = state["last"]
        self._levels = None if levels is None else tuple(levels)
        self._lamps = None if lamps is None else tuple(lamps)
        self._heartbeat = state["heartbeat"]
        self._said = {(rule, subject) for rule, subject in state["said"]}
