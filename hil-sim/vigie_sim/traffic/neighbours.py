"""Who feeds whom in a SUMO network: the exit lanes of a signal that lead to the approaches of another."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vigie_controllers.signals.neighbours import Downstream, Upstream
from vigie_sim.traffic.derive import Junction, site_name
from vigie_sim.traffic.detectors import approach_pieces
from vigie_sim.traffic.network import Network

MOST_TRAVEL_S = 90.0
"""Links that take longer are no links: platoons have dissolved by then."""
MOST_LINKS = 64
"""A site has no more of them."""


def with_neighbours(network: Network, junctions: Sequence[Junction]) -> tuple[Junction, ...]:
    """The same junctions, each with its ``upstream`` and ``downstream``.

    A link goes against the traffic from an approach lane along its main predecessors (as detectors do) to an
    edge that a signal leads into. Vehicles change lanes on the way, so that every lane of that edge feeds every
    approach that begins there. travel_s: at the limits of the lanes passed.
    """
    by_signal = {one.signal: one for one in junctions}
    fed = {
        way.to_lane: by_signal[way.signal]
        for one in network.signals.values()
        for way in one.connections
        if not way.crossing and way.signal in by_signal
    }
    edges: dict[str, list[str]] = {}
    for lane in fed:
        edges.setdefault(network.lanes[lane].edge, []).append(lane)
    found: dict[str, list[Upstream]] = {one.name: [] for one in junctions}
    told: dict[str, dict[str, list[str]]] = {one.name: {} for one in junctions}
    for one in junctions:
        for edge, (approaches, travel_s) in _links(network, one, edges).items():
            for lane in edges[edge]:
                other = fed[lane]
                if other.name != one.name and len(found[one.name]) < MOST_LINKS:  # not round a block and back
                    exit_lane = site_name("out:", lane)
                    found[one.name].append(
                        Upstream(
                            neighbour=other.gateway, loop=other.name, exit=exit_lane,
                            lanes=tuple(site_name("in:", name) for name in approaches), travel_s=travel_s,
                        )
                    )  # fmt: skip
                    told[other.name].setdefault(one.gateway, []).append(exit_lane)
    return tuple(
        replace(
            one,
            site=one.site.model_copy(
                update={
                    "upstream": tuple(found[one.name]),
                    "downstream": tuple(
                        Downstream(neighbour=name, exits=tuple(exits))
                        for name, exits in told[one.name].items()
                    ),
                }
            ),
        )
        for one in junctions
    )


def _links(
    network: Network, junction: Junction, edges: Mapping[str, Sequence[str]]
) -> dict[str, tuple[list[str], float]]:
    """Edges behind other signals -> the approach lanes they lead to, and seconds from there, their mean."""
    ways = network.signals[junction.signal].connections
    found: dict[str, list[tuple[str, float]]] = {}
    for lane in dict.fromkeys(way.from_lane for way in ways if not way.crossing):
        if not network.lanes[lane].walk:
            pieces = approach_pieces(network, lane, math.inf)
            travel_s = sum((far - near) / max(1.0, network.lanes[name].speed) for near, far, name in pieces)
            edge = network.lanes[pieces[-1][2]].edge
            if edge in edges and 0.0 < travel_s <= MOST_TRAVEL_S:
                found.setdefault(edge, []).append((lane, travel_s))
    return {
        edge: ([lane for lane, _ in ends], round(sum(s for _, s in ends) / len(ends), 1))
        for edge, ends in found.items()
    }
