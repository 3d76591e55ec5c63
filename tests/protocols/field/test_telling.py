"""What devices are told: changes alone, as often as each bears it, the newest value in the end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.points import ValueType
from vigie_protocols.profile import PointDecl
from vigie_protocols.telling import Telling


def output(name: str, limit: float | None = None) -> PointDecl:
    return PointDecl(f"d/{name}", "d", name, ValueType.FLOAT, None, writable=True, max_writes_per_s=limit)


def test_only_changes_are_told_and_what_failed_again() -> None:
    telling = Telling([output("a"), output("b")])
    assert list(telling.changed([1.0, 2.0], 0.0)) == [(0, 1.0), (1, 2.0)]
    assert list(telling.changed([1.0, 3.0], 0.1)) == [(1, 3.0)]
    telling.forget(0)
    assert list(telling.changed([1.0, 3.0], 0.2)) == [(0, 1.0)]


def test_what_a_device_does_not_bear_yet_waits_and_safe_values_do_not() -> None:
    telling = Telling([output("a", 0.5)])
    assert list(telling.changed([1.0], 10.0)) == [(0, 1.0)]
    assert list(telling.changed([2.0], 11.0)) == []
    assert list(telling.changed([3.0], 11.9)) == []
    assert list(telling.changed([3.0], 12.0)) == [(0, 3.0)], "the newest, as soon as it is borne"
    assert list(telling.changed([0.0], None)) == [(0, 0.0)], "a safe value waits for nothing"
    telling.forget(0)
    assert list(telling.changed([0.0], 12.1)) == [], "a device that refuses is not asked more often either"


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), max_size=60), st.sampled_from([0.5, 2.0, 5.0]))
def test_never_more_often_than_borne_and_always_the_newest_in_the_end(
    steps: list[tuple[float, int]], limit: float
) -> None:
    telling, now, told = Telling([output("a", limit)]), 0.0, []
    value = 0
    for gap, value in steps:
        now += gap
        told += [(now, one) for _, one in telling.changed([value], now)]
    told += [(now + 1 / limit, one) for _, one in telling.changed([value], now + 1 / limit)]
    assert all(b - a >= 1 / limit - 1e-9 for (a, _), (b, _) in itertools.pairwise(told))
    assert told[-1][1] == value
