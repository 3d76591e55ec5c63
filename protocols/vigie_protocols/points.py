"""The words every part shares: value, quality, reading.

A *point* is a typed value of a device. A *reading* is what is known of a point at one instant:
its value, how far the value may be trusted, when the device says it was taken, and when it arrived.
This is the only module of the protocols that the controllers may import.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Generic, TypeVar

Value = bool | int | float | str
V_co = TypeVar("V_co", bound=Value, covariant=True)


class Quality(IntEnum):
    """How far a value may be trusted. The order is meaningful: ``min`` gives the worst."""

    BAD = 0
    UNCERTAIN = 1
    GOOD = 2


class ValueType(StrEnum):
    """The types a point may have. Enumerations travel as their whole number."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    ENUM = "enum"
    STRING = "string"


class ClockTrust(IntEnum):
    """How far UTC may be trusted. Control itself runs on the monotonic clock and needs none of it."""

    UNTRUSTED = 0
    HOLDOVER = 1
    SYNCED = 2


@dataclass(frozen=True, slots=True)
class Reading(Generic[V_co]):
    """One point at one instant.

    value: the value in the unit its point declares; meaningless when ``quality`` is BAD.
    source_time: UTC seconds since 1970 as the device stamped it, or 0.0 when it gives none.
    arrival: seconds on the agent's monotonic clock when it reached the gateway.
    """

    value: V_co
    quality: Quality = Quality.GOOD
    source_time: float = 0.0
    arrival: float = 0.0

    @property
    def good(self) -> bool:
        """True when the value may be used without reserve."""
        return self.quality is Quality.GOOD

    @property
    def usable(self) -> bool:
        """True when the value may be used at all."""
        return self.quality is not Quality.BAD

    def fresh(self, now: float, limit: float) -> bool:
        """True when usable and not older than ``limit`` seconds on the monotonic clock."""
        return self.quality is not Quality.BAD and now - self.arrival <= limit


NEVER: float = -1e18
"""The arrival of a reading that never came: older than any limit."""


def absent(value: Value) -> Reading[Value]:
    """The reading of a point that was never read; ``value`` only fixes the type."""
    return Reading(value, Quality.BAD, 0.0, NEVER)


ZERO: dict[ValueType, Value] = {
    ValueType.BOOL: False,
    ValueType.INT: 0,
    ValueType.UINT: 0,
    ValueType.FLOAT: 0.0,
    ValueType.ENUM: 0,
    ValueType.STRING: "",
}
"""The value that stands in the place of one never read, by type."""

# Points the agent itself provides in every image; device names never start with a dollar sign.
CLOCK_UTC = "$clock/utc"
"""float: UTC seconds since 1970 at the scan; quality follows the clock's trust."""
CLOCK_TRUST = "$clock/trust"
"""enum ClockTrust."""
SCAN_OVERRUN = "$scan/overrun"
"""bool: the previous scan ran past its deadline (a controller with a budget falls back on it)."""
SYSTEM_POINTS: dict[str, ValueType] = {
    CLOCK_UTC: ValueType.FLOAT,
    CLOCK_TRUST: ValueType.ENUM,
    SCAN_OVERRUN: ValueType.BOOL,
}
