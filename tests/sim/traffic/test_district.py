"""The district's streets: the kept network is what the sources give, and lies where it says."""

import math
from pathlib import Path

from vigie_controllers.signals.checks import check_site
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.district import build_net, district_geojson, district_run, folder
from vigie_sim.traffic.documents import loop_points, profile_of
from vigie_sim.traffic.geodesy import projection
from vigie_sim.traffic.network import Network, read_network
from vigie_sim.traffic.plant import SumoPlant


def test_the_kept_network_is_built_from_the_sources(tmp_path: Path, district: Network) -> None:
    build_net(folder(), tmp_path / "d.net.xml")
    built = read_network(tmp_path / "d.net.xml")
    assert built.lanes == district.lanes
    assert built.connections == district.connections
    assert built.junctions == district.junctions
    assert built.signals == district.signals


def test_no_machine_is_named_in_the_files() -> None:
    for file in folder().iterdir():
        text = file.read_text(encoding="utf-8")
        assert "generated on" not in text
        assert "/tmp" not in text


def test_two_cabinets_and_one_junction_of_bare_lamps(intersections: dict[str, Junction]) -> None:
    assert {name: one.site.actuation for name, one in intersections.items()} == {
        "tisserands": "cabinet", "passerelle": "lamps", "vieux-marche": "cabinet",
    }  # fmt: skip
    for one in intersections.values():
        check_site(one.site)
        assert {decl.point for decl in profile_of(one).expand()} >= {
            point.partition("/")[2] for point in loop_points(one).values()
        }
        assert len(one.crossings) == 4
        assert 45.4 < one.lat < 45.7
        assert -74.0 < one.lon < -73.4


def test_pedestrians_walk_beside_the_traffic_they_do_not_cross(intersections: dict[str, Junction]) -> None:
    for name in ("tisserands", "vieux-marche"):
        buttons = [one for one in intersections[name].site.detectors if one.kind == "button"]
        assert sorted(one.phases for one in buttons) == [(2,), (4,), (6,), (8,)]


def test_places_are_where_sumo_puts_them(district: Network) -> None:
    reference = projection(district.projection, district.offset)
    assert reference is not None
    plant = SumoPlant(district_run())
    plant.start()
    try:
        for x, y in ((0.0, 0.0), (309.0, 164.4), (1280.0, 680.0)):
            lon, lat = plant.lonlat(x, y)
            here = reference.lonlat(x, y)
            assert math.isclose(here[0], lon, abs_tol=1e-8)
            assert math.isclose(here[1], lat, abs_tol=1e-8)
    finally:
        plant.stop()


def test_the_map_holds_streets_crossings_and_heads(intersections: dict[str, Junction]) -> None:
    features = district_geojson()["features"]
    kinds = [feature["properties"]["kind"] for feature in features]
    assert kinds.count("junction") == 3
    assert kinds.count("crossing") == 12
    heads = {
        (feature["properties"]["device"], feature["properties"]["channel"])
        for feature in features
        if feature["properties"]["kind"] == "signal"
    }
    assert heads == {
        (one.device, channel.id) for one in intersections.values() for channel in one.site.channels
    }
    streets = {feature["properties"].get("street") for feature in features}
    assert "boulevard des Érables" in streets
