"""Prometheus metrics on loopback: the board's counters and the processes, read when asked."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vigie_edge import clock
from vigie_edge.wiring import Wiring

_GAUGES = {
    "control.late_us_max",
    "control.fifo",
    "control.locked",
    "control.trust",
    "control.leases",
    "control.alarms",
    "control.faults",
    "control.drifts",
    "field.links_down",
    "field.step_us",
    "recorder.epoch",
    "recorder.last_index",
    "recorder.backlog",
    "recorder.disk_refuses",
    "recorder.telemetry_bytes",
    "recorder.replay_bytes",
    "recorder.snapshots_wanted",
    "uplink.connected",
    "uplink.acked_through",
    "uplink.acked_epoch",
    "uplink.unacked",
    "uplink.unheard",
    "uplink.denied_now",
    "uplink.damaged_epoch",
    "uplink.damaged_first",
}
_PREFIX = "vigie_edge_"
_PATIENCE_S = 5.0
_MOST_PEERS = 8
_LONGEST = 8192
"""Bytes of a request; its first line is all that counts."""


def render(status: dict[str, Any]) -> bytes:
    """The text exposition format, version 0.0.4, of what ``agent_status`` tells."""
    return "".join(_lines(status)).encode()


def _lines(status: dict[str, Any]) -> Iterator[str]:
    here = {"gateway": status["gateway"]}
    told = {"version": status["version"], "configuration": status["configuration"]}
    yield from _family("info", "gauge", [({**here, **told}, 1)])
    yield from _family("scan_seconds", "gauge", [(here, status["settings"]["scan_s"])])
    for name, value in status["counters"].items():
        kind = "gauge" if name in _GAUGES else "counter"
        yield from _family(name.replace(".", "_"), kind, [(here, value)])
    processes = [({**here, "process": name}, row) for name, row in status["processes"].items()]
    yield from _family("process_up", "gauge", [(labels, int(row["pid"] != 0)) for labels, row in processes])
    yield from _family(
        "process_restarts", "counter", [(labels, row["restarts"]) for labels, row in processes]
    )
    links = [({**here, "link": name}, row) for name, row in status["links"].items()]
    devices = [
        ({**labels, "device": name}, row) for labels, link in links for name, row in link["devices"].items()
    ]
    yield from _family("device_up", "gauge", [(labels, int(row["up"])) for labels, row in devices])
    yield from _family(
        "device_answer_age_seconds", "gauge", [(labels, row["age_s"]) for labels, row in devices]
    )
    yield from _family("link_up", "gauge", [(labels, int(row["up"])) for labels, row in links])
    for name in links[0][1]["counters"] if links else ():
        yield from _family(
            f"link_{name}", "counter", [(labels, row["counters"][name]) for labels, row in links]
        )


def _family(name: str, kind: str, rows: Sequence[tuple[dict[str, str], float]]) -> Iterator[str]:
    """One metric with all its rows, under one TYPE line as the format wants it."""
    if not rows:
        return
    metric = f"{_PREFIX}{name}" + ("_total" if kind == "counter" else "")
    yield f"# TYPE {metric} {kind}\n"
    for labels, value in rows:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{metric}{{{told}}} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsPort:
    """A loopback HTTP port served from the supervisor's own loop, which no peer can hold up.

    A port that somebody else has costs the metrics, not the agent: that is said in the log.
    """

    def __init__(self, wiring: Wiring, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status
        self._listener: socket.socket | None = None
        self._peers: dict[socket.socket, tuple[bytes, float]] = {}
        port = wiring.plan.gateway.metrics_port
        if port is None:
            return
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=8)
        except OSError as error:
            wiring.log("supervisor").error("no metrics", port=port, reason=error.strerror)
            return
        self._listener.setblocking(False)
        (wiring.runtime / "metrics-port").write_text(str(self._listener.getsockname()[1]))

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [] if self._listener is None else [self._listener, *self._peers]

    def serve(self, ready: Sequence[object]) -> None:
        """Take what came and answer whoever has asked; who dawdles is left."""
        now = clock.monotonic()
        if self._listener is not None and self._listener in ready:
            with contextlib.suppress(OSError):
                peer, _ = self._listener.accept()
                peer.setblocking(False)
                self._peers[peer] = (b"", now)
        for peer, (asked, since) in list(self._peers.items()):
            if peer in ready:
                self._receive(peer, asked, since)
            elif now - since > _PATIENCE_S:
                self._drop(peer)
        while len(self._peers) > _MOST_PEERS:
            self._drop(next(iter(self._peers)))

    def _receive(self, peer: socket.socket, asked: bytes, since: float) -> None:
        try:
            data = peer.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        asked += data
        if data and b"\r\n\r\n" not in asked and len(asked) < _LONGEST:
            self._peers[peer] = (asked, since)
            return
        if b"\r\n\r\n" in asked:
            with contextlib.suppress(OSError):  # who does not take an answer of this size at once gets none
                peer.sendall(self._answer(asked))
        self._drop(peer)

    def _answer(self, asked: bytes) -> bytes:
        found = asked.startswith((b"GET /metrics ", b"GET /metrics?"))
        body = render(self._status()) if found else b"see /metrics\n"
        head = (
            f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\n"
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    def _drop(self, peer: socket.socket) -> None:
        self._peers.pop(peer, None)
        peer.close()

    def close(self) -> None:
        """Stop listening."""
        for peer in list(self._peers):
            self._drop(peer)
        if self._listener is not None:
            self._listener.close()
