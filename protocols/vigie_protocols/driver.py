"""The one interface of all field drivers.

A driver serves one link with all devices on it. It opens its own connection, never retries for ever
inside a call, keeps one request in flight unless told otherwise, lets writes go before reads, and gives
partial results: a dead device costs the others nothing.

Two ways of use:

* wall clock: ``poll(now)`` does what is due, hands readings to ``deliver`` as they come and returns when
  it wants to be called again; OPC UA subscriptions and MQTT messages are delivered between polls.
* lock-step: ``read_all(now)`` reads every point once, in as few requests as possible.

``write`` serves both: all changes in order, in one request where the protocol allows it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vigie_protocols.gateway import Configuration, Device
from vigie_protocols.points import Quality, Reading, Value
from vigie_protocols.profile import PointDecl, Profile


@dataclass(slots=True)
class Answer:
    """Readings that came together: same quality, same source time, same arrival.

    indices: places of the points in ``Configuration.points``; the same tuple object again whenever the
    same points are read again, so that a receiver may keep what it compiled for it. values: one each;
    when ``quality`` is BAD they are the last known values or the types' zeros.
    source_time, arrival: as in Reading. A plain record, one per answer, since one Reading per point and
    poll would cost more than the rest of a driver.
    """

    indices: tuple[int, ...]
    values: Sequence[Value]
    quality: Quality
    source_time: float
    arrival: float

    def readings(self) -> list[tuple[int, Reading[Value]]]:
        """(point index, Reading) for whoever prefers them one by one."""
        common = self.quality, self.source_time, self.arrival
        pairs = zip(self.indices, self.values, strict=True)
        return [(index, Reading(value, *common)) for index, value in pairs]


Deliver = Callable[[Answer], None]
"""Takes readings as they come; must not block and must not raise."""


@dataclass(frozen=True, slots=True)
class Change:
    """One output to write. instant: UTC seconds at which it was decided; devices see it as its stamp."""

    index: int
    value: Value
    instant: float


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one change. error: empty when the device took it; permanent: trying again is vain."""

    index: int
    error: str = ""
    permanent: bool = False

    @property
    def ok(self) -> bool:
        """True when the device took it."""
        return not self.error


@dataclass(frozen=True, slots=True)
class WriteReport:
    """One result per change, in order.

    messages: device -> messages sent through a broker, which the device will see some time later;
    empty where the device itself answered the write.
    """

    results: tuple[WriteResult, ...]
    messages: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Counters:
    """What a driver has done since it was made; each only goes up."""

    requests: int = 0
    failures: int = 0
    timeouts: int = 0
    late: int = 0
    refused: int = 0
    malformed: int = 0
    readings: int = 0
    writes: int = 0
    messages: int = 0
    connects: int = 0
    probes: int = 0


@dataclass(slots=True)
class DeviceState:
    """One device as its driver sees it. last_good: monotonic seconds of the last answer."""

    name: str
    up: bool = False
    error: str = "never answered"
    failures: int = 0
    last_good: float = float("-inf")


@dataclass(slots=True)
class LinkState:
    """One link as its driver sees it."""

    name: str
    up: bool = False
    error: str = "not connected yet"
    counters: Counters = field(default_factory=Counters)
    devices: dict[str, DeviceState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DevicePoints:
    """One device with its points and their indices in the gateway's list."""

    device: Device
    profile: Profile
    points: tuple[tuple[int, PointDecl], ...]


class Driver(Protocol):
    """What the agent's field process needs of a link."""

    state: LinkState

    async def open(self) -> None:
        """Start; a link or device that is not there is no error here, its readings are bad."""
        ...

    async def ready(self, limit_s: float) -> bool:
        """Wait at most ``limit_s`` seconds of wall time until the link is up; False when it is not.

        In lock-step an agent calls this before it says hello: an MQTT device publishes the state of a
        tick once, so whoever subscribes later never sees it. In wall-clock time nobody needs to wait.
        """
        ...

    async def close(self) -> None:
        """Stop and leave nothing running."""
        ...

    async def poll(self, now: float) -> float:
        """Do what is due at ``now`` (monotonic seconds) and return when to be called again."""
        ...

    async def read_all(self, now: float, utc: float) -> list[Answer]:
        """Every point once. ``now`` becomes each reading's arrival; ``utc`` is the instant of the tick.

        Readings of a device that does not answer are BAD. An MQTT driver waits, within its time budget,
        for the state messages stamped ``utc``.
        """
        ...

    async def write(self, changes: Sequence[Change]) -> WriteReport:
        """Write all changes in order; never raises for what a device does, the report says it."""
        ...


def devices_of(configuration: Configuration, link: str) -> list[DevicePoints]:
    """The devices of one link with the indices of their points."""
    return [
        DevicePoints(device, configuration.profiles[device.profile], configuration.by_device[device.name])
        for device in configuration.gateway.devices
        if device.link == link
    ]
