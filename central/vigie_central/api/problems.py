"""Errors as ``application/problem+json`` (RFC 9457), naming field, value, reason and remedy."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from vigie_central.api.access import AccessDenied
from vigie_central.api.models import ProblemDetails, ProblemItem
from vigie_protocols.errors import (
    FrameError,
    InputError,
    PermanentError,
    Refused,
    SignatureError,
    TransientError,
)

log = structlog.get_logger("vigie.api")

TITLES = {
    400: "Not understood",
    401: "Not allowed without the token",
    403: "Not allowed",
    404: "Not there",
    405: "Not possible here",
    409: "Refused",
    413: "Too large",
    422: "Wrong input",
    500: "Our fault",
    503: "Not now",
}
CODES = {404: "not-found", 405: "method", 413: "too-large"}


class Problematic(PermanentError):
    """Raised by a route to answer with a problem of its own."""

    def __init__(
        self, status: int, detail: str, code: str | None = None, items: tuple[ProblemItem, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.details = ProblemDetails(
            title=TITLES.get(status, "Error"), status=status, detail=detail, code=code, problems=list(items)
        )


def wrong(field: str, value: object, reason: str, remedy: str) -> Problematic:
    """A single wrong field of a request."""
    item = ProblemItem(field=field, value=repr(value)[:80], reason=reason, remedy=remedy)
    return Problematic(422, f"{field}: {reason}", "input", (item,))


def answer(details: ProblemDetails, headers: dict[str, str] | None = None) -> Response:
    """The response."""
    body = details.model_dump_json(exclude_none=True)
    return Response(body, details.status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Turn every error of the API into a problem."""

    async def handle(_: Request, error: Exception) -> Response:
        details = _details(error)
        if details.status >= 500:
            log.error("request failed", detail=details.detail, kind=type(error).__name__)
        headers = {"WWW-Authenticate": "Bearer"} if details.status == 401 else None
        return answer(details, headers)

    for kind in (PermanentError, TransientError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def _details(error: Exception) -> ProblemDetails:
    items: list[ProblemItem] = []
    code: str | None = None
    detail = str(error)
    match error:
        case Problematic():
            return error.details
        case AccessDenied():
            status, code = error.status, "access"
        case InputError():
            status, code = 422, "input"
            items = [
                ProblemItem(field=p.field, value=p.value, reason=p.reason, remedy=p.remedy)
                for p in error.problems
            ]
        case SignatureError():
            status, code = 403, "signature"
        case Refused():
            status, code = 409, error.code
        case FrameError():
            status, code = 400, "format"
        case RequestValidationError():
            status, code, detail = 422, "input", "The request does not follow the API's description."
            items = [_item(each) for each in error.errors()]
        case HTTPException():
            status, code, detail = error.status_code, CODES.get(error.status_code), str(error.detail)
        case TransientError():
            status, code = 503, "unavailable"
        case _:
            status, code, detail = 500, "internal", "An error of the coordinator; its log has the details."
    return ProblemDetails(
        title=TITLES.get(status, "Error"), status=status, detail=detail, code=code, problems=items
    )


def _item(error: Any) -> ProblemItem:
    where = ".".join(str(part) for part in error["loc"])
    value = error.get("input")
    shown = "" if error["type"] == "missing" else repr(value)[:80]
    return ProblemItem(field=where, value=shown, reason=error["msg"], remedy="See /api/v1/openapi.json.")
