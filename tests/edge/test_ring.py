"""The ring: what is pushed is read once and in order, whatever its two sides do meanwhile, and if one is killed."""

import itertools
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_edge.memory import ring as ring_module
from vigie_edge.memory.mapped import Heap, Room, map_shared, words
from vigie_edge.memory.ring import Ring


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.binary(max_size=120), st.none(), st.just("reopen")), max_size=120),
    st.integers(16, 64),
    st.sampled_from([0, 64, 1 << 20]),
)
def test_a_ring_gives_back_what_was_pushed_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[object], size: int, afresh: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "_AFRESH", afresh)
        check_order(tmp_path_factory.mktemp("ring") / "ring", steps, size)


def check_order(path: Path, steps: list[object], size: int) -> None:
    ring = Ring(path, size * 8)
    expected: deque[bytes] = deque()
    lost = 0
    for step in steps:
        if isinstance(step, bytes):
            if ring.push(step):
                expected.append(step)
            else:
                lost += 1
        elif step is None:
            taken = ring.drain(3)
            assert taken == [expected.popleft() for _ in taken]
        else:
            ring = Ring(path, size * 8)
    assert [payload for _, payload in ring.peek()] == list(expected)
    assert ring.lost == lost


def test_a_ring_that_began_again_has_all_its_room_and_waits_for_nobody(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 1 << 20)
    record = b"x" * 1016
    for _ in range(1 + ring_module._AFRESH // 1024):
        assert ring.push(record)
        assert ring.drain() == [record]
    told = ring.backlog
    assert ring.push_wait(record, 0.0)
    assert (told, ring.backlog) == (0, 1024)  # what was skipped is no backlog
    held = 1
    while ring.push(record):
        held += 1
    assert held == 1024
    assert ring.drain(limit=10_000) == [record] * 1024


def test_a_ring_that_is_read_in_time_stays_in_its_first_pages(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 4 << 20)
    for number in range(4000):
        assert ring.push(b"%d" % number * 100)
        if number % 50 == 49:
            assert len(ring.drain(50)) == 50
    raw = (tmp_path / "ring").read_bytes()
    assert not any(raw[512 << 10 :]) and any(raw[: 256 << 10])


def test_a_killed_reader_finds_its_place_again(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 4096)
    for number in range(10):
        ring.push(str(number).encode())
    stored = [position for position, _ in ring.peek()][:4]
    ring.free(stored[1])  # freed two, stored four: the killed reader must not store the same again
    reader = Ring(tmp_path / "ring", 4096)
    assert reader.birth == ring.birth
    assert [payload for _, payload in reader.peek(after=stored[3])] == [str(n).encode() for n in range(4, 10)]


def test_a_record_still_being_written_is_not_seen(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 4096)
    ring.push(b"whole")
    ring.push(b"damaged")
    raw = bytearray((tmp_path / "ring").read_bytes())
    at = raw.index(b"damaged")
    raw[at] ^= 1
    (tmp_path / "ring").write_bytes(raw)
    assert [payload for _, payload in Ring(tmp_path / "ring", 4096).peek()] == [b"whole"]


def test_a_writer_killed_at_any_instant_leaves_whole_records(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", 1 << 16)

    def write() -> None:
        mine = Ring(tmp_path / "ring", 1 << 16)
        for number in itertools.count():
            mine.push(number.to_bytes(4, "little") * 20)

    for _ in range(5):
        seen = 0
        with beside(write):
            while seen < 500:
                for payload in ring.drain(100):
                    assert payload == payload[:4] * 20
                    seen += 1
        assert all(payload == payload[:4] * 20 for payload in ring.drain(100_000))


# -- every interleaving of the two sides -----------------------------------------------------------------


class Killed(Exception):
    """What happens to a process within an operation."""


class Turns:
    """Two threads of which one goes on at a time, from one access of shared memory to the next.

    switches: accesses, counted from the start, before which the other side takes over. kills: accesses before
    which the side is killed.
    """

    def __init__(self, switches: Collection[int], kills: Collection[int] = ()) -> None:
        self._switches, self._kills = switches, kills
        self._mine = (threading.Semaphore(1), threading.Semaphore(0))
        self._ended = [False, False]
        self._side = threading.local()
        self.accesses = 0

    def access(self) -> None:
        """Called before each access."""
        me: int | None = getattr(self._side, "number", None)
        if me is None:
            return
        number = self.accesses
        self.accesses += 1
        if number in self._switches and not self._ended[not me]:
            self._mine[not me].release()
            self._mine[me].acquire()
        if number in self._kills:
            raise Killed

    def run(self, write: Callable[[], None], read: Callable[[], None]) -> None:
        """Both sides to their ends; the first begins."""

        def one(number: int, side: Callable[[], None]) -> None:
            self._side.number = number
            self._mine[number].acquire()
            try:
                side()
            finally:
                self._ended[number] = True
                self._mine[not number].release()

        with ThreadPoolExecutor(2) as pool:
            for side in [pool.submit(one, 0, write), pool.submit(one, 1, read)]:
                side.result()


class Watched(Ring):
    """A ring that tells each load and store of what is shared."""

    def __init__(self, place: Room, capacity: int, turns: Turns) -> None:
        super().__init__(place, capacity)
        self._turns = turns
        self._words = _Words(self._words, turns)  # type: ignore[assignment]

    def _put(self, place: int, raw: bytes) -> None:
        for start in range(0, len(raw), 8):  # a copy is no single store
            self._turns.access()
            super()._put(place + start, raw[start : start + 8])

    def _copy(self, place: int, size: int) -> bytes:
        self._turns.access()
        return super()._copy(place, size)


class _Words:
    def __init__(self, inner: memoryview, turns: Turns) -> None:
        self._inner, self._turns = inner, turns

    def __getitem__(self, place: int) -> int:
        self._turns.access()
        return self._inner[place]

    def __setitem__(self, place: int, value: int) -> None:
        self._turns.access()
        assert value >= self._inner[place]
        self._inner[place] = value


def check_turns(turns: Turns, capacity: int, sizes: list[int], reads: int) -> None:
    """Push records of ``sizes`` while the other side reads and frees ``reads`` times; count every record."""
    room = Heap() / "ring"
    largest = max(sizes, default=0) + 15 & ~7
    sent: list[bytes] = []
    doubtful: set[bytes] = set()
    seen: list[bytes] = []
    held = [0]

    def write() -> None:
        ring = Watched(room, capacity, turns)
        for number, size in enumerate(sizes):
            record, before = bytes([number]) * size, held[0]
            held[0] += size + 15 & ~7
            sent.append(record)
            try:
                if not ring.push(record):
                    assert before + 3 * largest > capacity  # refused for want of room, and for nothing else
                    held[0] -= size + 15 & ~7
                    sent.pop()
            except Killed:
                doubtful.add(record)
                ring = Watched(room, capacity, turns)

    def read() -> None:
        ring = Watched(room, capacity, turns)
        stored = 0
        for _ in range(reads):
            taken = 0
            with suppress(Killed):
                for position, payload in ring.peek(after=stored):
                    seen.append(payload)
                    stored, taken = position, taken + (len(payload) + 15 & ~7)
                ring.free(stored)
                held[0] -= taken
                continue
            ring = Watched(room, capacity, turns)

    turns.run(write, read)
    rest = Ring(room, capacity)
    left = [payload for _, payload in rest.peek()]
    # What was read and not freed stands there still.
    again = max(count for count in range(len(seen) + 1) if seen[len(seen) - count :] == left[:count])
    told = seen + left[again:]
    assert [one for one in told if one not in doubtful] == [one for one in sent if one not in doubtful]
    assert set(told) <= set(sent)
    assert len(told) == len(set(told))


SIZES = [8, 24, 9, 8, 24, 17, 24, 8]


@pytest.mark.parametrize("afresh", [16, 40, 1 << 20])
def test_no_interleaving_of_two_sides_loses_or_doubles_a_record(
    monkeypatch: pytest.MonkeyPatch, afresh: int
) -> None:
    monkeypatch.setattr(ring_module, "_AFRESH", afresh)
    straight = Turns(())
    check_turns(straight, 128, SIZES, 4)
    for switches in itertools.combinations(range(straight.accesses), 2):
        check_turns(Turns(switches), 128, SIZES, 4)


@settings(max_examples=300, deadline=None)
@given(
    st.sets(st.integers(0, 250), max_size=60),
    st.sets(st.integers(0, 250), max_size=3),
    st.sampled_from([16, 40, 1 << 20]),
    st.lists(st.integers(1, 24), max_size=20),
    st.integers(0, 12),
)
def test_nor_does_any_with_kills(
    switches: set[int], kills: set[int], afresh: int, sizes: list[int], reads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "_AFRESH", afresh)
        check_turns(Turns(switches, kills), 128, sizes, reads)


# -- two processes ---------------------------------------------------------------------------------------


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """A process that does ``work`` meanwhile, and is killed in the end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_shared_number_is_never_seen_half_written(tmp_path: Path) -> None:
    numbers = words(map_shared(tmp_path / "words", 64), "Q", 8)
    numbers[0] = first = 1 << 40

    def count() -> None:
        for number in itertools.count(first):
            numbers[0] = number

    with beside(count):
        seen = [numbers[0] for _ in range(300_000)]
    assert seen == sorted(seen) and seen[0] >= first


def test_a_ring_between_two_processes_refuses_nothing_while_it_has_room(tmp_path: Path) -> None:
    count, record = 60_000, b"x" * 56
    ring = Ring(tmp_path / "ring", 1 << 16)

    def write() -> None:
        mine = Ring(tmp_path / "ring", 1 << 16)
        for number in range(count):
            mine.push_wait(number.to_bytes(4, "little") + record, 60.0)

    seen = 0
    with beside(write):
        while seen < count:
            for payload in ring.drain(1000):
                assert payload == seen.to_bytes(4, "little") + record
                seen += 1
            assert not ring.lost
    assert (ring.lost, ring.backlog) == (0, 0)
