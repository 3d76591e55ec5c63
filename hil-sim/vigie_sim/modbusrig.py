"""A simulated Modbus TCP device: a pymodbus server over registers made from the device profile.

The server's own data store is replaced by ``_Registers``: it answers from a snapshot taken once per tick,
hands writes to the equipment at once, and refuses what the profile does not declare. pymodbus 3.16 answers
only the last of several requests that arrive in one segment, so clients keep one request in flight.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from vigie_protocols.addresses import ModbusAddress
from vigie_protocols.errors import DeviceRefused, PermanentError
from vigie_protocols.modbus import codec
from vigie_protocols.pointcodec import encode_point
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl, Profile
from vigie_sim.equipment import Equipment, EquipmentRig

_TABLE_OF = {
    1: "coil",
    2: "discrete",
    3: "holding",
    4: "input",
    5: "coil",
    6: "holding",
    15: "coil",
    16: "holding",
}


class ModbusRig(EquipmentRig):
    """One device on a TCP port of its own."""

    def __init__(self, device: str, profile: Profile, equipment: Equipment, host: str = "127.0.0.1") -> None:
        super().__init__(device, profile, equipment)
        self.host = host
        self._registers = _Registers(self)
        self._server: ModbusTcpServer | None = None

    async def start(self) -> str:
        """Serve on a free port; the endpoint is ``HOST:PORT``.

        A client that hangs up amid an answer is a gateway's business; pymodbus would print its last twenty
        frames at every one, over the screen of whoever ends a run.
        """
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        self._registers.fill(self.shown())
        # The server insists on a device of its own kind to start with; ours takes its place.
        stand_in = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(stand_in, address=(self.host, 0))
        server.context = self._registers  # type: ignore[assignment]
        await server.serve_forever(background=True)
        # A listening "transport" of pymodbus is asyncio's server.
        listener = cast(asyncio.Server | None, server.transport)
        if listener is None:
            raise PermanentError(f"{self.device}: the Modbus server has no socket")
        self._server = server
        return f"{self.host}:{listener.sockets[0].getsockname()[1]}"

    async def refresh(self, now: float, utc: float) -> None:
        """Take the snapshot that all requests of this tick see."""
        self.now, self.utc, self.commands_seen = now, utc, 0
        self._registers.fill(self.shown())

    async def stop(self) -> None:
        """Close the socket and every connection."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]


class _Registers:
    """The four tables of one device, as pymodbus asks for them; every unit id is this device."""

    def __init__(self, rig: ModbusRig) -> None:
        self._rig = rig
        self._tables: dict[str, list[int]] = {name: [] for name in ("coil", "discrete", "holding", "input")}
        self._written: dict[str, list[tuple[int, ModbusAddress, PointDecl]]] = {"coil": [], "holding": []}
        self._places: list[tuple[str, str, int, int, PointDecl]] = []
        for point, decl in rig.points.items():
            address = decl.address
            if not isinstance(address, ModbusAddress):
                raise PermanentError(f"{decl.name} has no Modbus address")
            table = self._tables[address.table]
            end = address.address + address.words
            table.extend([0] * (end - len(table)))
            self._places.append((point, address.table, address.address, end, decl))
            if decl.writable:
                self._written[address.table].append((address.address, address, decl))

    def fill(self, values: dict[str, Value]) -> None:
        """Put all points' values into the tables. Points that share a register add their bits."""
        tables = {name: [0] * len(table) for name, table in self._tables.items()}
        for point, table, start, end, decl in self._places:
            raw = encode_point(decl, values[point])
            if isinstance(raw, tuple):
                for place, word in zip(range(start, end), raw, strict=True):
                    tables[table][place] |= word
            else:
                tables[table][start] = int(raw)
        self._tables = tables

    def device_ids(self) -> list[int]:
        """Asked for by broadcasts only."""
        return [0]

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> object:
        """Registers or bits of a read request, or the exception to answer with."""
        name = _TABLE_OF.get(func_code)
        if name is None:
            return ExcCodes.ILLEGAL_FUNCTION
        table = self._tables[name]
        if address + count > len(table):
            return ExcCodes.ILLEGAL_ADDRESS
        part = table[address : address + count]
        return [bool(bit) for bit in part] if name in ("coil", "discrete") else part

    async def async_setValues(
        self, device_id: int, func_code: int, address: int, values: Sequence[int] | Sequence[bool]
    ) -> ExcCodes | None:
        """Take a write request whole or refuse it whole."""
        name = _TABLE_OF.get(func_code)
        if name is None or name not in self._written:
            return ExcCodes.ILLEGAL_FUNCTION
        table, end = self._tables[name], address + len(values)
        if end > len(table):
            return ExcCodes.ILLEGAL_ADDRESS
        changed = [*table[:address], *(int(value) for value in values), *table[end:]]
        commands: dict[str, Value] = {}
        covered: set[int] = set()
        for start, place, decl in self._written[name]:
            words = range(start, start + place.words)
            if start < end and words.stop > address:
                covered.update(words)
                if place.bits_table:
                    commands[decl.point] = bool(changed[start])
                else:
                    try:
                        commands[decl.point] = codec.decode(place, decl.type, changed[start : words.stop])
                    except ValueError:
                        return ExcCodes.ILLEGAL_VALUE
        if not covered.issuperset(range(address, end)):
            return ExcCodes.ILLEGAL_ADDRESS
        try:
            self._rig.apply(self._rig.now, commands)
        except DeviceRefused:
            return ExcCodes.ILLEGAL_VALUE
        self._tables[name] = changed
        self._rig.commands_seen += 1
        return None
