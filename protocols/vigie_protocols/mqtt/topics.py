"""What a message of an MQTT device says, and how a command to it is made. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from vigie_protocols.addresses import MqttAddress
from vigie_protocols.driver import Answer, DevicePoints
from vigie_protocols.pointcodec import from_json, from_text
from vigie_protocols.points import NEVER, Quality, Value, ValueType
from vigie_protocols.profile import PointDecl

_EXACT: Final[dict[ValueType, type]] = {
    ValueType.BOOL: bool,
    ValueType.INT: int,
    ValueType.ENUM: int,
    ValueType.FLOAT: float,
    ValueType.STRING: str,
}
"""The types of decoded JSON that are the value already."""
Key = str | int


def mqtt_address(decl: PointDecl) -> MqttAddress:
    """The MQTT address of a point."""
    if not isinstance(decl.address, MqttAddress):
        raise TypeError(f"{decl.name} has no MQTT address")
    return decl.address


def full_topic(prefix: str, topic: str) -> str:
    """A profile's topic below a device's prefix."""
    return f"{prefix}/{topic}" if prefix else topic


class TopicPoints:
    """One topic of one device and the points in its messages.

    values: the last good ones, zeros at first; stamp: instant of the last message, UTC seconds; arrival: of
    the last message, on the monotonic clock; alive: False once nothing came for longer than ``stale_s``.
    """

    def __init__(self, device: str, topic: str, stamp: str, points: Sequence[tuple[int, PointDecl]]) -> None:
        self.device = device
        self.topic = topic
        self.indices = tuple(index for index, _ in points)
        self.values: list[Value] = [decl.zero for _, decl in points]
        self.quality = Quality.BAD
        self.stamp = 0.0
        self.arrival = NEVER
        self.alive = False
        self.stale_s = max(decl.stale_s for _, decl in points)
        self.json = any(mqtt_address(decl).path is not None for _, decl in points)
        self.stamped = self.json and bool(stamp)
        self._stamp = stamp
        self._kinds = [decl.type for _, decl in points]
        self._bare = [place for place, (_, decl) in enumerate(points) if mqtt_address(decl).path is None]
        self._parents = _by_parent(points)
        self._lost: list[int] = []

    def take(self, payload: bytes, retained: bool, now: float) -> bool:
        """Take one message in; False when it is malformed and was dropped whole."""
        row: list[Value | None] = [None] * len(self.indices)
        stamp = 0.0
        if self.json:
            try:
                data = msgspec.json.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return False
            stamp = self._walk(data, row)
        for place in self._bare:
            try:
                row[place] = from_text(self._kinds[place], payload.decode("utf-8"))
            except ValueError:
                continue
        self._lost = [place for place, value in enumerate(row) if value is None]
        if self._lost:
            for place, value in enumerate(row):
                if value is not None:
                    self.values[place] = value
        else:
            self.values = row  # type: ignore[assignment]
        # A retained message may be of any age, so it says what was, not surely what is.
        self.quality = Quality.UNCERTAIN if retained else Quality.GOOD
        self.stamp, self.arrival, self.alive = stamp, now, True
        return True

    def _walk(self, data: Any, row: list[Value | None]) -> float:
        for parent, leaves in self._parents:
            here = data
            try:
                for key in parent:
                    here = here[key]
            except (KeyError, IndexError, TypeError):
                continue
            for place, leaf, kind, exact in leaves:
                try:
                    raw = here[leaf]
                    if type(raw) is not exact or exact is float:
                        raw = from_json(kind, raw)
                except (KeyError, IndexError, TypeError, ValueError):
                    continue
                row[place] = raw
        stamp = data.get(self._stamp) if isinstance(data, dict) else None
        good = isinstance(stamp, int | float) and not isinstance(stamp, bool) and math.isfinite(stamp)
        return float(stamp) if good and stamp is not None else 0.0

    def answers(self, arrival: float, *, trust_retained: bool = False) -> list[Answer]:
        """The last message as Answers: what could be read, and what could not, as bad."""
        quality = Quality.GOOD if trust_retained and self.quality is Quality.UNCERTAIN else self.quality
        if not self._lost:
            return [Answer(self.indices, self.values, quality, self.stamp, arrival)]
        lost = set(self._lost)
        good = [place for place in range(len(self.indices)) if place not in lost]
        answers = [self._part(self._lost, Quality.BAD, arrival)]
        return [self._part(good, quality, arrival), *answers] if good else answers

    def _part(self, places: Sequence[int], quality: Quality, arrival: float) -> Answer:
        indices = tuple(self.indices[place] for place in places)
        return Answer(indices, [self.values[place] for place in places], quality, self.stamp, arrival)

    def bad(self, arrival: float) -> Answer:
        """All points as bad, with their last known values."""
        return Answer(self.indices, list(self.values), Quality.BAD, 0.0, arrival)


def _by_parent(
    points: Sequence[tuple[int, PointDecl]],
) -> list[tuple[tuple[Key, ...], list[tuple[int, Key, ValueType, type | None]]]]:
    """JSON points by the object or array they sit in, so that it is looked up once."""
    parents: dict[tuple[Key, ...], list[tuple[int, Key, ValueType, type | None]]] = {}
    for place, (_, decl) in enumerate(points):
        path = mqtt_address(decl).path
        if path is not None:
            keys = path_keys(path)
            leaf = (place, keys[-1], decl.type, _EXACT.get(decl.type))
            parents.setdefault(keys[:-1], []).append(leaf)
    return list(parents.items())


def path_keys(path: str) -> tuple[Key, ...]:
    """``lamps.3.level`` as ("lamps", 3, "level")."""
    return tuple(int(part) if part.isdigit() else part for part in path.split("."))


def topics_of(devices: Sequence[DevicePoints]) -> dict[str, list[TopicPoints]]:
    """Every state topic of a link, with the points of each device in it."""
    topics: dict[str, list[TopicPoints]] = {}
    for row in devices:
        rows: dict[str, list[tuple[int, PointDecl]]] = {}
        for index, decl in row.points:
            if decl.address is not None:
                topic = full_topic(row.device.prefix, mqtt_address(decl).topic)
                rows.setdefault(topic, []).append((index, decl))
        for topic, points in rows.items():
            one = TopicPoints(row.device.name, topic, row.profile.mqtt.stamp, points)
            topics.setdefault(topic, []).append(one)
    return topics


def command(stamp_field: str, instant: float, values: Mapping[str, Value]) -> bytes:
    """A JSON command: its instant, and each value at its path; whole numbers in a path are object keys."""
    body: dict[str, Any] = {stamp_field: instant} if stamp_field else {}
    for path, value in values.items():
        here = body
        *parents, leaf = path.split(".")
        for key in parents:
            here = here.setdefault(key, {})
        here[leaf] = value
    return msgspec.json.encode(body)
