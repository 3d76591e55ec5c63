"""What a device can take in one request, and which points that rules out."""

from typing import Literal

from pydantic import Field

from vigie_protocols.addresses import ModbusAddress
from vigie_protocols.strict import Strict


class ForbiddenRange(Strict):
    """Addresses a request may not touch, both ends included."""

    table: Literal["coil", "discrete", "holding", "input"] = "holding"
    first: int = Field(ge=0, le=65535)
    last: int = Field(ge=0, le=65535)


class Limits(Strict):
    """What a device can take in one request (Modbus application protocol 1.1b3 gives the defaults).

    max_gap: unused registers (or coils, times 16) that one block read may cover, None = let the cost model
    of the link decide. functions: the function codes the device knows. in_flight: requests this device takes
    at once, where its link allows several. turnaround_s: silence the device needs after an answer (serial lines).
    """

    max_registers: int = Field(default=125, ge=1, le=125)
    max_bits: int = Field(default=2000, ge=1, le=2000)
    max_write_registers: int = Field(default=123, ge=1, le=123)
    max_write_bits: int = Field(default=1968, ge=1, le=1968)
    max_gap: int | None = Field(default=None, ge=0, le=124)
    forbidden: tuple[ForbiddenRange, ...] = ()
    functions: frozenset[Literal[1, 2, 3, 4, 5, 6, 15, 16, 22]] = frozenset({1, 2, 3, 4, 5, 6, 15, 16})
    in_flight: int = Field(default=1, ge=1, le=64)
    turnaround_s: float = Field(default=0.0, ge=0, le=1)


def unreachable(address: ModbusAddress, writable: bool, limits: Limits) -> str | None:
    """Why a device with these function codes cannot serve this point, or None."""
    read = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}[address.table]
    if read not in limits.functions:
        return f"reading the {address.table} table takes function {read}, which limits.functions lacks"
    most = limits.max_bits if address.bits_table else limits.max_registers
    if address.words > most:
        return f"takes {address.words} registers, limits allow {most} in one request"
    for one in limits.forbidden:
        end = address.address + address.words
        if one.table == address.table and address.address <= one.last and one.first < end:
            return f"stands in the forbidden range {one.first} to {one.last} of the {one.table} table"
    several, single = (15, 5) if address.bits_table else (16, 6)
    codes = (
        {several}
        if address.words > 1
        else {several, single, 22}
        if address.bit is not None
        else {several, single}
    )
    if writable and not codes & limits.functions:
        return f"writing takes one of functions {sorted(codes)}, which limits.functions lacks"
    return None
