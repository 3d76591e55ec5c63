"""Which journal records to send next: live data first, old data with what is left, again what got lost.

Pure but for the files the followers read. Sparkplug data are QoS 0: a record counts as delivered only when
the coordinator acknowledges its index. What stays unacknowledged for too long is sent again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vigie_edge.journal.follower import Follower, newest
from vigie_edge.journal.segment import Record
from vigie_protocols.ranges import IndexSet

WINDOW = 2000
"""Records sent and not yet acknowledged, at most."""
RESEND_S = 10.0


@dataclass
class Sender:
    """The sending side of one gateway's telemetry.

    live_share: part of each turn's records that live data may take before old data get theirs.
    acknowledged: sets of delivered indexes by epoch.
    """

    directory: Path
    live_share: float
    acknowledged: dict[int, IndexSet]
    resent: int = 0
    _live: Follower = field(init=False)
    _old: Follower = field(init=False)
    _old_until: tuple[int, int] = (0, 0)
    _old_done: bool = False
    _sent: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._live = Follower(self.directory)
        self._old = Follower(self.directory)

    def begin(self) -> None:
        """A new connection: live data from here on; all that is unacknowledged before is old data."""
        self._old_until = newest(self.directory)
        self._old_done = False
        self._live.rewind(*self._old_until)
        self._old.rewind()
        self.resent += len(self._sent)
        self._sent.clear()

    def batch(self, now: float, limit: int) -> Iterator[tuple[int, Record, bool]]:
        """Records to send now, as (epoch, record, is old); at most ``limit`` and what the window lets through."""
        self._give_up_waiting(now)
        room = min(limit, WINDOW - len(self._sent))
        if room <= 0:
            return
        for_live = max(1, int(room * self.live_share))
        count = 0
        for epoch, record in self._live.take(for_live):
            count += 1
            yield from self._send(now, epoch, record, old=False)
        if self._old_done:
            return
        for epoch, record in self._old.take(room - count):
            if (epoch, record.index) > self._old_until:
                self._old_done = True  # from here on the live follower has sent it
                return
            yield from self._send(now, epoch, record, old=True)

    def _send(self, now: float, epoch: int, record: Record, old: bool) -> Iterator[tuple[int, Record, bool]]:
        known = self.acknowledged.get(epoch)
        if known is None or record.index not in known:
            self._sent[(epoch, record.index)] = now
            yield epoch, record, old

    def _give_up_waiting(self, now: float) -> None:
        """The oldest sent record has waited too long: everything unacknowledged becomes old data once more."""
        oldest = next(iter(self._sent.values()), now)
        if now - oldest > RESEND_S:
            self.begin()

    def acknowledge(self, epoch: int, through: int, ranges: tuple[tuple[int, int], ...]) -> bool:
        """Take an acknowledgement in; True when it told something new."""
        known = self.acknowledged.setdefault(epoch, IndexSet(first=1))
        before = len(known)
        known.merge(through, ranges)
        if len(known) == before:
            return False
        self._sent = {key: at for key, at in self._sent.items() if key[0] != epoch or key[1] not in known}
        return True

    def forget_epochs(self) -> None:
        """Drop sets of epochs of which nothing is left on disk."""
        present = {int(path.stem.partition("-")[0]) for path in self.directory.glob("*.seg")}
        for epoch in [one for one in self.acknowledged if one not in present]:
            del self.acknowledged[epoch]

    def take_damaged(self) -> tuple[int, int] | None:
        """(epoch, first index) of a segment with a bad place, each told once; None when there is none."""
        for follower in (self._old, self._live):
            if follower.damaged:
                return follower.damaged.pop()
        return None

    @property
    def waiting(self) -> int:
        """Records sent and not yet acknowledged."""
        return len(self._sent)
