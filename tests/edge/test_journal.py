"""The journal: what was committed is there after anything, nothing twice, and the quota holds."""

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_edge.journal.follower import Follower, newest
from vigie_edge.journal.journal import Journal, list_segments, read_committed, segment_name
from vigie_edge.journal.segment import Kind
from vigie_protocols.ranges import IndexSet


def make(
    directory: Path, quota: int = 1 << 20, segment: int = 4096, born: int = 1000, **more: bool
) -> Journal:
    return Journal(directory, quota, b"preamble", born, segment, **more)


def everything(directory: Path) -> list[tuple[int, int, bytes]]:
    found = []
    for epoch, _, path in list_segments(directory):
        found += [(epoch, record.index, record.payload) for record in read_committed(path)[1]]
    return found


def test_committed_groups_come_back_in_order_over_segments(tmp_path: Path) -> None:
    journal = make(tmp_path)
    for number in range(300):
        journal.append(Kind.SAMPLES, b"%d" % number * 10)
        if number % 7 == 6:
            assert journal.commit(b"mark %d" % number)
    journal.commit(b"last")
    journal.close()
    again = make(tmp_path)
    assert (again.epoch, again.next_index, again.mark) == (journal.epoch, 301, b"last")
    assert [payload for _, _, payload in everything(tmp_path)] == [b"%d" % n * 10 for n in range(300)]
    assert len(list_segments(tmp_path)) > 2


def test_what_was_not_committed_is_not_there_and_its_indexes_are_free(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.append(Kind.SAMPLES, b"kept")
    journal.commit(b"")
    journal.append(Kind.SAMPLES, b"never written")
    journal.close()
    again = make(tmp_path)
    assert again.append(Kind.SAMPLES, b"next") == 2
    again.commit(b"")
    assert [row[1:] for row in everything(tmp_path)] == [(1, b"kept"), (2, b"next")]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_tail_cut_anywhere_leaves_whole_groups_and_a_new_epoch(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = make(directory, segment=1 << 20)
    for group in range(4):
        for number in range(3):
            journal.append(Kind.SAMPLES, b"%d/%d" % (group, number))
        journal.commit(b"%d" % group)
    journal.close()
    (path,) = [path for _, _, path in list_segments(directory)]
    size = path.stat().st_size
    cut = data.draw(st.integers(0, size))
    os.truncate(path, cut)
    again = make(directory)
    kept = [payload for _, _, payload in everything(directory)]
    assert len(kept) % 3 == 0
    assert kept == [b"%d/%d" % (group, number) for group in range(len(kept) // 3) for number in range(3)]
    if cut < size and len(kept) < 12 and kept:
        assert again.epoch != journal.epoch or again.next_index == len(kept) + 1
    again.append(Kind.EVENT, b"after")
    assert again.commit(b"")
    keys = [(epoch, index) for epoch, index, _ in everything(directory)]
    assert len(keys) == len(set(keys)) == len(kept) + 1


def test_flipped_bits_are_set_aside_and_declared(tmp_path: Path) -> None:
    journal = make(tmp_path, segment=1 << 20)
    for group in range(6):
        journal.append(Kind.SAMPLES, b"group %d" % group * 20)
        journal.commit(b"")
    journal.close()
    (path,) = [path for _, _, path in list_segments(tmp_path)]
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"group 3") + 5] ^= 0x10
    path.write_bytes(raw)
    again = make(tmp_path)
    assert again.counters.quarantined == 1
    assert list(tmp_path.glob("*.corrupt"))
    assert again.epoch != journal.epoch
    again.append(Kind.SAMPLES, b"new")
    again.commit(b"")
    kept = everything(tmp_path)
    assert [payload for _, _, payload in kept][:3] == [b"group %d" % n * 20 for n in range(3)]
    gaps = [
        record
        for _, _, path in list_segments(tmp_path)
        for record in read_committed(path)[1]
        if record.kind is Kind.GAP
    ]
    assert f'"epoch": {journal.epoch}, "first": 4'.encode() in gaps[0].payload


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_flipped_bit_costs_its_record_alone_and_what_is_gone_is_declared(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Save in the very last group, whose MARK may be what is gone: that one may go whole."""
    directory = tmp_path_factory.mktemp("journal")
    journal = make(directory, segment=400)
    last_group: list[int] = []
    for group in range(6):
        last_group = [
            journal.append(Kind.SAMPLES, b"%d/%d " % (group, number) * 4)
            for number in range(data.draw(st.integers(1, 4), label="records"))
        ]
        journal.commit(b"%d" % group)
    journal.close()
    before = everything(directory)
    paths = [path for _, _, path in list_segments(directory)]
    hit, newest_path = data.draw(st.sampled_from(paths), label="segment"), paths[-1]
    raw = bytearray(hit.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1), label="byte")] ^= 1 << data.draw(
        st.integers(0, 7), label="bit"
    )
    hit.write_bytes(raw)
    live = [record.index for _, record in Follower(directory).take(1000)]

    again = make(directory)
    again.append(Kind.EVENT, b"after")
    assert again.commit(b"")
    kept = everything(directory)
    of_before = [row for row in kept if row[0] == journal.epoch and row[1] < journal.next_index]
    assert set(of_before) <= set(before), "nothing is made up"
    assert [row[1] for row in of_before] == sorted({row[1] for row in of_before})
    gone = {row[1] for row in before} - {row[1] for row in of_before}
    declared: set[int] = set()
    for record in (one for _, _, path in list_segments(directory) for one in read_committed(path)[1]):
        if record.kind is Kind.GAP:
            gap = json.loads(record.payload)
            assert gap["epoch"] == journal.epoch and gap["last"], gap
            declared |= set(range(gap["first"], gap["last"] + 1))
    assert len(gone) <= 1 or gone <= set(last_group)
    assert gone - set(last_group) <= declared <= gone
    if hit != newest_path:
        assert set(live) >= {row[1] for row in of_before} - set(last_group), (
            "a reader steps over the bad place"
        )


def test_a_bad_place_met_by_a_reader_is_put_right_while_the_journal_is_open(tmp_path: Path) -> None:
    journal = make(tmp_path, segment=1500)
    for number in range(60):
        journal.append(Kind.SAMPLES, b"record %d " % number * 5)
        journal.commit(b"%d" % number)
    epoch, first, path = list_segments(tmp_path)[1]
    raw = bytearray(path.read_bytes())
    place = raw.index(b"record", len(raw) // 2)
    raw[place] ^= 1
    path.write_bytes(raw)
    follower = Follower(tmp_path)
    seen = {record.index for _, record in follower.take(1000)}
    (lost,) = set(range(1, 61)) - seen
    assert follower.damaged == [(epoch, first)]
    journal.mend(epoch, first)
    journal.append(Kind.SAMPLES, b"next")
    assert journal.commit(b"")
    assert journal.counters.quarantined == 1
    records = [one for _, _, each in list_segments(tmp_path) for one in read_committed(each)[1]]
    gaps = [json.loads(one.payload) for one in records if one.kind is Kind.GAP]
    assert gaps == [{"epoch": epoch, "first": lost, "last": lost}]
    assert {one.index for one in records} == (seen | {61, 62})


def test_acknowledged_segments_go_first_and_losses_are_counted_and_declared(tmp_path: Path) -> None:
    journal = make(tmp_path, quota=16_000, segment=2000)
    for _ in range(60):
        journal.append(Kind.SAMPLES, b"x" * 200)
        journal.commit(b"")
    acked = IndexSet(first=1)
    first_kept = journal.segments[0].first
    acked.add_range(first_kept, first_kept + 20)
    dropped = journal.counters.dropped_unacknowledged
    journal.acknowledge(journal.epoch, acked)
    for _ in range(10):
        journal.append(Kind.SAMPLES, b"y" * 200)
        journal.commit(b"")
    assert journal.counters.dropped_unacknowledged == dropped  # acknowledged data made the room
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= 16_000 + 2_000
    for _ in range(60):
        journal.append(Kind.SAMPLES, b"z" * 200)
        journal.commit(b"")
    assert journal.counters.dropped_unacknowledged > dropped
    kinds = [record.kind for _, _, path in list_segments(tmp_path) for record in read_committed(path)[1]]
    assert Kind.GAP in kinds


def test_a_full_disk_keeps_the_group_and_writes_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make(tmp_path)
    journal.append(Kind.SAMPLES, b"before")
    journal.commit(b"1")
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vigie_edge.journal.journal.os.write", full)
    journal.append(Kind.SAMPLES, b"during")
    assert not journal.commit(b"2")
    assert journal.counters.write_failures == 1
    monkeypatch.setattr("vigie_edge.journal.journal.os.write", real)
    journal.append(Kind.SAMPLES, b"after")
    assert journal.commit(b"3")
    journal.close()
    assert [payload for _, _, payload in everything(tmp_path)] == [b"before", b"during", b"after"]
    assert make(tmp_path).epoch == journal.epoch


def test_a_writer_killed_at_any_instant_loses_no_committed_group(tmp_path: Path) -> None:
    for round_number in range(6):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                journal = make(tmp_path, segment=20_000, born=1000 + round_number)
                number = 0
                while True:
                    for _ in range(5):
                        journal.append(Kind.SAMPLES, b"%d" % number * 300)
                        number += 1
                    journal.commit(b"%d" % number)
                    os.write(write_end, b"%d\n" % number)
            finally:
                os._exit(1)
        os.close(write_end)
        told = b""
        while told.count(b"\n") < 20:
            more = os.read(read_end, 4096)
            assert more, "the writer ended by itself"
            told += more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(read_end, 4096):
            told += more
        os.close(read_end)
        committed = int(told.strip().split(b"\n")[-1])
        journal = make(tmp_path, born=1000 + round_number)
        assert int(journal.mark) >= committed
        keys = [(epoch, index) for epoch, index, _ in everything(tmp_path)]
        assert len(keys) == len(set(keys))
        journal.close()


def test_a_segment_that_was_made_and_never_written_is_no_obstacle(tmp_path: Path) -> None:
    journal = make(tmp_path)
    journal.append(Kind.SAMPLES, b"kept")
    journal.commit(b"")
    journal.close()
    (tmp_path / segment_name(journal.epoch, 2)).touch()
    again = make(tmp_path)
    assert again.append(Kind.SAMPLES, b"next") == 2
    assert again.commit(b"")
    assert [row[1:] for row in everything(tmp_path)] == [(1, b"kept"), (2, b"next")]


def test_what_is_written_is_there_for_readers_before_it_is_durable(tmp_path: Path) -> None:
    journal, follower = make(tmp_path), Follower(tmp_path)
    for number in range(1, 4):
        journal.append(Kind.SAMPLES, b"%d" % number)
        assert journal.write(b"mark %d" % number)
        assert [record.index for _, record in follower.take(9)] == [number]
    assert journal.sync() and journal.sync()
    journal.close()
    assert (make(tmp_path).epoch, make(tmp_path).mark) == (journal.epoch, b"mark 3")


def test_another_boot_begins_an_epoch_since_what_was_written_last_may_be_gone_and_told(
    tmp_path: Path,
) -> None:
    def boot(name: str) -> Journal:
        return Journal(tmp_path, 1 << 20, b'{"boot": "%s"}' % name.encode(), 1000, 4096, boot=name)

    first = boot("one")
    first.append(Kind.SAMPLES, b"durable")
    first.commit(b"")
    first.close()
    assert boot("one").epoch == first.epoch
    again = boot("two")
    assert again.epoch > first.epoch and again.append(Kind.SAMPLES, b"later") == 1
    again.commit(b"")
    again.close()
    assert boot("two").epoch == again.epoch
    assert [row[1:] for row in everything(tmp_path)] == [(1, b"durable"), (1, b"later")]


def test_a_follower_sees_committed_records_alone_and_goes_on_after_a_rewind(tmp_path: Path) -> None:
    journal = make(tmp_path, segment=1500)
    follower = Follower(tmp_path)
    seen: list[int] = []
    for number in range(1, 101):
        journal.append(Kind.SAMPLES, b"p" * 100)
        if number % 10 == 0:
            journal.commit(b"")
        seen += [record.index for _, record in follower.take(7)]
        assert not seen or seen[-1] <= number - number % 10
    seen += [record.index for _, record in follower.take(1000)]
    assert seen == list(range(1, 101))
    assert newest(tmp_path) == (journal.epoch, 100)
    follower.rewind(journal.epoch, 42)
    assert [record.index for _, record in follower.take(3)] == [43, 44, 45]
    follower.rewind()
    assert next(follower.take(1))[1].index == 1
