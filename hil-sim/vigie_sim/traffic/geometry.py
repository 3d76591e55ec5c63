"""A network drawn for a map: lanes, crossings and signal heads as GeoJSON in longitude and latitude."""

from collections.abc import Sequence
from typing import Any

from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.geodesy import Projection, projection
from vigie_sim.traffic.network import Network, Point

_STRAIGHT = Projection(31, False, (-500_000.0, 0.0))
"""Where a network without a known projection is drawn: its metres near longitude 3, latitude 0."""


def geojson(
    network: Network, junctions: Sequence[Junction], names: dict[str, str] | None = None
) -> dict[str, Any]:
    """A FeatureCollection.

    ``kind`` of each feature: ``lane`` (LineString; width_m, speed_mps, walk, street), ``crossing``
    (LineString), ``signal`` (Point at a stop line; device, channel, number of its read-back point, phases)
    and ``junction`` (Point; device, gateway, name). names: street names by edge.
    """
    place = projection(network.projection, network.offset) or _STRAIGHT

    def at(point: Point) -> list[float]:
        lon, lat = place.lonlat(*point)
        return [round(lon, 7), round(lat, 7)]

    features: list[dict[str, Any]] = []

    def add(kind: str, geometry: str, coordinates: Any, **more: Any) -> None:
        features.append(
            {"type": "Feature", "geometry": {"type": geometry, "coordinates": coordinates},
             "properties": {"kind": kind, **more}}
        )  # fmt: skip

    crossings = {crossing.edge for one in junctions for crossing in one.crossings}
    for lane in network.lanes.values():
        line = [at(point) for point in lane.shape]
        if len(line) < 2:
            continue
        if lane.edge in crossings:
            add("crossing", "LineString", line, id=lane.edge, width_m=lane.width)
        elif not lane.internal:
            add("lane", "LineString", line, id=lane.id, edge=lane.edge, width_m=lane.width,
                speed_mps=lane.speed, walk=lane.walk, street=(names or {}).get(lane.edge, ""))  # fmt: skip
    for one in junctions:
        add("junction", "Point", [one.lon, one.lat] if one.lon or one.lat else at(_middle(network, one)),
            device=one.device, gateway=one.gateway, name=one.name)  # fmt: skip
        stops = _stop_lines(network, one)
        for number, group in enumerate(one.head.groups, start=1):
            channel = one.site.channels[number - 1]
            for point in stops.get(group.id, ()):
                add("signal", "Point", at(point), device=one.device, channel=group.id, number=number,
                    pedestrian=group.pedestrian, phases=list(channel.phases))  # fmt: skip
    return {"type": "FeatureCollection", "features": features}


def _stop_lines(network: Network, junction: Junction) -> dict[str, tuple[Point, ...]]:
    group = {link: one for one in junction.head.groups for link in one.links}
    found: dict[str, dict[str, Point]] = {}
    for way in network.connections:
        if way.signal != junction.signal or way.link not in group:
            continue
        lane = network.lanes[way.to_lane if way.crossing else way.from_lane]
        if lane.shape:
            found.setdefault(group[way.link].id, {})[lane.id] = lane.shape[0 if way.crossing else -1]
    return {one: tuple(points.values()) for one, points in found.items()}


def _middle(network: Network, junction: Junction) -> Point:
    ends = [point for row in _stop_lines(network, junction).values() for point in row]
    return sum(x for x, _ in ends) / len(ends), sum(y for _, y in ends) / len(ends)
