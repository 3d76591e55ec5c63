"""Who hangs, as a table of looks."""

import pytest

from vigie_edge.processes.supervisor import Supervisor
from vigie_edge.processes.watchdog import STALL_S, START_S, Watchdog


def test_all_must_go_on_for_the_system_to_hear_it() -> None:
    dog = Watchdog(0.0)
    told = [
        dog.look(now, {"control": (scans, 0.0), "field": (beats, 0.0)})[0]
        for now, scans, beats in [
            (0, 7, 7),
            (1, 8, 7),
            (2, 9, 7),
            (3, 9, 8),
            (4, 9, 9),
            (5, 10, 9),
            (6, 10, 9),
        ]
    ]
    assert told == [False, False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("looks", "hung"),
    [
        # (instant, counter, start): a first sign may take long, the next may not
        ([(0.0, 0, 0.0), (START_S, 0, 0.0)], False),
        ([(0.0, 0, 0.0), (START_S + 0.1, 0, 0.0)], True),
        ([(0.0, 0, 0.0), (1.0, 1, 0.0), (1.0 + STALL_S, 1, 0.0)], False),
        ([(0.0, 0, 0.0), (1.0, 1, 0.0), (1.1 + STALL_S, 1, 0.0)], True),
        # started again: its counter goes on where the one before left it
        ([(0.0, 0, 0.0), (1.0, 1, 0.0), (9.0, 1, 9.0), (9.0 + START_S, 1, 9.0)], False),
        ([(0.0, 0, 0.0), (1.0, 1, 0.0), (9.0, 1, 9.0), (10.0, 2, 9.0), (10.1 + STALL_S, 2, 9.0)], True),
        # not running, or taken over from a supervisor that died
        ([(0.0, 0, None), (99.0, 0, None)], False),
        ([(0.0, 5, -900.0), (START_S, 5, -900.0)], False),
        ([(0.0, 5, -900.0), (START_S + 0.1, 5, -900.0)], True),
    ],
)
def test_who_hangs(looks: list[tuple[float, int, float | None]], hung: bool) -> None:
    dog = Watchdog(0.0)
    found = [dog.look(now, {"field": (counter, started)})[1] for now, counter, started in looks]
    assert found[-1] == (["field"] if hung else [])
    assert not any(found[:-1])


def test_a_child_that_sets_its_signal_handlers_is_not_told_the_whole_plan() -> None:
    """``signal.signal`` asks the handler before, a method of the supervisor, for its repr."""
    assert Supervisor.__repr__ is object.__repr__
