"""What a lane costs under given greens: a vertical queue over a short horizon, in steps of 1 s.

Cost is in vehicle seconds: waiting, each new stop, and each vehicle left at the end. A red is summed in
closed form from prefix sums; a green's course is stepped once from where it begins and then read off for any
end, so that a plan costs a few look-ups per lane.
"""

from typing import NamedTuple

STOP_COST = 3.0
"""Vehicle seconds that one stop is worth."""
LEFT_COST = 12.0
"""Vehicle seconds for a vehicle still queued at the end of the horizon."""
PATIENCE_S = 75.0
"""Red after which waiting weighs more and more."""
IMPATIENCE_S = 22.5
"""Seconds of red beyond that for each further unit of weight."""
START_UP = (0.0,)
"""Share of the rate in the first seconds of a green with a queue."""


class Rate(NamedTuple):
    """A lane's service in a stage that begins at a known second: vehicles per second until ``clear`` (an
    opposing queue goes first), and after it; most: vehicles in all, before one that must wait is first."""

    low: float
    high: float
    clear: int
    most: float = float("inf")


class LaneState(NamedTuple):
    """A lane in the middle of a plan. at: second; first: it has had no green yet; cost: so far."""

    at: int
    queue: float
    cost: float
    first: bool


class LanePrediction:
    """Arrivals at one lane's stop line over the horizon, with its queue now; made anew at each decision.

    queue: vehicles standing now; arrivals: vehicles per second of the horizon; red_s: how long the lane has
    been red, None while it is green.
    """

    __slots__ = ("_area", "_courses", "_heavy", "_peak", "_weight", "arrivals", "horizon", "queue", "total")

    def __init__(self, queue: float, arrivals: list[float], red_s: float | None) -> None:
        self.queue = queue
        self.arrivals = arrivals
        self.horizon = horizon = len(arrivals)
        sums = [0.0]
        for one in arrivals:
            sums.append(sums[-1] + one)
        self.total = sums
        # prefix sums over the seconds: cumulative arrivals, weight of red, and their product
        area, weight, heavy = [0.0], [0.0], [0.0]
        for t in range(horizon):
            w = 1.0
            if red_s is not None and red_s + t > PATIENCE_S:
                w += (red_s + t - PATIENCE_S) / IMPATIENCE_S
            area.append(area[-1] + sums[t + 1])
            weight.append(weight[-1] + w)
            heavy.append(heavy[-1] + w * sums[t + 1])
        self._area, self._weight, self._heavy = area, weight, heavy
        peak = [0.0] * (horizon + 1)
        for t in range(horizon - 1, -1, -1):
            peak[t] = max(peak[t + 1], arrivals[t])
        self._peak = peak
        self._courses: dict[tuple[int, float, Rate, bool], tuple[list[float], list[float]]] = {}

    def waiting_at(self, second: int) -> float:
        """The queue at a second when the lane stays red until then."""
        return self.queue + self.total[min(second, self.horizon)]

    def wait(self, state: LaneState, until: int) -> LaneState:
        """Red from ``state.at`` to ``until``: everyone who comes stops. First reds weigh by their length."""
        begin, queue, cost, first = state
        if until <= begin:
            return state
        before = self.total[begin]
        come = self.total[until] - before
        if first:
            weight = self._weight[until] - self._weight[begin]
            cost += (queue - before) * weight + self._heavy[until] - self._heavy[begin]
        else:
            cost += (queue - before) * (until - begin) + self._area[until] - self._area[begin]
        return LaneState(until, queue + come, cost + STOP_COST * come, first)

    def finish(self, state: LaneState) -> float:
        """The whole cost when the lane stays red from here to the horizon."""
        end = self.wait(state, self.horizon)
        return end.cost + LEFT_COST * end.queue

    def run(self, state: LaneState, until: int, rate: Rate, fresh: bool) -> LaneState:
        """Green from ``state.at`` to ``until``; fresh: a queue must start up first."""
        begin, queue, cost, _ = state
        until = min(until, self.horizon)
        if until <= begin:
            return state
        key = (begin, queue, rate, fresh)
        course = self._courses.get(key)
        if course is None:
            course = self._courses[key] = self._course(begin, queue, rate, fresh)
        queues, costs = course
        place = min(until - begin, len(queues)) - 1
        return LaneState(until, queues[place], cost + costs[place], False)

    def _course(self, begin: int, queue: float, rate: Rate, fresh: bool) -> tuple[list[float], list[float]]:
        """Queue and cost at the end of each second of a green, up to where the queue is gone for good."""
        low, high, clear, most = rate
        arrivals, peak = self.arrivals, self._peak
        queues: list[float] = []
        costs: list[float] = []
        cost = left = 0.0
        start = begin if fresh and queue > 0.0 else -9
        for t in range(begin, self.horizon):
            come = arrivals[t]
            serve = low if t < clear else high
            if t - start < len(START_UP):
                serve *= START_UP[t - start]
            serve *= 1.0 - left / most  # the chance that nobody who must wait has come first yet
            if queue > 0.5:
                cost += STOP_COST * come
            queue += come
            served = min(queue, serve)
            queue -= served
            left += served
            cost += queue
            queues.append(queue)
            costs.append(cost)
            if queue == 0.0 and t >= clear and peak[t] <= high and most > 1e9:
                break
        return queues, costs
