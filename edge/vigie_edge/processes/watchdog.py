"""Who still goes on: judged by counters that go up, never by a process that merely exists."""

from collections.abc import Mapping

STALL_S = 5.0
"""Seconds without a sign after which a child that has given one counts as hung."""
START_S = 30.0
"""Seconds a child may take to its first sign: on a small machine the plans of hundreds of devices are some work."""


class Watchdog:
    """The signs of several children. Instants are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._fed = float("-inf")
        self._counters: dict[str, int] = {}
        self._moved: dict[str, float] = {}

    def look(self, now: float, signs: Mapping[str, tuple[int, float | None]]) -> tuple[bool, list[str]]:
        """signs: of each child its counter, and the instant of its start, None while it does not run.

        Returns whether all of them have gone on since that was last said, and which of them hang.
        """
        hung = []
        for name, (counter, started) in signs.items():
            if counter != self._counters.setdefault(name, counter):
                self._counters[name], self._moved[name] = counter, now
            if started is None:
                continue
            moved = self._moved.get(name, float("-inf"))
            patience = STALL_S if moved > started else START_S
            if now - max(moved, started, self._began) > patience:
                hung.append(name)
        goes_on = all(self._moved.get(name, float("-inf")) > self._fed for name in signs)
        if goes_on:
            self._fed = now
        return goes_on, hung
