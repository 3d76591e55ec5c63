"""What neighbours will let in: forecasts as arrivals beyond the detectors' view, scaled by what really comes.

A forecast says when vehicles leave the stop line there; here it is put on the clock of our own stop line. Only
what arrives after the view's end has been reached is taken from it: whatever is nearer is counted by our own
detectors, so that no vehicle counts twice. How much a forecast is worth is learnt lane by lane, by regression
of the flow into the view on what had been foretold for it: expected are the lane's own average and, times the
learnt factor, what was foretold beyond its average. A forecast that tells nothing (a wrong one, a liar's) gets
a factor near 0, and a lane never expects more than it can discharge.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor

from vigie_controllers.contract import State
from vigie_controllers.signals.model import Model, View
from vigie_controllers.signals.neighbours import Forecast
from vigie_controllers.signals.site import SignalSite
from vigie_protocols.points import Quality, Reading

AHEAD_S = 2.0
"""How far a forecast's beginning may lie ahead of our clock."""
FARTHEST_S = 180
"""Seconds ahead that are kept of a forecast."""
UNSEEN_S = 3.0
"""Least seconds of a link that own detectors do not see. Where they see nearly all of it, a forecast would tell of
plans that still change, and not of vehicles on their way."""
MOST_FLOW = 0.6
"""Vehicles per second and lane, at most."""
MOST_TOLD = 1.2
"""Vehicles per second that one exit lane may be told to bring, at most."""
TAIL_S = 12
"""Last seconds of a horizon for which the average is expected: who comes then cannot be served in it, and would
only bend the plan."""
SMOOTH_S = 600.0
"""Memory of the regression, seconds."""
LATER_S = (0, 2, 4)
"""Seconds that vehicles may come later than at the limit all the way: they start up, and drivers differ."""
LEAD_S = 8
"""A forecast is judged by what it said so long before, as plans use it: nearer ones are the surer."""
DOUBT = 0.004
"""Variance, (vehicles per second)^2, that must be exceeded by far before a regression is believed."""
USELESS, USEFUL = 0.1, 0.25
"""Part of what comes that a forecast must explain to be used at all, and to be used in full."""


class _Row:
    """One exit lane there. flow: vehicles per second at our stop line, by whole second of UTC; until: UTC at which
    it is forgotten."""

    __slots__ = ("exit", "flow", "source", "travel_s", "until")

    def __init__(self, source: tuple[str, str], exit_lane: str, travel_s: float) -> None:
        self.source, self.exit, self.travel_s = source, exit_lane, travel_s
        self.until = 0.0
        self.flow: dict[int, float] = {}

    def take(self, utc: float, forecast: Forecast, bins: Sequence[float]) -> None:
        """What it says of later replaces what was said before; what has left by now stays as it was told."""
        now, begin = floor(utc), forecast.made_utc + self.travel_s
        first = ceil(begin)
        last = min(ceil(begin + len(bins) * forecast.bin_s), now + FARTHEST_S)
        flow = {at: one for at, one in self.flow.items() if now - LATER_S[-1] <= at < first}
        for at in range(first, last):
            number = min(int((at - begin) / forecast.bin_s), len(bins) - 1)
            flow[at] = min(MOST_TOLD, bins[number] / forecast.bin_s)
        self.flow, self.until = flow, forecast.made_utc + forecast.ttl_s


class _Line:
    """The regression of what came on what had been foretold: means, variances, covariance."""

    __slots__ = ("came", "common", "moved", "spread", "told")

    def __init__(self) -> None:
        self.told = self.came = self.spread = self.moved = self.common = 0.0

    def learn(self, told: float, came: float) -> None:
        """One second."""
        more, extra = told - self.told, came - self.came
        self.told += more / SMOOTH_S
        self.came += extra / SMOOTH_S
        self.spread += (more * more - self.spread) / SMOOTH_S
        self.moved += (extra * extra - self.moved) / SMOOTH_S
        self.common += (more * extra - self.common) / SMOOTH_S

    @property
    def explained(self) -> float:
        """The part of the variation of what came that was foretold, 0 to 1."""
        if self.common <= 0.0:
            return 0.0
        return self.common * self.common / ((self.spread + DOUBT) * (self.moved + DOUBT))

    @property
    def worth(self) -> float:
        """By what a forecast is multiplied."""
        belief = min(1.0, max(0.0, (self.explained - USELESS) / (USEFUL - USELESS)))
        return belief * max(0.0, self.common) / (self.spread + DOUBT)


class Coming:
    """The forecasts that are heard, per lane. Call ``hear`` in every step, ``learn`` once a second."""

    def __init__(self, site: SignalSite, model: Model) -> None:
        self._model = model
        self._rows = tuple(_Row((one.neighbour, one.loop), one.exit, one.travel_s) for one in site.upstream)
        feeds = [
            tuple(
                r
                for r, one in enumerate(site.upstream)
                if lane.id in one.lanes and one.travel_s >= lane.reach / lane.speed + UNSEEN_S
            )
            for lane in model.lanes
        ]
        self._groups = tuple(dict.fromkeys(rows for rows in feeds if rows))
        self._of = tuple(self._groups.index(rows) if rows else -1 for rows in feeds)
        self._series: list[dict[int, float] | None] = [None] * len(self._groups)
        self._lines = tuple([_Line() for _ in LATER_S] for _ in model.lanes)
        self._early: tuple[dict[int, float], ...] = tuple({} for _ in model.lanes)
        self._utc: float | None = None

    def hear(self, clock: Reading[float], heard: Sequence[tuple[str, Forecast]]) -> None:
        """Take up what came since the step before; what is too old, or ahead of its time, is left."""
        self._utc = utc = None if clock.quality is Quality.BAD else clock.value
        if utc is None:
            return
        for neighbour, forecast in heard:
            if not utc - forecast.ttl_s <= forecast.made_utc <= utc + AHEAD_S:
                continue
            lanes = dict(forecast.lanes)
            for row in self._rows:
                if row.source == (neighbour, forecast.loop) and lanes.get(row.exit):
                    row.take(utc, forecast, lanes[row.exit])
            self._series = [None] * len(self._groups)

    def _foretold(self, k: int) -> Mapping[int, float]:
        """Vehicles per second at our stop line, by whole second of UTC: as far as all who feed the lane have
        said something, and nothing once one of them is silent."""
        group, utc = self._of[k], self._utc
        if group < 0 or utc is None:
            return {}
        rows = [self._rows[r] for r in self._groups[group]]
        if any(utc > row.until for row in rows):
            return {}
        series = self._series[group]
        if series is None:
            total = {at: sum(row.flow[at] for row in rows) for at in rows[0].flow if _all_know(rows, at)}
            # A platoon does not arrive as sharp as it left.
            series = self._series[group] = {
                at: 0.5 * one + 0.25 * (total.get(at - 1, one) + total.get(at + 1, one))
                for at, one in total.items()
            }
        return series

    def learn(self, view: View) -> None:
        """Take up one second."""
        utc = self._utc
        for k, lane in enumerate(self._model.lanes):
            told = self._foretold(k)
            if utc is None or not told or view.blind[k]:
                continue
            edge = lane.zones[-1]
            at = floor(utc + 0.5 * (edge.from_m + edge.to_m) / lane.speed)
            early = self._early[k]
            for old in [one for one in early if one < at - LATER_S[-1]]:
                del early[old]
            if at + LEAD_S in told:
                early[at + LEAD_S] = told[at + LEAD_S]
            if view.halting[k][-1] >= 1.0:
                continue  # they stand: it is not seen who comes
            came = min(MOST_FLOW, view.moving[k][-1] * lane.speed / max(5.0, edge.to_m - edge.from_m))
            for later, line in zip(LATER_S, self._lines[k], strict=True):
                if at - later in early:
                    line.learn(early[at - later], came)

    def arrivals(self, k: int, rate: float, first: int, horizon: int) -> list[float]:
        """Vehicles per second from second ``first`` on; ``rate`` where nothing is foretold."""
        told, utc = self._foretold(k), self._utc
        later, line = max(zip(LATER_S, self._lines[k], strict=True), key=lambda one: one[1].explained)
        worth = line.worth
        if utc is None or not told or worth <= 0.0:
            return [rate] * max(0, horizon - first)
        now, mean = floor(utc) - later, line.told
        known = max(first, horizon - TAIL_S)
        expected = [
            min(MOST_FLOW, max(0.0, rate + worth * (told.get(now + t, mean) - mean)))
            for t in range(first, known)
        ]
        return expected + [rate] * (horizon - known)

    def snapshot(self) -> State:
        """Everything heard and learnt."""
        return {
            "heard": [[row.until, [[at, one] for at, one in row.flow.items()]] for row in self._rows],
            "early": [[[at, one] for at, one in row.items()] for row in self._early],
            "lines": [
                [[one.told, one.came, one.spread, one.moved, one.common] for one in row]
                for row in self._lines
            ],
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot of the same site."""
        if len(state["heard"]) != len(self._rows) or len(state["lines"]) != len(self._lines):
            raise ValueError("the snapshot belongs to another site")
        for row, (until, flow) in zip(self._rows, state["heard"], strict=True):
            row.until, row.flow = until, dict(flow)
        for early, rows in zip(self._early, state["early"], strict=True):
            early.clear()
            early.update(rows)
        for lines, kept in zip(self._lines, state["lines"], strict=True):
            for line, one in zip(lines, kept, strict=True):
                line.told, line.came, line.spread, line.moved, line.common = one
        self._series = [None] * len(self._groups)


def _all_know(rows: Sequence[_Row], at: int) -> bool:
    return all(at in row.flow for row in rows)
