"""``/api/v1/live``: what changes, to every open page, at most ten times a second.

Messages are JSON objects. After the connection one ``{"type": "snapshot", "gateways": [GatewayState, ...],
"values": [[gateway, "device/point", value, quality, utc], ...], "alarms": [Alarm, ...],
"events": [Event, ...], "run": {...} | null}`` (events: the latest 100, newest first), then as things change:

* ``{"type": "values", "values": [[gateway, "device/point", value, quality, utc], ...]}``: the newest value of
  each point that changed since the last tick;
* ``{"type": "gateway", "gateway": GatewayState}``: online, devices, desired or reported changed;
* ``{"type": "event", "event": Event}``;
* ``{"type": "alarms", "alarms": [Alarm, ...]}``: the whole list of active alarms;
* ``{"type": "run", "run": {...}}``: the simulator's progress.

What clients send is ignored. A client that does not keep up is closed with code 1013 and may come back.
"""

import asyncio
from collections import deque
from typing import Any

import msgspec
import structlog
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from vigie_central.api.views import Views
from vigie_central.store.history import StoredEvent

log = structlog.get_logger("vigie.live")
TICK = 0.1
MAX_QUEUE = 50
"""Messages that may wait for one client: five seconds of ticks."""
MAX_CLIENTS = 200
RECENT_EVENTS = 100
TRY_AGAIN_LATER = 1013
_encode = msgspec.json.encode


class LiveHub:
    """Collects changes and hands them to the open pages."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self.run_progress: dict[str, Any] | None = None
        self.recent: deque[StoredEvent] = deque(maxlen=RECENT_EVENTS)
        self.dropped = 0
        self._events: deque[StoredEvent] = deque(maxlen=1000)
        self._clients: set[asyncio.Queue[str | None]] = set()
        self._run_changed = False
        self._closing = False

    @property
    def clients(self) -> int:
        """How many pages are open."""
        return len(self._clients)

    def take_events(self, events: list[StoredEvent]) -> None:
        """Events that were stored, in order."""
        self.recent.extendleft(events)
        self._events.extend(events)

    def take_run(self, progress: dict[str, Any]) -> None:
        """The simulator's progress."""
        self.run_progress = progress
        self._run_changed = True

    async def run(self) -> None:
        """Hand out what changed, tick by tick, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.flush()

    def flush(self) -> None:
        """One tick: encode once, queue for everyone; whoever has no room is let go."""
        fleet, alarms = self.views.fleet, self.views.alarms
        gateways, fleet.changed_gateways = fleet.changed_gateways, set()
        events, self._events = self._events, deque(maxlen=1000)
        alarms_changed, alarms.changed = alarms.changed, False
        run_changed, self._run_changed = self._run_changed, False
        if not self._clients:
            fleet.forget_changed()
            return
        messages: list[dict[str, Any]] = []
        if rows := fleet.take_changed():
            messages.append({"type": "values", "values": rows})
        messages.extend(
            {"type": "gateway", "gateway": self.views.gateway_state(name).model_dump()}
            for name in sorted(gateways)
        )
        messages.extend({"type": "event", "event": self.views.event(each).model_dump()} for each in events)
        if alarms_changed:
            messages.append({"type": "alarms", "alarms": self._alarms()})
        if run_changed:
            messages.append({"type": "run", "run": self.run_progress})
        for message in messages:
            text = _encode(message).decode()
            for queue in tuple(self._clients):
                if queue.qsize() >= MAX_QUEUE:
                    self._let_go(queue)
                else:
                    queue.put_nowait(text)

    def _let_go(self, queue: asyncio.Queue[str | None]) -> None:
        self.dropped += 1
        self._clients.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def _alarms(self) -> list[dict[str, Any]]:
        return [self.views.alarm(each).model_dump() for each in self.views.alarms.active()]

    def snapshot(self) -> str:
        """The first message of a connection."""
        fleet = self.views.fleet
        message = {
            "type": "snapshot",
            "gateways": [self.views.gateway_state(name).model_dump() for name in sorted(self.views.names())],
            "values": [
                (gateway.id, name, point.value, point.quality, point.utc_ms / 1000)
                for gateway in fleet.gateways.values()
                for name, point in gateway.points.items()
            ],
            "alarms": self._alarms(),
            "events": [self.views.event(each).model_dump() for each in self.recent],
            "run": self.run_progress,
        }
        return _encode(message).decode()

    async def serve(self, socket: WebSocket) -> None:
        """One page, until it leaves, falls behind or the coordinator stops."""
        await socket.accept()
        if len(self._clients) >= MAX_CLIENTS or self._closing:
            await socket.close(TRY_AGAIN_LATER)
            return
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queue.put_nowait(self.snapshot())
        self._clients.add(queue)
        listener = asyncio.create_task(_listen(socket, queue))
        try:
            while (text := await queue.get()) is not None:
                await socket.send_text(text)
            if socket.client_state is WebSocketState.CONNECTED:
                await socket.close(1001 if self._closing else TRY_AGAIN_LATER)
        except (WebSocketDisconnect, RuntimeError):
            pass  # it left while we were sending
        finally:
            self._clients.discard(queue)
            listener.cancel()

    def close(self) -> None:
        """Let every page go."""
        self._closing = True
        for queue in tuple(self._clients):
            self._clients.discard(queue)
            queue.put_nowait(None)


async def _listen(socket: WebSocket, queue: asyncio.Queue[str | None]) -> None:
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, RuntimeError, KeyError):
        queue.put_nowait(None)
