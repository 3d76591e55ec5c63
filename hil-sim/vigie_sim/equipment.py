"""What water and lighting rigs have in common: a piece of equipment seen through its device profile."""

import math
from collections.abc import Mapping
from typing import Protocol

from vigie_protocols.addresses import MqttAddress
from vigie_protocols.errors import DeviceRefused
from vigie_protocols.pointcodec import decode_point, encode_point
from vigie_protocols.points import Value, ValueType
from vigie_protocols.profile import PointDecl, Profile


class Equipment(Protocol):
    """A device's physics by point names of its profile."""

    def values(self) -> Mapping[str, Value]:
        """Every point, the written ones as they stand; numbers may lie outside the declared range."""
        ...

    def command(self, instant: float, point: str, value: Value) -> None:
        """Take one written point at ``instant`` (simulated seconds)."""
        ...


class EquipmentRig:
    """The socket-free face of a rig; subclasses add a protocol.

    Values pass through the profile's codec in both directions, so that a run without sockets sees what one
    with sockets sees.
    """

    def __init__(self, device: str, profile: Profile, equipment: Equipment) -> None:
        self.device = device
        self.profile = profile.profile
        self.commands_seen = 0
        self.equipment = equipment
        self.points: dict[str, PointDecl] = {
            decl.point: decl for decl in profile.expand(device) if decl.address is not None
        }
        self.now = 0.0
        self.utc = 0.0
        self._floats = [
            (point, decl.low, decl.high)
            for point, decl in self.points.items()
            if decl.type is ValueType.FLOAT
        ]
        # JSON gives back exactly what it was given, so only other codecs are worth the way.
        self._coded = [
            (point, decl)
            for point, decl in self.points.items()
            if not (isinstance(decl.address, MqttAddress) and decl.address.path is not None)
        ]

    def shown(self) -> dict[str, Value]:
        """Every point's value, held inside its range as a transmitter does at the ends of its span."""
        values = dict(self.equipment.values())
        for point, low, high in self._floats:
            value = float(values[point])
            if not low <= value <= high or not math.isfinite(value):
                value = min(max(value, low), high) if math.isfinite(value) else max(0.0, low)
            values[point] = value
        return values

    def read_values(self) -> dict[str, Value]:
        """Every point of the profile by its name within the device, as the wire would give it."""
        values = self.shown()
        for point, decl in self._coded:
            values[point] = decode_point(decl, encode_point(decl, values[point]))
        return values

    def apply(self, instant: float, values: Mapping[str, Value]) -> None:
        """Take written points at ``instant``; raises DeviceRefused for an unknown, read-only or wrong one.

        Nothing is taken when one of them is refused.
        """
        taken: list[tuple[str, Value]] = []
        for point, value in values.items():
            decl = self.points.get(point)
            if decl is None:
                raise DeviceRefused(f"{self.device} has no point {point}")
            reason = decl.refuses(value)
            if reason is not None:
                raise DeviceRefused(f"{decl.name} {reason}")
            taken.append((point, decode_point(decl, encode_point(decl, value))))
        for point, value in taken:
            self.equipment.command(instant, point, value)

    def begin(self, now: float, utc: float) -> None:
        """A new tick, without sockets."""
        self.now, self.utc, self.commands_seen = now, utc, 0

    async def wait_commands(self, count: int) -> None:
        """Nothing to wait for where every write is answered."""
