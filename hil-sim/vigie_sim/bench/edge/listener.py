"""The far end of an uplink: counts what arrives and how old it is, and acknowledges it as a coordinator does."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from vigie_protocols import channel
from vigie_protocols.ranges import IndexSet
from vigie_protocols.sparkplug.sparkplug_b_pb2 import Payload

_ACK_S = 0.1
STAMP = "stamp"
PEER_TOPIC = "v1/gateway/telemetry"


@dataclass(frozen=True)
class Arrived:
    """What arrived: values of points; seconds from the device's answer to here, of each message with a stamp."""

    samples: int
    ages: list[float]


class Listener:
    """Subscribed to one gateway's data, to the bare script's and to the peer's. samples: values of points that arrived;
    ages: seconds from the device's answer to here, one per message that carried a stamp."""

    def __init__(self, port: int, gateway: str, ages: bool = True) -> None:
        self.samples = 0
        self.messages = 0
        self.ages: list[float] = []
        self._gateway = gateway
        self._keep_ages = ages
        self._names: dict[tuple[str, int], str] = {}
        self._seen: dict[int, IndexSet] = {}
        self._lock = threading.Lock()
        self._acked = 0.0
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"spBv1.0/+/+/{gateway}/#", 0), ("bare/#", 0), (PEER_TOPIC, 0)])
        self._client.loop_start()

    def reset(self) -> None:
        """Count from nothing again."""
        with self._lock:
            self.samples = self.messages = 0
            self.ages = []

    def taken(self) -> Arrived:
        """What arrived since the last reset."""
        with self._lock:
            return Arrived(self.samples, list(self.ages))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        now = time.monotonic_ns()
        with self._lock:
            if message.topic.startswith("bare/"):
                values = json.loads(message.payload)
                self._count(len(values), now, values[STAMP])
            elif message.topic == PEER_TOPIC:
                self._peer(json.loads(message.payload), now)
            else:
                self._sparkplug(message.topic, bytes(message.payload), now)
        if now / 1e9 - self._acked > _ACK_S:
            self._acked = now / 1e9
            self._acknowledge()

    def _count(self, samples: int, now: int, stamp: int | None) -> None:
        self.messages += 1
        self.samples += samples
        if stamp is not None and self._keep_ages:
            self.ages.append((now - stamp) / 1e9)

    def _peer(self, devices: dict[str, list[dict[str, Any]]], now: int) -> None:
        for rows in devices.values():
            for row in rows:
                values = row["values"]
                self._count(len(values), now, values.get(STAMP))

    def _sparkplug(self, topic: str, payload: bytes, now: int) -> None:
        kind, _, device = topic.split("/", 2)[2].partition("/")
        if not kind.endswith(("DATA", "BIRTH")):
            return
        metrics = Payload.FromString(payload).metrics
        if kind.endswith("BIRTH"):
            self._names.update({(device, one.alias): one.name for one in metrics if one.HasField("alias")})
            return
        found = {one.name or self._names.get((device, one.alias), ""): one for one in metrics}
        epoch, index = found.pop(channel.EPOCH_METRIC, None), found.pop(channel.INDEX_METRIC, None)
        if epoch is not None and index is not None:
            self._seen.setdefault(epoch.long_value, IndexSet(first=1)).add(index.long_value)
        stamp = found.get(STAMP)
        self._count(len(found), now, None if stamp is None else stamp.long_value)

    def _acknowledge(self) -> None:
        topic = channel.topic(self._gateway, channel.ACK)
        for epoch, seen in self._seen.items():
            ack = channel.Ack(epoch, seen.through, tuple(seen.ranges(64)))
            self._client.publish(topic, channel.encode(ack), 1)

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
