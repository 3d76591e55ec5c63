"""Faults that must lose nothing, one after the other on one gateway, every sample counted end to end.

What is counted: samples that the recorder has put into the journal against those in the coordinator's store;
readings that field has handed over against those in the replay journal; scans by their numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.faults import Count, Replayed, Stand, small_disk, stand
from tests.edge.wallclock import until

SEED = 20
KILLS = 20
"""Of each process of the agent."""
HOUR, YEAR = 3600.0, 365.25 * 86400.0
PROCESSES = ("field", "control", "recorder", "supervisor", "uplink")


@dataclass
class Run:
    """What was counted after each fault, in the order in which they were done."""

    counts: dict[str, Count]
    stand: Stand
    kills: list[list[str]]
    replayed: Replayed


@pytest.fixture(scope="module")
def run(shelf: Path) -> Iterator[Run]:
    """All faults on one stand; after each, everything that was published is counted."""
    kills: list[list[str]] = []
    counts: dict[str, Count] = {}
    with small_disk(shelf / "disk", "16m") as disk, stand(shelf, SEED, disk) as made:
        made.live()
        faults: dict[str, Callable[[], object]] = {
            "clean broker stop": made.broker_stopped,
            "black hole": made.black_hole,
            "broker kill": made.broker_killed,
            "coordinator kill": made.coordinator_killed,
            "device reconnect storm": lambda: made.devices_come_and_go(8),
            "clock jumps": lambda: [made.clock_jumps(by) for by in (HOUR, -HOUR, 10 * YEAR, -10 * YEAR)],
            "kills": lambda: kills.extend(made.all_killed() for _ in range(KILLS)),
        }
        if disk is not None:
            faults["full disk"] = lambda: made.disk_full(disk)

        def done(name: str, fault: Callable[[], object]) -> None:
            fault()
            made.live()
            counts[name] = made.count()
            print(f"seed {SEED}, {name}: {counts[name]}")

        for name, fault in faults.items():
            done(name, fault)
        replayed = made.in_replay_journal()
        done("flipped bits", made.bits_flipped)
        yield Run(counts, made, kills, replayed)


def test_nothing_is_lost_and_nothing_comes_twice(run: Run) -> None:
    for name, count in run.counts.items():
        assert (count.lost, count.duplicates, count.missing) == (0, 0, 0), f"{name}: {count}"
    board = run.stand.board()
    for name in ("field.readings_lost", "control.scans_lost", "recorder.dropped"):
        assert board[name] == 0, name


def test_every_reading_and_every_scan_stands_in_the_replay_journal_once(run: Run) -> None:
    replayed = run.replayed
    assert replayed.readings >= replayed.handed_over, "of a killed field one record may stand there uncounted"
    assert max(replayed.records.values()) == max(replayed.scans.values()) == 1
    last = max(replayed.scans)
    cut_short = set(range(1, last + 1)) - set(replayed.scans)
    assert len(cut_short) <= KILLS, "a scan that was killed before it could write anything"


def test_every_process_was_killed_often(run: Run) -> None:
    assert [sum(order.count(name) for order in run.kills) for name in PROCESSES] == [KILLS] * 5


def test_the_damage_was_told(run: Run) -> None:
    assert run.stand.board()["recorder.quarantined"] >= 2, "one segment of each journal at least"


def test_the_page_shows_what_is_there_after_all_that(run: Run) -> None:
    """No stamp of a clock that was ten years ahead stands in the way of what is true now."""
    run.stand.site.level = 1.25

    def shown() -> bool:
        rows = run.stand.central.call("GET", "points?gateway=gw-pompage&limit=1000")["points"]
        values = {row["point"]: row["value"] for row in rows}
        return abs(values["pump-station/level"] - 1.25) < 0.01

    until(shown, why="for the level at the coordinator")
    until(lambda: not standing(run.stand), why="for the alarms to go")


def standing(stand: Stand) -> list[str]:
    return [row["key"] for row in stand.central.call("GET", "alarms")["alarms"]]
