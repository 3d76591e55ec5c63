"""The network's own fixed plan as a plan for ``signal.fixed``, with the clearances of the site."""

from collections.abc import Mapping

from vigie_controllers.loops import ControllerSpec
from vigie_controllers.signals.site import SignalSite
from vigie_sim.traffic.derive import Junction

LONGEST_CYCLE_S = 240.0
_SHARES = tuple(k / 20 for k in range(20, -1, -1))
"""How much of what each split has above its least is kept."""


def fixed_controller(junction: Junction, name: str = "programme") -> ControllerSpec:
    """``signal.fixed`` with the program's splits and offset.

    A split shorter than minimum green, pedestrian service and clearance take is raised to that, where possible
    at the cost of the longest, so that the cycle stays what its neighbours run; a ring that reaches a barrier
    before another is filled up. A program whose cycle would keep a phase on red for longer than the site allows is
    shortened until it does not. Without splits (NEMA) the controller shares evenly.
    """
    site = junction.site
    if not any(junction.splits.values()):
        return ControllerSpec(kind="signal.fixed")
    least = {
        phase.id: max(phase.min_green_s, phase.walk_s + phase.ped_clear_s)
        + phase.yellow_s
        + phase.red_clear_s
        for phase in site.phases
    }
    for share in _SHARES:
        wanted = {
            one: least[one] + share * max(0.0, junction.splits.get(one, 0.0) - least[one]) for one in least
        }
        splits = _filled(site, wanted if share < 1.0 else junction.splits, least)
        cycle = _cycle(site, splits)
        if all(
            cycle - splits[phase.id] + phase.yellow_s + phase.red_clear_s <= phase.max_red_s
            for phase in site.phases
        ):
            break
    else:
        return ControllerSpec(kind="signal.fixed")
    if not 20.0 <= cycle <= LONGEST_CYCLE_S:
        return ControllerSpec(kind="signal.fixed")
    plan = {"cycle_s": cycle, "splits_s": splits, "offset_s": junction.offset % cycle}
    return ControllerSpec(kind="signal.fixed", params={"plans": {name: plan}, "plan": name})


def _filled(site: SignalSite, wanted: Mapping[int, float], least: dict[int, float]) -> dict[int, float]:
    """Splits of every phase, none too short, all rings at each barrier together."""
    splits: dict[int, float] = {}
    for barrier in sorted({phase.barrier for phase in site.phases}):
        rings: dict[int, list[int]] = {}
        for phase in site.phases:
            if phase.barrier == barrier:
                rings.setdefault(phase.ring, []).append(phase.id)
        for row in rings.values():
            splits.update(_raised({number: wanted.get(number, 0.0) for number in row}, least))
        longest = max(sum(splits[number] for number in row) for row in rings.values())
        for row in rings.values():
            # The last phase of a ring before a barrier, the through phase as a rule, takes what is missing.
            splits[row[-1]] += longest - sum(splits[number] for number in row)
    return splits


def _cycle(site: SignalSite, splits: Mapping[int, float]) -> float:
    """The sum of what the rings take on each side of a barrier; a ring may have no phase on one of them."""
    sides: dict[int, dict[int, float]] = {}
    for phase in site.phases:
        rings = sides.setdefault(phase.barrier, {})
        rings[phase.ring] = rings.get(phase.ring, 0.0) + splits[phase.id]
    return sum(max(rings.values()) for rings in sides.values())


def _raised(wanted: dict[int, float], least: dict[int, float]) -> dict[int, float]:
    """Splits of the same sum, each at least its least; a larger sum where there is not enough to take from."""
    splits = {number: max(split, least[number]) for number, split in wanted.items()}
    over = sum(splits.values()) - sum(wanted.values())
    for number in sorted(splits, key=lambda one: least[one] - splits[one]):
        taken = min(over, splits[number] - least[number])
        splits[number] -= taken
        over -= taken
    return splits
