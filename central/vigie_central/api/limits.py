"""No request body is kept beyond its bound, whatever its headers say."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vigie_central.api.models import ProblemDetails
from vigie_central.api.problems import answer

DEFAULT = 2 * 1024 * 1024
"""Bytes of a body, where a path has no bound of its own."""

DISCARD = 8 * 1024 * 1024
"""Bytes beyond the bound that are read and thrown away, so that who sends them hears why they are refused: a
connection closed with unread bytes is reset, and the answer lost."""
DISCARD_S = 5.0


class BodyTooLarge(Exception):
    """The body grew beyond its bound."""


class LimitBodies:
    """ASGI middleware; ``bounds`` gives other bounds by path."""

    def __init__(self, app: ASGIApp, bounds: Mapping[str, int]) -> None:
        self.app = app
        self.bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.bounds.get(scope["path"], DEFAULT)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        seen = 0
        started = False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if declared.isdigit() and int(declared) > limit:
                raise BodyTooLarge
            await self.app(scope, bounded, watched)
        except BodyTooLarge:
            if not started:
                await _discard(receive)
                details = ProblemDetails(
                    title="Too large",
                    status=413,
                    code="too-large",
                    detail=f"At most {limit} bytes are taken here.",
                )
                await answer(details)(scope, receive, send)


async def _discard(receive: Receive) -> None:
    """Read on and keep nothing, within bounds of size and time."""
    seen = 0
    try:
        async with asyncio.timeout(DISCARD_S):
            while seen <= DISCARD:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return  # a slow sender may lose the answer
