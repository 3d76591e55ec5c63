"""Which points stand in which node, and what a read of a node says about them.

Points that share an array variable share one node, so that a controller with thirty lamps costs one node
read. No OPC UA library is imported here.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from vigie_protocols.addresses import OpcUaAddress, Variant
from vigie_protocols.driver import Answer, DevicePoints
from vigie_protocols.opcua.plain import Got
from vigie_protocols.pointcodec import from_variant
from vigie_protocols.points import Quality, Value, ValueType
from vigie_protocols.profile import PointDecl

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT: Final[dict[ValueType, type]] = {
    ValueType.BOOL: bool,
    ValueType.INT: int,
    ValueType.ENUM: int,
    ValueType.FLOAT: float,
    ValueType.STRING: str,
}
"""The Python types of decoded variants that are the value already; UINT must be looked at for its sign."""


def to_datetime(utc: float) -> datetime:
    """UTC seconds as OPC UA carries them, to the microsecond."""
    return EPOCH + timedelta(microseconds=round(utc * 1e6))


def to_utc(stamp: datetime | None) -> float:
    """A DataValue's time as UTC seconds, 0.0 for none; naive ones are UTC."""
    if stamp is None:
        return 0.0
    return ((stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)) - EPOCH).total_seconds()


def stamp_through(utc: float) -> float:
    """An instant as it comes out after a journey over OPC UA."""
    return to_utc(to_datetime(utc))


class NodePoints:
    """One node and the points in it.

    values: last good values, one per point, zeros at first. raw: what the node held when last read or
    written (arrays and words with bits only; None when unknown), from which the next write is made.
    """

    __slots__ = (
        "_exact", "_picks", "address", "array", "decls", "device", "indices", "node", "rate_s", "raw",
        "stamped", "values", "variant", "writable",
    )  # fmt: skip

    def __init__(self, device: str, node: str, points: Sequence[tuple[int, PointDecl]]) -> None:
        addresses = [_opcua(decl) for _, decl in points]
        self.device = device
        self.node = node
        self.indices = tuple(index for index, _ in points)
        self.decls = tuple(decl for _, decl in points)
        self.address = addresses[0]
        self.variant: Variant = addresses[0].wire(self.decls[0].type)
        self.array = addresses[0].index is not None
        self.writable = any(decl.writable for decl in self.decls)
        self.rate_s = min(decl.rate_s for decl in self.decls)
        self.values: list[Value] = [decl.zero for decl in self.decls]
        self.raw: Any = None
        self.stamped = True
        self._picks = [address.index or 0 for address in addresses]
        kinds = {decl.type for decl in self.decls}
        plain = len(kinds) == 1 and all(address.bit is None for address in addresses)
        self._exact = _EXACT.get(self.decls[0].type) if plain else None

    @property
    def shared(self) -> bool:
        """True when writing one point of the node needs what the others hold."""
        return self.array or self.address.bit is not None

    def decode(self, raw: Any) -> list[Value | None]:
        """The values of the points; None where there is none of the right type."""
        if not self.array:
            return [self._one(place, raw) for place in range(len(self.decls))]
        if not isinstance(raw, list):
            return [None] * len(self.decls)
        size = len(raw)
        if self._exact is not None and self._picks[-1] < size:
            picked = [raw[pick] for pick in self._picks] if len(self._picks) != size else raw
            if set(map(type, picked)) == {self._exact} and (self._exact is not float or _finite(picked)):
                return list(picked)
        return [
            self._one(place, raw[pick]) if pick < size else None for place, pick in enumerate(self._picks)
        ]

    def _one(self, place: int, raw: Any) -> Value | None:
        decl = self.decls[place]
        try:
            return from_variant(_opcua(decl), decl.type, raw)
        except ValueError:
            return None


def _finite(values: Sequence[float]) -> bool:
    total = sum(values)
    return total - total == 0.0


def _opcua(decl: PointDecl) -> OpcUaAddress:
    if not isinstance(decl.address, OpcUaAddress):
        raise TypeError(f"{decl.name} has no OPC UA address")
    return decl.address


def nodes_of(devices: Sequence[DevicePoints]) -> list[NodePoints]:
    """All nodes of a link, in the order in which their first points stand in the profiles."""
    nodes: list[NodePoints] = []
    for device in devices:
        rows: dict[str, list[tuple[int, PointDecl]]] = {}
        for index, decl in device.points:
            if decl.address is not None:
                rows.setdefault(_opcua(decl).node, []).append((index, decl))
        for node, points in rows.items():
            points.sort(key=lambda row: _opcua(row[1]).index or 0)
            nodes.append(NodePoints(device.device.name, node, points))
    return nodes


class ReadPlan:
    """Nodes read together, and their results as Answers: one, when all are good and of one instant."""

    def __init__(self, nodes: Sequence[NodePoints]) -> None:
        self.nodes = tuple(nodes)
        self.indices = tuple(index for node in nodes for index in node.indices)
        self.points = len(self.indices)

    def answers(self, results: Sequence[Got], arrival: float) -> list[Answer]:
        """What the results of one read, in the order of ``nodes``, say."""
        values: list[Value] = []
        rows: list[tuple[NodePoints, list[Value | None], Quality, float]] = []
        source = results[0].source if results else 0.0
        uniform = True
        for node, result in zip(self.nodes, results, strict=True):
            here = result.source
            row, quality = read_node(node, result)
            rows.append((node, row, quality, here))
            if quality is not Quality.GOOD or here != source or None in row:
                uniform = False
            elif uniform:
                values.extend(row)  # type: ignore[arg-type]
        if uniform:
            return [Answer(self.indices, values, Quality.GOOD, source, arrival)]
        answers = []
        for node, row, quality, here in rows:
            answers.extend(split(node, row, quality, here, arrival))
        return answers

    def bad(self, arrival: float) -> Answer:
        """Every point of the plan as bad, with its last known value."""
        values = [value for node in self.nodes for value in node.values]
        return Answer(self.indices, values, Quality.BAD, 0.0, arrival)


def read_node(node: NodePoints, result: Got) -> tuple[list[Value | None], Quality]:
    """Values and quality of one result; keeps what writes and bad readings need later."""
    quality = _QUALITIES[result.status >> 30]
    if quality is Quality.BAD or result.raw is None:
        return list(node.values), Quality.BAD
    raw = result.raw
    row = node.decode(raw)
    if None in row:
        node.values = [old if new is None else new for old, new in zip(node.values, row, strict=True)]
    else:
        node.values = row  # type: ignore[assignment]
    if node.writable and node.shared:
        node.raw = list(raw) if isinstance(raw, list) else raw
    return row, quality


_QUALITIES: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)
"""By the two severity bits of a status code (OPC UA part 4, 7.39)."""


def split(
    node: NodePoints, row: list[Value | None], quality: Quality, source: float, arrival: float
) -> list[Answer]:
    """One node as Answers: what could be decoded, and what could not, as bad."""
    if None not in row:
        return [Answer(node.indices, row, quality, source, arrival)]  # type: ignore[arg-type]
    answers = []
    good = [place for place, value in enumerate(row) if value is not None]
    lost = [place for place, value in enumerate(row) if value is None]
    for places, grade in ((good, quality), (lost, Quality.BAD)):
        if places:
            indices = tuple(node.indices[place] for place in places)
            answers.append(Answer(indices, [node.values[place] for place in places], grade, source, arrival))
    return answers


Group = tuple[NodePoints, Any, float, list[int]]
"""(node, raw value to write, instant, places of the changes that this write carries)."""


def group_writes(
    changes: Sequence[tuple[int, NodePoints, PointDecl, Any, float]], merge: Callable[[NodePoints], Any]
) -> list[Group]:
    """Changes (place, node, point, encoded value, instant) in order, as the fewest node writes.

    Elements of one array changed at one instant travel together; a later instant is a write of its own.
    ``merge`` gives the raw value a shared node holds before the first of them.
    """
    groups: list[Group] = []
    pending: dict[int, Group] = {}
    latest: dict[int, Any] = {}
    current: float | None = None
    for place, node, decl, raw, instant in changes:
        if instant != current or (id(node) in pending and not node.shared):
            groups.extend(pending.values())
            pending = {}
            current = instant
        if node.shared:
            held = latest.get(id(node))
            if held is None:
                held = merge(node)
            raw = _merged(node, _opcua(decl), held, raw)
            latest[id(node)] = raw
        places = pending[id(node)][3] if id(node) in pending else []
        pending[id(node)] = (node, raw, instant, [*places, place])
    groups.extend(pending.values())
    return groups


def _merged(node: NodePoints, address: OpcUaAddress, held: Any, raw: Any) -> Any:
    element = held[address.index] if node.array else held
    element = raw if address.bit is None else (element & ~(1 << address.bit)) | raw
    if not node.array:
        return element
    copy = list(held)
    copy[address.index or 0] = element
    return copy
