"""Drives an MQTT link by the running asyncio loop, with or without uvloop."""

import asyncio
from collections.abc import Callable, Sequence

from vigie_protocols.mqttevents import LinkEvent, LinkState
from vigie_protocols.mqttlink import MqttLink


class AsyncMqttLink:
    """Serves ``link`` from ``start`` to ``close``; events come to ``on_event`` from the loop, in order.

    ``on_event`` may publish and subscribe. The link's own clock must be the loop's (``loop.time``) or run
    at the same pace.
    """

    def __init__(self, link: MqttLink, on_event: Callable[[LinkEvent], None]) -> None:
        self.link = link
        self._on_event = on_event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._watched: int | None = None
        self._writing = False
        self._flush_due = False
        self._gone = asyncio.Event()
        link.before_close = self._unwatch

    def start(self) -> None:
        """Begin to connect."""
        self._loop = asyncio.get_running_loop()
        self.link.start()
        self._attend()

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """``link.publish``; what is published in one turn of the loop leaves together at its end."""
        number = self.link.publish(topic, payload, qos, retain)
        self._flush_soon()
        return number

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> int:
        """``link.subscribe``."""
        number = self.link.subscribe(filters)
        self._flush_soon()
        return number

    def reconnect(self, reason: str) -> None:
        """``link.reconnect``."""
        self._serve(self.link.reconnect(reason))

    async def close(self, *, with_will: bool = False) -> None:
        """Leave the broker and stop watching; returns when the socket is closed."""
        self._serve(self.link.close(with_will=with_will))
        while self.link.state is not LinkState.IDLE:
            self._gone.clear()
            await self._gone.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside --------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flush_due and self._loop is not None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._serve(self.link.on_writable())

    def _serve(self, events: list[LinkEvent]) -> None:
        for event in events:
            self._on_event(event)
        self._attend()

    def _attend(self) -> None:
        """Watch what the link now wants to be watched."""
        loop, link = self._loop, self.link
        if loop is None:
            return
        number = link.fileno()
        if number is not None and self._watched is None:
            loop.add_reader(number, self._readable)
            self._watched = number
        writing = number is not None and link.want_write()
        if number is not None and writing != self._writing:
            if writing:
                loop.add_writer(number, self._writable)
            else:
                loop.remove_writer(number)
            self._writing = writing
        if link.state is LinkState.IDLE:
            self._gone.set()
        deadline = link.deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = loop.call_later(max(0.0, deadline - link.now()), self._due)

    def _unwatch(self, number: int) -> None:
        if self._watched == number and self._loop is not None:
            self._loop.remove_reader(number)
            if self._writing:
                self._loop.remove_writer(number)
        self._watched = None
        self._writing = False

    def _readable(self) -> None:
        self._serve(self.link.on_readable())

    def _writable(self) -> None:
        self._serve(self.link.on_writable())

    def _due(self) -> None:
        self._timer = None
        self._serve(self.link.housekeeping())
