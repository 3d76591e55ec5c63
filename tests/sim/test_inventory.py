"""The district's inventory: whole, consistent with its gateway files, and about points that exist."""

from pathlib import Path

import pytest

from vigie_protocols.gateway import load_gateway
from vigie_sim.district import DistrictScenario
from vigie_sim.districtmap import inventory


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return DistrictScenario(60).write_gateways(tmp_path_factory.mktemp("gateways"), {}, lambda _: {})


@pytest.fixture(scope="module")
def features() -> list[dict]:
    return inventory(DistrictScenario(60))["features"]


def of(features: list[dict], kind: str) -> list[dict]:
    return [one for one in features if one["properties"]["kind"] == kind]


def test_everything_the_district_has_is_on_the_map(features: list[dict]) -> None:
    assert len({one["id"] for one in features}) == len(features)
    counts = {
        kind: len(of(features, kind)) for kind in ("junction", "basin", "pump-station", "cabinet", "lamp")
    }
    assert counts == {"junction": 3, "basin": 1, "pump-station": 1, "cabinet": 2, "lamp": 60}
    for one in features:
        assert set(one["properties"]["name"]) == {"fr", "en"}


def test_every_point_named_exists_in_the_gateway_file(features: list[dict], files: list[Path]) -> None:
    known = {}
    for path in files:
        gateway = load_gateway(path)
        known[gateway.gateway.gateway] = {decl.name for decl in gateway.points}
    for one in features:
        properties = one["properties"]
        for point in properties.get("points", {}).values():
            assert point in known[properties["gateway"]], f"{one['id']}: {point}"


def test_heads_tell_apart_approaches_and_crossings(features: list[dict]) -> None:
    for junction in of(features, "junction"):
        heads = [one for one in of(features, "signal") if one["properties"]["device"] == junction["id"]]
        approaches = {
            round(one["properties"]["bearing"] / 20) for one in heads if not one["properties"]["pedestrian"]
        }
        assert len(approaches) == 4
        assert sum(one["properties"]["pedestrian"] for one in heads) >= 4


def test_the_district_is_where_its_streets_are(features: list[dict]) -> None:
    lanes = [at for one in of(features, "lane") for at in one["geometry"]["coordinates"]]
    (west, east), (south, north) = [(min(axis), max(axis)) for axis in zip(*lanes, strict=True)]
    for one in features:
        if one["geometry"]["type"] == "Point":
            lon, lat = one["geometry"]["coordinates"]
            assert west - 0.001 < lon < east + 0.001, one["id"]
            assert south - 0.001 < lat < north + 0.001, one["id"]
