"""Asking a running agent on the same machine: one JSON object a line over its command socket (mode 0600)."""

import json
import selectors
import socket
from pathlib import Path
from typing import Any

from vigie_protocols.errors import DeviceTimeout, LinkDown

SOCKET_NAME = "command"
"""The socket's name in the agent's runtime directory."""
_ANSWER_S = 10.0


def ask(
    runtime: Path, action: str, args: dict[str, Any] | None = None, holder: str = "local"
) -> dict[str, Any]:
    """One request to a running agent; raises LinkDown when none runs, DeviceTimeout when it is silent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one, selectors.DefaultSelector() as waiter:
        try:
            one.connect(str(runtime / SOCKET_NAME))
        except OSError as error:
            raise LinkDown(f"no agent answers at {runtime / SOCKET_NAME}: {error.strerror}") from error
        try:
            one.sendall(json.dumps({"action": action, "args": args or {}, "holder": holder}).encode() + b"\n")
        except ConnectionError as error:
            raise LinkDown("the agent closed the connection") from error
        waiter.register(one, selectors.EVENT_READ)
        received = b""
        while not received.endswith(b"\n"):
            if not waiter.select(_ANSWER_S):
                raise DeviceTimeout("the agent did not answer in 10 s")
            try:
                data = one.recv(1 << 20)
            except ConnectionError as error:
                raise LinkDown("the agent closed the connection") from error
            if not data:
                raise LinkDown("the agent closed the connection")
            received += data
        answer: dict[str, Any] = json.loads(received)
        return answer
