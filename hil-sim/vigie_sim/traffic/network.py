"""What Vigie needs of a SUMO network: lanes, signalled links, right of way, signal programs.

Read from ``.net.xml`` or ``.net.xml.gz`` with the standard XML reader; sumolib is not needed. Source of the
format: SUMO documentation, "Road Networks" and "Traffic Lights".
"""

import gzip
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vigie_protocols.errors import input_error

Point = tuple[float, float]

RAIL_KINDS = frozenset({"rail_signal", "rail_crossing"})


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane. length in m, speed in m/s; shape in the network's own metres; walk: for pedestrians alone."""

    id: str
    edge: str
    length: float
    speed: float
    shape: tuple[Point, ...]
    walk: bool
    internal: bool
    width: float = 3.2


@dataclass(frozen=True, slots=True)
class Connection:
    """A way from lane to lane. via: the internal lane, or ""; signal and link: the lamp that governs it."""

    from_lane: str
    to_lane: str
    via: str
    direction: str
    signal: str
    link: int
    crossing: bool


@dataclass(frozen=True, slots=True)
class Junction:
    """A junction. incoming: lanes that lead into it; internal: internal lanes in the order of the requests;
    bit j of foes[i]: i and j cross or merge; bit j of response[i]: i must give way to j."""

    id: str
    kind: str
    position: Point
    incoming: tuple[str, ...]
    internal: tuple[str, ...]
    foes: tuple[int, ...]
    response: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a signal program: one character per link, seconds as written there."""

    state: str
    duration: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """A traffic light: its program in use (the last loaded, as SUMO takes it) and the ways it governs."""

    id: str
    kind: str
    offset: float
    stages: tuple[Stage, ...]
    connections: tuple[Connection, ...]
    params: tuple[tuple[str, str], ...] = ()
    """The program's parameters, such as the rings of a NEMA program."""

    @property
    def links(self) -> int:
        """Number of links, the length of every state."""
        return len(self.stages[0].state)


@dataclass(frozen=True)
class Network:
    """A SUMO network as far as signals need it."""

    path: Path
    lanes: dict[str, Lane]
    connections: tuple[Connection, ...]
    junctions: dict[str, Junction]
    signals: dict[str, Signal]
    rail_signals: tuple[str, ...]
    offset: Point
    projection: str

    @cached_property
    def into(self) -> dict[str, tuple[Connection, ...]]:
        """Ways that lead into a lane from a lane outside junctions."""
        found: dict[str, list[Connection]] = {}
        for one in self.connections:
            if one.from_lane in self.lanes and not self.lanes[one.from_lane].internal:
                found.setdefault(one.to_lane, []).append(one)
        return {lane: tuple(ways) for lane, ways in found.items()}

    @cached_property
    def leaving(self) -> dict[str, tuple[Connection, ...]]:
        """Ways that leave a lane, in the order they are written."""
        found: dict[str, list[Connection]] = {}
        for one in self.connections:
            found.setdefault(one.from_lane, []).append(one)
        return {lane: tuple(ways) for lane, ways in found.items()}

    @cached_property
    def requests(self) -> dict[str, tuple[str, int]]:
        """Internal lane -> (junction, place of its request)."""
        return {
            lane: (junction.id, place)
            for junction in self.junctions.values()
            for place, lane in enumerate(junction.internal)
            if place < len(junction.foes)
        }

    @cached_property
    def plain_requests(self) -> dict[tuple[str, str], tuple[str, int]]:
        """(from, to) -> (junction, place of its request) where a network was built without internal lanes.

        Requests then follow the incoming lanes, and on each lane the connections as written.
        """
        found: dict[tuple[str, str], tuple[str, int]] = {}
        for junction in self.junctions.values():
            ways = [
                (lane, one.to_lane)
                for lane in junction.incoming
                for one in self.leaving.get(lane, ())
                if not one.via and not one.crossing
            ]
            if not junction.internal and len(ways) == len(junction.foes):
                found.update({way: (junction.id, place) for place, way in enumerate(ways)})
        return found


def parse_xml(path: Path, role: str) -> ET.Element:
    """The root element of an XML file, ``.gz`` included; raises InputError with file, place and remedy."""
    if not path.is_file():
        raise input_error(str(path), role, path.name, "there is no such file", "Check the path")
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        return ET.fromstring(text)
    except (OSError, EOFError, zlib.error) as error:
        raise input_error(
            str(path), role, None, f"cannot be read: {error}", "Check that the file is whole and readable"
        ) from error
    except ET.ParseError as error:
        raise input_error(
            str(path), role, None, f"is not well-formed XML: {error}", "Write the file again with netconvert"
        ) from error


def read_network(path: Path) -> Network:
    """Read a network; raises InputError when it is missing, broken, no network or has no signals."""
    root = parse_xml(path, "net-file")
    if root.tag != "net":
        raise input_error(
            str(path),
            "root element",
            root.tag,
            "is not a SUMO network",
            "Give a .net.xml file made by netconvert",
        )
    try:
        network = _network(path, root)
    except (KeyError, ValueError, IndexError) as error:
        raise input_error(
            str(path),
            "net",
            None,
            f"an element is incomplete or no number ({error!r})",
            "Write it again with netconvert",
        ) from error
    if not network.signals:
        if network.rail_signals:
            raise input_error(
                str(path),
                "tlLogic",
                network.rail_signals[0],
                "rail signals only, which are not supported",
                "Give a network with road traffic lights",
            )
        raise input_error(
            str(path),
            "tlLogic",
            None,
            "the network has no traffic lights",
            "Give a network with at least one, e.g. netconvert --tls.guess true",
        )
    return network


def _network(path: Path, root: ET.Element) -> Network:
    lanes = {lane.id: lane for lane in _lanes(root)}
    connections = tuple(_connections(root))
    junctions = {junction.id: junction for junction in _junctions(root)}
    rail = {junction.id for junction in junctions.values() if junction.kind in RAIL_KINDS}
    governed: dict[str, list[Connection]] = {}
    for one in connections:
        if one.signal:
            governed.setdefault(one.signal, []).append(one)
    signals: dict[str, Signal] = {}
    rail_signals: list[str] = []
    for logic in root.iter("tlLogic"):
        name = logic.attrib["id"]
        if logic.get("type") in RAIL_KINDS or name in rail:
            rail_signals.append(name)
            continue
        signals[name] = _signal(path, logic, tuple(governed.get(name, ())))
    location = root.find("location")
    x, y = (
        float(part)
        for part in (location.get("netOffset", "0,0") if location is not None else "0,0").split(",")
    )
    return Network(
        path,
        lanes,
        connections,
        junctions,
        signals,
        tuple(rail_signals + sorted(rail - set(rail_signals))),
        (x, y),
        location.get("projParameter", "!") if location is not None else "!",
    )


def _shape(text: str) -> tuple[Point, ...]:
    points = (part.split(",") for part in text.split())
    return tuple((float(part[0]), float(part[1])) for part in points)


def _lanes(root: ET.Element) -> Iterator[Lane]:
    for edge in root.iter("edge"):
        function = edge.get("function", "normal")
        for lane in edge.iter("lane"):
            allow, disallow = lane.get("allow", ""), lane.get("disallow", "")
            yield Lane(
                lane.attrib["id"],
                edge.attrib["id"],
                float(lane.attrib["length"]),
                float(lane.attrib["speed"]),
                _shape(lane.get("shape", "")),
                function in ("crossing", "walkingarea") or allow == "pedestrian" or disallow == "all",
                function != "normal",
                float(lane.get("width", "3.2")),
            )


def _connections(root: ET.Element) -> Iterator[Connection]:
    crossings = {edge.attrib["id"] for edge in root.iter("edge") if edge.get("function") == "crossing"}
    for row in root.iter("connection"):
        source, target = row.attrib["from"], row.attrib["to"]
        yield Connection(
            f"{source}_{row.get('fromLane', '0')}",
            f"{target}_{row.get('toLane', '0')}",
            row.get("via", ""),
            row.get("dir", "s"),
            row.get("tl", ""),
            int(row.get("linkIndex", "-1")),
            target in crossings,
        )


def _junctions(root: ET.Element) -> Iterator[Junction]:
    for row in root.iter("junction"):
        if row.get("type") == "internal":
            continue
        requests = sorted(row.iter("request"), key=lambda request: int(request.attrib["index"]))
        yield Junction(
            row.attrib["id"],
            row.get("type", ""),
            (float(row.attrib["x"]), float(row.attrib["y"])),
            tuple(row.get("incLanes", "").split()),
            tuple(row.get("intLanes", "").split()),
            tuple(int(request.attrib["foes"], 2) for request in requests),
            tuple(int(request.attrib["response"], 2) for request in requests),
        )


def _signal(path: Path, logic: ET.Element, connections: tuple[Connection, ...]) -> Signal:
    name = logic.attrib["id"]
    stages = tuple(
        Stage(row.attrib["state"], float(row.get("duration", "0")), row.get("name", ""))
        for row in logic.iter("phase")
    )
    where = f"tlLogic {name}"
    if not stages:
        raise input_error(
            str(path), where, None, "the program has no phase", "Give it phases or remove the signal"
        )
    width = len(stages[0].state)
    for place, stage in enumerate(stages):
        if len(stage.state) != width:
            raise input_error(
                str(path),
                f"{where} phase {place} state",
                stage.state,
                f"has {len(stage.state)} links, the first phase has {width}",
                "Give every phase one letter per link",
            )
        wrong = set(stage.state) - set("rugGyYsoO")
        if wrong:
            raise input_error(
                str(path),
                f"{where} phase {place} state",
                stage.state,
                f"unknown link state {sorted(wrong)[0]!r}",
                "Use r, u, y, Y, g, G, s, o or O",
            )
    for one in connections:
        if not 0 <= one.link < width:
            raise input_error(
                str(path),
                f"connection {one.from_lane} -> {one.to_lane} linkIndex",
                one.link,
                f"the program of {name} has {width} links",
                "Write the network again with netconvert",
            )
    params = tuple((row.attrib["key"], row.get("value", "")) for row in logic.iter("param"))
    return Signal(
        name, logic.get("type", "static"), float(logic.get("offset", "0")), stages, connections, params
    )
