"""Gateways, points, history, events, alarms, counters."""

from typing import Annotated

from fastapi import APIRouter, Query

from vigie_central.api import models
from vigie_central.api.core import PREFIX, VIEWER, CoreOf, Limit
from vigie_central.api.problems import Problematic, wrong
from vigie_central.host.fleet import Gateway

router = APIRouter(prefix=PREFIX, tags=["fleet"])
MAX_BUCKETS = 5000
LAST_UTC = 253_402_300_799.0


def _known(core: CoreOf, name: str) -> None:
    if name not in core.views.names():
        raise Problematic(404, f"no gateway {name!r} was ever heard of or enrolled", "unknown-gateway")


@router.get("/gateways", dependencies=[VIEWER])
async def list_gateways(core: CoreOf) -> models.Gateways:
    """Every gateway: online, devices, counters, policies."""
    return models.Gateways(gateways=[core.views.gateway_state(name) for name in sorted(core.views.names())])


@router.get("/gateways/{gateway}", dependencies=[VIEWER])
async def get_gateway(core: CoreOf, gateway: str) -> models.GatewayState:
    """One gateway."""
    _known(core, gateway)
    return core.views.gateway_state(gateway)


@router.get("/points", dependencies=[VIEWER])
async def list_points(
    core: CoreOf,
    gateway: str | None = None,
    prefix: Annotated[str, Query(description="beginning of the point's name, such as jct-a/")] = "",
    limit: Limit = 10_000,
) -> models.Points:
    """Last values."""
    if gateway is not None:
        _known(core, gateway)
    chosen: list[Gateway] = [
        each for name, each in sorted(core.views.fleet.gateways.items()) if gateway in (None, name)
    ]
    return core.views.points(chosen, prefix, limit)


@router.get("/history", dependencies=[VIEWER])
async def get_history(
    core: CoreOf,
    gateway: str,
    point: str,
    start: Annotated[float | None, Query(alias="from", ge=0, le=LAST_UTC)] = None,
    end: Annotated[float | None, Query(alias="to", ge=0, le=LAST_UTC)] = None,
    buckets: Annotated[int | None, Query(ge=1, le=MAX_BUCKETS)] = None,
    limit: Limit = 10_000,
) -> models.Samples | models.Buckets:
    """Values of one point within [from, to): as they are, or in ``buckets`` equal spans.

    Without ``to`` it ends with the newest value, without ``from`` it begins an hour before its end.
    """
    known = core.views.fleet.gateways.get(gateway)
    last = known.points.get(point) if known is not None else None
    if last is None:
        raise Problematic(
            404, f"no point {point!r} of gateway {gateway!r} was ever heard of", "unknown-point"
        )
    end_ms = int(end * 1000) if end is not None else last.utc_ms + 1
    start_ms = int(start * 1000) if start is not None else max(0, end_ms - 3_600_000)
    if start_ms >= end_ms:
        raise wrong(
            "from", start_ms / 1000, "not before the end", "Give from and to as UTC seconds, from first."
        )
    if buckets is not None:
        width = max(1, -(-(end_ms - start_ms) // buckets))
        rows = await core.history.buckets(gateway, point, start_ms, end_ms, width)
        return models.Buckets(
            gateway=gateway,
            point=point,
            width_s=width / 1000,
            buckets=[(row[0] / 1000, row[1], row[2], row[3], row[4], row[5]) for row in rows],
        )
    samples = await core.history.samples(gateway, point, start_ms, end_ms, limit + 1)
    return models.Samples(
        gateway=gateway,
        point=point,
        samples=[(utc / 1000, value, quality) for utc, value, quality in samples[:limit]],
        more=len(samples) > limit,
    )


@router.get("/events", dependencies=[VIEWER])
async def list_events(
    core: CoreOf,
    gateway: str | None = None,
    kind: str | None = None,
    before: Annotated[int | None, Query(description="the seq of the oldest event already seen")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> models.Events:
    """Events, newest first; ``before`` gives the next page."""
    found = await core.history.events(gateway, kind, before, limit + 1)
    return models.Events(events=[core.views.event(each) for each in found[:limit]], more=len(found) > limit)


@router.get("/alarms", dependencies=[VIEWER])
async def list_alarms(core: CoreOf) -> models.Alarms:
    """Alarms that stand now, newest first."""
    return models.Alarms(alarms=[core.views.alarm(each) for each in core.views.alarms.active()])


@router.get("/counters", dependencies=[VIEWER])
async def get_counters(core: CoreOf, verify: bool = False) -> models.Counters:
    """What was stored. ``verify`` counts duplicate rows from the rows themselves, which reads them all."""
    totals = await core.history.totals()
    extra = await core.history.duplicate_rows() if verify else None
    fleet = core.views.fleet.gateways
    gateways = {
        name: core.views.counters(fleet.get(name) or Gateway(name, ""), totals.get(name))
        for name in sorted({*totals, *core.views.names()})
    }
    return models.Counters(
        gateways=gateways,
        samples_stored=sum(each.samples for each in totals.values()),
        duplicate_rows=None if extra is None else sum(extra.values()),
        duplicates_dropped=sum(each.duplicates_dropped for each in gateways.values()),
        pending=core.views.ingest.pending,
    )
