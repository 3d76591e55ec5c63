"""The local command socket (mode 0600): people on the gateway itself, and the tools that test it.

One request a line, in JSON; one answer a line. ``status`` is answered at once; everything else goes to
control by its mailbox and comes back by its answers.
"""

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from vigie_edge import clock
from vigie_edge.memory.ring import Ring
from vigie_edge.wiring import Wiring
from vigie_protocols.localsocket import SOCKET_NAME

_MAX_LINE = 64 << 10
_MAX_PEERS = 16
_ANSWER_S = 5.0
"""Seconds control has to answer."""


class LocalDesk:
    """The supervisor's end of the socket."""

    def __init__(self, wiring: Wiring, status: Callable[[], dict[str, object]]) -> None:
        self._status = status
        self._mailbox = wiring.mailbox("supervisor")
        self._answers = wiring.answers("supervisor")
        self._bell = wiring.bells.control
        self._path = wiring.runtime / SOCKET_NAME
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(mask)
        self._listener.listen(8)
        self._peers: dict[socket.socket, bytes] = {}
        self._asked: dict[str, tuple[socket.socket, float]] = {}

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [self._listener, *self._peers]

    def mapped(self) -> list[Ring]:
        """What is mapped here."""
        return [self._mailbox, self._answers]

    def serve(self, ready: Sequence[object]) -> None:
        """Take what came, answer what can be answered."""
        if self._listener in ready:
            with contextlib.suppress(BlockingIOError):
                peer, _ = self._listener.accept()
                peer.setblocking(False)
                if len(self._peers) < _MAX_PEERS:
                    self._peers[peer] = b""
                else:
                    peer.close()
        for peer in [one for one in self._peers if one in ready]:
            self._receive(peer)
        self._forward_answers()

    def _receive(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(_MAX_LINE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data or len(self._peers[peer]) + len(data) > _MAX_LINE:
            self._drop(peer)
            return
        *lines, rest = (self._peers[peer] + data).split(b"\n")
        self._peers[peer] = rest
        for line in lines:
            self._request(peer, line)

    def _request(self, peer: socket.socket, line: bytes) -> None:
        try:
            request = json.loads(line)
            action = request["action"]
            arguments = dict(request.get("args", {}))
        except (ValueError, KeyError, TypeError, RecursionError):
            self._send(
                peer, {"ok": False, "code": "bad-request", "reason": "one JSON object a line with action"}
            )
            return
        if action == "status":
            self._send(peer, {"ok": True, "result": self._status()})
            return
        nonce = uuid.uuid4().hex
        message = {
            "nonce": nonce,
            "holder": str(request.get("holder", "local")),
            "action": action,
            "args": arguments,
        }
        self._asked[nonce] = (peer, clock.monotonic())
        if not self._mailbox.push(json.dumps({**message, "local": True}).encode()):
            del self._asked[nonce]
            self._send(peer, {"ok": False, "code": "busy", "reason": "control's mailbox is full"})
        self._bell.ring()

    def _forward_answers(self) -> None:
        for payload in self._answers.drain():
            answer = json.loads(payload)
            peer, _ = self._asked.pop(answer.get("nonce", ""), (None, 0.0))
            if peer is not None and peer in self._peers:
                self._send(peer, answer)
        limit = clock.monotonic() - _ANSWER_S
        for nonce in [one for one, (_, at) in self._asked.items() if at < limit]:
            peer, _ = self._asked.pop(nonce)
            if peer in self._peers:
                self._send(
                    peer, {"ok": False, "code": "no-answer", "reason": "control did not answer in 5 s"}
                )

    def _send(self, peer: socket.socket, answer: dict[str, Any]) -> None:
        try:
            peer.sendall(json.dumps(answer).encode() + b"\n")
        except (BlockingIOError, ConnectionError):
            self._drop(peer)

    def _drop(self, peer: socket.socket) -> None:
        self._peers.pop(peer, None)
        peer.close()

    def close(self) -> None:
        """Close everything and take the socket away."""
        for peer in list(self._peers):
            self._drop(peer)
        self._listener.close()
        self._path.unlink(missing_ok=True)
