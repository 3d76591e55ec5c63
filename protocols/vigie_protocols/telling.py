"""What devices still have to be told: outputs that changed, as often as each device bears it."""

from collections.abc import Iterator, Sequence

from vigie_protocols.points import NEVER, Value
from vigie_protocols.profile import PointDecl


class Telling:
    """What the devices were last told of each output, one place per output."""

    def __init__(self, outputs: Sequence[PointDecl]) -> None:
        self._told: list[Value | None] = [None] * len(outputs)
        self._spacing = [
            0.0 if one.max_writes_per_s is None else 1.0 / one.max_writes_per_s for one in outputs
        ]
        self._next = [NEVER] * len(outputs)

    def changed(self, values: Sequence[Value], now: float | None) -> Iterator[tuple[int, Value]]:
        """(place, value) of what has to be told at monotonic ``now``, taken as told from here on.

        What a device does not bear yet is left out: the next frame brings its then newest value again.
        now: None for safe values, which wait for nothing.
        """
        for place, value in enumerate(values):
            if self._told[place] == value:
                continue
            if now is not None and self._spacing[place]:
                if now < self._next[place]:
                    continue
                self._next[place] = now + self._spacing[place]
            self._told[place] = value
            yield place, value

    def forget(self, place: int) -> None:
        """Unknown now what the device was told: tell it again."""
        self._told[place] = None
