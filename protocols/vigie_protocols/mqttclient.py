"""A paho client for one connection, on a pipe that is connected already."""

from functools import lru_cache
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from vigie_protocols.mqttevents import MQTT5, LinkConfig, Will
from vigie_protocols.mqttpipe import Pipe

_LONGEST = 268_435_455


class PipedClient(Client):
    """paho as a maker and reader of packets; the socket, TLS and all waiting are the pipe's."""

    def __init__(self, pipe: Pipe, config: LinkConfig, version: int) -> None:
        self._pipe = pipe
        self._config = config
        self._modern = version == MQTT5
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._modern else MQTTProtocolVersion.MQTTv311,
            clean_session=None if self._modern else True,
            reconnect_on_failure=False,
        )
        if config.username is not None:
            self.username_pw_set(config.username, config.password)
        self.max_inflight_messages_set(config.max_inflight)

    def greet(self, will: Will | None) -> None:
        """Send CONNECT: a clean session that ends with the connection."""
        if will is not None:
            self.will_set(will.topic, will.payload, will.qos, will.retain)
        host, port, keepalive = self._config.host, self._config.port, self._config.keepalive
        if self._modern:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = self._config.max_packet
            properties.SessionExpiryInterval = 0
            self.connect(host, port, keepalive, clean_start=True, properties=properties)
        else:
            self.connect(host, port, keepalive)

    def publish_once(self, topic: str, payload: bytes, retain: bool) -> None:
        """PUBLISH at QoS 0, straight into the pipe: the books paho keeps of each cost ten times as much.

        Raises ValueError for a topic that is none.
        """
        name = _name(topic)
        properties = b"\0" if self._modern else b""
        left = len(name) + len(properties) + len(payload)
        if left > _LONGEST:
            raise ValueError("longer than MQTT allows")
        head = bytearray((0x30 | retain,))
        while True:
            left, low = left >> 7, left & 0x7F
            head.append(low | 0x80 if left else low)
            if not left:
                break
        self._pipe.send(b"".join((head, name, properties, payload)))

    def leave(self, *, with_will: bool) -> None:
        """Send DISCONNECT; ``with_will`` asks an MQTT 5 broker to publish the will all the same."""
        if with_will and self._modern:
            self.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=0x04))
        else:
            self.disconnect()

    def limit_inflight(self, number: int) -> None:
        """Keep to the broker's Receive Maximum; paho's own setter refuses once connected."""
        self._max_inflight_messages = number

    def _create_socket(self) -> Any:
        return self._pipe


@lru_cache(maxsize=4096)
def _name(topic: str) -> bytes:
    """A topic as it travels, its length before it; raises ValueError for one that is none."""
    name = topic.encode()
    if not name or len(name) > 0xFFFF or b"+" in name or b"#" in name or b"\0" in name:
        raise ValueError("not a topic")
    return len(name).to_bytes(2, "big") + name
