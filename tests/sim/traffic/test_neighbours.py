"""Who feeds whom, from a SUMO network."""

from collections.abc import Sequence

import pytest
from tests.sim.traffic.conftest import shared_scenario

from vigie_controllers.signals.checks import check_site
from vigie_sim.traffic.derive import Junction, derive, load_scenario
from vigie_sim.traffic.neighbours import MOST_TRAVEL_S, with_neighbours
from vigie_sim.traffic.network import Network


def check_links(junctions: Sequence[Junction]) -> int:
    """Every end of a link knows of the other; the number of links."""
    by_name = {one.name: one for one in junctions}
    told = {
        (one.name, row.neighbour, lane)
        for one in junctions
        for row in one.site.downstream
        for lane in row.exits
    }
    heard = {(row.loop, one.gateway, row.exit) for one in junctions for row in one.site.upstream}
    assert told == heard
    for one in junctions:
        check_site(one.site)
        for row in one.site.upstream:
            other = by_name[row.loop]
            assert row.neighbour == other.gateway != one.gateway
            assert row.exit in {lane.id for lane in other.site.lanes if lane.kind == "exit"}
            assert 0.0 < row.travel_s <= MOST_TRAVEL_S
    return len(heard)


def test_the_three_signals_of_the_district(district: Network) -> None:
    junctions = with_neighbours(district, derive(district))
    assert check_links(junctions) > 0
    feeds = {(row.loop, one.name) for one in junctions for row in one.site.upstream}
    assert feeds == {("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")}
    for one in junctions:
        for row in one.site.upstream:
            names = [lane.removeprefix("in:") for lane in row.lanes]
            shortest = min(district.lanes[name].length / district.lanes[name].speed for name in names)
            assert row.travel_s >= shortest - 0.1


def test_only_signals_of_ours_are_neighbours(district: Network) -> None:
    (alone,) = with_neighbours(district, derive(district)[1:2])
    assert alone.site.upstream == alone.site.downstream == ()


@pytest.mark.shared
@pytest.mark.parametrize(("name", "least"), [("cologne3", 4), ("ingolstadt7", 12)])
def test_real_networks(name: str, least: int) -> None:
    network = load_scenario(shared_scenario(name))
    junctions = with_neighbours(network, derive(network))
    assert check_links(junctions) >= least
