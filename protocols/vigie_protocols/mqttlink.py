"""One MQTT connection without threads, for a select loop or for asyncio (``mqttasync``).

The link connects without blocking, reconnects with full jitter (the first try included), speaks MQTT 5 and
falls back to 3.1.1, bounds what waits, and tells everything as events. paho-mqtt makes and reads the
packets; a new paho client serves each connection, so nothing of a dead one lives on: every session is
clean, and what had no PUBACK is named in ``Disconnected.lost`` for its owner to send again.

A host calls ``on_readable`` and ``on_writable`` as its loop finds ``fileno`` ready, and ``housekeeping`` at
``deadline``; each gives the events since the last call.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from vigie_protocols.errors import FrameError, LinkDown
from vigie_protocols.mqttclient import PipedClient
from vigie_protocols.mqttevents import (
    Acked,
    Connected,
    Denied,
    Disconnected,
    LinkConfig,
    LinkEvent,
    LinkState,
    QueueFull,
    Received,
    Subscribed,
    Will,
)
from vigie_protocols.mqttpipe import Address, Pipe, resolve

_UNSUPPORTED_VERSION = 0x84
_TURN = 1.0
"""Seconds between two looks at the keep-alive."""
_LINGER = 1.0
"""Seconds that a wanted end may take before the socket is closed all the same."""
_STEADY = 10.0
"""Seconds a connection must have held for the back-off to begin anew."""
_FIRST_PATIENCE = 3.0
"""Seconds for CONNACK while an older version can still be tried."""
_OVERHEAD = 32
"""Bytes that a message costs beside its topic and payload, roughly."""


class MqttLink:
    """The connection. ``clock`` gives monotonic seconds, ``jitter`` a number in [0, 1)."""

    def __init__(
        self,
        config: LinkConfig,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        will: Callable[[], Will | None] = lambda: None,
        before_close: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``will`` is asked anew before each CONNECT; ``before_close`` hears of a socket about to close."""
        self.config = config
        self.state = LinkState.IDLE
        self.before_close = before_close
        self.dropped = 0
        """Messages thrown away because their topic was not UTF-8."""
        self._clock = clock
        self._jitter = jitter
        self._will = will
        self._pipe: Pipe | None = None
        self._client: PipedClient | None = None
        self._events: list[LinkEvent] = []
        self._until = 0.0
        self._since = 0.0
        self._tries = 0
        self._addresses: list[Address] = []
        self._version = config.protocols[0]
        self._refusals = 0
        self._again = False
        self._next_id = 0
        self._sizes: dict[int, tuple[int, str]] = {}
        self._bytes = 0
        self._by_mid: dict[int, int] = {}
        self._unwritten: deque[tuple[int, int]] = deque()
        self._subscriptions: dict[int, int] = {}

    # -- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the first try comes after ``jitter() * first_delay``."""
        if self.state is LinkState.IDLE:
            self._wait(self.config.first_delay)

    def close(self, *, with_will: bool = False) -> list[LinkEvent]:
        """Leave with DISCONNECT (MQTT 5 ``with_will``: the broker then publishes the will); stay away.

        The socket lingers until ``state`` is IDLE; go on serving the link until then (a second at most).
        """
        self._leave("closed", again=False, with_will=with_will)
        return self._drain()

    def reconnect(self, reason: str, *, with_will: bool = False) -> list[LinkEvent]:
        """Leave as ``close`` does, but try again after a jittered delay."""
        self._leave(reason, again=True, with_will=with_will)
        return self._drain()

    def now(self) -> float:
        """The link's clock."""
        return self._clock()

    @property
    def connected(self) -> bool:
        """True between Connected and Disconnected."""
        return self.state is LinkState.UP

    @property
    def queued(self) -> tuple[int, int]:
        """(messages, bytes) that wait for the socket or for their PUBACK."""
        return len(self._sizes), self._bytes

    # -- sending -------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Send; gives an id that Acked, Denied or Disconnected.lost will name.

        Raises LinkDown when not connected, QueueFull when too much waits, FrameError on a bad topic. The
        bytes leave when the host next finds the socket writable (``want_write``), many at a time.
        """
        client, pipe = self._client, self._pipe
        if self.state is not LinkState.UP or client is None or pipe is None:
            raise LinkDown("not connected to the broker")
        size = len(topic) + len(payload) + _OVERHEAD
        if (
            len(self._sizes) >= self.config.max_queued
            or self._bytes + size > self.config.max_queued_bytes
            or pipe.waiting > self.config.max_queued_bytes
        ):
            raise QueueFull(f"{len(self._sizes)} messages ({self._bytes} bytes) wait for the broker")
        self._next_id += 1
        number = self._next_id
        try:
            if qos == 0:
                client.publish_once(topic, payload, retain)
                self._unwritten.append((pipe.accepted, number))
            else:
                info = client.publish(topic, payload, qos, retain)
                if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
                    raise QueueFull(f"the broker takes no more: {info.rc.name}")
                self._by_mid[info.mid] = number
        except ValueError as why:
            raise FrameError(f"cannot be published on {topic[:80]!r}: {why}") from why
        self._sizes[number] = (size, topic)
        self._bytes += size
        return number

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> int:
        """Subscribe to (filter, QoS) pairs; raises LinkDown. Not remembered: subscribe on Connected."""
        if self.state is not LinkState.UP or self._client is None:
            raise LinkDown("not connected to the broker")
        self._next_id += 1
        _, mid = self._client.subscribe(list(filters))
        if mid is not None:
            self._subscriptions[mid] = self._next_id
        return self._next_id

    # -- what the loop calls -------------------------------------------------------------------------

    def fileno(self) -> int | None:
        """The socket to wait for, None between connections."""
        return None if self._pipe is None else self._pipe.fileno()

    def want_write(self) -> bool:
        """True when the socket should also be waited for to become writable."""
        return self._pipe is not None and self._pipe.wants_write

    def deadline(self) -> float | None:
        """When ``housekeeping`` is due on the clock, None when never."""
        return None if self.state is LinkState.IDLE else self._until

    def on_readable(self) -> list[LinkEvent]:
        """Call when the socket is readable."""
        pipe, client = self._pipe, self._client
        if pipe is None:
            return self._drain()
        if self.state is LinkState.CONNECTING:
            self._advance(pipe)
        elif self.state is LinkState.LEAVING:
            if pipe.discard():
                self._left()
        elif client is not None:
            try:
                for _ in range(pipe.fill()):
                    client.loop_read()
                    if self._pipe is not pipe:
                        break
                else:
                    self._flush()
            except FrameError as why:
                self._lose(str(why))
        return self._drain()

    def on_writable(self) -> list[LinkEvent]:
        """Call when the socket is writable."""
        if self._pipe is not None:
            if self.state is LinkState.CONNECTING:
                self._advance(self._pipe)
            else:
                self._flush()
        return self._drain()

    def housekeeping(self) -> list[LinkEvent]:
        """Call at ``deadline``: tries, time-outs, keep-alive. Early calls do no harm."""
        now = self._clock()
        if self.state is not LinkState.IDLE and now >= self._until:
            if self.state is LinkState.WAITING:
                self._try()
            elif self.state is LinkState.UP and self._client is not None:
                self._until = now + _TURN
                self._client.loop_misc()
                self._flush()
            elif self.state is LinkState.LEAVING:
                self._left()
            elif not self._next_address():
                self._lose("no answer in time")
        return self._drain()

    # -- connecting ----------------------------------------------------------------------------------

    def _drain(self) -> list[LinkEvent]:
        events, self._events = self._events, []
        return events

    def _wait(self, span: float) -> None:
        self.state = LinkState.WAITING
        self._until = self._clock() + self._jitter() * span

    def _try(self) -> None:
        try:
            self._addresses = resolve(self.config.host, self.config.port)
        except LinkDown as why:
            self._lose(str(why))
            return
        if not self._next_address():
            self._lose("no address answers")

    def _next_address(self) -> bool:
        """Begin to connect to the next address of the host; False when there is none left."""
        if self.state is LinkState.GREETING:
            return False
        while self._addresses:
            address = self._addresses.pop(0)
            self._drop()
            try:
                name = self.config.server_name or self.config.host
                self._pipe = Pipe(address, self.config.tls, name, self.config.max_packet)
            except LinkDown:
                continue
            self.state = LinkState.CONNECTING
            self._until = self._clock() + self.config.connect_timeout
            return True
        return False

    def _advance(self, pipe: Pipe) -> None:
        try:
            if pipe.advance():
                self._greet(pipe)
        except LinkDown as why:
            if not self._next_address():
                self._lose(str(why))

    def _greet(self, pipe: Pipe) -> None:
        client = PipedClient(pipe, self.config, self._version)
        self._client = client
        self.state = LinkState.GREETING
        fallback = self._version == self.config.protocols[0] and len(self.config.protocols) > 1
        patience = min(self.config.connect_timeout, _FIRST_PATIENCE if fallback else math.inf)
        self._until = self._clock() + patience
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.greet(self._will())
        self._flush()

    def _flush(self) -> None:
        pipe = self._pipe
        if pipe is None or not pipe.ready:
            return
        try:
            pipe.flush()
        except LinkDown as why:
            self._lose(str(why))
            return
        while self._unwritten and self._unwritten[0][0] <= pipe.written:
            self._settle(self._unwritten.popleft()[1], 0)
        if self.state is LinkState.LEAVING and not pipe.waiting:
            pipe.half_close()

    # -- losing and leaving --------------------------------------------------------------------------

    def _drop(self) -> None:
        pipe, self._pipe = self._pipe, None
        self._client = None
        if pipe is not None:
            self.before_close(pipe.fileno())
            pipe.shut()

    def _lose(self, reason: str) -> None:
        """The connection failed or ended: report it and wait for the next try."""
        was_connected = self.state is LinkState.UP
        greeting = self.state is LinkState.GREETING
        if self.state is LinkState.LEAVING:
            self._left()
            return
        self._drop()
        if greeting:
            self._other_version()
        now = self._clock()
        if was_connected:
            if self._refusals < 2:
                self._version = self.config.protocols[0]
            if now - self._since >= _STEADY:
                self._tries = 0
        span = min(self.config.max_delay, self.config.min_delay * 2.0 ** min(self._tries, 30))
        self._tries += 1
        self._wait(span)
        self._events.append(Disconnected(reason, was_connected, self._forget(), self._until))

    def _leave(self, reason: str, *, again: bool, with_will: bool) -> None:
        self._again = again
        was_connected = self.state is LinkState.UP
        if self.state in (LinkState.IDLE, LinkState.LEAVING):
            return
        if not was_connected:
            self._drop()
            self.state = LinkState.IDLE
            if again:
                self._wait(self.config.min_delay)
            self._events.append(Disconnected(reason, False, self._forget(), self._until if again else None))
            return
        client = self._client
        assert client is not None
        self.state = LinkState.LEAVING
        self._until = self._clock() + _LINGER
        client.on_disconnect = None
        client.leave(with_will=with_will)
        lost = self._forget()
        # The next try comes after the lingering, so this is only the earliest instant.
        self._events.append(Disconnected(reason, True, lost, self._until if again else None))
        self._flush()

    def _left(self) -> None:
        self._drop()
        self.state = LinkState.IDLE
        if self._again:
            self._wait(self.config.min_delay)

    def _forget(self) -> tuple[int, ...]:
        lost = tuple(self._sizes)
        self._sizes.clear()
        self._by_mid.clear()
        self._subscriptions.clear()
        self._unwritten.clear()
        self._bytes = 0
        return lost

    def _settle(self, number: int, code: int) -> None:
        size, topic = self._sizes.pop(number, (0, ""))
        self._bytes -= size
        self._events.append(Denied(number, code, topic) if code >= 0x80 else Acked(number, code))

    # -- what paho reports ---------------------------------------------------------------------------

    def _on_connect(self, client: Client, _: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if client is not self._client or self._client is None:
            return
        if not code.is_failure:
            self.state = LinkState.UP
            self._since = self._clock()
            self._until = self._since + _TURN
            allowed = getattr(properties, "ReceiveMaximum", None)
            if allowed is not None:
                self._client.limit_inflight(min(self.config.max_inflight, allowed))
            if self._version == self.config.protocols[0]:
                self._refusals = 0
            self._events.append(Connected(self._version))
            return
        if code.value == _UNSUPPORTED_VERSION and self._version == self.config.protocols[0]:
            self._refusals = 2
            if self._other_version():
                self._drop()
                self._wait(0.0)
                return
        # It speaks our version and refuses us (name, password, too busy): the version is not the matter.
        self.state = LinkState.CONNECTING
        self._lose(f"refused by the broker: {code}")

    def _other_version(self) -> bool:
        """Try the other version next, if there is one.

        Not every old broker says why it refuses MQTT 5: some hang up, and amqtt waits for bytes that never
        come. Two failures in a row make the older version the first choice, one could be bad luck.
        """
        versions = self.config.protocols
        if self._version == versions[0]:
            self._refusals += 1
        self._version = versions[-1] if self._version == versions[0] else versions[0]
        return len(versions) > 1

    def _on_disconnect(self, client: Client, _: Any, flags: Any, code: ReasonCode, __: Any) -> None:
        if client is self._client:
            who = "the broker ended the connection" if flags.is_disconnect_packet_from_server else "lost"
            self._lose(f"{who}: {code}")

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # Some client's fault and not the broker's: the connection stays, the message goes.
            self.dropped += 1
            return
        self._events.append(Received(topic, bytes(message.payload), message.qos, message.retain))

    def _on_publish(self, client: Client, _: Any, mid: int, code: ReasonCode, __: Any) -> None:
        number = self._by_mid.pop(mid, None)
        if number is not None:
            self._settle(number, code.value)

    def _on_subscribe(self, client: Client, _: Any, mid: int, codes: list[ReasonCode], __: Any) -> None:
        number = self._subscriptions.pop(mid, None)
        if number is not None:
            self._events.append(Subscribed(number, tuple(code.value for code in codes)))
