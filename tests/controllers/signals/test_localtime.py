"""Local time by rule, and which plan holds when."""

from datetime import UTC, date, datetime

import pytest

from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.schedule import DayEntry, Schedule, ScheduleRow

TORONTO = Zone("America/Toronto")
# The last second before each change in Toronto, from the IANA database, and the offsets around it in hours.
CHANGES = [
    ("2025-03-09T06:59:59", -5, -4), ("2025-11-02T05:59:59", -4, -5), ("2026-03-08T06:59:59", -5, -4),
    ("2026-11-01T05:59:59", -4, -5), ("2027-03-14T06:59:59", -5, -4), ("2027-11-07T05:59:59", -4, -5),
    ("2028-03-12T06:59:59", -5, -4), ("2028-11-05T05:59:59", -4, -5), ("2037-03-08T06:59:59", -5, -4),
    ("2037-11-01T05:59:59", -4, -5),
]  # fmt: skip


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("last", "before", "after"), CHANGES)
def test_toronto_changes_when_the_law_says(last: str, before: int, after: int) -> None:
    assert TORONTO.offset(utc(last)) == before * 3600
    assert TORONTO.offset(utc(last) + 1) == after * 3600


@pytest.mark.parametrize(
    ("rule", "instant", "hours"),
    [
        ("UTC", "2026-07-01T00:00:00", 0.0),
        ("NST3:30NDT,M3.2.0,M11.1.0", "2026-07-01T00:00:00", -2.5),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59", 1.0),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00", 2.0),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-15T00:00:00", 11.0),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-15T00:00:00", 10.0),
    ],
)
def test_rules_of_other_places(rule: str, instant: str, hours: float) -> None:
    assert Zone(rule).offset(utc(instant)) == hours * 3600


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "EST5EDT", "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,J60,J300"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"POSIX rule|months go from"):
        Zone(name)


def test_an_hour_that_comes_twice_reaches_no_further_the_second_time() -> None:
    change = utc("2026-11-01T06:00:00")
    for k in range(0, 7200, 60):
        assert TORONTO.at(change - 3600 + k).reached == (3600 + k if k < 3600 else 7199)
    assert TORONTO.at(change + 3600).reached == 7200
    assert TORONTO.at(change).day == date(2026, 11, 1)


def test_an_absurd_clock_has_no_local_time() -> None:
    for instant in (-1.0, 0.0, 5e9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="plausible"):
            TORONTO.at(instant)


# -- the schedule ------------------------------------------------------------------------------------

PLANS = {"night", "am", "day", "pm", "school"}
DAYS = {
    "work": (("00:00", "night"), ("06:30", "am"), ("09:00", "day"), ("15:30", "pm"), ("22:00", "night")),
    "rest": (("00:00", "night"), ("09:00", "day")),
    "switch": (("00:00", "night"), ("01:30", "am"), ("02:30", "day")),
    "pupils": (("00:00", "school"),),
}


def days(**more: tuple[tuple[str, str], ...]) -> dict[str, tuple[DayEntry, ...]]:
    return {
        name: tuple(DayEntry(at=at, plan=plan) for at, plan in rows)
        for name, rows in {**DAYS, **more}.items()
    }


def row(**fields: object) -> ScheduleRow:
    return ScheduleRow.model_validate(fields)


WORK = row(day_plan="work", weekdays=["mon", "tue", "wed", "thu", "fri"])
REST = row(day_plan="rest")


def plan_at(schedule: Schedule, instant: str) -> str | None:
    choice = schedule.at(TORONTO.at(utc(instant)))
    return None if choice is None else choice.plan


@pytest.mark.parametrize(
    ("instant", "plan"),
    [
        ("2026-06-22T10:29:59", "night"),  # a Monday, 06:29:59 there
        ("2026-06-22T10:30:00", "am"),
        ("2026-06-23T01:59:59", "pm"),  # still Monday there
        ("2026-06-23T02:00:00", "night"),
        ("2026-01-12T11:30:00", "am"),  # winter: one hour later in UTC
        ("2026-01-12T11:29:59", "night"),
        ("2026-06-21T14:00:00", "day"),  # a Sunday
        ("2026-06-24T11:00:00", "night"),  # a Wednesday, but a holiday
        ("2026-06-24T13:00:00", "day"),
        ("2026-09-01T15:00:00", "school"),  # the first of September outranks the weekday
    ],
)
def test_the_plan_of_an_instant(instant: str, plan: str) -> None:
    first = row(day_plan="pupils", months=[9], dates=[1])
    schedule = Schedule(days(), (WORK, REST, first), {"2026-06-24": "rest"}, PLANS)
    assert plan_at(schedule, instant) == plan


def test_without_a_row_nothing_is_said() -> None:
    assert plan_at(Schedule(days(), (WORK,), {}, PLANS), "2026-06-21T14:00:00") is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # 01:30 and 02:30 local. In March 02:30 never comes: its plan holds from 03:00. In November the hour
        # from 01:00 comes twice: the plan of 01:30 begins once and stays.
        ("2026-03-08", {"06:29": "night", "06:30": "am", "06:59": "am", "07:00": "day", "08:00": "day"}),
        ("2026-11-01", {"05:29": "night", "05:30": "am", "06:00": "am", "06:29": "am", "07:29": "am", "07:30": "day"}),
    ],
)  # fmt: skip
def test_plans_on_the_days_of_change(day: str, expected: dict[str, str]) -> None:
    schedule = Schedule(days(), (row(day_plan="switch"),), {}, PLANS)
    assert {at: plan_at(schedule, f"{day}T{at}:00") for at in expected} == expected


@pytest.mark.parametrize(
    ("day_plans", "rows", "holidays", "text"),
    [
        (
            {"x": (("00:00", "am"), ("07:00", "pm"), ("07:00", "day"))},
            (),
            {},
            r"day_plans.x.2.at: .*overlaps",
        ),
        ({"x": (("00:00", "am"), ("09:00", "pm"), ("07:00", "day"))}, (), {}, r"day_plans.x.2.at: .*rising"),
        ({"x": (("06:00", "am"),)}, (), {}, r"day_plans.x: .*00:00"),
        ({"x": (("00:00", "fog"),)}, (), {}, r"day_plans.x.0.plan: bad-plan: no plan 'fog'"),
        ({}, ({"day_plan": "party"},), {}, r"schedule.0.day_plan: no day plan 'party'"),
        ({}, ({"day_plan": "work", "months": [13]},), {}, r"schedule.0.months: 13"),
        ({}, ({"day_plan": "work", "months": [2], "dates": [30]},), {}, r"schedule.0.dates"),
        ({}, ({"day_plan": "work"}, {"day_plan": "rest"}), {}, r"schedule.1: overlaps schedule.0"),
        (
            {},
            ({"day_plan": "work", "weekdays": ["mon", "tue"]}, {"day_plan": "rest", "weekdays": ["tue"]}),
            {},
            r"schedule.1: overlaps schedule.0: both hold for a tue",
        ),
        ({}, (), {"2026-02-30": "rest"}, r"holidays.2026-02-30: no such date"),
        ({}, (), {"2026-06-24": "party"}, r"holidays.2026-06-24: no day plan"),
    ],
)
def test_what_contradicts_itself_is_refused(
    day_plans: dict[str, tuple[tuple[str, str], ...]],
    rows: tuple[dict[str, object], ...],
    holidays: dict[str, str],
    text: str,
) -> None:
    with pytest.raises(ValueError, match=text):
        Schedule(days(**day_plans), tuple(row(**one) for one in rows), holidays, PLANS)


def test_rows_apart_by_month_or_rank_may_stand_together() -> None:
    rows = (
        row(day_plan="work", weekdays=["mon"], months=[1]),
        row(day_plan="rest", weekdays=["mon"], months=[2]),
        row(day_plan="pupils", weekdays=["mon"]),
        row(day_plan="rest", dates=[31], months=[1]),
        row(day_plan="work", dates=[30, 31], months=[4]),
    )
    Schedule(days(), rows, {}, PLANS)
