"""Pulses shorter than a scan: seen once, counted always."""

import pytest

from vigie_controllers.image import PointTable
from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import Columns
from vigie_edge.pulses import Pulses
from vigie_protocols.points import ValueType
from vigie_protocols.profile import PointDecl

BUTTON, COUNT = FIRST_DEVICE_POINT, FIRST_DEVICE_POINT + 1


def button(latch: bool = True) -> tuple[Pulses, Columns]:
    decls = [
        PointDecl("a/b", "a", "b", ValueType.BOOL, None, latch=latch),
        PointDecl("a/b.edges", "a", "b.edges", ValueType.UINT, None, counts="a/b"),
    ]
    return Pulses(decls), Columns(PointTable.of((one.name, one.type) for one in decls))


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        # (value read, scans run so far) -> value shown; then what seen() ends at the scan count after it
        ([(True, 5), (False, 5)], [True, True]),  # over before a scan: it stands
        ([(True, 5), (False, 6)], [True, False]),  # a scan saw it
        ([(True, 5), (False, 5), (True, 5), (False, 5)], [True, True, True, True]),
        ([(True, 5), (True, 7), (False, 7)], [True, True, True]),  # a new pulse after a scan stands again
    ],
)
def test_a_pulse_stands_until_a_scan_has_seen_it(events: list[tuple[bool, int]], shown: list[bool]) -> None:
    pulses, columns = button()
    assert [pulses.changed(BUTTON, value, scans, columns)[0] for value, scans in events] == shown


def test_a_held_pulse_ends_after_the_scan() -> None:
    pulses, columns = button()
    pulses.changed(BUTTON, True, 5, columns)
    pulses.changed(BUTTON, False, 5, columns)
    assert pulses.seen(5) == []
    assert pulses.seen(6) == [BUTTON]
    assert pulses.seen(7) == []


def test_every_rising_edge_is_counted_latched_or_not() -> None:
    for latch in (True, False):
        pulses, columns = button(latch)
        for number in range(1, 4):
            assert pulses.changed(BUTTON, True, 5, columns) == (True, COUNT)
            assert columns.values[COUNT] == number
            pulses.changed(BUTTON, False, 5, columns)
    assert pulses.counters() == [(BUTTON, COUNT)]


def test_without_a_latch_a_fall_shows_at_once() -> None:
    pulses, columns = button(latch=False)
    pulses.changed(BUTTON, True, 5, columns)
    assert pulses.changed(BUTTON, False, 5, columns) == (False, None)
