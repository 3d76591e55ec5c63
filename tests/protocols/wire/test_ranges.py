"""The set of arrived indexes against Python's own sets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.errors import FrameError
from vigie_protocols.ranges import IndexSet, RangesFull

INDEXES = st.integers(0, 40)
STEPS = st.lists(st.tuples(INDEXES, st.integers(0, 12)), max_size=40)


def model_of(index_set: IndexSet) -> set[int]:
    return {index for index in range(60) if index in index_set}


def check(index_set: IndexSet, model: set[int]) -> None:
    assert model_of(index_set) == model
    assert len(index_set) == len(model)
    ranges = index_set.ranges()
    last = index_set.through
    for low, high in ranges:
        assert low > last + 1 and high >= low, "apart, in order, not touching"
        last = high
    assert index_set.highest == max(model, default=index_set.first - 1)
    missing = {index for low, high in index_set.missing(50) for index in range(low, high + 1)}
    assert missing == set(range(index_set.first, 51)) - model


@given(st.lists(INDEXES, max_size=60))
def test_adding_one_by_one(indexes: list[int]) -> None:
    index_set, model = IndexSet(), set[int]()
    for index in indexes:
        assert index_set.add(index) == (index not in model)
        model.add(index)
    check(index_set, model)


@given(STEPS, INDEXES)
def test_adding_ranges(steps: list[tuple[int, int]], first: int) -> None:
    index_set, model = IndexSet(first), set[int]()
    for low, more in steps:
        index_set.add_range(low, low + more)
        model |= set(range(max(low, first), low + more + 1))
    check(index_set, model)


@given(STEPS, STEPS)
def test_merging_is_union_whatever_the_order(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    sides = []
    for steps in (left, right):
        side = IndexSet()
        for low, more in steps:
            side.add_range(low, low + more)
        sides.append(side)
    one, two = sides
    union = model_of(one) | model_of(two)
    together = IndexSet.from_json(one.to_json())
    together.merge(two.through, two.ranges())
    two.merge(one.through, one.ranges())
    assert together == two
    check(together, union)


@given(STEPS)
def test_there_and_back_through_json(steps: list[tuple[int, int]]) -> None:
    index_set = IndexSet(3)
    for low, more in steps:
        index_set.add_range(low, low + more)
    assert IndexSet.from_json(json.loads(json.dumps(index_set.to_json()))) == index_set


@given(st.lists(INDEXES, max_size=60), st.integers(1, 4))
def test_bounded_and_never_wrong(indexes: list[int], limit: int) -> None:
    index_set, taken = IndexSet(0, limit), set[int]()
    for index in indexes:
        try:
            index_set.add(index)
        except RangesFull:
            assert index not in index_set
            continue
        taken.add(index)
        assert len(index_set.ranges()) <= limit
    check(index_set, taken)


def test_full_still_takes_what_closes_or_widens() -> None:
    index_set = IndexSet(0, 2)
    for index in (2, 5):
        index_set.add(index)
    with pytest.raises(RangesFull):
        index_set.add(8)
    assert index_set.add(6) and index_set.add(0) and index_set.add(1)
    assert (index_set.through, index_set.ranges()) == (2, [(5, 6)])
    assert index_set.add(8)


def test_in_order_costs_nothing() -> None:
    index_set = IndexSet(10)
    for index in range(10, 100_000):
        assert index_set.add(index)
    assert (index_set.through, index_set.ranges()) == (99_999, [])


def test_some_of_the_ranges() -> None:
    index_set = IndexSet()
    for index in (0, 2, 4, 6, 8):
        index_set.add(index)
    assert index_set.ranges(2) == [(2, 2), (4, 4)]
    assert index_set.missing(100, at_most=2) == [(1, 1), (3, 3)]
    assert "through=0" in repr(index_set)


@pytest.mark.parametrize("bad", [(-1, 3), (4, 3), (0, 2**64)])
def test_bad_ranges(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="range"):
        IndexSet().add_range(*bad)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"first": 0, "through": 3},
        {"first": "0", "through": 3, "ranges": []},
        {"first": 0, "through": 3, "ranges": [[1]]},
        {"first": 0, "through": 3, "ranges": [[9, 5]]},
        {"first": -1, "through": 3, "ranges": []},
    ],
)
def test_bad_json(data: object) -> None:
    with pytest.raises(FrameError):
        IndexSet.from_json(data)
