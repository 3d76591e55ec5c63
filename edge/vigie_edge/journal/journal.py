"""A journal: segments in a directory, group commit, a hard byte quota, repair at start-up without a human.

A record's key is (gateway, epoch, index). The epoch is random; it changes whenever the tail cannot be
proved intact, so that an index is never given twice. Nothing here blocks on a reader: segments that were
acknowledged go first when room is needed, and unacknowledged ones only when nothing else is left, counted
loudly and declared as a gap record.
"""

import contextlib
import errno
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from vigie_edge.journal.salvage import Examined, examine
from vigie_edge.journal.segment import MAGIC, Kind, Record, encode, packed, scan_records
from vigie_edge.statefiles import write_atomic
from vigie_protocols.ranges import IndexSet

SEGMENT_BYTES = 4 << 20
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)


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
    commits: int = 0
    dropped_unacknowledged: int = 0
    quarantined: int = 0
    tails_cut: int = 0
    write_failures: int = 0


@dataclass
class Journal:
    """An open journal, owned by one process (the recorder).

    directory: its own folder; quota: bytes of all segments together; preamble: written first into each
    segment; born: UTC seconds used for a fresh epoch (only its order matters); boot: the kernel's id of this
    boot, named in ``preamble``. After another boot a fresh epoch begins: readers may have told the world of
    records that were written but never became durable, and their indexes must not come again.
    """

    directory: Path
    quota: int
    preamble: bytes
    born: int
    segment_bytes: int = SEGMENT_BYTES
    boot: str = ""
    expendable: bool = False
    """True for a log nobody waits for (replay): its oldest go without being declared as a gap."""
    segments: list[Segment] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    epoch: int = 0
    next_index: int = 1
    mark: bytes = b""
    """Payload of the last MARK on disk: what the owner had consumed when it committed."""

    gaps: list[dict[str, int]] = field(default_factory=list)
    """What was lost and still has to be declared: epoch, first, last (0: to its end)."""

    refusal: str = ""
    """Why the disk took nothing at the last try; empty when it did."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._fd = -1
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._first_buffered = 1
        self._acks: dict[int, IndexSet] = {}
        self._dirty = False
        self._written_in = self.preamble
        intact = self._open_all()
        if intact and self.segments and self.boot.encode() in self._written_in:
            newest = self.segments[-1]
            self.epoch, self.next_index = newest.epoch, newest.last + 1
            self._go_on(newest)
        else:
            previous = max((segment.epoch for segment in self.segments), default=0)
            self.epoch = max(self.born << 20 | secrets.randbits(20), previous + 1)

    # -- start-up ------------------------------------------------------------------------------------

    def _open_all(self) -> bool:
        """Read every segment; True when the newest ends exactly where a group was committed."""
        intact = True
        rows = [(epoch, first, path) for epoch, first, path in list_segments(self.directory)]
        for place, (epoch, first, path) in enumerate(rows):
            after = rows[place + 1] if place + 1 < len(rows) else None
            following = after[1] if after is not None and after[0] == epoch else 0
            intact = self._open_one(path, epoch, first, after is not None, following)
        return intact

    def _go_on(self, newest: Segment) -> None:
        """Write where a predecessor stopped: what a segment begins with (a snapshot) serves what follows, too."""
        if self._written_in == self.preamble and newest.size < self.segment_bytes:
            with contextlib.suppress(OSError):
                self._fd = os.open(newest.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def mend(self, epoch: int, first: int) -> None:
        """A reader met a bad place in this segment, which is closed: keep what is whole, declare the rest."""
        for segment in self.segments[:-1]:
            if (segment.epoch, segment.first) != (epoch, first):
                continue
            with contextlib.suppress(OSError):
                data = segment.path.read_bytes()
                found = examine(data, first, closed=True, following=segment.last + 1)
                if found.damaged and found.kept:
                    self._put_right(segment.path, data, found, epoch)
                    segment.size = len(found.kept)

    def _open_one(self, path: Path, epoch: int, first: int, closed: bool, following: int) -> bool:
        """Check one segment; cut it after its last good group, keeping a copy if it was damaged."""
        try:
            data = path.read_bytes()
        except OSError:
            # Not even readable: out of the way, and told.
            self.counters.quarantined += 1
            self.gaps.append({"epoch": epoch, "first": first, "last": max(0, following - 1)})
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".corrupt"))
            return False
        found = examine(data, first, closed=closed, following=following, unbroken=self.expendable)
        if found.mark is not None:
            self.mark = found.mark
        self._written_in = found.preamble
        whole = found.kept == data
        if not whole:
            self._put_right(path, data, found, epoch)
        if found.kept:
            self.segments.append(Segment(path, epoch, first, found.last, len(found.kept)))
        return whole

    def _put_right(self, path: Path, data: bytes, found: Examined, epoch: int) -> None:
        """Leave in the file what was committed and is whole; what is gone will be declared."""
        if found.damaged:
            self._quarantine(path, data)
            self.gaps += [{"epoch": epoch, "first": low, "last": high} for low, high in found.missing]
        else:
            self.counters.tails_cut += 1
        if not found.kept:
            path.unlink()
        elif data.startswith(found.kept):
            os.truncate(path, len(found.kept))
        else:
            with contextlib.suppress(OSError):  # a full disk: readers step over the bad place all the same
                write_atomic(path, found.kept)

    def _quarantine(self, path: Path, data: bytes) -> None:
        """Damage, not a write cut short: keep a copy for people, the newest three of them."""
        self.counters.quarantined += 1
        with contextlib.suppress(OSError):  # a full disk must not keep the recorder from starting
            path.with_suffix(".corrupt").write_bytes(data)
        for old in sorted(self.directory.glob("*.corrupt"))[:-3]:
            old.unlink()

    # -- writing -------------------------------------------------------------------------------------

    def append(self, kind: Kind, payload: bytes) -> int:
        """Put a record into the next group; it counts only after ``commit``. Returns its index."""
        if not self._buffer:
            self._first_buffered = self.next_index
        index = self.next_index
        self.next_index += 1
        raw = packed(kind, index, payload)
        self._buffer.append(raw)
        self._buffered += len(raw)
        self.counters.records += 1
        return index

    def commit(self, mark: bytes, rotate: bool = False) -> bool:
        """Write the group, closed by ``mark``, and make it durable.

        False when the disk refused: the group is kept and written with the next. ``rotate`` starts a new
        segment with the next group.
        """
        if not self.write(mark):
            return False
        if rotate:
            self.begin()
        return self.sync()

    def write(self, mark: bytes) -> bool:
        """Write the group, closed by ``mark``: readers see it, no crash of ours loses it, a power cut still may.

        False when the disk refused: the group is kept and written with the next.
        """
        if self._buffer:
            try:
                self._make_room(self._buffered)
                for gap in self.gaps:
                    self.append(Kind.GAP, json.dumps(gap).encode())
                self.gaps.clear()
                self._write(b"".join(self._buffer) + encode(Record(Kind.MARK, self.next_index - 1, mark)))
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                self._refused(error)
                self._undo_write()
                return False
            self.segments[-1].last = self.next_index - 1
            self.mark = mark
            self._buffer.clear()
            self._buffered = 0
            self.counters.commits += 1
        if self._fd >= 0 and self.segments[-1].size >= self.segment_bytes:
            self.begin()
        return True

    def sync(self) -> bool:
        """Make durable what is written; False, and counted, when the disk could not."""
        if not self._dirty:
            return True
        self._dirty = False
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            self._refused(error)
            return False
        self.refusal = ""
        return True

    def _refused(self, error: OSError) -> None:
        self.counters.write_failures += 1
        self.refusal = error.strerror or str(error)

    def _write(self, data: bytes) -> None:
        if self._fd < 0:
            data = self._begin_segment() + data
        written = 0
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self._dirty = True
        self.segments[-1].size += len(data)

    def _begin_segment(self) -> bytes:
        first = self._first_buffered
        path = self.directory / segment_name(self.epoch, first)
        # An empty one of this name may be left by a writer that was killed between this line and the next write.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self.segments.append(Segment(path, self.epoch, first, first - 1, 0))
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
        return MAGIC + encode(Record(Kind.PREAMBLE, 0, self.preamble))

    def _undo_write(self) -> None:
        """After a failed write: cut what may be half written, so that the group can be written again."""
        if self._fd < 0:
            return
        segment = self.segments[-1]
        if segment.size:
            os.ftruncate(self._fd, segment.size)
        else:
            os.close(self._fd)
            self._fd = -1
            self._dirty = False
            segment.path.unlink(missing_ok=True)
            self.segments.pop()

    def begin(self) -> None:
        """Start a new segment with the next group."""
        if self._fd >= 0:
            self.sync()
            os.close(self._fd)
            self._fd = -1

    @property
    def pending(self) -> int:
        """Bytes waiting for the disk."""
        return self._buffered

    @property
    def open_bytes(self) -> int:
        """Bytes in the segment that is being written; 0 when the next group begins one."""
        return self.segments[-1].size if self._fd >= 0 else 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self.segments)

    # -- quota and acknowledgement -------------------------------------------------------------------

    def _make_room(self, coming: int) -> None:
        """Keep within the quota: acknowledged segments go first, oldest first, then the oldest of all."""
        total = sum(segment.size for segment in self.segments) + coming
        while total > self.quota and len(self.segments) > 1:
            victim = next((one for one in self.segments[:-1] if self._acknowledged(one)), None)
            if victim is None:
                victim = self.segments[0]
                lost = self._unacknowledged(victim)
                if lost and not self.expendable:
                    self.counters.dropped_unacknowledged += lost
                    self.gaps.append({"epoch": victim.epoch, "first": victim.first, "last": victim.last})
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
        """Let go of the file; commit first."""
        self.begin()


def read_committed(path: Path) -> tuple[int, list[Record]]:
    """Committed records of a segment, without PREAMBLE and MARK, and the byte after the last MARK.

    For readers of a journal that another process writes; ``Follower`` reads on from where it was.
    """
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        return 0, []
    return committed_in(data, len(MAGIC))


def committed_in(data: bytes, start: int) -> tuple[int, list[Record]]:
    """The byte after the last MARK of ``data`` from byte ``start`` on (0: there is none), and what it closes."""
    taken: list[Record] = []
    waiting: list[Record] = []
    committed = 0
    for end, record in scan_records(data, start):
        if record.kind is Kind.MARK:
            taken += waiting
            waiting = []
            committed = end
        elif record.kind is not Kind.PREAMBLE:
            waiting.append(record)
    return committed, taken


def list_segments(directory: Path) -> list[tuple[int, int, Path]]:
    """(epoch, first index, path) of every segment, oldest first."""
    found = [(key, path) for path in directory.glob("*.seg") if (key := parse_name(path)) is not None]
    return sorted((epoch, first, path) for (epoch, first), path in found)
