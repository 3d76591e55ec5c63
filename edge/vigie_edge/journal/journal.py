"""A journal: segments in a directory, group commit, a hard byte quota, repair at start-up without a human.

A record's key is (gateway, epoch, index). The epoch is random; it changes whenever the tail cannot be
proved intact, so that an index is never given twice. Nothing here blocks on a reader: segments that were
acknowledged go first when room is needed, and unacknowledged ones only when nothing else is left, counted
loudly and declared as a gap record.
"""

import errno
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vigie_edge.journal.segment import MAGIC, OVERHEAD, Kind, Record, encode, scan_records
from vigie_protocols.ranges import IndexSet

SEGMENT_BYTES = 4 << 20


@dataclass
class Segment:
    """What is known of one segment file. last: index of its last record, first - 1 when it has none."""

    path: Path
    epoch: int
    first: int
    last: int
    size: int


def segment_name(epoch: int, first: int) -> str:
    """File names sort by age: epochs carry the time they began in their upper bits."""
    return f"{epoch:020d}-{first:012d}.seg"


def parse_name(path: Path) -> tuple[int, int] | None:
    """(epoch, first index) of a segment's file name, None when it is not one."""
    epoch, dash, first = path.stem.partition("-")
    if path.suffix != ".seg" or not dash or not epoch.isdigit() or not first.isdigit():
        return None
    return int(epoch), int(first)


@dataclass
class Counters:
    """Loud numbers: anything but zero in the last four is worth a look."""

    records: int = 0
    samples: int = 0
    commits: int = 0
    dropped_unacknowledged: int = 0
    quarantined: int = 0
    tails_cut: int = 0
    write_failures: int = 0


@dataclass
class Journal:
    """An open journal, owned by one process (the recorder).

    directory: its own folder; quota: bytes of all segments together; preamble: written first into each
    segment; new_epoch: seconds since 1970 used for a fresh epoch (only its order matters).
    """

    directory: Path
    quota: int
    preamble: bytes
    new_epoch: int
    segments: list[Segment] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    epoch: int = 0
    next_index: int = 1
    last_mark: int = 0

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._fd = -1
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._acks: dict[int, IndexSet] = {}
        self._open_all()

    # -- start-up ------------------------------------------------------------------------------------

    def _open_all(self) -> None:
        for path in sorted(self.directory.glob("*.seg")):
            key = parse_name(path)
            if key is None:
                continue
            self._open_one(path, *key)
        intact = bool(self.segments) and self._tail_intact
        if intact:
            newest = self.segments[-1]
            self.epoch, self.next_index = newest.epoch, newest.last + 1
        else:
            previous = max((segment.epoch for segment in self.segments), default=0)
            self.epoch = max(self.new_epoch << 20 | secrets.randbits(20), previous + 1)
            self.next_index = 1

    _tail_intact: bool = True

    def _open_one(self, path: Path, epoch: int, first: int) -> None:
        """Check one segment: cut a torn tail, set a corrupt one aside and note the gap."""
        data = path.read_bytes()
        end, last, mark = len(MAGIC), first - 1, 0
        if data[: len(MAGIC)] == MAGIC:
            for end, record in scan_records(data):
                if record.kind is not Kind.PREAMBLE:
                    last = record.index
                    mark = record.mark or mark
        else:
            end = 0
        self._tail_intact = True
        if end < len(data):
            if self._whole_record_after(data, end):
                self._quarantine(path)
                self._tail_intact = False
            else:
                self.counters.tails_cut += 1
                os.truncate(path, end)
                # A torn tail was never acknowledged to anybody, but a reader may have seen it.
                self._tail_intact = False
        if end <= len(MAGIC):
            path.unlink(missing_ok=True)
            return
        self.last_mark = mark or self.last_mark
        self.segments.append(Segment(path, epoch, first, last, end))

    @staticmethod
    def _whole_record_after(data: bytes, end: int) -> bool:
        """True when good records follow the bad place: then it is damage, not a write cut short."""
        return any(
            next(scan_records(data, start), None) is not None
            for start in range(end + 1, min(len(data), end + 65536))
        )

    def _quarantine(self, path: Path) -> None:
        """Keep a copy of the damaged file for people; its good beginning stays in use."""
        self.counters.quarantined += 1
        copy = path.with_suffix(".corrupt")
        copy.write_bytes(path.read_bytes())
        data = path.read_bytes()
        end = len(MAGIC)
        for end, _ in scan_records(data):
            pass
        os.truncate(path, end)
        for old in sorted(self.directory.glob("*.corrupt"))[:-3]:
            old.unlink()

    # -- writing -------------------------------------------------------------------------------------

    def append(self, kind: Kind, payload: bytes, mark: int = 0) -> int:
        """Put a record into the next group; it counts only after ``commit``. Returns its index."""
        index = self.next_index
        self.next_index += 1
        raw = encode(Record(kind, index, mark, payload))
        self._buffer.append(raw)
        self._buffered += len(raw)
        self.counters.records += 1
        return index

    def commit(self, rotate: bool = False) -> bool:
        """Write the group and make it durable. False when the disk refused: the group is kept for later.

        ``rotate`` starts a new segment after the group.
        """
        if self._buffer:
            try:
                self._make_room(self._buffered)
                self._write(b"".join(self._buffer))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG):
                    raise
                self.counters.write_failures += 1
                self._close_torn()
                return False
            self.segments[-1].last = self.next_index - 1
            self._buffer.clear()
            self._buffered = 0
            self.counters.commits += 1
        if self._fd >= 0 and (rotate or self.segments[-1].size >= SEGMENT_BYTES):
            os.close(self._fd)
            self._fd = -1
        return True

    def _write(self, data: bytes) -> None:
        if self._fd < 0:
            self._begin_segment()
        segment = self.segments[-1]
        written = 0
        while written < len(data):
            written += os.write(self._fd, data[written:])
        os.fdatasync(self._fd)
        segment.size += len(data)

    def _begin_segment(self) -> None:
        first = self.next_index - len(self._buffer)
        path = self.directory / segment_name(self.epoch, first)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        head = MAGIC + encode(Record(Kind.PREAMBLE, 0, 0, self.preamble))
        self.segments.append(Segment(path, self.epoch, first, first - 1, 0))
        os.write(self._fd, head)
        self.segments[-1].size = len(head)
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def _close_torn(self) -> None:
        """After a failed write: cut what may have been half written, so that the group can be written again."""
        if self._fd < 0:
            return
        segment = self.segments[-1]
        os.close(self._fd)
        self._fd = -1
        if segment.last < segment.first:
            segment.path.unlink(missing_ok=True)
            self.segments.pop()
        else:
            os.truncate(segment.path, segment.size)

    @property
    def pending(self) -> int:
        """Bytes waiting for the disk."""
        return self._buffered

    def drop_pending(self) -> int:
        """Give up the waiting group (disk full for too long, memory bound reached); returns records dropped.

        Their indexes are never used again; the caller declares the gap.
        """
        dropped = len(self._buffer)
        self.counters.dropped_unacknowledged += dropped
        self._buffer.clear()
        self._buffered = 0
        return dropped

    # -- quota and acknowledgement -------------------------------------------------------------------

    def _make_room(self, coming: int) -> None:
        """Keep within the quota: acknowledged segments go first, oldest first, then the oldest of all."""
        total = sum(segment.size for segment in self.segments) + coming
        while total > self.quota and len(self.segments) > 1:
            victim = next((one for one in self.segments[:-1] if self._acknowledged(one)), None)
            if victim is None:
                victim = self.segments[0]
                lost = self._unacknowledged(victim)
                self.counters.dropped_unacknowledged += lost
                if lost:
                    gap = json.dumps({"epoch": victim.epoch, "first": victim.first, "last": victim.last})
                    self.append(Kind.GAP, gap.encode())
            victim.path.unlink(missing_ok=True)
            self.segments.remove(victim)
            total -= victim.size

    def acknowledge(self, epoch: int, ranges: IndexSet) -> None:
        """The coordinator has these records for good: whole segments of them may go at once."""
        self._acks[epoch] = ranges
        for segment in self.segments[:-1]:
            if self._acknowledged(segment):
                segment.path.unlink(missing_ok=True)
        self.segments = [one for one in self.segments if one is self.segments[-1] or one.path.exists()]

    def _acknowledged(self, segment: Segment) -> bool:
        return self._unacknowledged(segment) == 0

    def _unacknowledged(self, segment: Segment) -> int:
        count = segment.last - segment.first + 1
        known = self._acks.get(segment.epoch)
        if known is None:
            return count
        for low, high in [(known.first, known.through), *known.ranges()]:
            count -= max(0, min(high, segment.last) - max(low, segment.first) + 1)
        return count

    def close(self) -> None:
        """Commit what waits and let go of the file."""
        self.commit()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_segment(path: Path, offset: int = len(MAGIC)) -> tuple[int, Sequence[Record]]:
    """Whole records of a segment from byte ``offset`` on, and the byte where they end (for followers)."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    records: list[Record] = []
    end = 0
    for end, record in scan_records(data, 0):
        records.append(record)
    return offset + end, records


__all__ = ["OVERHEAD", "Counters", "Journal", "Segment", "parse_name", "read_segment", "segment_name"]
