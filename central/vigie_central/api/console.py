"""The built console from ``static``, or a page that says how to build it."""

import mimetypes
import re
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from vigie_central.api.core import PUBLIC, CoreOf
from vigie_central.api.problems import Problematic

router = APIRouter(include_in_schema=False)
_HASHED = re.compile(r"[.-][0-9A-Za-z_-]{8,}\.[a-z0-9]+$")
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""No request leaves for another host; maplibre-gl needs blob workers and inline styles."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
NOT_BUILT = """<!doctype html>
<html lang="fr"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Vigie</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style>
<h1>Vigie</h1>
<p>Le coordonnateur fonctionne, mais la console n’est pas encore construite. Pour la construire&nbsp;:
<code>make web</code>, puis rechargez cette page. L’interface de programmation répond sous
<a href="/api/v1/openapi.json">/api/v1</a>.</p>
<hr>
<p lang="en">The coordinator is running, but the console has not been built yet. To build it:
<code>make web</code>, then reload this page. The API answers under
<a href="/api/v1/openapi.json">/api/v1</a>.</p>
</html>
"""


@router.get("/{path:path}", dependencies=[PUBLIC])
async def console(core: CoreOf, path: str) -> Response:
    """A file of the console; a name without a dot is a place within it and gives its one page."""
    if path.startswith("api/"):
        raise Problematic(404, f"no such path: /{path}", "not-found")
    root = core.static
    index = root / "index.html"
    if not index.is_file():
        if "." in path:
            raise Problematic(404, "the console is not built: make web", "not-built")
        return Response(NOT_BUILT, headers=HEADERS, media_type="text/html")
    file = _inside(root, path)
    if file is None:
        if "." in path.rpartition("/")[2]:
            raise Problematic(404, f"no such file: /{path}", "not-found")
        file = index
    lasting = file != index and _HASHED.search(file.name) is not None
    cache = "public, max-age=31536000, immutable" if lasting else "no-cache"
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return FileResponse(file, headers={**HEADERS, "Cache-Control": cache}, media_type=kind)


def _inside(root: Path, path: str) -> Path | None:
    file = (root / path).resolve()
    return file if file.is_file() and file.is_relative_to(root.resolve()) else None
