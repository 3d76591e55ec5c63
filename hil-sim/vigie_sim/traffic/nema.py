"""Dual-ring phases over a derived junction: the layout of a NEMA cabinet at a four-leg intersection.

Numbers as NEMA uses them on an arterial: 2 and 6 through, 5 and 1 their opposing lefts, 4 and 8 the side
street with its permissive lefts, pedestrians with the through phase beside them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vigie_controllers.signals.site import Channel, Phase, Startup
from vigie_sim.traffic.channels import Group
from vigie_sim.traffic.derive import Clearances, Junction
from vigie_sim.traffic.network import Network

RINGS: Mapping[int, tuple[int, int]] = {
    1: (1, 1), 2: (1, 1), 3: (1, 2), 4: (1, 2), 5: (2, 1), 6: (2, 1), 7: (2, 2), 8: (2, 2),
}  # fmt: skip
"""Phase -> (ring, barrier) of the standard eight-phase quad."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One approach edge. through, left: its phases (the same for a permissive left); walk: the phase with
    which pedestrians cross this leg."""

    through: int
    left: int
    walk: int


def rephase(network: Network, junction: Junction, legs: Mapping[str, Leg], times: Clearances) -> Junction:
    """``junction`` as a cabinet with NEMA phases; legs by the edge that approaches the stop line.

    Conflicts, lanes and lamps stay as derived; raises KeyError when an approach is not among ``legs``.
    """
    turns: dict[str, set[str]] = {}
    for movement in junction.site.movements:
        turns.setdefault(movement.channel, set()).add(movement.turn)
    crossed = {crossing.edge: _leg_crossed(network, crossing.edge, legs) for crossing in junction.crossings}
    phases: dict[str, tuple[int, ...]] = {}
    for group in junction.head.groups:
        if group.pedestrian:
            phases[group.id] = (legs[crossed[group.approach]].walk,)
        else:
            leg = legs[group.approach]
            phases[group.id] = (leg.left if turns[group.id] <= {"left", "u-turn"} else leg.through,)
    used = sorted({number for row in phases.values() for number in row})
    channels = tuple(
        Channel(
            id=group.id,
            kind="pedestrian" if group.pedestrian else "vehicle",
            phases=phases[group.id],
            permissive=phases[group.id] if group.permissive else (),
        )
        for group in junction.head.groups
    )
    place = {group.id: group for group in junction.head.groups}
    site = junction.site.model_copy(
        update={
            "actuation": "cabinet",
            "phases": tuple(_phase(network, number, phases, place, times) for number in used),
            "channels": channels,
            "startup": Startup(phases=tuple(number for number in (2, 6) if number in used)),
            "detectors": tuple(
                one.model_copy(update={"phases": _called(one.phases, one.lanes, junction, phases)})
                if one.kind != "button"
                else one.model_copy(update={"phases": phases[_button_group(one.id, junction).id]})
                for one in junction.site.detectors
            ),
        }
    )
    splits: dict[int, float] = {}
    for group in junction.head.groups:
        for number in phases[group.id]:
            splits[number] = max((junction.splits.get(old, 0.0) for old in group.phases), default=0.0)
    return replace(junction, site=site, splits=splits)


def _phase(
    network: Network, number: int, phases: Mapping[str, tuple[int, ...]], groups: Mapping[str, Group],
    times: Clearances,
) -> Phase:  # fmt: skip
    feet = [groups[one] for one, own in phases.items() if number in own and groups[one].pedestrian]
    longest = max((network.lanes[f"{group.approach}_0"].length for group in feet), default=0.0)
    ring, barrier = RINGS[number]
    return Phase(
        id=number, ring=ring, barrier=barrier, min_green_s=times.min_green_s, yellow_s=times.yellow_s,
        red_clear_s=times.red_s, walk_s=times.walk_s if feet else 0.0,
        ped_clear_s=float(math.ceil(longest / times.walk_speed)) if feet else 0.0, max_red_s=times.max_red_s,
    )  # fmt: skip


def _called(
    old: tuple[int, ...], lanes: Iterable[str], junction: Junction, phases: Mapping[str, tuple[int, ...]]
) -> tuple[int, ...]:
    if not old:
        return ()
    own = set(lanes)
    return tuple(
        sorted({n for one in junction.site.movements if one.lane in own for n in phases[one.channel]})
    )


def _button_group(detector: str, junction: Junction) -> Group:
    edge = junction.crossings[int(detector.removeprefix("b")) - 1].edge
    return next(group for group in junction.head.groups if group.pedestrian and group.approach == edge)


def _leg_crossed(network: Network, crossing: str, legs: Mapping[str, Leg]) -> str:
    """The approach whose leg a crossing lies across: the one whose stop line is nearest to its middle."""
    shape = network.lanes[f"{crossing}_0"].shape
    x = sum(point[0] for point in shape) / len(shape)
    y = sum(point[1] for point in shape) / len(shape)

    def distance(edge: str) -> float:
        ends = [lane.shape[-1] for lane in network.lanes.values() if lane.edge == edge and lane.shape]
        return min(math.hypot(end[0] - x, end[1] - y) for end in ends)

    return min(legs, key=distance)
