"""Prometheus metrics on loopback: the board's counters and the processes, read when asked."""

import socket
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from vigie_edge.wiring import Wiring

_GAUGES = {
    "control.late_us_max",
    "control.fifo",
    "control.locked",
    "field.links_down",
    "field.step_us",
    "recorder.epoch",
    "recorder.last_index",
    "recorder.backlog",
    "recorder.telemetry_bytes",
    "recorder.replay_bytes",
    "recorder.snapshots_wanted",
    "uplink.connected",
    "uplink.acked_through",
    "uplink.acked_epoch",
    "uplink.unacked",
}


def render(status: dict[str, Any]) -> bytes:
    """The text exposition format, version 0.0.4."""
    return "".join(_lines(status)).encode()


def _lines(status: dict[str, Any]) -> Iterator[str]:
    gateway = status["gateway"]
    for name, value in status["counters"].items():
        metric = "vigie_edge_" + name.replace(".", "_")
        kind = "gauge" if name in _GAUGES else "counter"
        suffix = "" if kind == "gauge" else "_total"
        yield f'# TYPE {metric}{suffix} {kind}\n{metric}{suffix}{{gateway="{gateway}"}} {value}\n'
    yield "# TYPE vigie_edge_process_up gauge\n"
    for name, process in status["processes"].items():
        labels = f'gateway="{gateway}",process="{name}"'
        yield f"vigie_edge_process_up{{{labels}}} {int(process['pid'] != 0)}\n"
    yield "# TYPE vigie_edge_process_restarts_total counter\n"
    for name, process in status["processes"].items():
        labels = f'gateway="{gateway}",process="{name}"'
        yield f"vigie_edge_process_restarts_total{{{labels}}} {process['restarts']}\n"


class MetricsPort:
    """A loopback HTTP port served from the supervisor's own loop, one short request at a time."""

    def __init__(self, wiring: Wiring, status: Callable[[], dict[str, object]]) -> None:
        port = wiring.plan.gateway.metrics_port
        self._server: HTTPServer | None = None
        if port is None:
            return

        class Handler(BaseHTTPRequestHandler):
            timeout = 1.0

            def do_GET(self) -> None:
                """Answer /metrics."""
                found = self.path == "/metrics"
                body = render(status()) if found else b"see /metrics\n"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged."""

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self._server.socket.set_inheritable(False)
        (wiring.runtime / "metrics-port").write_text(str(self._server.server_port))

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [] if self._server is None else [self._server.socket]

    def serve(self, ready: Sequence[object]) -> None:
        """Answer one request if there is one."""
        if self._server is not None and self._server.socket in ready:
            self._server.handle_request()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.server_close()
