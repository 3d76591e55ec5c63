"""Following a journal that another process writes: committed records only, in order, from any place."""

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vigie_edge.journal.journal import committed_in, list_segments, parse_name, read_committed
from vigie_edge.journal.salvage import examine, good_records
from vigie_edge.journal.segment import MAGIC, Kind, Record

_SURE_S = 0.1
"""A folder whose time of change is at least so old when it was listed has no file made since unseen: file
systems stamp in steps of some milliseconds."""


@dataclass
class Follower:
    """A cursor over a journal directory. Deleted segments are stepped over: they were acknowledged or given up.

    damaged: (epoch, first index) of closed segments with a bad place, met since their owner was last told; what
    is whole behind it is handed out all the same.
    """

    directory: Path
    epoch: int = 0
    index: int = 0
    """The last record handed out: everything up to here in this order is done with."""
    damaged: list[tuple[int, int]] = field(default_factory=list)
    _path: Path | None = None
    _fd: int = -1
    _offset: int = 0
    _listed: int = -1
    """When the folder had changed last when it held no further segment (ns); -1: look again."""
    _ready: deque[Record] = field(default_factory=deque)

    def rewind(self, epoch: int = 0, index: int = 0) -> None:
        """Go on after record ``index`` of ``epoch``; by default from the oldest there is."""
        self.epoch, self.index = epoch, index
        self._open(None)
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

    def _open(self, path: Path | None) -> None:
        """Follow this segment from its beginning, or none."""
        if self._fd >= 0:
            os.close(self._fd)
        self._path, self._fd, self._offset, self._listed = path, -1, 0, -1
        if path is not None:
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._path = None

    def _read(self) -> None:
        """What was committed in this segment since we looked last."""
        size = os.fstat(self._fd).st_size - self._offset
        if size <= 0:
            return
        data = os.pread(self._fd, size, self._offset)
        start = 0
        if self._offset == 0:
            if data[: len(MAGIC)] != MAGIC:
                return
            start = len(MAGIC)
        end, found = committed_in(data, start)
        self._offset += end
        self._ready.extend(found)

    def _more(self) -> bool:
        """Read on in this segment, or go to the next; False when there is nothing new."""
        while True:
            if self._read_on():
                return True
            following = self._next_segment()
            if following is None:
                return False
            # The next one was there: this one is closed, and may have grown since it was read.
            if self._read_on() or self._step_over_damage():
                return True
            epoch, path = following
            self._open(path)
            if epoch != self.epoch:
                self.epoch, self.index = epoch, 0

    def _read_on(self) -> bool:
        if self._fd >= 0:
            self._read()
        return bool(self._ready)

    def _step_over_damage(self) -> bool:
        """A closed segment with something left in it has a bad place: what is whole behind it counts."""
        key = None if self._path is None else parse_name(self._path)
        if self._fd < 0 or key is None:
            return False
        size = os.fstat(self._fd).st_size
        if size <= self._offset:
            return False
        self._offset = size
        found = examine(os.pread(self._fd, size, 0), key[1], closed=True)
        if found.damaged:
            self.damaged.append(key)
            kept = (record for _, _, record in good_records(found.kept))
            self._ready.extend(one for one in kept if one.kind not in (Kind.MARK, Kind.PREAMBLE))
        return bool(self._ready)

    def _next_segment(self) -> tuple[int, Path] | None:
        """The segment after the one we are in: by its name, so that one just begun is found at once."""
        if self._path is not None:
            changed = os.stat(self.directory).st_mtime_ns
            if changed == self._listed:
                return None
            sure = time.time_ns() - changed > _SURE_S * 1e9
            segments = list_segments(self.directory)
            later = [(epoch, path) for epoch, _, path in segments if path.name > self._path.name]
            if later:
                return later[0]
            self._listed = changed if sure else -1
            return None
        # The segment that holds the first record after (epoch, index): the last that begins at or before it.
        best: tuple[int, Path] | None = None
        for epoch, first, path in list_segments(self.directory):
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
