"""Is the level sensor telling the truth? Range and age are judged in words.py; this adds memory."""

from vigie_controllers.contract import State
from vigie_controllers.water.site import WaterSite
from vigie_controllers.water.words import WaterInputs, level_of


class LevelWatch:
    """Believes a level only while it neither jumps nor freezes."""

    def __init__(self, site: WaterSite) -> None:
        self._site = site
        self._level: float | None = None
        self._seen_at = 0.0
        self._jumped_at: float | None = None
        self._moved_at: float | None = None

    def judge(self, now: float, inputs: WaterInputs, pumping: bool) -> tuple[float | None, str]:
        """The level that may be believed in metres, or None and why not.

        pumping: some pump is known to run, so that the level must move.
        """
        site = self._site
        level, why = level_of(now, inputs, site)
        if level is None:
            self._moved_at = None
            return None, why
        arrival = max(
            each.arrival for each in (inputs.level, inputs.level_2) if each is not None and each.usable
        )
        before = self._level
        if before is not None:
            # From one arrival to the next, since a slow poll shows several scans' worth of water at once.
            elapsed = max(arrival - self._seen_at, 1.0)
            if abs(level - before) > site.level_rate_m_per_s * elapsed:
                self._jumped_at = now
        if level != before or not pumping or self._moved_at is None:
            self._moved_at = now
        self._level, self._seen_at = level, arrival
        if self._jumped_at is not None:
            if now - self._jumped_at < site.level_settle_s:
                return None, "the level jumped faster than water can"
            self._jumped_at = None
        if site.level_frozen_s > 0.0 and now - self._moved_at >= site.level_frozen_s:
            return None, f"the level has not moved for {now - self._moved_at:.0f} s while a pump runs"
        return level, ""

    def shift(self, by: float) -> None:
        """Move all instants by ``by`` seconds: the monotonic clock began anew."""
        self._seen_at += by
        self._jumped_at = None if self._jumped_at is None else self._jumped_at + by
        self._moved_at = None if self._moved_at is None else self._moved_at + by

    def snapshot(self) -> State:
        """All of it, plain."""
        return {
            "level": self._level,
            "seen_at": self._seen_at,
            "jumped_at": self._jumped_at,
            "moved_at": self._moved_at,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot; KeyError when it is not one."""
        self._level, self._seen_at = state["level"], float(state["seen_at"])
        self._jumped_at, self._moved_at = state["jumped_at"], state["moved_at"]
