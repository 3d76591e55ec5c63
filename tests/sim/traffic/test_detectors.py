"""Zones cover the road before a stop line once, and every vehicle is counted in one zone."""

from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.detectors import Counter, Piece, Zone, approach_zones, exit_zone
from vigie_sim.traffic.network import Network


def test_zones_of_a_short_lane_go_on_upstream(district: Network) -> None:
    zones = approach_zones(district, "W-A.v_1")
    assert [(zone.from_m, zone.to_m) for zone in zones] == [
        (0, 25),
        (25, 50),
        (50, 80),
        (80, 115),
        (115, 150),
    ]
    assert {piece.lane for piece in zones[0].pieces} == {"W-A.v_1"}
    # 50-80 m straddles the beginning of the 70 m lane: its pieces add up, seen from the stop line.
    assert len({piece.lane for piece in zones[2].pieces}) > 1
    for zone in zones:
        assert abs(sum(piece.high - piece.low for piece in zone.pieces) - (zone.to_m - zone.from_m)) < 1e-9


def test_zones_never_leave_their_lanes(district: Network, intersections: dict[str, Junction]) -> None:
    for junction in intersections.values():
        for zone in (*junction.zones, *junction.exits):
            for piece in zone.pieces:
                assert 0 <= piece.low < piece.high <= district.lanes[piece.lane].length + 1e-9


def test_an_exit_zone_begins_with_its_lane(district: Network) -> None:
    zone = exit_zone(district, "A-W_1")
    assert (zone.from_m, zone.to_m) == (0.0, 30.0)
    assert zone.pieces == (Piece("A-W_1", 0.0, 30.0),)


def count(zones: list[Zone], cars: dict[str, list[tuple[float, float]]]) -> tuple[list[int], list[int]]:
    """cars: lane -> (position, speed)."""
    place = {f"{lane}/{k}": row for lane, rows in cars.items() for k, row in enumerate(rows)}
    names = {lane: [f"{lane}/{k}" for k in range(len(rows))] for lane, rows in cars.items()}
    counter = Counter(zones, lambda lane: names.get(lane, []), lambda v: place[v][0], lambda v: place[v][1])
    return counter.read()


def test_every_vehicle_is_in_one_zone_and_the_standing_ones_are_told() -> None:
    zones = [Zone("a", False, 0, 25, (Piece("a", 75, 100),)), Zone("a", False, 25, 50, (Piece("a", 50, 75),))]
    cars = {"a": [(99.9, 0.0), (100.0, 0.05), (75.0, 3.0), (74.9, 0.0), (50.5, 12.0), (20.0, 0.0)]}
    counts, halting = count(zones, cars)
    assert sum(counts) == 5
    assert counts == [2, 3]
    assert halting == [2, 1]


def test_a_lane_seen_from_two_stop_lines_counts_for_both() -> None:
    zones = [
        Zone("left", False, 50, 80, (Piece("up", 60, 90),)),
        Zone("through", False, 50, 80, (Piece("up", 60, 90),)),
    ]
    assert count(zones, {"up": [(70.0, 0.0), (10.0, 5.0)]}) == ([1, 1], [1, 1])


def test_a_vehicle_at_the_very_ends_of_a_lane_is_seen() -> None:
    zones = [Zone("a", True, 0, 30, (Piece("a", 0, 30),)), Zone("b", False, 0, 25, (Piece("b", 15, 40),))]
    assert count(zones, {"a": [(0.0, 1.0)], "b": [(40.001, 0.0)]}) == ([1, 1], [0, 1])
