"""The commands' way to a running coordinator: plain HTTP, address and token from its state directory."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from vigie_central.settings import StateDir
from vigie_central.wording import COMMAND_LINE
from vigie_protocols.errors import InputError, LinkDown, PermanentError, Problem, Refused, input_error

URL_VARIABLE = "VIGIE_URL"
TIMEOUT = 30.0


class Client:
    """Talks to one coordinator."""

    def __init__(self, state: StateDir | None, url: str | None = None) -> None:
        self.url = (url or os.environ.get(URL_VARIABLE) or _address(state)).rstrip("/")
        self.token = _token(state)

    def get(self, path: str, **query: str | int | float | None) -> Any:
        """GET under /api/v1; raises LinkDown, InputError, Refused."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path + ("?" + urllib.parse.urlencode(given) if given else ""), None)

    def post(self, path: str, body: object) -> Any:
        """POST JSON."""
        return self._send("POST", path, json.dumps(body).encode())

    def put(self, path: str, body: object) -> Any:
        """PUT JSON."""
        return self._send("PUT", path, json.dumps(body).encode())

    def _send(self, method: str, path: str, data: bytes | None) -> Any:
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        try:
            with _opener.open(request, timeout=TIMEOUT) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            _raise(error.code, error.read())
        except (urllib.error.URLError, OSError) as why:
            raise LinkDown(
                f"le coordonnateur ne répond pas / the coordinator does not answer: {self.url}: {why}"
            ) from why
        return json.loads(body) if body else None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A city's coordinator is never behind the proxy of the environment."""


def _address(state: StateDir | None) -> str:
    if state is None:
        raise input_error(
            COMMAND_LINE,
            "--state",
            None,
            "aucun coordonnateur nommé / no coordinator named",
            f"Donner / Give --state, ou / or {URL_VARIABLE}.",
        )
    try:
        address = json.loads(state.address.read_text())["http"]
    except (OSError, ValueError, KeyError):
        raise input_error(
            COMMAND_LINE,
            "--state",
            str(state.root),
            "aucun coordonnateur ne tourne ici / no coordinator runs in this state directory",
            f"Lancer / Run: vigie-central run --state {state.root}",
        ) from None
    return str(address)


def _token(state: StateDir | None) -> str:
    given = os.environ.get("VIGIE_TOKEN", "")
    if given or state is None:
        return given
    try:
        return state.token.read_text().strip()
    except OSError:
        return ""


def _raise(status: int, body: bytes) -> None:
    try:
        problem = json.loads(body)
    except ValueError:
        raise PermanentError(
            f"réponse du coordonnateur / the coordinator answered with status {status}"
        ) from None
    if problem.get("problems"):
        raise InputError(
            Problem(
                "requête / request", row["field"], row.get("value", ""), row["reason"], row.get("remedy", "")
            )
            for row in problem["problems"]
        )
    detail = problem.get("detail") or problem.get("title") or str(status)
    if status == 503:
        raise LinkDown(detail)
    raise Refused(problem.get("code") or str(status), detail)
