"""Local time from UTC by a rule, not by files: pure, so that a day replays bit for bit anywhere.

A zone is a POSIX TZ rule (IEEE Std 1003.1, 8.3), such as ``EST5EDT,M3.2.0,M11.1.0``: the last line of a zone's
file in the IANA database, good for every year since the law last changed. A few names are known here.
"""

import re
from dataclasses import dataclass
from datetime import date

DAY_S = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_LATEST = 4_102_444_800.0
"""2100-01-01: a clock beyond it is wrong."""

NAMED = {"America/Toronto": "EST5EDT,M3.2.0,M11.1.0", "UTC": "UTC0"}
"""Zones known by name; Montreal keeps the time of Toronto."""

_OFFSET = r"([+-]?\d{1,2})(?::(\d{2}))?"
_DATE = r"M(\d{1,2})\.([1-5])\.([0-6])(?:/(-?\d{1,3})(?::(\d{2}))?)?"
_NAME = r"(?:[A-Za-z]{3,6}|<[A-Za-z0-9+-]{3,6}>)"
_RULE = re.compile(rf"{_NAME}{_OFFSET}(?:{_NAME}(?:{_OFFSET})?,{_DATE},{_DATE})?")


@dataclass(frozen=True, slots=True)
class LocalTime:
    """An instant on the wall. second: since local midnight, 0 to 86,399, as the clock on the wall shows it.

    reached: the same, save in an hour that comes twice, where it stays at the end of the first: what
    the day had reached.
    """

    day: date
    second: int
    reached: int


@dataclass(frozen=True, slots=True)
class _Change:
    """The given weekday (0: Sunday) of a month, ``at`` seconds after its local midnight; week 5: the last."""

    month: int
    week: int
    weekday: int
    at: int

    def utc(self, year: int, offset: int) -> int:
        """UTC second of the change in a year in which ``offset`` holds until then."""
        first = date(year, self.month, 1)
        day = 1 + (self.weekday - first.isoweekday()) % 7 + 7 * (self.week - 1)
        following = date(year + self.month // 12, self.month % 12 + 1, 1)
        while day > following.toordinal() - first.toordinal():
            day -= 7
        return (first.toordinal() + day - 1 - _EPOCH) * DAY_S + self.at - offset


class Zone:
    """Local time of one place. Offsets are seconds east of UTC."""

    def __init__(self, name: str) -> None:
        """``name``: one of ``NAMED`` or a POSIX rule; raises ValueError when it is neither."""
        match = _RULE.fullmatch(NAMED.get(name, name))
        if match is None:
            raise ValueError(
                f"{name!r} is no time zone known here; name one of {', '.join(NAMED)}, or write its POSIX rule "
                "such as EST5EDT,M3.2.0,M11.1.0"
            )
        part = match.groups()
        self._standard = _offset(part[0], part[1])
        self._changes: tuple[_Change, _Change] | None = None
        self._summer = self._standard
        if part[4] is not None:
            self._summer = self._standard + 3600 if part[2] is None else _offset(part[2], part[3])
            self._changes = _change(name, part[4:9]), _change(name, part[9:14])

    def offset(self, utc: float) -> int:
        """Seconds east of UTC at ``utc``."""
        if self._changes is None:
            return self._standard
        year = date.fromordinal(_EPOCH + int(utc + self._standard) // DAY_S).year
        begin, end = self._changes
        begins, ends = begin.utc(year, self._standard), end.utc(year, self._summer)
        summer = begins <= utc < ends if begins < ends else not ends <= utc < begins
        return self._summer if summer else self._standard

    def at(self, utc: float) -> LocalTime:
        """Local time at ``utc``, Unix seconds from 1970 to 2100; raises ValueError outside them."""
        if not DAY_S <= utc < _LATEST:
            raise ValueError(f"{utc} is no plausible UTC")
        offset = self.offset(utc)
        local = int(utc) + offset
        second = local % DAY_S
        reached = second
        earlier = self.offset(utc - 3 * 3600)
        if earlier > offset:  # clocks went back within three hours: the day had come further already
            low, high = utc - 3 * 3600, utc
            while high - low > 0.5:
                middle = (low + high) / 2
                low, high = (middle, high) if self.offset(middle) == earlier else (low, middle)
            before = int(high + 0.5) - 1 + earlier
            if before // DAY_S == local // DAY_S:
                reached = max(second, before % DAY_S)
        return LocalTime(date.fromordinal(_EPOCH + local // DAY_S), second, reached)


def _offset(hours: str, minutes: str | None) -> int:
    west = abs(int(hours)) * 3600 + int(minutes or 0) * 60
    return west if hours.startswith("-") else -west


def _change(name: str, part: tuple[str | None, ...]) -> _Change:
    month, week, weekday = (int(one or 0) for one in part[:3])
    if not 1 <= month <= 12:
        raise ValueError(f"{name!r} names month {month}; months go from 1 to 12")
    hours, minutes = part[3], part[4]
    at = 7200
    if hours is not None:
        at = abs(int(hours)) * 3600 + int(minutes or 0) * 60
        at = -at if hours.startswith("-") else at
    return _Change(month, week, weekday, at)
