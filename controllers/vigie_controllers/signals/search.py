"""The search of the rolling horizon: which stage to serve next, and when to leave the present one.

Every plan is: hold the present stage for ``t0``, then stage ``j`` for ``t1``, then stage ``k`` to the end of
the horizon. Lanes do not depend on one another except that a queue that goes first delays those that give
way, so a plan's cost is a sum over lanes, and what plans have in common is computed once.
"""

from dataclasses import dataclass

from vigie_controllers.signals.model import INFINITY, Model, Service
from vigie_controllers.signals.predict import LanePrediction, LaneState, Rate

HOLDS = (0, 1, 2, 4, 7, 11, 16, 22, 30)
"""Seconds to go on with the present stage."""
SECONDS = (0, 4, 9, 16)
"""Seconds that the next stage lasts beyond its least green."""
YELLOW_USED = 1
"""Seconds of yellow in which a queue still moves."""
GO_ON = 2.0
"""Vehicle seconds that going on must be worth while others stand: who is too near to stop drives on in yellow,
which plans count as stops, so that they think too well of a green's next second."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The best plan. stage: to be served now, the present one to hold; next: the stage after the present
    one; hold_s, then_s: of the plan; third: the stage after that, -1 for none; saved: vehicle seconds against
    the best plan that does otherwise (holds instead of leaving, leaves instead of holding); plans: how many
    were compared."""

    stage: int
    next: int
    hold_s: int
    then_s: int
    third: int
    cost: float
    saved: float
    plans: int


class Search:
    """One decision: the lanes as predicted now, and the stages that may follow.

    services, rates, most: per lane and stage; rates are the service scaled by what the exits let through, most
    how many vehicles can leave at all.
    """

    def __init__(
        self,
        model: Model,
        lanes: list[LanePrediction],
        services: list[list[Service | None]],
        rates: list[list[tuple[float, float]]],
        most: list[list[float]],
        peds: int,
        present: int,
    ) -> None:
        self._lanes, self._services, self._rates, self._most = lanes, services, rates, most
        self._present = present
        self._horizon = lanes[0].horizon
        stages = model.stages
        self._change = [[round(model.clearance(a, b) + 0.49) for b in stages] for a in stages]
        self._least = [round(model.least(stage, peds) + 0.49) for stage in stages]
        self._served = [
            [lane for lane, own in enumerate(services) if own[stage] is not None]
            for stage in range(len(stages))
        ]
        self._rate_at: dict[tuple[int, int, int], Rate] = {}
        self._began = [LaneState(0, lane.queue, 0.0, True) for lane in lanes]
        self.plans = 0

    def best(self, holds: tuple[int, ...], following: tuple[int, ...], budget: int) -> Choice:
        """The cheapest plan; ``following`` may be reached next.

        As many stages are looked at as make about ``budget`` plans, never more than twice as many, and never fewer
        than one next stage with two after it (73 plans).
        """
        stay = go = (INFINITY, self._present, 0, 0, -1)
        following, thirds = self._promising(following, len(holds), budget)
        if len(holds) > 1:
            stay = (self._stay(), self._present, self._horizon, 0, -1)
        for hold in holds:
            for j in following:
                if hold == 0:
                    cost, then, third = self._branch(hold, j, thirds, go[0])
                    if cost < go[0]:
                        go = (cost, j, hold, then, third)
                else:
                    cost, then, third = self._branch(hold, j, thirds, stay[0])
                    if cost < stay[0]:
                        stay = (cost, j, hold, then, third)
        leave = go[0] < stay[0] + (GO_ON if self._asked(go[1]) else 0.0)
        chosen, other = (go, stay) if leave else (stay, go)
        return Choice(
            stage=chosen[1] if leave else self._present, next=chosen[1], hold_s=chosen[2], then_s=chosen[3],
            third=chosen[4], cost=chosen[0], saved=0.0 if other[0] == INFINITY else max(0.0, other[0] - chosen[0]),
            plans=self.plans,
        )  # fmt: skip

    def _asked(self, stage: int) -> bool:
        """Whether somebody stands now whom a stage serves and the present one does not."""
        return any(
            self._services[place][self._present] is None and self._lanes[place].queue >= 1.0
            for place in self._served[stage]
        )

    def _promising(
        self, following: tuple[int, ...], holds: int, budget: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The next and third stages to look at: those with the most to serve, as many as the budget allows."""
        thirds = tuple(dict.fromkeys((*following, self._present)))
        per = holds * len(SECONDS)
        if per * len(following) * max(1, len(thirds) - 1) <= budget:
            return following, thirds
        half = self._horizon // 2
        demand = [lane.waiting_at(half) for lane in self._lanes]
        worth = {
            s: sum(demand[k] * min(1.0, 2.0 * self._rates[k][s][1]) for k in self._served[s]) for s in thirds
        }
        ranked = sorted(following, key=lambda s: -worth[s])
        wide = max(1, int((budget / per) ** 0.5))
        return tuple(ranked[:wide]), tuple(sorted(thirds, key=lambda s: -worth[s])[: wide + 1])

    def _stay(self) -> float:
        """The present stage for the whole horizon."""
        self.plans += 1
        now, total = self._present, 0.0
        for place, lane in enumerate(self._lanes):
            state = self._began[place]
            if self._services[place][now] is not None:
                state = lane.run(state, self._horizon, self._rate(place, now, 0), False)
            total += lane.finish(state)
        return total

    def _branch(self, hold: int, j: int, thirds: tuple[int, ...], limit: float) -> tuple[float, int, int]:
        """The least cost of leaving for ``j`` after ``hold``, how long ``j`` then lasts, and what follows it;
        only plans cheaper than ``limit`` are followed to their end."""
        now, lanes, services, horizon = self._present, self._lanes, self._services, self._horizon
        start = min(hold + self._change[now][j], horizon)
        states = list(self._began)
        through = [False] * len(lanes)  # green in the present stage and on into the next
        for place in self._served[now]:
            on = through[place] = goes_on(services[place][now], services[place][j])
            until = start if on else hold + YELLOW_USED
            states[place] = lanes[place].run(states[place], until, self._rate(place, now, 0), False)
        outside = [lane.finish(states[place]) for place, lane in enumerate(lanes)]
        mine = self._served[j]
        base = sum(outside) - sum(outside[place] for place in mine)
        for place in mine:
            states[place] = lanes[place].wait(states[place], start)
        best, length, third = limit, 0, -1
        for more in SECONDS:
            then = self._least[j] + more
            end = start + then
            after, costs, total = states.copy(), outside.copy(), base
            for place in mine:
                rate = self._rate(place, j, start)
                after[place] = lanes[place].run(states[place], end + YELLOW_USED, rate, not through[place])
                costs[place] = lanes[place].finish(after[place])
                total += costs[place]
            self.plans += 1
            if end >= horizon:
                if total < best:
                    best, length, third = total, then, -1
                break
            for k in thirds:
                if k != j:
                    cost = self._third(j, k, start, end, states, after, costs, through, total, best)
                    if cost < best:
                        best, length, third = cost, then, k
        return best, length, third

    def _third(
        self,
        j: int,
        k: int,
        start: int,
        end: int,
        states: list[LaneState],
        after: list[LaneState],
        costs: list[float],
        through: list[bool],
        total: float,
        limit: float,
    ) -> float:
        """The cost when ``k`` is served from the end of ``j`` to the horizon, ``total`` when it is not.

        Given up once it cannot come out below ``limit``: no lane costs less than it has cost by then.
        """
        self.plans += 1
        mine = self._served[k]
        for place in mine:
            total -= costs[place] - min(states[place].cost, after[place].cost)
        if total >= limit:
            return INFINITY
        third = min(end + self._change[j][k], self._horizon)
        for place in mine:
            lane = self._lanes[place]
            on = goes_on(self._services[place][j], self._services[place][k])
            if on:
                state = lane.run(states[place], third, self._rate(place, j, start), not through[place])
            else:
                state = lane.wait(after[place], third)
            state = lane.run(state, self._horizon, self._rate(place, k, third), not on)
            total += lane.finish(state) - min(states[place].cost, after[place].cost)
            if total >= limit:
                return INFINITY
        return total

    def _rate(self, place: int, stage: int, begin: int) -> Rate:
        """A lane's rates in a stage from ``begin``; those it gives way to have waited until then."""
        key = (place, stage, begin)
        found = self._rate_at.get(key)
        if found is None:
            low, high = self._rates[place][stage]
            clear = self._clear(place, stage, begin)
            found = self._rate_at[key] = Rate(low, high, clear, self._most[place][stage])
        return found

    def _clear(self, place: int, stage: int, begin: int) -> int:
        service = self._services[place][stage]
        if service is None or not service.opposing:
            return 0
        last = begin
        for other in service.opposing:
            lane = self._lanes[other]
            running = begin == 0 or self._services[other][self._present] is not None
            queue = lane.queue if running else lane.waiting_at(begin)
            if queue > 0.5:
                rate = max(0.1, self._rates[other][stage][1])
                last = max(last, begin + round(queue / rate) + (0 if begin == 0 else 2))
        return last


def goes_on(one: Service | None, other: Service | None) -> bool:
    """Whether a lane stays green when one stage follows another: a channel of its is in both."""
    return one is not None and other is not None and one.channels & other.channels != 0
