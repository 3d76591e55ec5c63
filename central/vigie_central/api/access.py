"""Who may call what. Every route declares a permission; one that does not stops the start-up.

``public`` is open to all, ``viewer`` reads, ``operator`` changes. The operator's token is a bearer token.
Reading is open without it on loopback alone, and there only under a loopback name, so that a page from
elsewhere cannot read through a browser (DNS rebinding) and a public proxy opens nothing by itself.
"""

import hmac
import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.requests import HTTPConnection

from vigie_protocols.errors import PermanentError

Permission = Literal["public", "viewer", "operator"]


class UndeclaredRoute(PermanentError):
    """A route without a permission: the coordinator does not start with it."""


class AccessDenied(PermanentError):
    """The caller may not. ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Require:
    """A dependency that lets a request through when its permission is held."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, connection: HTTPConnection) -> None:
        """Raises AccessDenied when the caller may not."""
        origin = connection.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != connection.headers.get("host")
        if foreign and connection.scope["type"] == "websocket":
            # A browser opens web sockets across origins without asking.
            raise AccessDenied(403, "this page may not open the live channel of another host")
        if self.permission == "public":
            return
        if _holds_token(connection):
            return
        if self.permission == "viewer" and _on_loopback(connection):
            return
        if self.permission == "viewer":
            raise AccessDenied(
                401, "Reading from another machine needs the operator's token (Authorization: Bearer)."
            )
        raise AccessDenied(
            401,
            "This needs the operator's token (Authorization: Bearer); vigie-central init wrote it to operator.token.",
        )


def _holds_token(connection: HTTPConnection) -> bool:
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    token: str = connection.app.state.token
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _on_loopback(connection: HTTPConnection) -> bool:
    client = connection.client.host if connection.client else ""
    name = urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
    return _is_loopback(client) and (name == "localhost" or _is_loopback(name))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def declared(dependant: Dependant) -> Permission | None:
    """The permission that a route's dependencies declare, None when they declare none."""
    for each in dependant.dependencies:
        if isinstance(each.call, Require):
            return each.call.permission
    return None


def check_routes(app: FastAPI) -> dict[str, Permission]:
    """The permission of every route; raises UndeclaredRoute naming those that have none."""
    found: dict[str, Permission] = {}
    missing = []
    for route in app.routes:
        permission = declared(route.dependant) if isinstance(route, APIRoute | APIWebSocketRoute) else None
        path = getattr(route, "path", repr(route))
        methods = ",".join(sorted(getattr(route, "methods", None) or ["WEBSOCKET"]))
        if permission is None:
            missing.append(f"{methods} {path}")
        else:
            found[f"{methods} {path}"] = permission
    if missing:
        raise UndeclaredRoute(f"routes without a declared permission: {'; '.join(missing)}")
    return found
