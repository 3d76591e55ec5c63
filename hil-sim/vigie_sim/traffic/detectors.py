"""Lane-area detectors: zones before the stop lines and behind the junction, and how they are counted.

A zone counts the vehicles whose front bumper lies in it, so that each vehicle stands in one zone of its
lane, and those of them that stand (below 0.1 m/s, SUMO's own limit). Reading vehicle positions lane by
lane is as fast as SUMO's E2 detectors or faster, needs no additional file, and lets a zone
reach over several lanes. No identity, route or speed leaves this module.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vigie_sim.traffic.network import Connection, Network

APPROACH_CUTS = (0.0, 25.0, 50.0, 80.0, 115.0, 150.0)
"""Zone limits in metres before the stop line."""
EXIT_REACH = 30.0
"""Metres of an outgoing lane that its exit zone sees."""
HALTING_SPEED = 0.1
SHORTEST_ZONE = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a SUMO lane, in metres from its beginning."""

    lane: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Zone:
    """What one lane-area detector sees.

    lane: the SUMO lane whose approach (or exit) it belongs to; from_m, to_m: metres before the stop line,
    or, for exits, metres behind the lane's beginning.
    """

    lane: str
    exit: bool
    from_m: float
    to_m: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A signalled pedestrian crossing: its edge and the waiting areas at its ends."""

    edge: str
    areas: tuple[str, ...]


def approach_pieces(network: Network, lane: str, reach: float) -> list[tuple[float, float, str]]:
    """The way upstream of a stop line: (metres at its near end, at its far end, SUMO lane), nearest first.

    Short lanes are continued on their main predecessor, up to the next signal or ``reach``.
    """
    pieces: list[tuple[float, float, str]] = []
    here, far = lane, 0.0
    seen: set[str] = set()
    while far < reach and here not in seen:
        seen.add(here)
        length = network.lanes[here].length
        pieces.append((far, far + length, here))
        far += length
        way = main_predecessor(network, here)
        if way is None or way.signal:
            break
        if way.via and way.via in network.lanes:
            length = network.lanes[way.via].length
            pieces.append((far, far + length, way.via))
            far += length
        here = way.from_lane
    return pieces


def main_predecessor(network: Network, lane: str) -> Connection | None:
    """The way most traffic takes into ``lane``: straight first, then the faster and longer lane."""
    ways = [way for way in network.into.get(lane, ()) if not network.lanes[way.from_lane].walk]
    if not ways:
        return None

    def weight(way: Connection) -> tuple[bool, float, float, str]:
        source = network.lanes[way.from_lane]
        return way.direction == "s", source.speed, source.length, source.id

    return max(ways, key=weight)


def approach_zones(network: Network, lane: str, cuts: Sequence[float] = APPROACH_CUTS) -> list[Zone]:
    """The zones of one incoming lane, nearest first; fewer where the road is shorter than the last cut."""
    pieces = approach_pieces(network, lane, cuts[-1])
    end = pieces[-1][1]
    zones = []
    for near, far in pairwise(cuts):
        to = min(far, end)
        if to - near < SHORTEST_ZONE:
            break
        parts = []
        for low, high, name in pieces:
            first, last = max(low, near), min(high, to)
            if last > first:
                length = high - low
                # A lane's position counts from its beginning: the stop line is at its length.
                parts.append(Piece(name, length - (last - low), length - (first - low)))
        zones.append(Zone(lane, False, near, to, tuple(parts)))
    return zones


def exit_zone(network: Network, lane: str, reach: float = EXIT_REACH) -> Zone:
    """The zone at the beginning of an outgoing lane."""
    end = min(reach, network.lanes[lane].length)
    return Zone(lane, True, 0.0, end, (Piece(lane, 0.0, end),))


class Counter:
    """Counts vehicles and standing vehicles in many zones at once, from positions lane by lane.

    The three callables are libsumo's: ids on a lane, position (m) and speed (m/s) of a vehicle.
    """

    def __init__(
        self,
        zones: Iterable[Zone],
        vehicles: Callable[[str], Sequence[str]],
        position: Callable[[str], float],
        speed: Callable[[str], float],
    ) -> None:
        self.zones = tuple(zones)
        self._vehicles, self._position, self._speed = vehicles, position, speed
        lanes: dict[str, list[tuple[Piece, int]]] = {}
        for index, zone in enumerate(self.zones):
            for piece in zone.pieces:
                lanes.setdefault(piece.lane, []).append((piece, index))
        self._table = [(lane, *_intervals(parts)) for lane, parts in lanes.items()]

    def read(self) -> tuple[list[int], list[int]]:
        """(vehicles, standing vehicles) per zone, in the order of the zones."""
        counts = [0] * len(self.zones)
        halting = [0] * len(self.zones)
        position, speed = self._position, self._speed
        for lane, cuts, targets in self._table:
            for vehicle in self._vehicles(lane):
                hit = targets[bisect_left(cuts, position(vehicle))]
                if hit:
                    stands = speed(vehicle) < HALTING_SPEED
                    for zone in hit:
                        counts[zone] += 1
                        halting[zone] += stands
        return counts, halting


def _intervals(parts: list[tuple[Piece, int]]) -> tuple[list[float], list[tuple[int, ...]]]:
    """Cuts along a lane, and the zones of every interval between them (one more than cuts)."""
    cuts = sorted({piece.low for piece, _ in parts} | {piece.high for piece, _ in parts})
    targets: list[tuple[int, ...]] = []
    for place in range(len(cuts) + 1):
        low = cuts[place - 1] if place else float("-inf")
        high = cuts[place] if place < len(cuts) else float("inf")
        targets.append(tuple(zone for piece, zone in parts if piece.low <= low and high <= piece.high))
    # A vehicle at the very stop line may report a position a hair beyond its lane's length.
    if not targets[-1]:
        targets[-1] = targets[-2]
    # Likewise one that just entered stands at 0.0, which bisect_left puts before the first cut.
    if not targets[0] and cuts[0] <= 0.0:
        targets[0] = targets[1]
    return cuts, targets
