"""Pulses shorter than a scan: seen once, counted always."""

import math

import pytest

from vigie_controllers.image import PointTable
from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import Columns
from vigie_edge.pulses import Pulses
from vigie_protocols.addresses import ModbusAddress, MqttAddress
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


def counter(address: ModbusAddress | MqttAddress, high: float = math.inf) -> tuple[Pulses, Columns]:
    decls = [
        PointDecl("a/b", "a", "b", ValueType.BOOL, None),
        PointDecl("a/n", "a", "n", ValueType.UINT, address, high=high),
        PointDecl("a/b.edges", "a", "b.edges", ValueType.UINT, None, counts="a/n"),
    ]
    return Pulses(decls), Columns(PointTable.of((one.name, one.type) for one in decls))


WORD = ModbusAddress(table="input", address=0)


@pytest.mark.parametrize(
    ("address", "high", "reads", "edges"),
    [
        (WORD, math.inf, [7, 9, 9, 20], [7, 9, 9, 20]),  # it starts where the device stands
        (WORD, math.inf, [65530, 65535, 3, 4], [65530, 65535, 65539, 65540]),  # past its end
        (WORD, math.inf, [40000, 2, 3], [40000, 40002, 40003]),  # the device began again
        (WORD, math.inf, [50, 0, 1], [50, 50, 51]),
        (WORD, 99, [98, 1, 5], [98, 101, 105]),  # a counter of two digits
        (ModbusAddress(table="input", address=0, mask=0x0F00), math.inf, [14, 1], [14, 17]),
        (
            ModbusAddress(table="input", address=0, encoding="u32"),
            math.inf,
            [2**32 - 1, 0],
            [2**32 - 1, 2**32],
        ),
        (MqttAddress(topic="t", path="n"), math.inf, [65535, 3, 4], [65535, 65538, 65539]),
    ],
)
def test_a_devices_own_counter_is_followed(
    address: ModbusAddress | MqttAddress, high: float, reads: list[int], edges: list[int]
) -> None:
    pulses, columns = counter(address, high)
    place, follower = FIRST_DEVICE_POINT + 1, FIRST_DEVICE_POINT + 2
    assert pulses.follows(place) and not pulses.follows(FIRST_DEVICE_POINT)
    assert pulses.watched == {place} and pulses.counters() == [(place, follower)]
    seen = []
    for value in reads:
        assert pulses.counted(place, value, columns) == follower
        columns.values[place] = value
        seen.append(columns.values[follower])
    assert seen == edges


def test_without_a_latch_a_fall_shows_at_once() -> None:
    pulses, columns = button(latch=False)
    pulses.changed(BUTTON, True, 5, columns)
    assert pulses.changed(BUTTON, False, 5, columns) == (False, None)
