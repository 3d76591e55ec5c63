"""Following a journal that another process writes: committed records only, in order, from any place."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Record


@dataclass
class Follower:
    """A cursor over a journal directory. Deleted segments are stepped over: they were acknowledged or given up."""

    directory: Path
    epoch: int = 0
    index: int = 0
    """The last record handed out: everything up to here in this order is done with."""
    _path: Path | None = None
    _offset: int = 0
    _ready: deque[Record] = field(default_factory=deque)

    def rewind(self, epoch: int = 0, index: int = 0) -> None:
        """Go on after record ``index`` of ``epoch``; by default from the oldest there is."""
        self.epoch, self.index = epoch, index
        self._path = None
        self._ready = deque()

    def take(self, limit: int) -> Iterator[tuple[int, Record]]:
        """Up to ``limit`` further records as (epoch, record)."""
        taken = 0
        while taken < limit:
            if not self._ready and not self._more():
                return
            record = self._ready.popleft()
            if record.index <= self.index:
                continue
            self.index = record.index
            taken += 1
            yield self.epoch, record

    def _more(self) -> bool:
        """Read on in this segment, or go to the next; False when there is nothing new."""
        while True:
            if self._path is not None:
                try:
                    self._offset, found = read_committed(self._path, self._offset)
                    self._ready.extend(found)
                except FileNotFoundError:
                    self._path = None
                if self._ready:
                    return True
            following = self._next_segment()
            if following is None:
                return False
            epoch, self._path = following
            self._offset = 0
            if epoch != self.epoch:
                self.epoch, self.index = epoch, 0

    def _next_segment(self) -> tuple[int, Path] | None:
        """The segment after the one we are in: by its name, so that one just begun is found at once."""
        segments = list_segments(self.directory)
        if self._path is not None:
            later = [(epoch, path) for epoch, _, path in segments if path.name > self._path.name]
            return later[0] if later else None
        # The segment that holds the first record after (epoch, index): the last that begins at or before it.
        best: tuple[int, Path] | None = None
        for epoch, first, path in segments:
            if epoch < self.epoch:
                continue
            if epoch == self.epoch and first <= self.index + 1:
                best = (epoch, path)
            elif best is None:
                return epoch, path
        return best


def newest(directory: Path) -> tuple[int, int]:
    """(epoch, last committed index) of a journal; (0, 0) when it is empty."""
    for epoch, first, path in reversed(list_segments(directory)):
        try:
            _, records = read_committed(path)
        except FileNotFoundError:
            continue
        return epoch, records[-1].index if records else first - 1
    return 0, 0
