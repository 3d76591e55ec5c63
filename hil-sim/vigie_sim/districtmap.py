"""The district as the coordinator's inventory: streets, signals, water and lamps in longitude and latitude."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vigie_sim.district import DistrictScenario
from vigie_sim.traffic.district import district_geojson

TIME_ZONE = "America/Montreal"
NAME = {"fr": "District du Vieux-Moulin", "en": "Vieux-Moulin district"}
_JUNCTIONS = {
    "jct-tisserands": {"fr": "Érables / des Tisserands", "en": "Érables / Tisserands"},
    "jct-passerelle": {"fr": "Érables / de la Passerelle", "en": "Érables / Passerelle"},
    "jct-vieux-marche": {"fr": "Érables / du Vieux-Marché", "en": "Érables / Vieux-Marché"},
}
_GATEWAYS = {
    "jct-tisserands": "gw-boulevard",
    "jct-vieux-marche": "gw-boulevard",
    "jct-passerelle": "gw-mixte",
    "cab-a": "gw-eclairage",
    "cab-b": "gw-mixte",
}
_ARTERIAL = {"cab-a": ("W-A", "A-B"), "cab-b": ("B-C", "C-E")}
_CABINETS = {"cab-a": [-73.5984, 45.5304], "cab-b": [-73.5853, 45.5352]}
_STATION, _BASIN, _UPSTREAM = (-73.5862, 45.5300), (-73.5928, 45.5346), (-73.5985, 45.5352)
_METRES_PER_DEGREE = 111_320.0

Line = Sequence[Sequence[float]]


def inventory(scenario: DistrictScenario) -> dict[str, Any]:
    """The FeatureCollection of docs/reference/inventory.md."""
    streets = district_geojson(scenario.network)["features"]
    features = [*_streets(streets), *_signals(streets), *_water(), *_lighting(streets, scenario)]
    return {"type": "FeatureCollection", "name": NAME, "time_zone": TIME_ZONE, "features": features}


def _feature(
    name: str, kind: str, geometry: str, coordinates: Any, names: Any, **more: Any
) -> dict[str, Any]:
    both = names if isinstance(names, dict) else {"fr": names, "en": names}
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": geometry, "coordinates": coordinates},
        "properties": {"kind": kind, "name": both, **more},
    }


def _streets(features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for one in features:
        own = one["properties"]
        if own["kind"] == "lane":
            arterial = "Érables" in own["street"] or "érables" in own["street"]
            found.append(
                _feature(f"lane {own['id']}", "lane", "LineString", one["geometry"]["coordinates"], own["street"],
                         width_m=own["width_m"], walk=own["walk"], **{"class": "arterial" if arterial else "street"})
            )  # fmt: skip
        elif own["kind"] == "crossing":
            found.append(
                _feature(f"crossing {own['id']}", "crossing", "LineString", one["geometry"]["coordinates"], "",
                         width_m=own["width_m"])
            )  # fmt: skip
    return found


def _signals(features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    lanes = [one["geometry"]["coordinates"] for one in features
             if one["properties"]["kind"] == "lane" and not one["properties"]["walk"]]  # fmt: skip
    crossings = [
        one["geometry"]["coordinates"] for one in features if one["properties"]["kind"] == "crossing"
    ]
    found = []
    for place, one in enumerate(features):
        own = one["properties"]
        at = one["geometry"]["coordinates"]
        if own["kind"] == "junction":
            device = own["device"]
            found.append(
                _feature(device, "junction", "Point", at, _JUNCTIONS[device], gateway=_GATEWAYS[device], device=device,
                         points={"mode": f"{device}/panel.mode", "queue": f"{device}/queue"})
            )  # fmt: skip
        elif own["kind"] == "signal":
            device, walk = own["device"], own["pedestrian"]
            word = ("Piétons", "Pedestrians") if walk else ("Feu", "Signal")
            found.append(
                _feature(f"{device} signal {place}", "signal", "Point", at,
                         {"fr": f"{word[0]} {own['number']}", "en": f"{word[1]} {own['number']}"},
                         gateway=_GATEWAYS[device], device=device, pedestrian=walk, phase=own["phases"][0],
                         bearing=_bearing(at, crossings if walk else lanes),
                         points={"lamp": f"{device}/channel.{own['number']}.shown"})
            )  # fmt: skip
    return found


def _bearing(at: Sequence[float], lines: Sequence[Line]) -> float:
    """Degrees clockwise from north of the line that ends nearest to ``at``."""

    def far(line: Line) -> float:
        return _distance(line[-1], at)

    (x0, y0), (x1, y1) = min(lines, key=far)[-2:]
    return round(math.degrees(math.atan2((x1 - x0) * math.cos(math.radians(y1)), y1 - y0)) % 360, 1)


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Metres between two points, near enough for a district."""
    east = (a[0] - b[0]) * math.cos(math.radians(a[1]))
    return math.hypot(east, a[1] - b[1]) * _METRES_PER_DEGREE


def _water() -> list[dict[str, Any]]:
    station = {
        "level": "pump-station/level",
        "inflow": "basin/outflow",
        "pump.1": "pump-station/pump.1.run",
        "pump.2": "pump-station/pump.2.run",
    }
    pipe = [list(_BASIN), [-73.5905, 45.5325], [-73.5880, 45.5309], list(_STATION)]
    return [
        _feature("pipe trunk", "pipe", "LineString", [list(_UPSTREAM), list(_BASIN)],
                 {"fr": "Collecteur unitaire", "en": "Combined trunk sewer"}),
        _feature("pipe collector", "pipe", "LineString", pipe,
                 {"fr": "Collecteur vers le poste", "en": "Collector to the station"},
                 gateway="gw-pompage", device="basin", points={"flow": "basin/outflow"}),
        _feature("basin", "basin", "Point", list(_BASIN), {"fr": "Bassin des Moulins", "en": "Moulins basin"},
                 gateway="gw-pompage", device="basin", range=[0, 3.6],
                 points={"level": "basin/level", "overflow": "basin/overflow"}),
        _feature("pump-station", "pump-station", "Point", list(_STATION),
                 {"fr": "Poste de la Grève", "en": "Grève pumping station"}, gateway="gw-pompage",
                 device="pump-station", units={"level": "m", "inflow": "m³/s"}, points=station),
    ]  # fmt: skip


def _lighting(features: Sequence[Mapping[str, Any]], scenario: DistrictScenario) -> list[dict[str, Any]]:
    found = []
    for cabinet in scenario.lighting.cabinets:
        device = cabinet.device
        gateway = _GATEWAYS[device]
        edges = _ARTERIAL[device]
        walks = [one["geometry"]["coordinates"] for one in features
                 if one["properties"]["kind"] == "lane" and one["properties"]["walk"]
                 and _undirected(one["properties"]["edge"]) in edges]  # fmt: skip
        lamps = sum(group.lamps for group in cabinet.groups)
        places = _spread(walks, lamps)
        letter = device[-1].upper()
        found.append(
            _feature(device, "cabinet", "Point", _CABINETS[device],
                     {"fr": f"Armoire d'éclairage {letter}", "en": f"Lighting cabinet {letter}"}, gateway=gateway,
                     device=device, units={"power": "W", "photocell": "lx"},
                     points={"power": f"{cabinet.meter}/power", "photocell": f"{device}/lux"})
        )  # fmt: skip
        for number, place in enumerate(places, start=1):
            found.append(
                _feature(f"{device} lamp {number}", "lamp", "Point", place,
                         {"fr": f"Luminaire {letter}{number}", "en": f"Lamp {letter}{number}"}, gateway=gateway,
                         device=device, points={"level": f"{device}/lamp.{number}.level",
                                                "fault": f"{device}/lamp.{number}.fault"})
            )  # fmt: skip
    return found


def _undirected(edge: str) -> str:
    """``A-B`` for both directions of a street's piece, whatever its parts are called."""
    ends = edge.split(".")[0].split("-")[:2]
    order = "WABCE"
    if all(end in order for end in ends):
        ends.sort(key=order.index)
    return "-".join(ends)


def _spread(lines: Sequence[Line], count: int) -> list[list[float]]:
    """``count`` points at equal distances along ``lines``, one after the other."""
    lengths = [sum(_distance(a, b) for a, b in pairwise(line)) for line in lines]
    total = sum(lengths)
    points = []
    for number in range(count):
        left = (number + 0.5) * total / count
        for line, length in zip(lines, lengths, strict=True):
            if left <= length:
                points.append(_along(line, left))
                break
            left -= length
        else:
            points.append([round(value, 7) for value in lines[-1][-1]])
    return points


def _along(line: Line, metres: float) -> list[float]:
    for a, b in pairwise(line):
        piece = _distance(a, b)
        if metres <= piece:
            share = metres / piece if piece else 0.0
            return [round(a[0] + (b[0] - a[0]) * share, 7), round(a[1] + (b[1] - a[1]) * share, 7)]
        metres -= piece
    return [round(value, 7) for value in line[-1]]
