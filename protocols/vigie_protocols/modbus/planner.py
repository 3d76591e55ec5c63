"""Which registers to read together: the cheapest requests under a device's limits.

Reading a hole is free on a fast link and dear on a slow line, so a cost model of the link decides: what a
request costs beside a register. The plan is exact (dynamic programming over the sorted points), not greedy.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from vigie_protocols.addresses import ModbusAddress
from vigie_protocols.gateway import Link
from vigie_protocols.limits import Limits
from vigie_protocols.modbus.codec import BlockDecoder
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl

Table = Literal["coil", "discrete", "holding", "input"]
READ: Final[dict[str, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""The function code that reads each table."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a request and a register cost on a link, in the same unit (here: microseconds)."""

    request: float
    register: float


TCP: Final = Costs(request=300.0, register=0.3)
"""A round trip over a local network beside two more bytes in a segment that travels anyway."""


def serial_costs(baud: int, turnaround_s: float = 0.0) -> Costs:
    """Modbus RTU: 11 bits a character, 8 + 5 characters of frame, two silences of 3.5 characters.

    Above 19,200 baud the silences are 1.75 ms (Modbus over serial line 1.02, 2.5.1.1).
    """
    character = 11e6 / baud
    silence = 1750.0 if baud > 19200 else 3.5 * character
    return Costs(request=13 * character + 2 * silence + turnaround_s * 1e6, register=2 * character)


def costs_of(link: Link, limits: Limits) -> Costs:
    """The cost model of a link."""
    return TCP if link.serial is None else serial_costs(link.serial.baud, limits.turnaround_s)


@dataclass(slots=True)
class Block:
    """One read request and the points that its answer carries.

    device: name; start, count: registers (or coils); rate_s: how often; phase: share of the period at which
    it is due, so that the blocks of a link do not all come at once.
    """

    device: str
    unit: int
    table: Table
    start: int
    count: int
    rate_s: float
    points: tuple[tuple[int, PointDecl], ...]
    phase: float = 0.0
    rest_until: float = float("-inf")
    values: list[Value] = field(default_factory=list)
    pdu: bytes = field(init=False)
    indices: tuple[int, ...] = field(init=False)
    decoder: BlockDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.pdu = struct.pack(">BHH", READ[self.table], self.start, self.count)
        self.indices = tuple(index for index, _ in self.points)
        rows = [(address_of(decl), decl.type) for _, decl in self.points]
        self.decoder = BlockDecoder(self.start, self.count, rows)

    @property
    def used(self) -> int:
        """Registers (or coils) of the block that some point needs."""
        return len({at for _, decl in self.points for at in _span(address_of(decl))})

    def narrower(self) -> "list[Block]":
        """The same points in smaller requests: without holes, else one request a point; [] when it is one."""
        runs = _runs(self.points)
        if len(runs) == 1:
            runs = [[point] for point in self.points] if len(self.points) > 1 else []
        return [_block(self.device, self.unit, self.table, self.rate_s, run) for run in runs]


def address_of(decl: PointDecl) -> ModbusAddress:
    """The Modbus address of a point."""
    if not isinstance(decl.address, ModbusAddress):
        raise TypeError(f"{decl.name} has no Modbus address")
    return decl.address


def _span(address: ModbusAddress) -> range:
    return range(address.address, address.address + address.words)


Points = Sequence[tuple[int, PointDecl]]


def plan(
    device: str, unit: int, points: Points, limits: Limits, costs: Costs, *, by_rate: bool = True
) -> list[Block]:
    """The read requests for these points; ``by_rate`` keeps points of different rates apart."""
    groups: dict[tuple[float, Table], list[tuple[int, PointDecl]]] = {}
    for index, decl in points:
        if decl.address is not None:
            rate = decl.rate_s if by_rate else 0.0
            groups.setdefault((rate, address_of(decl).table), []).append((index, decl))
    blocks = []
    for (rate, table), rows in sorted(groups.items()):
        for run in _cheapest(rows, table, limits, costs):
            block = _block(device, unit, table, rate, run)
            seed = f"{device}/{table}/{block.start}/{rate}"
            block.phase = zlib.crc32(seed.encode()) / 2**32
            blocks.append(block)
    return blocks


def _block(device: str, unit: int, table: Table, rate: float, run: Points) -> Block:
    start = min(address_of(decl).address for _, decl in run)
    end = max(address_of(decl).address + address_of(decl).words for _, decl in run)
    return Block(device, unit, table, start, end - start, rate, tuple(run))


def _sorted(points: Iterable[tuple[int, PointDecl]]) -> list[tuple[int, PointDecl]]:
    return sorted(points, key=lambda row: (address_of(row[1]).address, address_of(row[1]).words, row[0]))


def _runs(points: Points) -> list[list[tuple[int, PointDecl]]]:
    """Points in runs without holes."""
    runs: list[list[tuple[int, PointDecl]]] = []
    end = -1
    for row in _sorted(points):
        address = address_of(row[1])
        if not runs or address.address > end:
            runs.append([])
            end = address.address
        runs[-1].append(row)
        end = max(end, address.address + address.words)
    return runs


def _cheapest(rows: Points, table: Table, limits: Limits, costs: Costs) -> list[list[tuple[int, PointDecl]]]:
    """Cut the points into requests of least total cost.

    Runs without holes that fit one request are never cut; dynamic programming then chooses which
    neighbouring runs to join: best[k] is the least cost of the first k runs.
    """
    bits = table in ("coil", "discrete")
    most = limits.max_bits if bits else limits.max_registers
    unit_cost = costs.register / 16 if bits else costs.register
    gap = (124 if limits.max_gap is None else limits.max_gap) * (16 if bits else 1)
    barred = [(one.first, one.last) for one in limits.forbidden if one.table == table]
    runs = [piece for run in _runs(rows) for piece in _fitting(run, most)]
    ends = [(_first(run), _last(run)) for run in runs]
    best = [0.0] + [float("inf")] * len(runs)
    cut = [0] * (len(runs) + 1)
    for last in range(1, len(runs) + 1):
        for first in range(last - 1, -1, -1):
            start, end = ends[first][0], max(one[1] for one in ends[first:last])
            if end - start > most:
                break
            if first + 1 < last and ends[first + 1][0] - ends[first][1] > gap:
                break
            if any(low < end and start <= high for low, high in barred) and first + 1 < last:
                break
            cost = best[first] + costs.request + unit_cost * (end - start)
            if cost < best[last]:
                best[last], cut[last] = cost, first
    pieces = []
    at = len(runs)
    while at:
        pieces.append([row for run in runs[cut[at] : at] for row in run])
        at = cut[at]
    return pieces[::-1]


def _first(run: Points) -> int:
    return min(address_of(decl).address for _, decl in run)


def _last(run: Points) -> int:
    return max(address_of(decl).address + address_of(decl).words for _, decl in run)


def _fitting(run: list[tuple[int, PointDecl]], most: int) -> list[list[tuple[int, PointDecl]]]:
    """A run without holes in pieces of at most ``most`` registers, never cutting through a point."""
    pieces: list[list[tuple[int, PointDecl]]] = [[]]
    start = _first(run)
    for row in run:
        address = address_of(row[1])
        if pieces[-1] and address.address + address.words - start > most:
            pieces.append([])
            start = address.address
        pieces[-1].append(row)
    return pieces
