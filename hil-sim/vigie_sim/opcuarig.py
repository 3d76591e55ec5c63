"""A simulated OPC UA device: a server whose nodes are those of the device profile.

Nodes have the string identifiers that the profile writes, in the namespace ``NAMESPACE``. Elements of an
array and bits of a word stand in one node, as a controller's do.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vigie_protocols.addresses import OpcUaAddress
from vigie_protocols.errors import DeviceRefused, PermanentError
from vigie_protocols.pointcodec import decode_point, encode_point
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl, Profile
from vigie_sim.equipment import Equipment, EquipmentRig
from vigie_sim.traffic.opcserver import DeviceNode, DeviceServer, device_nodes

NAMESPACE = "urn:vigie:sim"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OpcUaRig(EquipmentRig):
    """One device on an OPC UA server of its own."""

    def __init__(self, device: str, profile: Profile, equipment: Equipment) -> None:
        super().__init__(device, profile, equipment)
        self._nodes = device_nodes(profile, device)
        self._server = DeviceServer(self._nodes, NAMESPACE, f"Vigie {device}", self._written)

    async def start(self) -> str:
        """Serve on a free loopback port; the endpoint is the server's address."""
        return await self._server.start(self._raw(), _stamp(self.utc))

    async def refresh(self, now: float, utc: float) -> None:
        """Serve the state of this tick."""
        self.begin(now, utc)
        await self._server.put(self._raw(), _stamp(utc))

    async def stop(self) -> None:
        """Close every connection; may be called twice."""
        await self._server.stop()

    def _raw(self) -> dict[str, Any]:
        values = self.shown()
        return {name: _node_value(node, values) for name, node in self._nodes.items()}

    def _written(self, name: str, raw: Any, stamp: datetime | None) -> None:
        """A node was written: its writable points that differ from what stands are commands."""
        node = self._nodes[name]
        standing = self.shown()
        commands: dict[str, Value] = {}
        for decl in node.decls:
            if decl.writable:
                try:
                    value = decode_point(decl, raw[_place(decl)] if node.array else raw)
                except (ValueError, IndexError) as error:
                    raise DeviceRefused(f"{decl.name}: {error}") from error
                if value != standing[decl.point]:
                    commands[decl.point] = value
        moment = None if stamp is None else stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
        since = 0.0 if moment is None else (moment - _EPOCH).total_seconds() - self.utc
        self.apply(self.now + max(0.0, since), commands)
        self.commands_seen += 1


def _place(decl: PointDecl) -> int:
    return _opcua(decl).index or 0


def _opcua(decl: PointDecl) -> OpcUaAddress:
    if not isinstance(decl.address, OpcUaAddress):
        raise PermanentError(f"{decl.name} has no OPC UA address")
    return decl.address


def _node_value(node: DeviceNode, values: Mapping[str, Value]) -> Any:
    """What a node holds: one value, or an array of them; bits of one word are added up."""
    first = node.decls[0]
    cells: list[Any] = [None] * (max(_place(decl) for decl in node.decls) + 1)
    for decl in node.decls:
        raw, place = encode_point(decl, values[decl.point]), _place(decl)
        held = cells[place]
        cells[place] = held | raw if isinstance(held, int) and isinstance(raw, int) else raw
    blank = encode_point(first, first.zero)
    whole = [blank if cell is None else cell for cell in cells]
    return whole if node.array else whole[0]


def _stamp(utc: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(utc * 1e6))
