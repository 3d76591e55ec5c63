"""What controllers share: per-phase parameters and detectors turned into masks of phases."""

from collections.abc import Mapping

from vigie_controllers.signals.demand import number_of
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, PhaseState, Status

EPS = 1e-6
FOREVER = 1e18


def per_phase(plan: Plan, name: str, default: float, given: Mapping[int, float]) -> list[float]:
    """One value per phase in the plan's order; raises ValueError naming an unknown phase."""
    for number in given:
        if number not in plan.place:
            raise ValueError(f"{name}.{number}: phase {number} is not declared at this site")
    return [given.get(number, default) for number in plan.ids]


def check_greens(plan: Plan, name: str, greens: list[float], given: Mapping[int, float]) -> None:
    """Raise ValueError when a longest green is outside what the guard would keep to anyway."""
    for p, green in enumerate(greens):
        number = plan.ids[p]
        field = f"{name}.{number}" if number in given else f"default_{name}"
        if green < plan.min_green[p]:
            raise ValueError(f"{field}: {green:g} s is below the minimum green, {plan.min_green[p]:g} s")
        for q in range(len(plan.ids)):
            limit = plan.max_red[q] - plan.phase_yellow[p] - plan.phase_clear[p]
            if not plan.company[p] >> q & 1 and green > limit:
                raise ValueError(
                    f"{field}: {green:g} s would keep phase {plan.ids[q]} on red for longer than its "
                    f"max_red_s of {plan.max_red[q]:g} s (at most {limit:g} s)"
                )


class Sensing:
    """Masks of phases with traffic, from one frame and the guard's list of failed detectors.

    calls: vehicles within ``call_within_m`` of the stop line; near: within ``extend_within_m``; locked: calls
    that are kept until served; ped: buttons pressed; blind: phases with a failed vehicle detector near the
    stop line, or without any; ped_blind: phases with a failed button.
    """

    def __init__(self, site: SignalSite, plan: Plan, call_within_m: float, extend_within_m: float) -> None:
        self._rows: list[tuple[str, int, int, int, int]] = []
        self._unwatched = plan.all
        for one in site.detectors:
            mask = plan.mask(one.phases)
            vehicle = one.kind in ("presence", "count", "halting")
            call = mask if vehicle and (one.from_m < call_within_m or one.locks) else 0
            near = mask if vehicle and one.from_m < extend_within_m else 0
            ped = mask if one.kind == "button" else 0
            self._unwatched &= ~(call | near)
            self._rows.append((one.id, call, near, call if one.locks else 0, ped))
        self._unwatched &= ~_walkers_only(site, plan)
        self._frame: Frame | None = None
        self._failed: frozenset[str] = frozenset()
        self._stand_in: Mapping[str, bool] = {}
        self.calls = self.near = self.locked = self.ped = self.ped_blind = 0
        self.blind = self._unwatched

    def look(self, frame: Frame, failed: frozenset[str], stand_in: Mapping[str, bool] | None = None) -> None:
        """Bring the masks up to date; cheap when nothing changed. stand_in: as in ``Status``."""
        expected = stand_in or {}
        if frame is self._frame and failed == self._failed and expected == self._stand_in:
            return
        self._frame, self._failed, self._stand_in = frame, failed, expected
        calls = near = locked = ped = ped_blind = 0
        blind = self._unwatched
        for (name, call, close, lock, button), reading in zip(self._rows, frame.detectors, strict=True):
            value = number_of(reading)
            if name in failed and name in expected:
                calls |= call if expected[name] else 0
                near |= close if expected[name] else 0
            elif value is None or name in failed:
                blind |= close
                ped_blind |= button
            elif value:
                calls |= call
                near |= close
                locked |= lock
                ped |= button
        self.calls, self.near, self.locked = calls, near, locked
        self.ped, self.blind, self.ped_blind = ped, blind, ped_blind


def _walkers_only(site: SignalSite, plan: Plan) -> int:
    """Phases without a vehicle channel that a button can call."""
    vehicles = buttons = 0
    for channel in site.channels:
        vehicles |= plan.mask(channel.phases) if channel.kind != "pedestrian" else 0
    for detector in site.detectors:
        buttons |= plan.mask(detector.phases) if detector.kind == "button" else 0
    return buttons & ~vehicles


def greens(status: Status) -> int:
    """The mask of phases in green."""
    mask = 0
    for place, phase in enumerate(status.phases):
        if phase.state is PhaseState.GREEN:
            mask |= 1 << place
    return mask
