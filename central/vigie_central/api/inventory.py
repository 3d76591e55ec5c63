"""The inventory: what stands where, as GeoJSON (docs/reference/inventory.md)."""

import hashlib
import time
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from vigie_central.api.problems import Problematic, wrong
from vigie_central.store import audit
from vigie_central.store.records import Records
from vigie_central.store.tables import inventory as table
from vigie_protocols.strictjson import parse_strict_json

MAX_BYTES = 128 * 1024 * 1024
"""140,000 lamps take about 60 MB."""
EMPTY: dict[str, Any] = {"type": "FeatureCollection", "features": []}
REMEDY = "docs/reference/inventory.md describes the inventory."


class Inventory:
    """The inventory in the records, and its bytes ready to be served."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._keep(EMPTY)

    async def load(self) -> None:
        """Take it from the records."""
        body = await self._records.run(lambda connection: connection.execute(select(table.c.body)).scalar())
        if body is not None:
            self._keep(body)

    def _keep(self, body: dict[str, Any]) -> None:
        self.bytes = msgspec.json.encode(body)
        self.etag = f'"{hashlib.sha256(self.bytes).hexdigest()[:32]}"'
        self.features = len(body["features"])

    async def put(self, data: bytes, actor: str) -> None:
        """Replace it; raises FrameError or Problematic when it is no inventory."""
        body = check(parse_strict_json(data, MAX_BYTES))

        def work(connection: Connection) -> None:
            now = time.time()
            statement = upsert(table).values(id=1, body=body, at=now)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"body": body, "at": now})
            )
            what = {"features": len(body["features"]), "sha256": hashlib.sha256(data).hexdigest()}
            audit.append(connection, now, actor, "inventory.put", "inventory", what)

        await self._records.run(work)
        self._keep(body)


def check(body: Any) -> dict[str, Any]:
    """The FeatureCollection; raises Problematic naming the first wrong field."""
    if not isinstance(body, dict) or body.get("type") != "FeatureCollection":
        raise Problematic(422, "not a GeoJSON FeatureCollection", "input")
    features = body.get("features")
    if not isinstance(features, list):
        raise wrong("features", features, "not a list", REMEDY)
    seen: set[str] = set()
    for place, feature in enumerate(features):
        where = f"features.{place}"
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise wrong(where, feature, "not a Feature", REMEDY)
        name = feature.get("id")
        if not isinstance(name, str) or not name or name in seen:
            raise wrong(f"{where}.id", name, "missing, no text, or there twice", REMEDY)
        seen.add(name)
        properties, geometry = feature.get("properties"), feature.get("geometry")
        if not isinstance(properties, dict) or not isinstance(properties.get("kind"), str):
            raise wrong(f"{where}.properties.kind", properties, "missing", REMEDY)
        if not isinstance(geometry, dict) or not _in_degrees(geometry.get("coordinates")):
            raise wrong(
                f"{where}.geometry", geometry, "no coordinates in degrees", "Longitude first (RFC 7946)."
            )
    return body


def _in_degrees(coordinates: Any, depth: int = 0) -> bool:
    if not isinstance(coordinates, list) or not coordinates or depth > 4:
        return False
    if all(isinstance(each, int | float) for each in coordinates):
        return len(coordinates) >= 2 and abs(coordinates[0]) <= 180 and abs(coordinates[1]) <= 90
    return all(_in_degrees(each, depth + 1) for each in coordinates)
