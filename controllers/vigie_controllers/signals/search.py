"""The search of the rolling horizon: which stage to serve next, and when to leave the present one.

Every plan is: hold the present stage for ``t0``, then stage ``j`` for ``t1``, then stage ``k`` to the end of
the horizon. Lanes do not depend on one another except that a queue that goes first delays those that give
way, so each lane's cost is looked up by its own greens and few evaluations serve many plans.
"""

from dataclasses import dataclass

from vigie_controllers.signals.model import Model, Service
from vigie_controllers.signals.predict import Green, LanePrediction

HOLDS = (0, 1, 2, 4, 7, 11, 16, 22, 30)
"""Seconds to go on with the present stage."""
SECONDS = (0, 4, 9, 16)
"""Seconds that the next stage lasts beyond its least green."""
YELLOW_USED = 2
"""Seconds of yellow in which a queue still moves."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The best plan. stage: to be served now, the present one to hold; hold_s, then_s: of the plan;
    next: the stage after the present one; saved: vehicle seconds against the best plan that does otherwise
    (hold instead of leave, leave instead of hold); plans: how many were compared."""

    stage: int
    next: int
    hold_s: int
    then_s: int
    cost: float
    saved: float
    plans: int


class Search:
    """One decision: the lanes as predicted now, and the stages that may follow.

    rates: per lane and stage, the service scaled by what the exits let through (low, high), None on red.
    """

    def __init__(
        self,
        model: Model,
        lanes: list[LanePrediction],
        services: list[list[Service | None]],
        rates: list[list[tuple[float, float]]],
        peds: int,
        present: int,
    ) -> None:
        self._model, self._lanes, self._services, self._rates = model, lanes, services, rates
        self._present = present
        self._peds = peds
        self._horizon = lanes[0].horizon
        self._order = range(len(lanes))
        stages = model.stages
        self._change = [[round(model.clearance(a, b) + 0.49) for b in stages] for a in stages]
        self._least = [round(model.least(stage, peds) + 0.49) for stage in stages]
        self._made: dict[tuple[int, int, int, int, bool], Green] = {}
        self.plans = 0

    def best(self, holds: tuple[int, ...], following: tuple[int, ...], budget: int) -> Choice:
        """The cheapest plan; ``following`` may be reached next. At most ``budget`` plans are looked at."""
        now, horizon = self._present, self._horizon
        best_stay = best_go = (float("inf"), now, 0, 0)
        following, thirds = self._promising(following, len(holds), budget)
        for hold in holds:
            for j in following:
                start = hold + self._change[now][j]
                for more in SECONDS:
                    then = self._least[j] + more
                    end = start + then
                    cost = self._cheapest(hold, j, start, end, thirds if end < horizon else ())
                    if hold == 0:
                        if cost < best_go[0]:
                            best_go = (cost, j, hold, then)
                    elif cost < best_stay[0]:
                        best_stay = (cost, j, hold, then)
                    if end >= horizon:
                        break
        if 0 not in holds or len(holds) > 1:
            stay = self._stay()
            if stay < best_stay[0]:
                best_stay = (stay, now, horizon, 0)
        go = best_go[0] < best_stay[0]
        chosen, other = (best_go, best_stay) if go else (best_stay, best_go)
        return Choice(
            stage=chosen[1] if go else now, next=chosen[1], hold_s=chosen[2], then_s=chosen[3],
            cost=chosen[0], saved=other[0] - chosen[0], plans=self.plans,
        )  # fmt: skip

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
            s: sum(demand[k] * min(1.0, 2.0 * self._rates[k][s][1]) for k in self._order) for s in thirds
        }
        ranked = sorted(following, key=lambda s: -worth[s])
        wide = max(1, int((budget / per) ** 0.5))
        return tuple(ranked[:wide]), tuple(sorted(thirds, key=lambda s: -worth[s])[: wide + 1])

    def _stay(self) -> float:
        """The present stage for the whole horizon."""
        self.plans += 1
        total = 0.0
        for lane in self._order:
            if self._services[lane][self._present] is None:
                total += self._lanes[lane].cost(())
            else:
                total += self._lanes[lane].cost((self._green(lane, self._present, 0, self._horizon, False),))
        return total

    def _cheapest(self, hold: int, j: int, start: int, end: int, thirds: tuple[int, ...]) -> float:
        """The least cost of these two stages with any third, or with none when the horizon is full."""
        now, services = self._present, self._services
        base = 0.0
        alone: list[float] = []
        before: list[tuple[Green, ...]] = []
        for lane in self._order:
            a, b = services[lane][now], services[lane][j]
            greens: tuple[Green, ...] = ()
            on = False
            if a is not None:
                on = b is not None and a.channels & b.channels != 0
                greens = (self._green(lane, now, 0, start if on else hold + YELLOW_USED, False),)
            before.append(greens)
            if b is not None:
                greens += (self._green(lane, j, start, end + YELLOW_USED, not on),)
            cost = self._lanes[lane].cost(greens)
            alone.append(cost)
            base += cost
        self.plans += 1
        if not thirds:
            return base
        least = float("inf")
        for k in thirds:
            if k == j:
                continue
            self.plans += 1
            third = end + self._change[j][k]
            total = base
            for lane in self._order:
                c = services[lane][k]
                if c is None:
                    continue
                greens, b = before[lane], services[lane][j]
                on = b is not None and b.channels & c.channels != 0
                if b is not None:
                    a = services[lane][now]
                    fresh = a is None or not a.channels & b.channels
                    greens += (self._green(lane, j, start, third if on else end + YELLOW_USED, fresh),)
                greens += (self._green(lane, k, third, self._horizon, not on),)
                total += self._lanes[lane].cost(greens) - alone[lane]
            if total < least:
                least = total
        return least

    def _green(self, lane: int, stage: int, begin: int, end: int, fresh: bool) -> Green:
        key = (lane, stage, begin, end, fresh)
        found = self._made.get(key)
        if found is None:
            low, high = self._rates[lane][stage]
            found = Green(begin, end, low, high, self._clear(lane, stage, begin), fresh)
            self._made[key] = found
        return found

    def _clear(self, lane: int, stage: int, begin: int) -> int:
        """When the queues that go first have gone, the opposing lanes having waited until ``begin``."""
        service = self._services[lane][stage]
        if service is None or not service.opposing or service.low == service.high:
            return 0
        last = begin
        for other in service.opposing:
            prediction = self._lanes[other]
            running = begin == 0 or self._services[other][self._present] is not None
            queue = prediction.queue if running else prediction.waiting_at(begin)
            rate = max(0.1, self._rates[other][stage][1])
            if queue > 0.5:
                last = max(last, begin + round(queue / rate) + (0 if begin == 0 else 2))
        return last
