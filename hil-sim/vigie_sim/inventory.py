"""What stands where: a scenario's inventory for the coordinator's map (docs/reference/inventory.md)."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from vigie_protocols.profile import BothLanguages, Strict
from vigie_protocols.yamlfile import load_model, read_yaml
from vigie_sim.traffic.district import district_geojson
from vigie_sim.traffic.district import folder as traffic_folder

LonLat = tuple[float, float]
METRES_PER_DEGREE = 111_195.0
"""Of latitude, on the sphere of 6,371 km radius."""
ARTERIAL_LANES_MPS = 13.0
"""A street allowed at least this speed is drawn as an arterial."""


class Row(Strict):
    """Lamps along a line, in turn on either side of it. beside_m: metres from the line."""

    lamps: int = Field(ge=1, le=10_000)
    start: LonLat = Field(alias="from")
    end: LonLat = Field(alias="to")
    beside_m: float = Field(default=8.0, ge=0, le=100)


class Cabinet(Strict):
    """A lighting cabinet, the meter that counts for it, and its lamps in the order of their numbers."""

    device: str
    meter: str
    name: BothLanguages
    at: LonLat
    rows: tuple[Row, ...]


class Site(Strict):
    """A site with a level. points: role on the map -> point of the device."""

    device: str
    kind: str = Field(pattern="^(basin|pump-station)$")
    name: BothLanguages
    at: LonLat
    range: tuple[float, float]
    points: dict[str, str]


class Pipe(Strict):
    """A line of the sewer."""

    name: BothLanguages
    line: tuple[LonLat, ...] = Field(min_length=2)


class Places(Strict):
    """A scenario's ``map.yaml``."""

    name: BothLanguages
    time_zone: str
    junctions: dict[str, BothLanguages] = Field(default_factory=dict)
    sites: tuple[Site, ...] = ()
    pipes: tuple[Pipe, ...] = ()
    cabinets: tuple[Cabinet, ...] = ()


def read_places(path: Path) -> Places:
    """Read ``map.yaml``; raises InputError with file, line, field and remedy."""
    return load_model(path, Places)


def carried(documents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Device -> gateway, from gateway files as documents."""
    return {device["name"]: each["gateway"] for each in documents for device in each.get("devices", ())}


def district_inventory(gateway_files: Iterable[Path]) -> dict[str, Any]:
    """The built-in district's inventory, for the gateway files that its scenario wrote."""
    places = read_places(traffic_folder().parent / "map.yaml")
    return inventory(district_geojson(), places, carried(read_yaml(path).data for path in gateway_files))


def inventory(drawn: Mapping[str, Any], places: Places, gateways: Mapping[str, str]) -> dict[str, Any]:
    """The FeatureCollection that ``PUT /api/v1/inventory`` takes.

    drawn: streets and signals as ``traffic.geometry.geojson`` draws them. gateways: device -> its gateway;
    what no gateway carries is drawn without state.
    """
    features = [
        *_streets(drawn["features"]),
        *_signals(drawn["features"], places, gateways),
        *_water(places, gateways),
        *_lighting(places, gateways),
    ]
    return {
        "type": "FeatureCollection",
        "name": places.name.model_dump(),
        "time_zone": places.time_zone,
        "features": features,
    }


def _feature(identity: str, kind: str, name: Mapping[str, str], at: Any, **more: Any) -> dict[str, Any]:
    line = isinstance(at[0], Sequence)
    return {
        "type": "Feature",
        "id": identity,
        "geometry": {"type": "LineString" if line else "Point", "coordinates": at},
        "properties": {"kind": kind, "name": dict(name)} | {key: one for key, one in more.items() if one is not None},
    }  # fmt: skip


def _owner(device: str, gateways: Mapping[str, str]) -> dict[str, str]:
    return {"device": device, "gateway": gateways[device]} if device in gateways else {"device": device}


def _streets(drawn: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    # A street's name is written once per stretch, on the innermost lane of one of its directions.
    inner: dict[frozenset[str], str] = {}
    for each in drawn:
        about = each["properties"]
        if about["kind"] == "lane" and not about["walk"]:
            stretch = frozenset(about["edge"].split("-"))
            inner[stretch] = max(inner.get(stretch, ""), about["id"])
    named = set(inner.values())
    for each in drawn:
        about, line = each["properties"], each["geometry"]["coordinates"]
        if about["kind"] == "crossing":
            yield _feature(
                f"crossing {about['id']}", "crossing", {"fr": "", "en": ""}, line, width_m=about["width_m"]
            )
        elif about["kind"] == "lane":
            street = about["street"] if about["id"] in named else ""
            yield _feature(
                f"lane {about['id']}", "lane", {"fr": street, "en": street}, line, width_m=about["width_m"],
                **{"walk": about["walk"], "class": "arterial" if about["speed_mps"] > ARTERIAL_LANES_MPS else "street"},
            )  # fmt: skip


def _signals(
    drawn: Sequence[Mapping[str, Any]], places: Places, gateways: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    bearings = dict(_bearings(drawn))
    for each in drawn:
        about = each["properties"]
        if about["kind"] == "junction":
            device = about["device"]
            known = places.junctions.get(device)
            name = known.model_dump() if known else {"fr": about["name"], "en": about["name"]}
            yield _feature(
                device, "junction", name, each["geometry"]["coordinates"], **_owner(device, gateways),
                points={"queue": f"{device}/queue", "mode": f"{device}/panel.mode", "fault": f"{device}/monitor.fault"},
            )  # fmt: skip
    shown: set[tuple[Any, ...]] = set()
    for each in drawn:
        about, at = each["properties"], each["geometry"]["coordinates"]
        if about["kind"] != "signal":
            continue
        device, number, feet = about["device"], about["number"], about["pedestrian"]
        bearing = bearings.get((feet, *at), 0.0)
        # Several channels of one approach follow the same phase: one head tells it.
        movement = (device, feet, tuple(about["phases"]), round(bearing / 20) % 18)
        if (device, number) in shown or movement in shown:
            continue
        shown |= {(device, number), movement}
        phases = ", ".join(map(str, about["phases"]))
        name = (
            {"fr": f"Piétons, phase {phases}", "en": f"Pedestrians, phase {phases}"}
            if feet
            else {"fr": f"Feu {number}, phase {phases}", "en": f"Signal {number}, phase {phases}"}
        )
        yield _feature(
            f"{device} {number}", "signal", name, at, **_owner(device, gateways),
            points={"lamp": f"{device}/channel.{number}.shown"}, bearing=round(bearing, 1), pedestrian=feet,
            phase=about["phases"][0] if about["phases"] else None,
        )  # fmt: skip


def _bearings(drawn: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[Any, ...], float]]:
    """Where traffic heads at each end of a lane, and feet at each start of a crossing; degrees from north."""
    for each in drawn:
        line = each["geometry"]["coordinates"]
        if each["properties"]["kind"] == "lane":
            yield (False, *line[-1]), _bearing(line[-2], line[-1])
        elif each["properties"]["kind"] == "crossing":
            yield (True, *line[0]), _bearing(line[0], line[1])


def _bearing(start: LonLat, end: LonLat) -> float:
    east = (end[0] - start[0]) * math.cos(math.radians(start[1]))
    return math.degrees(math.atan2(east, end[1] - start[1])) % 360


def _water(places: Places, gateways: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for number, pipe in enumerate(places.pipes, start=1):
        yield _feature(f"pipe {number}", "pipe", pipe.name.model_dump(), pipe.line)
    for site in places.sites:
        points = {role: f"{site.device}/{point}" for role, point in site.points.items()}
        yield _feature(
            site.device, site.kind, site.name.model_dump(), site.at, **_owner(site.device, gateways),
            points=points, range=site.range,
        )  # fmt: skip


def _lighting(places: Places, gateways: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for cabinet in places.cabinets:
        device, owner = cabinet.device, _owner(cabinet.device, gateways)
        yield _feature(
            device, "cabinet", cabinet.name.model_dump(), cabinet.at, **owner,
            points={"power": f"{cabinet.meter}/power", "photocell": f"{device}/lux"}, units={"power": "W"},
        )  # fmt: skip
        lamps = [at for row in cabinet.rows for at in _along(row)]
        for number, at in enumerate(lamps, start=1):
            yield _feature(
                f"{device} {number}", "lamp", {"fr": f"Luminaire {number}", "en": f"Lamp {number}"}, at, **owner,
                points={"level": f"{device}/lamp.{number}.level", "fault": f"{device}/lamp.{number}.fault"},
            )  # fmt: skip


def _along(row: Row) -> Iterator[LonLat]:
    narrowing = math.cos(math.radians(row.start[1]))
    east = (row.end[0] - row.start[0]) * narrowing
    north = row.end[1] - row.start[1]
    length = math.hypot(east, north) or 1.0
    for index in range(row.lamps):
        share = index / max(1, row.lamps - 1)
        side = (row.beside_m if index % 2 else -row.beside_m) / METRES_PER_DEGREE
        yield (
            round(row.start[0] + (east * share - side * north / length) / narrowing, 7),
            round(row.start[1] + north * share + side * east / length, 7),
        )
