"""The conflict matrix, checked against the geometry of the ways and against what is known of junctions."""

from itertools import combinations, pairwise
from pathlib import Path

import pytest
from tests.sim.traffic.conftest import generate, shared_scenario

from vigie_controllers.signals.checks import check_site
from vigie_sim.traffic.channels import signal_head
from vigie_sim.traffic.derive import Junction, derive, load_scenario
from vigie_sim.traffic.network import Network, Point, read_network


def crossing(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two segments cross properly."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < -1e-6 and side(c, d, a) * side(c, d, b) < -1e-6


def ways(network: Network, signal: str) -> dict[int, list[tuple[str, list[Point]]]]:
    """Link -> its ways through the junction: (origin lane, shape)."""
    onward = {one.from_lane: one.via for one in network.connections if one.from_lane.startswith(":")}
    found: dict[int, list[tuple[str, list[Point]]]] = {}
    for one in network.signals[signal].connections:
        if one.direction == "t":
            continue  # a turnaround is drawn as a loop that brushes ways it never blocks
        shape: list[Point] = []
        lane = one.to_lane if one.crossing else one.via
        while lane:
            shape.extend(network.lanes[lane].shape)
            lane = "" if one.crossing else onward.get(lane, "")
        found.setdefault(one.link, []).append((one.from_lane, shape))
    return found


def check_geometry(network: Network) -> int:
    """Channels whose ways cross on the ground must conflict or yield; returns how many pairs of ways crossed."""
    crossed = 0
    for signal in network.signals.values():
        head = signal_head(network, signal)
        place = {link: number for number, group in enumerate(head.groups) for link in group.links}
        known = head.conflicts | head.permitted
        shapes = ways(network, signal.id)
        for i, j in combinations(sorted(set(shapes) & set(place)), 2):
            if place[i] == place[j]:
                continue
            pair = (min(place[i], place[j]), max(place[i], place[j]))
            for from_i, one in shapes[i]:
                for from_j, other in shapes[j]:
                    if from_i == from_j:
                        continue
                    if any(crossing(a, b, c, d) for a, b in pairwise(one) for c, d in pairwise(other)):
                        crossed += 1
                        assert pair in known, f"{signal.id}: links {i} and {j} cross and are no foes"
    return crossed


def test_ways_that_cross_are_foes_in_the_district(district: Network) -> None:
    assert check_geometry(district) > 100


def test_ways_that_cross_are_foes_in_a_generated_network(cross_net: Path) -> None:
    assert check_geometry(read_network(cross_net)) > 30


@pytest.mark.shared
@pytest.mark.parametrize("name", ["cologne1", "cologne3", "ingolstadt1"])
def test_ways_that_cross_are_foes_in_real_networks(name: str) -> None:
    assert check_geometry(load_scenario(shared_scenario(name))) > 3


@pytest.mark.shared
def test_cologne1_is_the_matrix_a_person_would_draw(cologne1: Junction) -> None:
    # North and south: c1, c5 through, c2, c6 left; east and west: c3, c7 through, c4, c8 left.
    conflicts = {frozenset(pair) for pair in cologne1.site.conflicts}
    one, other = ("c1", "c2", "c5", "c6"), ("c3", "c4", "c7", "c8")
    crossing_ = {frozenset((a, b)) for a in one for b in other}
    beside = {frozenset(pair) for pair in (("c3", "c8"), ("c4", "c7"), ("c1", "c6"), ("c2", "c5"))}
    assert conflicts == crossing_
    permitted = {
        frozenset((cologne1.site.channels[i].id, cologne1.site.channels[j].id))
        for i, j in cologne1.head.permitted
    }
    assert beside <= permitted


def test_a_protected_left_conflicts_with_the_opposing_traffic(intersections: dict[str, Junction]) -> None:
    site = intersections["tisserands"].site
    phases = {channel.id: channel.phases[0] for channel in site.channels if channel.kind == "vehicle"}
    hostile = {frozenset((phases[a], phases[b])) for a, b in site.conflicts if a in phases and b in phases}
    assert {
        frozenset((5, 6)),
        frozenset((1, 2)),
        frozenset((2, 4)),
        frozenset((6, 8)),
        frozenset((2, 8)),
    } <= hostile
    assert frozenset((2, 6)) not in hostile
    assert frozenset((1, 5)) not in hostile
    assert frozenset((2, 5)) not in hostile


def test_pedestrian_stages_join_the_phase_they_belong_to(cross_net: Path) -> None:
    junction = max(derive(read_network(cross_net)), key=lambda one: len(one.site.channels))
    feet = [channel for channel in junction.site.channels if channel.kind == "pedestrian"]
    assert len(feet) == 4
    assert len(junction.site.phases) <= 4
    for channel in feet:
        for number in channel.phases:
            phase = next(one for one in junction.site.phases if one.id == number)
            assert phase.walk_s == 7.0
            assert phase.ped_clear_s >= 5.0


def test_a_network_without_internal_lanes_has_the_same_conflicts(tmp_path: Path) -> None:
    options = ("--grid.number", "2", "--grid.length", "150", "-L", "3")
    whole = derive(read_network(generate(tmp_path, "whole", *options)))
    bare = derive(read_network(generate(tmp_path, "bare", *options, "--no-internal-links")))
    assert [one.site.conflicts for one in bare] == [one.site.conflicts for one in whole]
    assert any(one.site.conflicts for one in whole)


def test_a_nema_program_keeps_its_rings_and_barriers(tmp_path: Path) -> None:
    options = ("--grid.number", "2", "--grid.length", "150", "-L", "3", "--turn-lanes", "1")
    net = generate(tmp_path, "nema", *options, "--tls.default-type", "NEMA")
    junction = max(derive(read_network(net)), key=lambda one: len(one.site.phases))
    check_site(junction.site)
    layout = {phase.id: (phase.ring, phase.barrier) for phase in junction.site.phases}
    assert set(layout) == {1, 2, 3, 4, 5, 6, 7, 8}
    assert {layout[number][0] for number in (1, 2, 3, 4)} == {1}
    assert {layout[number][0] for number in (5, 6, 7, 8)} == {2}
    assert {layout[number][1] for number in (1, 2, 5, 6)} != {layout[number][1] for number in (3, 4, 7, 8)}
    assert junction.site.conflicts
