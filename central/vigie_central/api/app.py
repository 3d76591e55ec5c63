"""The application: routes with their permissions, problems, bounds."""

from fastapi import APIRouter, FastAPI, Request, Response

from vigie_central.api import console, inventory, limits, problems
from vigie_central.api.access import check_routes
from vigie_central.api.core import PREFIX, PUBLIC, VIEWER, Core, CoreOf
from vigie_central.api.metrics import exposition, make_registry
from vigie_central.api.routes import city, fleet, orders, policies


def make_app(core: Core) -> FastAPI:
    """The application; raises UndeclaredRoute when a route has no permission."""
    app = FastAPI(title="Vigie", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.core = core
    app.state.token = core.token
    registry = make_registry(core)
    for router in (fleet.router, orders.router, policies.router, city.router):
        _take_routes(app, router)

    @app.get(f"{PREFIX}/openapi.json", dependencies=[PUBLIC], include_in_schema=False)
    async def openapi(request: Request) -> dict[str, object]:
        """The description of this API."""
        described: dict[str, object] = request.app.openapi()
        return described

    @app.get("/healthz", dependencies=[PUBLIC], tags=["service"])
    async def healthz(core: CoreOf, response: Response) -> dict[str, object]:
        """200 while the broker has us and commits succeed, else 503."""
        last_failed = core.views.ingest.failing
        well = core.session.connected and not last_failed
        if not well:
            response.status_code = 503
        return {"ok": well, "broker": core.session.connected, "history": not last_failed}

    @app.get("/metrics", dependencies=[VIEWER], tags=["service"])
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(exposition(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    _take_routes(app, console.router)
    problems.install(app)
    app.add_middleware(limits.LimitBodies, bounds={f"{PREFIX}/inventory": inventory.MAX_BYTES})
    check_routes(app)
    return app


def _take_routes(app: FastAPI, router: APIRouter) -> None:
    """The routes themselves, not a mount of them: ``check_routes`` must see every one."""
    app.router.routes.extend(router.routes)
