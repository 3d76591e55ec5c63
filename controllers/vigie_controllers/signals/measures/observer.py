"""The observer of a junction: high-resolution events of every scan, figures of every period.

It only looks: nothing it does can reach a lamp. A quiet scan costs it four comparisons.
"""

from collections.abc import Sequence

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Observed
from vigie_controllers.signals.engine_state import Ask
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.measures.events import EPS, Events
from vigie_controllers.signals.measures.figures import NAMES, Figures
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, Status
from vigie_protocols.points import Reading

NOTHING = Observed()


class Observer:
    """Call ``look`` after each scan of the loop. names: of the figures it publishes."""

    def __init__(self, site: SignalSite, guard: SignalGuard) -> None:
        self._guard = guard
        self._events = Events(site, guard.plan)
        self._figures = Figures(site, guard.plan)
        self._period_s = site.measures_s
        self.names = tuple(f"{number}/{name}" for number in guard.plan.ids for name in NAMES)
        self._status: Status | None = None
        self._frame: Frame | None = None
        self._asked = Ask()
        self._due = -1e18
        self._red_due = 0.0
        self._ends: float | None = None
        self.latest: dict[str, float | None] = {}
        self.latest_utc = 0.0

    def look(
        self,
        now: float,
        clock: Reading[float],
        frame: Frame,
        lamps: Sequence[int],
        decisions: Sequence[Decision],
    ) -> Observed:
        """What this scan brought."""
        guard = self._guard
        status = guard.status
        asked = guard.plant.asked
        same = status is self._status and frame is self._frame and asked == self._asked
        if same and now + EPS < self._due and not decisions:
            return NOTHING
        self._status, self._frame, self._asked = status, frame, asked
        utc = clock.value if 0.0 <= clock.value < 1e11 else 0.0
        values, failed = guard.bank.values, guard.bank.failed
        # By what it holds: a restored bank holds the same in another dictionary, and must be no news.
        seen = values != self._events.values or failed != self._events.failed
        events = self._events.look(now, frame, values, status, lamps, failed, decisions, asked)
        if events:
            self._figures.take(events)
        if seen:
            self._figures.see(now, values, failed)
        if events or now + EPS >= self._red_due:
            self._red_due = self._figures.judge(now)
        figures = self._period(now, utc)
        ends = now if self._ends is None else self._ends
        self._due = min(self._events.due, self._red_due, ends)
        if not events and not figures:
            return NOTHING
        ahead = utc - now
        stamped = tuple(
            (max(0, int((at + ahead) * 10.0 + 0.5)), code, parameter) for at, code, parameter in events
        )
        return Observed(stamped, figures)

    def _period(self, now: float, utc: float) -> dict[str, float | None]:
        """The figures of a period that ends now; periods end at whole multiples of their length in UTC."""
        figures: dict[str, float | None] = {}
        if self._ends is not None and now + EPS < self._ends:
            return figures
        if self._ends is not None:
            figures = self._figures.told(now, close=True)
            self.latest, self.latest_utc = figures, utc
        self._ends = now + self._period_s - utc % self._period_s
        return figures

    @property
    def priority(self) -> bool:
        """Whether transit priority is granted to somebody."""
        return bool(self._events.priority)

    def so_far(self, now: float) -> dict[str, float | None]:
        """The figures of the period under way."""
        return self._figures.told(now, close=False)

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {
            "events": self._events.snapshot(),
            "figures": self._figures.snapshot(),
            "red_due": self._red_due,
            "ends": self._ends,
            "latest": dict(self.latest),
            "latest_utc": self.latest_utc,
        }

    def resume(self, state: State) -> None:
        """Take up an exact state. After a restart nothing is taken up: a new period begins."""
        self._events.resume(state["events"])
        self._figures.resume(state["figures"])
        self._red_due, self._ends = state["red_due"], state["ends"]
        self.latest, self.latest_utc = dict(state["latest"]), state["latest_utc"]
        self._status = self._frame = None
        self._due = -1e18
