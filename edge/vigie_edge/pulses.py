"""Short pulses of boolean points: held until a scan has seen them, and their rising edges counted."""

from collections.abc import Sequence

from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import Columns
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
