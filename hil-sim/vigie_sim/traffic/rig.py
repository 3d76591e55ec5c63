"""One intersection as an OPC UA device, over its part of the plant.

The rig has two faces on the same cabinet: an OPC UA server, and ``read_values``/``apply`` for runs without
sockets. Every value passes the profile's types both ways, so that both give the same readings.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from vigie_protocols.errors import DeviceRefused
from vigie_protocols.pointcodec import through
from vigie_protocols.points import Value, ValueType
from vigie_protocols.profile import PointDecl, Profile
from vigie_sim.traffic.cabinet import Cabinet, Panel
from vigie_sim.traffic.documents import NAMESPACE
from vigie_sim.traffic.opcserver import DeviceServer, device_nodes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IntersectionRig:
    """A signalised intersection. cabinet: behind the wires; sensors: node values of detectors and buttons."""

    def __init__(self, device: str, profile: Profile, cabinet: Cabinet, sensors: "Sensors") -> None:
        self.device = device
        self.profile = profile.profile
        self.cabinet = cabinet
        self.commands_seen = 0
        self.now = 0.0
        self.utc = 0.0
        self.period = 1.0
        """Seconds of the current tick: instants of writes lie inside it."""
        self._sensors = sensors
        self._calls = [not one.calls_when for one in cabinet.site.preemptions]
        self._nodes = device_nodes(profile, device)
        self._decls: dict[str, tuple[str, int, PointDecl]] = {}
        for name, node in self._nodes.items():
            for place, decl in enumerate(node.decls):
                self._decls[decl.point] = (name, place, decl)
        self.points = tuple(self._decls)
        """Names of all points within the device, in the order of ``read_list``."""
        self._server = DeviceServer(self._nodes, NAMESPACE, f"Vigie {device}", self._written)

    # -- sockets -------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Serve on a free loopback port; returns the endpoint as a gateway file writes it."""
        return await self._server.start(self.node_values(), _stamp(self.utc))

    async def refresh(self, now: float, utc: float) -> None:
        """Serve the state of this tick."""
        self.begin(now, utc)
        await self._server.put(self.node_values(), _stamp(utc))

    async def wait_commands(self, count: int) -> None:
        """Nothing to wait for: an answered write is in force."""

    async def stop(self) -> None:
        """Close every socket; may be called twice."""
        await self._server.stop()

    def _written(self, name: str, raw: Any, stamp: datetime | None) -> None:
        instant = self.now
        if stamp is not None:
            moment = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
            since = (moment - _EPOCH) / timedelta(microseconds=1) / 1e6 - self.utc
            instant = self.now + min(max(round(since, 6), 0.0), self.period)
        self._take(instant, name, raw)
        self.commands_seen += 1

    # -- without sockets -----------------------------------------------------------------------------

    def begin(self, now: float, utc: float) -> None:
        """A new tick: instants of the writes that follow lie between ``now`` and the next one."""
        self.now, self.utc = now, utc
        self.commands_seen = 0

    def node_values(self) -> dict[str, Any]:
        """Raw values of every node as they stand."""
        cabinet = self.cabinet
        return {
            **self._sensors.nodes(),
            **cabinet.nodes(),
            "Monitor.Fault": cabinet.monitor.fault is not None,
            "Monitor.Cause": cabinet.monitor.cause,
            "Panel.Mode": int(cabinet.panel),
            "Heartbeat": cabinet.heartbeat,
            **({"Preempt.Calls": list(self._calls)} if self._calls else {}),
        }

    def read_list(self) -> list[Value]:
        """Every point's value in the order of ``points``, as the wire would give it."""
        raw = self.node_values()
        row: list[Value] = []
        for name, node in self._nodes.items():
            if node.array:
                row.extend(raw[name])
            else:
                row.append(raw[name])
        return row

    def read_values(self) -> dict[str, Value]:
        """Every readable point by its name within the device, as the wire would give it.

        Cabinets and sensors hold plain whole numbers and flags within the range of their variants, which
        the journey leaves as they are.
        """
        return dict(zip(self.points, self.read_list(), strict=True))

    def apply(self, instant: float, values: Mapping[str, Value]) -> None:
        """Take written points at ``instant`` (simulated seconds); raises DeviceRefused for a wrong one.

        Points of one node that change together travel as one array, as over the wire.
        """
        arrays: dict[str, list[Any]] = {}
        held = self.cabinet.nodes()
        for point, value in values.items():
            known = self._decls.get(point)
            if known is None:
                raise DeviceRefused(f"{self.device} has no point {point}")
            name, place, decl = known
            fault = decl.refuses(value)
            if fault is not None:
                raise DeviceRefused(f"{decl.name} {fault}")
            if self._nodes[name].array:
                row = arrays.setdefault(name, list(held[name]))
                row[place] = through(decl, value)
            else:
                arrays[name] = [through(decl, value)]
        for name, row in arrays.items():
            self._take(instant, name, row if self._nodes[name].array else row[0])

    def _take(self, instant: float, name: str, raw: Any) -> None:
        node = self._nodes[name]
        for value, decl in zip(raw if node.array else [raw], node.decls, strict=False):
            if decl.type is ValueType.ENUM and not any(value == number for number, _ in decl.labels):
                raise DeviceRefused(f"{decl.name}: {value} is none of its values")
        if name == "Heartbeat":
            self.cabinet.beat(instant, int(raw))
        else:
            self.cabinet.command(instant, name, raw)

    # -- at the panel --------------------------------------------------------------------------------

    def panel(self, mode: Panel) -> None:
        """Somebody turns the switch."""
        self.cabinet.panel = mode

    def preempt(self, name: str, called: bool) -> None:
        """A train, an ambulance or whoever the input is for calls, or has gone."""
        site = self.cabinet.site
        place = [one.id for one in site.preemptions].index(name)
        self._calls[place] = site.preemptions[place].calls_when == called

    def reset(self) -> None:
        """Somebody resets the latched monitor."""
        self.cabinet.reset(self.now)


class Sensors:
    """Detectors and buttons of one junction as node values, taken from rows of the plant.

    zones, exits, crossings: (first, last + 1) of this junction in the plant's rows.
    """

    def __init__(self, zones: tuple[int, int], exits: tuple[int, int], crossings: tuple[int, int]) -> None:
        self._zones, self._exits, self._crossings = zones, exits, crossings
        self._values: dict[str, Any] = {}
        self.take([0] * exits[1], [0] * exits[1], [0] * crossings[1])

    def take(self, counts: Sequence[int], halting: Sequence[int], waiting: Sequence[int]) -> None:
        """What the plant counts now."""
        first, last = self._zones
        standing = list(halting[first:last])
        self._values = {
            "Detectors.Counts": list(counts[first:last]),
            "Detectors.Halting": standing,
            "Exits.Halting": list(halting[self._exits[0] : self._exits[1]]),
            "Buttons.Called": [number > 0 for number in waiting[self._crossings[0] : self._crossings[1]]],
            "Queue": sum(standing),
        }

    def nodes(self) -> dict[str, Any]:
        """Node name -> raw value."""
        return self._values

    @property
    def counts(self) -> list[int]:
        """Vehicles per approach zone."""
        row: list[int] = self._values["Detectors.Counts"]
        return row

    @property
    def buttons(self) -> list[bool]:
        """Whether somebody asks at each crossing."""
        row: list[bool] = self._values["Buttons.Called"]
        return row


def _stamp(utc: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(utc * 1e6))
