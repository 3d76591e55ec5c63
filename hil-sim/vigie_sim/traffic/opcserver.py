"""A lean OPC UA server for one simulated device: nodes as its profile declares them.

asyncua does protocol, sessions and subscriptions; reads and writes of our own nodes take a short way
(``opcfast``), since a lock-step run is bounded by what one read and one write cost.
"""

import gc
import logging
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService, AttributeValue

from vigie_protocols.addresses import OpcUaAddress
from vigie_protocols.errors import DeviceRefused
from vigie_protocols.profile import PointDecl, Profile
from vigie_sim.traffic.opcfast import FastServer, ShortWay, encode_value, file_time

Take = Callable[[str, Any, datetime | None], None]
"""Takes a written node: name, raw value, source timestamp; raises DeviceRefused."""


class DeviceNode:
    """One variable: its points by element, its variant type, and whether it may be written."""

    def __init__(self, name: str, decls: list[PointDecl]) -> None:
        address = decls[0].address
        if not isinstance(address, OpcUaAddress):
            raise TypeError(f"{decls[0].name} has no OPC UA address")
        self.name = name
        self.decls = decls
        self.array = address.index is not None
        self.variant = ua.VariantType[address.wire(decls[0].type)]
        self.writable = any(decl.writable for decl in decls)


def device_nodes(profile: Profile, device: str) -> dict[str, DeviceNode]:
    """The nodes of a profile in its order; elements of an array by their index."""
    rows: dict[str, list[tuple[int, PointDecl]]] = {}
    for decl in profile.expand(device):
        if isinstance(decl.address, OpcUaAddress):
            rows.setdefault(decl.address.node, []).append((decl.address.index or 0, decl))
    return {
        name: DeviceNode(name, [decl for _, decl in sorted(row, key=lambda one: one[0])])
        for name, row in rows.items()
    }


class _Cell:
    """The present value of one node, encoded when first asked for."""

    def __init__(self, node: DeviceNode, raw: Any) -> None:
        self.node = node
        self.raw = raw
        self.stamp: datetime | None = None
        self._encoded: bytes | None = None

    def put(self, raw: Any, stamp: datetime | None) -> None:
        self.raw, self.stamp, self._encoded = raw, stamp, None

    def encoded(self) -> bytes:
        if self._encoded is None:
            stamp = 0 if self.stamp is None else file_time(self.stamp)
            self._encoded = encode_value(self.raw, self.node.variant, self.node.array, stamp)
        return self._encoded

    def value(self, *_: Any) -> Any:
        """As the library wants it."""
        return ua.DataValue(
            ua.Variant(self.raw, self.node.variant, is_array=self.node.array), _GOOD, self.stamp
        )


class _Attributes(AttributeService):  # type: ignore[misc] # asyncua is not typed here
    """asyncua's attribute service, with the device's own nodes written by ``take``."""

    def __init__(self, aspace: Any, own: Mapping[Any, tuple[_Cell, AttributeValue]], take: Take) -> None:
        super().__init__(aspace)
        self._own = own
        self._take = take
        self.writes = 0

    async def write(self, params: Any, user: User = User(role=UserRole.Admin)) -> list[Any]:  # noqa: B008
        results: list[Any] = []
        for row in params.NodesToWrite:
            found = self._own.get(row.NodeId) if row.AttributeId == ua.AttributeIds.Value else None
            if found is None:
                one = ua.WriteParameters()
                one.NodesToWrite = [row]
                results.extend(await super().write(one, user))
            elif row.IndexRange:
                results.append(_NO_RANGES)
            else:
                results.append(await self._write_own(*found, row.Value))
        self.writes += 1
        return results

    async def _write_own(self, cell: _Cell, held: AttributeValue, data: Any) -> Any:
        node = cell.node
        if not node.writable:
            return _NOT_WRITABLE
        variant = data.Value
        if variant is None or variant.VariantType != node.variant or variant.is_array != node.array:
            return _WRONG_TYPE
        raw = list(variant.Value) if node.array else variant.Value
        try:
            self._take(node.name, raw, data.SourceTimestamp)
        except DeviceRefused:
            return _OUT_OF_RANGE
        cell.put(raw, data.SourceTimestamp)
        await _tell(cell, held)
        return _GOOD


async def _tell(cell: _Cell, held: AttributeValue) -> None:
    """Subscribers of a node hear of its new value."""
    if held.datachange_callbacks:
        value = cell.value()
        for handle, callback in list(held.datachange_callbacks.items()):
            await callback(handle, value)


_GOOD = ua.StatusCode(ua.StatusCodes.Good)
_NOT_WRITABLE = ua.StatusCode(ua.StatusCodes.BadNotWritable)
_WRONG_TYPE = ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
_NO_RANGES = ua.StatusCode(ua.StatusCodes.BadWriteNotSupported)
_OUT_OF_RANGE = ua.StatusCode(ua.StatusCodes.BadOutOfRange)


class DeviceServer:
    """Serves one device's nodes on a free loopback port. take: called for each written node, in order."""

    def __init__(self, nodes: Mapping[str, DeviceNode], namespace: str, title: str, take: Take) -> None:
        self.nodes = dict(nodes)
        self.url = ""
        self._namespace, self._title, self._take = namespace, title, take
        self._server: FastServer | None = None
        self._cells: list[tuple[str, _Cell, AttributeValue]] = []
        self._attributes: _Attributes | None = None

    @property
    def writes(self) -> int:
        """Write requests served so far."""
        return 0 if self._attributes is None else self._attributes.writes

    async def start(self, values: Mapping[str, Any], stamp: datetime, port: int = 0) -> str:
        """Begin to serve; returns the endpoint's address."""
        server = await _standard_server()
        port = port or _free_port()
        self.url = f"opc.tcp://127.0.0.1:{port}/vigie"
        server.set_endpoint(self.url)
        server.set_server_name(self._title)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(self._namespace)
        device = await server.nodes.objects.add_object(ua.NodeId("Device", index), f"{index}:Device")
        own: dict[Any, tuple[_Cell, AttributeValue]] = {}
        for node in self.nodes.values():
            identity = ua.NodeId(node.name, index)
            variant = ua.Variant(values[node.name], node.variant, is_array=node.array)
            made = await device.add_variable(identity, f"{index}:{node.name}", variant)
            if node.writable:
                await made.set_writable()
            cell = _Cell(node, values[node.name])
            held = server.iserver.aspace[identity].attributes[ua.AttributeIds.Value]
            server.iserver.aspace.set_attribute_value_callback(identity, ua.AttributeIds.Value, cell.value)
            self._cells.append((node.name, cell, held))
            own[identity] = (cell, held)
        self._attributes = _Attributes(server.iserver.aspace, own, self._take)
        server.iserver.attribute_service = self._attributes
        server.way = ShortWay({one: cell.encoded for one, (cell, _) in own.items()}, self._attributes.write)
        await self.put(values, stamp)
        await server.start()
        self._server = server
        return self.url

    async def put(self, values: Mapping[str, Any], stamp: datetime) -> None:
        """New values of all nodes, stamped ``stamp`` (UTC); subscribers are told of those that changed."""
        for name, cell, held in self._cells:
            raw = values[name]
            changed = raw != cell.raw
            cell.put(raw, stamp)
            if changed:
                await _tell(cell, held)

    async def stop(self) -> None:
        """Close every connection; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()


async def _standard_server() -> FastServer:
    """A server with OPC UA's standard nodes.

    Their six thousand objects are made with the garbage collector at rest, which halves the time; its
    warnings about missing security say nothing on a loopback simulator.
    """
    logging.getLogger("asyncua.server").setLevel(logging.ERROR)
    collecting = gc.isenabled()
    gc.disable()
    try:
        server = FastServer()
        server.disable_clock(True)
        await server.init()
    finally:
        if collecting:
            gc.enable()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
