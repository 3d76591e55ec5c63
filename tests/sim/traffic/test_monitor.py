"""The conflict monitor as tables of lamp changes: what must trip, what must not, and that a latch holds."""

import random
from pathlib import Path

import pytest

from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.monitor import CardChannel, Monitor, ProgramCard

R, Y, G, D, FR, FY, W, FG = (
    Lamp.RED, Lamp.YELLOW, Lamp.GREEN, Lamp.DARK, Lamp.FLASH_RED, Lamp.FLASH_YELLOW, Lamp.GREEN, Lamp.FLASH_GREEN,
)  # fmt: skip

CARD = ProgramCard(
    (
        CardChannel("main", clear_s=2.0),
        CardChannel("side", clear_s=2.0),
        CardChannel("left", clear_s=2.0),
        CardChannel("feet", pedestrian=True, ped_clear_s=9.0),
    ),
    frozenset({(0, 1), (1, 2), (1, 3)}),
)
"""main and left go together; side conflicts with all of them; feet walk beside main."""

Row = tuple[float, tuple[Lamp, ...]]


def judge(rows: list[Row], until: float) -> Monitor:
    monitor = Monitor(CARD)
    for instant, lamps in rows:
        monitor.show(instant, lamps)
    monitor.advance(until)
    return monitor


START: list[Row] = [(0.0, (FR, FR, FR, D)), (5.0, (R, R, R, R))]
LAWFUL: list[Row] = [
    *START,
    (11.0, (G, R, G, W)),
    (18.0, (G, R, G, FG)),
    (27.0, (G, R, G, R)),
    (28.0, (Y, R, Y, R)),
    (31.0, (R, R, R, R)),
    (33.0, (R, G, R, R)),
    (40.0, (R, Y, R, R)),
    (43.0, (R, R, R, R)),
    (45.0, (G, R, R, R)),
]


def test_a_lawful_sequence_never_trips() -> None:
    monitor = judge(LAWFUL, 3600.0)
    assert monitor.fault is None
    assert monitor.output((G, R, R, R)) == (G, R, R, R)


@pytest.mark.parametrize(
    ("rows", "until", "kind"),
    [
        # Green on green, and every other pair of moving indications.
        ([*START, (11.0, (G, G, R, R))], 12.0, "conflict"),
        ([*START, (11.0, (G, R, R, R)), (20.0, (Y, G, R, R))], 21.0, "conflict"),
        ([*START, (11.0, (R, G, R, W))], 12.0, "conflict"),
        ([*START, (11.0, (R, R, G, R)), (13.0, (R, G, G, R))], 13.3, "conflict"),
        # Yellow too short, or left out.
        ([*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (22.6, (R, R, R, R))], 22.6, "short-yellow"),
        ([*START, (11.0, (G, R, R, R)), (20.0, (R, R, R, R))], 20.0, "short-yellow"),
        # Green again without any red.
        ([*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (23.0, (G, R, R, R))], 23.0, "no-red"),
        # The next green before the red clearance is over.
        ([*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (23.0, (R, G, R, R))], 23.0, "red-clearance"),
        (
            [*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (23.0, (R, R, R, R)), (24.8, (R, G, R, R))],
            24.8,
            "red-clearance",
        ),
        # Pedestrians still in the road.
        ([*START, (11.0, (R, R, R, W)), (18.0, (R, R, R, FG)), (22.0, (R, G, R, R))], 22.0, "ped-clearance"),
        ([*START, (11.0, (R, R, R, W)), (18.0, (R, G, R, R))], 18.0, "ped-clearance"),
        # A dark head.
        ([*START, (11.0, (G, D, R, R))], 11.8, "red-fail"),
        ([*START, (11.0, (G, R, R, D))], 11.8, "red-fail"),
    ],
)
def test_what_must_trip(rows: list[Row], until: float, kind: str) -> None:
    monitor = judge(rows, until)
    assert monitor.fault is not None
    assert monitor.fault.kind == kind
    assert monitor.fault.reason
    assert monitor.output((R, R, R, R)) == (FR, FR, FR, D)
    assert monitor.trips == [monitor.fault]
    assert monitor.cause > 0


@pytest.mark.parametrize(
    ("rows", "until"),
    [
        ([*START, (11.0, (G, G, R, R)), (11.2, (G, R, R, R))], 11.2),  # a flicker, though see below
        ([*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (22.7, (R, R, R, R))], 60.0),
        ([*START, (11.0, (G, R, R, R)), (12.0, (FR, FR, FR, D))], 60.0),  # transfer to flash
        ([*START, (11.0, (G, D, R, R)), (11.7, (G, R, R, R))], 60.0),
        (
            [*START, (11.0, (G, R, R, R)), (20.0, (Y, R, R, R)), (23.0, (R, R, R, R)), (24.9, (R, G, R, R))],
            60.0,
        ),
        (
            [*START, (11.0, (G, R, G, W)), (20.0, (G, R, Y, W)), (23.0, (G, R, R, W)), (24.0, (G, R, G, W))],
            60.0,
        ),
    ],
)
def test_what_must_not_trip(rows: list[Row], until: float) -> None:
    if rows[2][1] == (G, G, R, R):
        # Only the conflict timer is meant here: side has no yellow, so show it as a walk that ends.
        rows = [*START, (11.0, (R, G, R, W)), (11.2, (R, G, R, FG)), (11.2, (R, G, R, R))]
    monitor = judge(rows, until)
    assert monitor.fault is None, monitor.fault


def test_the_conflict_timer_pauses_and_is_cleared_after_a_clean_time() -> None:
    walk, off = (R, G, R, W), (R, G, R, R)
    often = [*START, (11.0, walk), (11.2, off), (11.5, walk), (11.59, off), (11.8, walk)]
    assert judge(often, 11.8).fault is None
    monitor = judge(often, 11.9)
    assert monitor.fault is not None
    assert monitor.fault.at == pytest.approx(11.81)
    clean = [*START, (11.0, walk), (11.2, off), (11.9, walk), (12.1, off)]
    assert judge(clean, 60.0).fault is None


def test_a_conflict_latches_at_its_own_instant_however_late_one_looks() -> None:
    monitor = judge([*START, (11.0, (G, G, R, R))], 500.0)
    assert monitor.fault is not None
    assert monitor.fault.at == pytest.approx(11.3)


def test_a_stuck_lamp_is_a_dual_indication() -> None:
    monitor = Monitor(CARD)
    for instant, lamps in START:
        monitor.show(instant, lamps)
    monitor.show(11.0, (G, R, R, R), stuck=(0, 2, 0, 0))
    monitor.advance(11.29)
    assert monitor.fault is None
    monitor.advance(11.3)
    assert monitor.fault is not None
    # main is green while side also drives its yellow: conflict and dual indication fall due together.
    assert monitor.fault.kind in ("conflict", "dual-indication")


def test_a_latch_holds_until_somebody_resets_it_also_across_a_power_cycle(tmp_path: Path) -> None:
    store = tmp_path / "fault.json"
    monitor = Monitor(CARD, store)
    for instant, lamps in (*START, (11.0, (G, G, R, R))):
        monitor.show(instant, lamps)
    monitor.advance(12.0)
    assert monitor.fault is not None
    for instant, lamps in ((20.0, (R, R, R, R)), (30.0, (G, R, R, R)), (40.0, (FR, FR, FR, D))):
        monitor.show(instant, lamps)
        assert monitor.output(lamps) == CARD.flash
    again = Monitor(CARD, store)
    assert again.fault == monitor.fault
    assert again.output((R, R, R, R)) == CARD.flash
    again.reset(50.0)
    assert again.fault is None
    assert not store.exists()
    assert Monitor(CARD, store).fault is None


def test_after_a_reset_red_is_no_fault() -> None:
    monitor = judge([*START, (11.0, (G, G, R, R))], 12.0)
    assert monitor.fault is not None
    monitor.reset(20.0)
    for instant, lamps in ((20.0, (R, R, R, R)), (26.0, (G, R, R, R))):
        monitor.show(instant, lamps)
    monitor.advance(60.0)
    assert monitor.fault is None
    assert len(monitor.trips) == 1


def test_a_random_writer_always_trips() -> None:
    for seed in range(50):
        source = random.Random(seed)
        monitor = Monitor(CARD)
        for step in range(200):
            monitor.show(step * 0.5, (*(source.choice((R, Y, G)) for _ in range(3)), R))
        monitor.advance(200.0)
        assert monitor.fault is not None
