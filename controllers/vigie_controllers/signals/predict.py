"""What a lane costs under given greens: a vertical queue over a short horizon, in steps of 1 s.

Cost is in vehicle seconds: waiting, each new stop, and each vehicle left at the end. A red is summed in
closed form from prefix sums, a green is stepped only until its queue is gone, so that one evaluation takes
a few microseconds and thousands of plans can be compared in a scan.
"""

from typing import NamedTuple

STOP_COST = 3.0
"""Vehicle seconds that one stop is worth."""
LEFT_COST = 12.0
"""Vehicle seconds for a vehicle still queued at the end of the horizon."""
PATIENCE_S = 45.0
"""Red after which waiting weighs more and more."""
IMPATIENCE_S = 22.5
"""Seconds of red beyond that for each further unit of weight."""


class Green(NamedTuple):
    """One green of a lane within the horizon, whole seconds [begin, end).

    low, high: vehicles per second while an opposing queue lasts (until ``clear``) and after; fresh: the
    queue must start up first.
    """

    begin: int
    end: int
    low: float
    high: float
    clear: int
    fresh: bool


class LanePrediction:
    """Arrivals at one lane's stop line over the horizon, with its queue now; made anew at each decision.

    queue: vehicles standing now; arrivals: vehicles per second of the horizon; red_s: how long the lane has
    been red, None while it is green.
    """

    __slots__ = ("_memo", "_red", "_red_area", "_weight", "arrivals", "horizon", "queue", "total")

    def __init__(self, queue: float, arrivals: list[float], red_s: float | None) -> None:
        self.queue = queue
        self.arrivals = arrivals
        self.horizon = len(arrivals)
        total, sums = 0.0, [0.0]
        for one in arrivals:
            total += one
            sums.append(total)
        self.total = sums
        # prefix sums over seconds of: cumulative arrivals; the weight of red; both multiplied
        area, weight, both = [0.0], [0.0], [0.0]
        a = w = b = 0.0
        for t in range(self.horizon):
            heavy = 1.0
            if red_s is not None and red_s + t > PATIENCE_S:
                heavy += (red_s + t - PATIENCE_S) / IMPATIENCE_S
            a += sums[t + 1]
            w += heavy
            b += heavy * sums[t + 1]
            area.append(a)
            weight.append(w)
            both.append(b)
        self._red_area, self._weight, self._red = area, weight, both
        self._memo: dict[tuple[Green, ...], float] = {}

    def waiting_at(self, second: int) -> float:
        """The queue at a second when the lane stays red until then."""
        return self.queue + self.total[min(second, self.horizon)]

    def cost(self, greens: tuple[Green, ...]) -> float:
        """Vehicle seconds under these greens, in their order."""
        found = self._memo.get(greens)
        if found is None:
            found = self._memo[greens] = self._evaluate(greens)
        return found

    def _evaluate(self, greens: tuple[Green, ...]) -> float:
        total, arrivals, horizon = self.total, self.arrivals, self.horizon
        queue, cost, t, first = self.queue, 0.0, 0, True
        for green in greens:
            begin, end = green.begin, min(green.end, horizon)
            if begin >= horizon:
                break
            if begin > t:
                cost += self._wait(t, begin, queue, first)
                queue += total[begin] - total[t]
                t = begin
            first = False
            lost = 2 if green.fresh and queue > 0.0 else 0
            while t < end:
                come = arrivals[t]
                rate = green.low if t < green.clear else green.high
                if lost:
                    rate = 0.0 if lost == 2 else 0.5 * rate
                    lost -= 1
                if queue > 0.5:
                    cost += STOP_COST * come
                queue += come - rate
                if queue <= 0.0:
                    queue = 0.0
                cost += queue
                t += 1
        if t < horizon:
            cost += self._wait(t, horizon, queue, first)
            queue += total[horizon] - total[t]
        return cost + LEFT_COST * queue

    def _wait(self, begin: int, end: int, queue: float, first: bool) -> float:
        """Cost of red from ``begin`` to ``end``: everyone who comes stops."""
        before = self.total[begin]
        come = self.total[end] - before
        if first:
            weight = self._weight[end] - self._weight[begin]
            return (queue - before) * weight + self._red[end] - self._red[begin] + STOP_COST * come
        area = self._red_area[end] - self._red_area[begin]
        return (queue - before) * (end - begin) + area + STOP_COST * come
