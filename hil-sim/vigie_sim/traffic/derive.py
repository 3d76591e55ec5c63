"""From a SUMO network to signalled junctions under Vigie: phases, channels, conflicts, detectors.

One ring and one barrier per junction: each green stage of the network's own program is a phase. What the
program cannot tell (clearances, minimum green, pedestrian times) comes from ``Clearances``.
"""

import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vigie_controllers.signals.site import Channel, Detector, Lane, Movement, Phase, SignalSite
from vigie_sim.traffic.channels import SignalHead, signal_head
from vigie_sim.traffic.detectors import Crossing, Zone, approach_pieces, approach_zones, exit_zone
from vigie_sim.traffic.geodesy import projection
from vigie_sim.traffic.network import Connection, Network, Signal, read_network
from vigie_sim.traffic.phases import program_splits
from vigie_sim.traffic.sumoconfig import read_run

REACH = 150.0
MAX_REACH = 500.0
Turn = Literal["left", "straight", "right", "u-turn"]
_TURNS: dict[str, Turn] = {"l": "left", "L": "left", "r": "right", "R": "right", "t": "u-turn"}
CALLING_M = 50.0
"""Zones that begin farther upstream call no phase: a gap in front of the stop line must end a green."""
_SMALLEST_CAR = 5.0
"""Metres a standing vehicle takes at least: bounds what a detector may report."""


@dataclass(frozen=True, slots=True)
class Clearances:
    """Times the network does not hold. walk speed: metres per second for pedestrian clearance (MUTCD)."""

    yellow_s: float = 3.0
    red_s: float = 2.0
    min_green_s: float = 5.0
    walk_s: float = 7.0
    walk_speed: float = 1.07
    max_red_s: float = 120.0


@dataclass(frozen=True)
class Junction:
    """One signalled junction as Vigie sees it.

    name: fit for device, loop and gateway names. head: lamps to SUMO's links. zones: approach zones in the
    order of detectors ``d1``, ``d2``... (count) and ``h1``... (halting); exits: of ``x1``...; crossings: of
    buttons ``b1``.... splits: seconds of the cycle each phase has in the network's own program, by phase
    number (empty for NEMA programs); offset: of that program. lon, lat: degrees, 0 and 0
    where the network has no projection we know.
    """

    name: str
    signal: str
    site: SignalSite
    head: SignalHead
    zones: tuple[Zone, ...]
    exits: tuple[Zone, ...]
    crossings: tuple[Crossing, ...]
    splits: dict[int, float]
    offset: float
    lon: float
    lat: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def device(self) -> str:
        """Name of its field device."""
        return f"jct-{self.name}"

    @property
    def gateway(self) -> str:
        """Name of its gateway when it has one to itself."""
        return f"gw-{self.name}"


def load_scenario(path: Path) -> Network:
    """The network of a ``.sumocfg`` or ``.net.xml`` (``.gz`` too); raises InputError."""
    return read_network(read_run(path).net)


def derive(network: Network, times: Clearances = Clearances()) -> tuple[Junction, ...]:
    """Every signal of a network, in the network's order; raises InputError for what cannot be controlled."""
    names = _names(network.signals)
    return tuple(_junction(network, signal, names[signal.id], times) for signal in network.signals.values())


def _names(ids: Iterable[str]) -> dict[str, str]:
    """Short names of lower-case letters, digits and dashes, each once."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for one in ids:
        base = re.sub(r"[^a-z0-9]+", "-", one.lower()).strip("-")[:32].strip("-") or "signal"
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name)
        names[one] = name
    return names


def _junction(network: Network, signal: Signal, name: str, times: Clearances) -> Junction:
    head = signal_head(network, signal)
    ways = [one for one in signal.connections if not one.crossing and not network.lanes[one.from_lane].walk]
    approaches = tuple(dict.fromkeys(one.from_lane for one in ways))
    outgoing = tuple(dict.fromkeys(one.to_lane for one in ways if one.to_lane in network.lanes))
    zones = tuple(zone for lane in approaches for zone in approach_zones(network, lane))
    exits = tuple(exit_zone(network, lane) for lane in outgoing)
    crossings, buttons = _crossings(network, signal, head)
    place = _place(network, signal)
    site = SignalSite(
        phases=tuple(_phases(network, head, times)),
        channels=tuple(
            Channel(
                id=group.id,
                kind="pedestrian" if group.pedestrian else "vehicle",
                phases=group.phases,
                permissive=group.permissive,
            )
            for group in head.groups
        ),
        conflicts=tuple((head.groups[i].id, head.groups[j].id) for i, j in sorted(head.conflicts)),
        detectors=tuple(_detectors(ways, head, zones, exits, buttons)),
        lanes=tuple(_lanes(network, approaches, outgoing)),
        movements=tuple(_movements(ways, head)),
    )
    warnings = tuple(
        f"{signal.id}: the program shows {head.groups[i].id} and {head.groups[j].id} green together although "
        "their ways meet and nobody gives way; permitted, with yielding as the right of way says"
        for i, j in sorted(head.unsafe)
    )
    return Junction(
        name, signal.id, site, head, zones, exits, crossings,
        program_splits(signal),
        signal.offset, place[0], place[1], warnings,
    )  # fmt: skip


def _phases(network: Network, head: SignalHead, times: Clearances) -> Iterable[Phase]:
    for slot in head.slots:
        number = slot.number
        feet = [group for group in head.groups if group.pedestrian and number in group.phases]
        longest = max((network.lanes[f"{group.approach}_0"].length for group in feet), default=0.0)
        yield Phase(
            id=number, ring=slot.ring, barrier=slot.barrier, min_green_s=times.min_green_s,
            yellow_s=times.yellow_s, red_clear_s=times.red_s,
            walk_s=times.walk_s if feet else 0.0,
            ped_clear_s=float(math.ceil(longest / times.walk_speed)) if feet else 0.0,
            max_red_s=times.max_red_s,
        )  # fmt: skip


def site_name(prefix: str, lane: str) -> str:
    """A SUMO lane's id as a name a site may use: the same wherever it fits, marked by a checksum where not."""
    name = prefix + re.sub(r"[^A-Za-z0-9_.:#-]", "_", lane)
    if name == prefix + lane and len(name) <= 64:
        return name
    return f"{name[:55]}-{zlib.crc32(lane.encode()):08x}"


def _lanes(network: Network, approaches: tuple[str, ...], outgoing: tuple[str, ...]) -> Iterable[Lane]:
    for lane in approaches:
        reach = approach_pieces(network, lane, MAX_REACH)[-1][1]
        yield Lane(
            id=_approach(lane), kind="approach", length_m=round(reach, 2), speed_mps=network.lanes[lane].speed
        )
    for lane in outgoing:
        row = network.lanes[lane]
        yield Lane(id=_exit(lane), kind="exit", length_m=row.length, speed_mps=row.speed)


def _approach(lane: str) -> str:
    return site_name("in:", lane)


def _exit(lane: str) -> str:
    return site_name("out:", lane)


def _movements(ways: list[Connection], head: SignalHead) -> Iterable[Movement]:
    channel = {link: group.id for group in head.groups for link in group.links}
    yields: dict[int, set[str]] = {}
    for link, foe in head.matrix.yields:
        if link in channel and foe in channel:
            yields.setdefault(link, set()).add(channel[foe])
    for way in ways:
        if way.link in channel:
            own = channel[way.link]
            yield Movement(
                channel=own, lane=_approach(way.from_lane), to=_exit(way.to_lane),
                turn=_TURNS.get(way.direction, "straight"),
                yields_to=tuple(sorted(yields.get(way.link, set()) - {own})),
            )  # fmt: skip


def _detectors(
    ways: list[Connection], head: SignalHead, zones: tuple[Zone, ...], exits: tuple[Zone, ...],
    buttons: list[tuple[int, ...]],
) -> Iterable[Detector]:  # fmt: skip
    phases: dict[str, set[int]] = {}
    by_link = {link: group for group in head.groups for link in group.links}
    for way in ways:
        if way.link in by_link:
            phases.setdefault(way.from_lane, set()).update(by_link[way.link].phases)
    shared = [_sharers(zone, zones) for zone in zones]
    for kind, letter in (("count", "d"), ("halting", "h")):
        for number, zone in enumerate(zones, start=1):
            room = math.ceil((zone.to_m - zone.from_m) / _SMALLEST_CAR) + 2
            yield Detector(
                id=f"{letter}{number}", kind="count" if kind == "count" else "halting",
                phases=tuple(sorted(phases.get(zone.lane, set()))),
                lanes=tuple(_approach(lane) for lane in (zone.lane, *shared[number - 1])),
                from_m=zone.from_m, to_m=round(zone.to_m, 2), max_value=room * max(1, len(zone.pieces)),
            )  # fmt: skip
    for number, zone in enumerate(exits, start=1):
        yield Detector(
            id=f"x{number}", kind="exit", lanes=(_exit(zone.lane),), from_m=0.0, to_m=round(zone.to_m, 2),
            max_value=math.ceil(zone.to_m / _SMALLEST_CAR) + 2,
        )  # fmt: skip
    for number, called in enumerate(buttons, start=1):
        yield Detector(id=f"b{number}", kind="button", phases=called)


def _sharers(zone: Zone, zones: tuple[Zone, ...]) -> tuple[str, ...]:
    """Other approach lanes that see most of a zone too: upstream of where a road widens."""
    length = sum(piece.high - piece.low for piece in zone.pieces)
    seen: dict[str, float] = {}
    for other in zones:
        if other.lane != zone.lane:
            for piece in other.pieces:
                for own in zone.pieces:
                    both = min(own.high, piece.high) - max(own.low, piece.low)
                    if own.lane == piece.lane and both > 0:
                        seen[other.lane] = seen.get(other.lane, 0.0) + both
    return tuple(lane for lane, both in seen.items() if both > 0.5 * length)


def _crossings(
    network: Network, signal: Signal, head: SignalHead
) -> tuple[tuple[Crossing, ...], list[tuple[int, ...]]]:
    """The crossings with buttons, and the phases that each calls."""
    found: list[Crossing] = []
    called: list[tuple[int, ...]] = []
    for group in head.groups:
        if not group.pedestrian:
            continue
        lane = f"{group.approach}_0"
        areas = {
            network.lanes[one.from_lane].edge
            for one in signal.connections
            if one.crossing and one.to_lane == lane and one.from_lane in network.lanes
        }
        areas |= {network.lanes[one.to_lane].edge for one in network.leaving.get(lane, ())}
        found.append(Crossing(group.approach, tuple(sorted(areas))))
        called.append(group.phases)
    return tuple(found), called


def _place(network: Network, signal: Signal) -> tuple[float, float]:
    """Longitude and latitude of the middle of a signal's junctions."""
    reference = projection(network.projection, network.offset)
    edges = {network.lanes[one.from_lane].id for one in signal.connections}
    corners = [network.lanes[lane].shape[-1] for lane in edges if network.lanes[lane].shape]
    if reference is None or not corners:
        return 0.0, 0.0
    x = sum(corner[0] for corner in corners) / len(corners)
    y = sum(corner[1] for corner in corners) / len(corners)
    lon, lat = reference.lonlat(x, y)
    return round(lon, 6), round(lat, 6)
