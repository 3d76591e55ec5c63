"""Which timing plan holds when: day plans, a schedule of days, holidays (objects of NTCIP 1202 and 1201).

A day plan says from what local time of day which timing plan holds. The schedule says which day plan a date
has, by month, weekday and date of the month; a holiday's date has its own, whatever else is said.
"""

from collections.abc import Collection, Mapping
from datetime import date
from itertools import pairwise
from typing import Literal, NamedTuple

from pydantic import Field

from vigie_controllers.loops import Strict
from vigie_controllers.signals.localtime import LocalTime

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class DayEntry(Strict):
    """at: local time of day, ``HH:MM``; plan: the timing plan that holds from then on."""

    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    plan: str

    @property
    def second(self) -> int:
        """Seconds since local midnight."""
        return int(self.at[:2]) * 3600 + int(self.at[3:]) * 60


class ScheduleRow(Strict):
    """Days and their day plan. Empty lists mean all of them; a date must be in all three.

    months: 1 to 12; dates: of the month, 1 to 31. A row that names dates outranks those that name none, then
    one that names weekdays, then one that names months; rows of equal rank may not share a day.
    """

    day_plan: str
    months: tuple[int, ...] = Field(default=(), max_length=12)
    weekdays: tuple[Weekday, ...] = Field(default=(), max_length=7)
    dates: tuple[int, ...] = Field(default=(), max_length=31)


class Choice(NamedTuple):
    """The timing plan that holds, the day plan that says so, and since what local time of day (``HH:MM``)."""

    plan: str
    day_plan: str
    since: str


class Schedule:
    """day_plans, rows, holidays as the gateway file or a policy gives them, checked against each other.

    holidays: ISO dates such as ``2026-12-25``, each with its day plan. plans: names of the timing plans.
    Raises ValueError that begins with the wrong field.
    """

    def __init__(
        self,
        day_plans: Mapping[str, tuple[DayEntry, ...]],
        rows: tuple[ScheduleRow, ...],
        holidays: Mapping[str, str],
        plans: Collection[str],
    ) -> None:
        for name, entries in day_plans.items():
            _check_day(f"day_plans.{name}", entries, plans)
        self._days = {name: tuple(entries) for name, entries in day_plans.items()}
        for place, row in enumerate(rows):
            self._check_row(f"schedule.{place}", row)
            for other in range(place):
                _check_apart(place, row, other, rows[other])
        self._rows = tuple(sorted(rows, key=_rank, reverse=True))
        self._holidays: dict[date, str] = {}
        for text, name in holidays.items():
            try:
                day = date.fromisoformat(text)
            except ValueError:
                day = date.min
            if day.isoformat() != text:  # Python takes other spellings too, in which a date could stand twice
                raise ValueError(f"holidays.{text}: no such date; write it as 2026-12-25")
            self._known(f"holidays.{text}", name)
            self._holidays[day] = name

    def _known(self, field: str, name: str) -> None:
        if name not in self._days:
            known = ", ".join(sorted(self._days)) or "none"
            raise ValueError(f"{field}: no day plan {name!r}; name one of day_plans: {known}")

    def _check_row(self, field: str, row: ScheduleRow) -> None:
        self._known(f"{field}.day_plan", row.day_plan)
        for name, values, top in (("months", row.months, 12), ("dates", row.dates, 31)):
            for value in values:
                if not 1 <= value <= top:
                    raise ValueError(f"{field}.{name}: {value} is none; give numbers from 1 to {top}")
        if not any(day <= _LENGTHS[month - 1] for month in _months(row) for day in _dates(row)):
            raise ValueError(f"{field}.dates: no such day in these months; correct months or dates")

    def at(self, local: LocalTime) -> Choice | None:
        """What holds at a local instant; None when the schedule says nothing of that day."""
        name = self._holidays.get(local.day)
        if name is None:
            day = local.day
            for row in self._rows:
                if (
                    day.month in _months(row)
                    and day.day in _dates(row)
                    and WEEK[day.weekday()] in _weekdays(row)
                ):
                    name = row.day_plan
                    break
            else:
                return None
        last = max(
            (entry for entry in self._days[name] if entry.second <= local.reached), key=lambda one: one.second
        )
        return Choice(last.plan, name, last.at)


def _check_day(field: str, entries: tuple[DayEntry, ...], plans: Collection[str]) -> None:
    for place, entry in enumerate(entries):
        if entry.plan not in plans:
            raise ValueError(
                f"{field}.{place}.plan: bad-plan: no plan {entry.plan!r}; name one of plans: "
                f"{', '.join(sorted(plans))}"
            )
    if not entries or entries[0].second != 0:
        raise ValueError(f"{field}: begins with no plan; give it an entry at 00:00 first")
    for (_, one), (place, other) in pairwise(enumerate(entries)):
        if other.second <= one.second:
            how = "overlaps the entry" if other.second == one.second else "stands after"
            raise ValueError(
                f"{field}.{place}.at: {other.at} {how} at {one.at}; keep the times of a day rising, one entry each"
            )


def _check_apart(place: int, row: ScheduleRow, other_place: int, other: ScheduleRow) -> None:
    if _rank(row) != _rank(other):
        return
    months = sorted(_months(row) & _months(other))
    days = sorted(_dates(row) & _dates(other))
    weekdays = [day for day in WEEK if day in _weekdays(row) & _weekdays(other)]
    for month in months:
        for day in days:
            if day <= _LENGTHS[month - 1] and weekdays:
                raise ValueError(
                    f"schedule.{place}: overlaps schedule.{other_place}: both hold for a {weekdays[0]} on day {day} "
                    f"of month {month}; narrow one of them by months, weekdays or dates"
                )


def _rank(row: ScheduleRow) -> int:
    return 4 * bool(row.dates) + 2 * bool(row.weekdays) + bool(row.months)


def _months(row: ScheduleRow) -> frozenset[int]:
    return frozenset(row.months or range(1, 13))


def _dates(row: ScheduleRow) -> frozenset[int]:
    return frozenset(row.dates or range(1, 32))


def _weekdays(row: ScheduleRow) -> frozenset[str]:
    return frozenset(row.weekdays or WEEK)
