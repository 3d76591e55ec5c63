"""Which indexes have arrived: one contiguous mark and a few ranges beyond it.

Pure. The coordinator keeps one per (gateway, epoch) for de-duplication and acknowledges with it; the
uplink keeps one of what was acknowledged and trims the journal by it. Indexes count from ``first`` and
must be dense: every index is sent once some day, or declared lost with ``add_range``.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from vigie_protocols.errors import FrameError, TransientError

MAX_RANGES = 4096
MAX_INDEX = 2**64 - 1


class RangesFull(TransientError):
    """One more gap does not fit: drop what came unacknowledged, it will come again."""


class IndexSet:
    """A set of indexes >= ``first`` as sorted, disjoint, non-touching inclusive ranges.

    Bounded: ``limit`` ranges beyond the contiguous mark (16 bytes each in use, some more in Python).
    Adding in order costs one comparison; out of order costs a bisection.
    """

    __slots__ = ("_ends", "_starts", "first", "limit", "through")

    def __init__(self, first: int = 0, limit: int = MAX_RANGES) -> None:
        if first < 0 or limit < 1:
            raise ValueError("first must be >= 0 and limit >= 1")
        self.first = first
        self.limit = limit
        self.through = first - 1
        """The highest index up to which all have arrived; ``first - 1`` when none has."""
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, index: int) -> bool:
        """Take ``index`` in; True when it is new. Raises RangesFull when it needs a range too many."""
        if index == self.through + 1:
            self.through = index
            if self._starts and self._starts[0] == index + 1:
                self.through = self._ends[0]
                del self._starts[0], self._ends[0]
            return True
        if index in self:
            return False
        self.add_range(index, index)
        return True

    def add_range(self, low: int, high: int) -> None:
        """Take in all of ``low``..``high``, both included. Raises RangesFull as ``add`` does."""
        if not 0 <= low <= high <= MAX_INDEX:
            raise ValueError(f"not a range of indexes: {low}..{high}")
        low = max(low, self.first)
        if high <= self.through:
            return
        # The ranges that overlap or touch low..high are those with end >= low - 1 and start <= high + 1.
        left = bisect_right(self._ends, low - 2)
        right = bisect_right(self._starts, high + 1)
        if low > self.through + 1:
            if left == right and len(self._starts) >= self.limit:
                raise RangesFull(f"more than {self.limit} gaps in what has arrived")
            if left < right:
                low = min(low, self._starts[left])
                high = max(high, self._ends[right - 1])
            self._starts[left:right] = [low]
            self._ends[left:right] = [high]
            return
        if right:
            high = max(high, self._ends[right - 1])
        del self._starts[:right], self._ends[:right]
        self.through = high

    def __contains__(self, index: int) -> bool:
        if index <= self.through:
            return index >= self.first
        place = bisect_right(self._starts, index) - 1
        return place >= 0 and index <= self._ends[place]

    def merge(self, through: int, ranges: Iterable[Sequence[int]]) -> None:
        """Take in another's mark and ranges, such as an acknowledgement's."""
        if through >= self.first:
            self.add_range(self.first, through)
        for low, high in ranges:
            self.add_range(low, high)

    def ranges(self, at_most: int | None = None) -> list[tuple[int, int]]:
        """The inclusive ranges beyond ``through``, lowest first; only the first ``at_most``."""
        return list(zip(self._starts[:at_most], self._ends[:at_most], strict=True))

    def missing(self, up_to: int, at_most: int = MAX_RANGES) -> list[tuple[int, int]]:
        """The inclusive ranges up to ``up_to`` that have not arrived, lowest first."""
        gaps: list[tuple[int, int]] = []
        low = self.through + 1
        for start, end in zip(self._starts, self._ends, strict=True):
            if low > up_to or len(gaps) == at_most:
                return gaps
            gaps.append((low, min(start - 1, up_to)))
            low = end + 1
        if low <= up_to and len(gaps) < at_most:
            gaps.append((low, up_to))
        return gaps

    @property
    def highest(self) -> int:
        """The highest index that has arrived; ``first - 1`` when none has."""
        return self._ends[-1] if self._ends else self.through

    def __len__(self) -> int:
        """How many indexes have arrived."""
        beyond = sum(end - start + 1 for start, end in zip(self._starts, self._ends, strict=True))
        return self.through - self.first + 1 + beyond

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IndexSet):
            return NotImplemented
        return (self.first, self.through, self._starts, self._ends) == (
            other.first,
            other.through,
            other._starts,
            other._ends,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"IndexSet(first={self.first}, through={self.through}, ranges={self.ranges(4)})"

    def to_json(self) -> dict[str, object]:
        """A plain JSON value that ``from_json`` reads back."""
        return {"first": self.first, "through": self.through, "ranges": [list(r) for r in self.ranges()]}

    @classmethod
    def from_json(cls, data: object, limit: int = MAX_RANGES) -> "IndexSet":
        """The set that ``to_json`` wrote; raises FrameError when ``data`` is not one."""
        try:
            if not isinstance(data, dict):
                raise TypeError("not an object")
            made = cls(data["first"], limit)
            made.merge(data["through"], data["ranges"])
        except (KeyError, TypeError, ValueError, RangesFull) as why:
            raise FrameError(f"not a set of indexes: {why}") from why
        return made
