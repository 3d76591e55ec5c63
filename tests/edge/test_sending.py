"""What the uplink sends: everything arrives whatever the link loses, live data first, nothing read twice."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_edge.journal.journal import Journal
from vigie_edge.journal.segment import Kind
from vigie_edge.sending import RESEND_S, WINDOW, Sender
from vigie_protocols.ranges import IndexSet


def make_journal(directory: Path) -> Journal:
    return Journal(directory, 1 << 20, b"", 1000, 3000)


def write(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.append(Kind.SAMPLES, b"x" * 40)
    journal.commit(b"")


def test_old_data_end_where_live_data_began(tmp_path: Path) -> None:
    journal = make_journal(tmp_path)
    write(journal, 10)
    sender = Sender(tmp_path, 0.5, {})
    sender.begin()
    write(journal, 5)
    sent = [(record.index, old) for _, record, old in sender.batch(0.0, 100)]
    assert sorted(sent) == [(n, True) for n in range(1, 11)] + [(n, False) for n in range(11, 16)]
    assert list(sender.batch(0.1, 100)) == []
    write(journal, 3)
    assert [(record.index, old) for _, record, old in sender.batch(0.2, 100)] == [
        (16, False),
        (17, False),
        (18, False),
    ]


def test_live_data_have_their_share_before_a_long_backfill(tmp_path: Path) -> None:
    journal = make_journal(tmp_path)
    write(journal, 500)
    sender = Sender(tmp_path, 0.8, {})
    sender.begin()
    write(journal, 100)
    turn = [(record.index, old) for _, record, old in sender.batch(0.0, 50)]
    assert sum(not old for _, old in turn) == 40
    assert sum(old for _, old in turn) == 10


def test_what_was_acknowledged_is_not_sent_again_after_a_restart(tmp_path: Path) -> None:
    journal = make_journal(tmp_path)
    write(journal, 20)
    known = IndexSet(first=1)
    known.merge(7, [(10, 12)])
    sender = Sender(tmp_path, 0.8, {journal.epoch: known})
    sender.begin()
    assert [record.index for _, record, _ in sender.batch(0.0, 100)] == [8, 9, *range(13, 21)]


def test_the_window_bounds_what_is_unacknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 8 << 20, b"", 1000)
    write(journal, WINDOW + 100)
    sender = Sender(tmp_path, 0.8, {})
    sender.begin()
    sent = 0
    while turn := len(list(sender.batch(0.0, 300))):
        sent += turn
    assert sent == sender.waiting == WINDOW
    assert sender.acknowledge(journal.epoch, 100, ())
    assert len(list(sender.batch(0.1, 300))) == 100


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.6))
def test_everything_arrives_over_a_link_that_loses(
    tmp_path_factory: pytest.TempPathFactory, seed: int, loss: float
) -> None:
    rng = random.Random(seed)
    directory = tmp_path_factory.mktemp("telemetry")
    journal = make_journal(directory)
    arrived = IndexSet(first=1)
    sender = Sender(directory, 0.8, {})
    now = 0.0
    sender.begin()
    for turn in range(400):
        if turn < 40:
            write(journal, rng.randrange(0, 6) + 1)
        if rng.random() < 0.03:
            sender.begin()  # a new connection
        for epoch, record, _ in sender.batch(now, 20):
            assert epoch == journal.epoch
            if rng.random() >= loss:
                arrived.add(record.index)
        if rng.random() >= loss:
            sender.acknowledge(journal.epoch, arrived.through, tuple(arrived.ranges()))
        now += RESEND_S / 5
    assert arrived.through == journal.next_index - 1
    assert sender.waiting == 0
