"""Inventory, the simulator's progress, the live channel."""

from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket

from vigie_central.api.core import ACTOR, OPERATOR, PREFIX, VIEWER, CoreOf
from vigie_central.api.problems import Problematic
from vigie_protocols.strictjson import parse_strict_json

router = APIRouter(prefix=PREFIX, tags=["city"])
MAX_RUN = 64 * 1024


@router.get("/inventory", dependencies=[VIEWER])
async def get_inventory(core: CoreOf, request: Request) -> Response:
    """The GeoJSON FeatureCollection (docs/reference/inventory.md)."""
    headers = {"ETag": core.inventory.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == core.inventory.etag:
        return Response(status_code=304, headers=headers)
    return Response(core.inventory.bytes, headers=headers, media_type="application/geo+json")


@router.put("/inventory", dependencies=[OPERATOR])
async def put_inventory(core: CoreOf, request: Request) -> dict[str, int]:
    """Replace it; gives the number of features."""
    await core.inventory.put(await request.body(), ACTOR)
    return {"features": core.inventory.features}


@router.get("/run", dependencies=[VIEWER])
async def get_run(core: CoreOf) -> dict[str, Any] | None:
    """The simulator's progress as it told it last, null without a simulator."""
    return core.hub.run_progress


@router.put("/run", dependencies=[OPERATOR], status_code=204)
async def put_run(core: CoreOf, request: Request) -> None:
    """The simulator's progress: any JSON object of at most 64 KB."""
    progress = parse_strict_json(await request.body(), MAX_RUN)
    if not isinstance(progress, dict):
        raise Problematic(422, "not a JSON object", "input")
    core.hub.take_run(progress)


@router.websocket("/live", dependencies=[VIEWER])
async def live(socket: WebSocket) -> None:
    """What changes, as it changes; ``vigie_central.api.live`` describes the messages."""
    await socket.app.state.core.hub.serve(socket)
