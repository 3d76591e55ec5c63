"""Local alarms as tables of cycles."""

import pytest

from vigie_controllers.alarms import AlarmRule, AlarmWatch
from vigie_protocols.points import Quality, Reading, Value


def watch(**rule: object) -> AlarmWatch:
    return AlarmWatch([AlarmRule("station/x", 0, "high", **rule)])  # type: ignore[arg-type]


def play(alarms: AlarmWatch, rows: list[tuple[float, Value, Quality]]) -> list[bool | None]:
    told: list[bool | None] = []
    for now, value, quality in rows:
        changes = alarms.step(now, (Reading(value, quality, 0.0, now),))
        told.append(changes[0].active if changes else None)
    return told


GOOD, BAD = Quality.GOOD, Quality.BAD


@pytest.mark.parametrize(
    ("rule", "rows", "expected"),
    [
        (
            {"when": True},
            [(0, False, GOOD), (1, True, GOOD), (2, True, GOOD), (3, False, GOOD)],
            [None, True, None, False],
        ),
        ({"when": False}, [(0, True, GOOD), (1, False, GOOD)], [None, True]),
        ({"when": 1}, [(0, 0, GOOD), (1, 1, GOOD), (2, 2, GOOD)], [None, True, False]),
        (
            {"when": True, "delay_s": 5.0},
            [(0, True, GOOD), (4.9, True, GOOD), (5, True, GOOD)],
            [None, None, True],
        ),
        (
            {"when": True, "delay_s": 5.0},
            [(0, True, GOOD), (3, False, GOOD), (6, True, GOOD), (9, True, GOOD)],
            [None] * 4,
        ),
        (
            {"above": 3.0, "deadband": 0.5},
            [(0, 3.1, GOOD), (1, 2.8, GOOD), (2, 2.5, GOOD)],
            [True, None, False],
        ),
        (
            {"below": 1.0, "deadband": 0.5},
            [(0, 0.9, GOOD), (1, 1.2, GOOD), (2, 1.5, GOOD)],
            [True, None, False],
        ),
        ({"above": 3.0}, [(0, float("nan"), GOOD), (1, "high", GOOD)], [None, None]),
        ({"when": True}, [(0, True, GOOD), (1, False, BAD), (2, False, GOOD)], [True, None, False]),
    ],
)
def test_alarms_begin_and_end(
    rule: dict[str, object], rows: list[tuple[float, Value, Quality]], expected: list[bool | None]
) -> None:
    assert play(watch(**rule), rows) == expected


def test_a_delay_runs_on_while_the_image_stands() -> None:
    alarms = watch(when=True, delay_s=2.0)
    frame = (Reading(True),)
    assert [bool(alarms.step(now, frame)) for now in (0.0, 1.0, 2.0, 3.0)] == [False, False, True, False]


def test_what_stands_survives_a_restart_and_is_told_once() -> None:
    alarms = watch(when=True)
    alarms.step(0.0, (Reading(True),))
    again = watch(when=True)
    again.restore(alarms.snapshot())
    assert [one.point for one in again.active()] == ["station/x"]
    assert again.step(1.0, (Reading(True),)) == ()
    assert again.step(2.0, (Reading(False),))[0].active is False


def test_a_delay_that_ran_before_a_reboot_begins_anew() -> None:
    alarms = watch(when=True, delay_s=5.0)
    alarms.step(500_000.0, (Reading(True),))
    again = watch(when=True, delay_s=5.0)
    again.restore(alarms.snapshot())
    assert play(again, [(10, True, GOOD), (14, True, GOOD), (15, True, GOOD)]) == [None, None, True]
