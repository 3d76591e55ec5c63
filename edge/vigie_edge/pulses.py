"""Short pulses of boolean points: held until a scan has seen them, and their rising edges counted."""

import math
from collections.abc import Sequence

from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import Columns
from vigie_protocols.addresses import MqttAddress, OpcUaAddress
from vigie_protocols.points import ValueType
from vigie_protocols.profile import PointDecl


class Pulses:
    """Latches and edge counters of a gateway. Places are those of the image."""

    def __init__(self, points: Sequence[PointDecl]) -> None:
        places = {decl.name: index + FIRST_DEVICE_POINT for index, decl in enumerate(points)}
        self._latching = {places[decl.name] for decl in points if decl.latch}
        self._counters = {
            places[decl.counts]: index + FIRST_DEVICE_POINT
            for index, decl in enumerate(points)
            if decl.counts is not None
        }
        declared = {index + FIRST_DEVICE_POINT: decl for index, decl in enumerate(points)}
        self._spans = {
            place: span(declared[place])
            for place in self._counters
            if declared[place].type is not ValueType.BOOL
        }
        self._known: set[int] = set()
        self.watched = frozenset(self._latching | set(self._counters))
        """Places of points that latch or count."""
        self._unseen: dict[int, int] = {}
        self._fallen: set[int] = set()

    def changed(self, place: int, value: bool, scans: int, columns: Columns) -> tuple[bool, int | None]:
        """A watched point reads ``value``, another than before; ``scans``: scans run so far.

        Gives the value to show, and the place of the counter that went up, if any.
        """
        if not value:
            if self._unseen.get(place, -1) >= scans:
                self._fallen.add(place)  # no scan has seen the pulse yet: it stands for one more
                return True, None
            self._unseen.pop(place, None)
            return False, None
        self._fallen.discard(place)
        if place in self._latching:
            self._unseen[place] = scans
        counter = self._counters.get(place)
        if counter is not None:
            columns.values[counter] = int(columns.values[counter]) + 1
        return True, counter

    def follows(self, place: int) -> bool:
        """True for a device's own counter."""
        return place in self._spans

    def counted(self, place: int, value: int, columns: Columns) -> int:
        """A device's own counter reads ``value``, another than before or for the first time; place of its follower.

        What was counted while nothing could be read counts too. A counter that goes back is taken
        to have passed its end where that makes less than a quarter of its span, else to have begun again.
        """
        counter = self._counters[place]
        if place not in self._known:
            self._known.add(place)
            columns.values[counter] = value
            return counter
        width = self._spans[place]
        more = value - int(columns.values[place])
        if more < 0:
            wrapped = more + width
            more = wrapped if 0 < wrapped < width // 4 else value
        columns.values[counter] = int(columns.values[counter]) + more
        return counter

    def seen(self, scans: int) -> list[int]:
        """Places whose pulse is over and has been seen by a scan: show False there now."""
        over = [place for place in self._fallen if self._unseen.get(place, -1) < scans]
        for place in over:
            self._fallen.discard(place)
            self._unseen.pop(place, None)
        return over

    def counters(self) -> list[tuple[int, int]]:
        """(place of the point, place of its counter): a counter is as good as what it counts."""
        return list(self._counters.items())


_BITS = {"Byte": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64, "u16": 16, "u32": 32, "u64": 64}


def span(decl: PointDecl) -> int:
    """After how many counts a device's counter begins again at zero; 0 where nobody can know."""
    address = decl.address
    if not math.isinf(decl.high):
        return int(decl.high) + 1
    if address is None or isinstance(address, MqttAddress):
        return 0
    if isinstance(address, OpcUaAddress):
        bits = _BITS.get(address.wire(decl.type))
        return 0 if bits is None else 1 << bits
    if address.mask is not None:
        return (address.mask // (address.mask & -address.mask)) + 1
    return 1 << _BITS[address.encoding] if address.encoding in _BITS and address.scale == 1 else 0
