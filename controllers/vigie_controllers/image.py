"""The process image: all readings of a gateway, frozen for one scan (the PLC term)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigie_protocols.points import SYSTEM_POINTS, ZERO, Reading, Value, ValueType, absent


@dataclass(frozen=True, slots=True)
class Image:
    """One frozen frame.

    frame: counts up by one with each new frame, so that two equal numbers mean the same content.
    tick: the lock-step tick it belongs to, 0 in wall-clock time.
    now, utc: monotonic and UTC seconds at which the frame was closed.
    readings: one per point of the table, in its order.
    """

    frame: int
    tick: int
    now: float
    utc: float
    readings: Sequence[Reading[Value]]


@dataclass(frozen=True)
class PointTable:
    """The fixed order of a gateway's points: names, types and where each stands in an image."""

    names: tuple[str, ...]
    types: tuple[ValueType, ...]
    index: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a point is declared twice")
        object.__setattr__(self, "index", {name: place for place, name in enumerate(self.names)})

    @classmethod
    def of(cls, points: Iterable[tuple[str, ValueType]]) -> "PointTable":
        """A table of the agent's own points followed by ``points``."""
        rows = [*SYSTEM_POINTS.items(), *points]
        return cls(tuple(name for name, _ in rows), tuple(kind for _, kind in rows))

    def empty(self) -> Image:
        """The image before anything was read: every reading bad."""
        return Image(0, 0, 0.0, 0.0, tuple(absent(ZERO[kind]) for kind in self.types))
