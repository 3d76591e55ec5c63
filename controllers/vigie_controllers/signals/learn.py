"""What a junction learns about its own lanes: arrivals beyond the view, and how fast queues really leave.

Counts alone suffice. Flow into the view is density times speed at its far edge. How fast queues leave is told
by those that stand when a green begins: as long as the last zone before the queue's tail still has a standing
vehicle, nobody can have come into the stretch before it, so that what its count falls by has crossed the stop
line. Lane changes, shared zones and new arrivals cannot deceive this. Drivers and vehicles are the same in
all lanes of a junction, so lanes with the right of way share what they learn; gaps that drivers refuse and
turn shares are learnt lane by lane.
"""

from dataclasses import astuple, dataclass

from vigie_controllers.contract import State
from vigie_controllers.signals.model import INFINITY, Model, View

SMOOTH_S = 120.0
"""Memory of the arrival rate, seconds."""
START_S = 1
"""Seconds of green that count for nothing: the count follows the flow by half a vehicle."""
MEMORY = 60.0
"""Most vehicles that are remembered, per lane and stage; of a junction as a whole, twice as many."""
PRIOR = 6.0
"""Vehicles that the first belief is worth."""
PRIOR_SHARED = 3.0
"""The same for who comes first in a lane with movements that must wait."""
LEAST, MOST = 0.4, 1.3
"""Bounds with the right of way."""
LEAST_YIELDING, MOST_YIELDING = 0.2, 1.6
CAR_M = 7.0
"""Metres of a standing vehicle with its gap, at least."""
SHORTEST_S = 6
"""Shorter observations tell nothing: one vehicle more or less is too much."""
MOVING_S = 4
"""By then the first vehicles of a queue move."""


@dataclass(slots=True)
class _Watch:
    """A queue that leaves. zone: last one of its stretch; count: vehicles there at the beginning; due: how
    many should have left by now; seconds: of green; gone: it has dissolved. shared: a stop line shared with a
    movement that stays red, watched to the end of the service."""

    stage: int
    zone: int
    count: float
    shared: bool = False
    due: float = 0.0
    seconds: int = 0
    gone: bool = False


class Learner:
    """Call ``learn`` once a second. rate: arrivals per lane, vehicles per second."""

    def __init__(self, model: Model) -> None:
        self._model = model
        lanes, stages = len(model.lanes), len(model.stages)
        self.rate = [0.05] * lanes
        self._left = [[0.0] * stages for _ in range(lanes)]
        self._due = [[0.0] * stages for _ in range(lanes)]
        self._all_left = self._all_due = 0.0
        self._green = [False] * lanes
        self._before: list[tuple[list[float], list[float]] | None] = [None] * lanes
        self._watch: list[_Watch | None] = [None] * lanes

    def factor(self, lane: int, stage: int) -> float:
        """By what to multiply the expected service."""
        common = min(MOST, max(LEAST, (self._all_left + PRIOR) / (self._all_due + PRIOR)))
        ratio = (self._left[lane][stage] + common * PRIOR) / (self._due[lane][stage] + PRIOR)
        service = self._model.lanes[lane].service[stage]
        if service is None or service.yielding:
            return min(MOST_YIELDING, max(LEAST_YIELDING, ratio))
        if service.most < INFINITY:
            return common
        return min(MOST, max(LEAST, ratio))

    def most(self, lane: int, stage: int) -> float:
        """Vehicles that can leave in one service before one that must stay red holds them up."""
        service = self._model.lanes[lane].service[stage]
        if service is None or service.most == INFINITY:
            return INFINITY
        first = 1.0 / service.most
        left, held = self._left[lane][stage], self._due[lane][stage]
        return (left + held + PRIOR_SHARED) / (held + first * PRIOR_SHARED)

    def learn(self, view: View, stage: int) -> None:
        """Take up one second in which ``stage`` was served throughout, -1 when none was."""
        for k, lane in enumerate(self._model.lanes):
            if view.blind[k]:
                self._before[k], self._watch[k] = None, None
                continue
            if view.halting[k][-1] < 1.0:
                edge = lane.zones[-1]
                flow = view.moving[k][-1] * lane.speed / max(5.0, edge.to_m - edge.from_m)
                self.rate[k] += (min(flow, 0.6) - self.rate[k]) / SMOOTH_S
            green = stage >= 0 and lane.service[stage] is not None
            watch = self._watch[k]
            if green and not self._green[k]:
                self._begin(k, stage)
            elif watch is not None and (not green or watch.stage != stage):
                self._end(k, view)
            self._green[k] = green
            self._follow(k, view)
            self._before[k] = (list(view.halting[k]), list(view.moving[k]))

    def _begin(self, k: int, stage: int) -> None:
        """The green of a lane has just begun: what stood a second ago?"""
        self._watch[k] = None
        before, zones = self._before[k], self._model.lanes[k].zones
        if before is None:
            return
        halting, moving = before
        tail = 0
        while tail < len(zones) and zones[tail].share == 1.0 and halting[tail] >= 1.0:
            tail += 1
        service = self._model.lanes[k].service[stage]
        if tail and service is not None and service.most < INFINITY:
            self._watch[k] = _Watch(stage, tail - 1, sum(halting[:tail]), True)
            return
        # Where the queue goes on, or fills its last zone, nobody can join.
        if tail and halting[tail - 1] < max(1, int((zones[tail - 1].to_m - zones[tail - 1].from_m) / CAR_M)):
            tail -= 1
        if tail:
            count = sum(halting[:tail]) + sum(moving[:tail])
            self._watch[k] = _Watch(stage, tail - 1, count)

    def _follow(self, k: int, view: View) -> None:
        watch = self._watch[k]
        if watch is None:
            return
        service = self._model.lanes[k].service[watch.stage]
        if service is None or view.full(service, 2.0) < 1.0:
            self._watch[k] = None  # it does not stand for want of service
            return
        watch.seconds += 1
        if watch.seconds > START_S:
            low, high = service.rates(sum(self.rate[other] for other in service.opposing))
            held = any(sum(view.halting[other]) >= 1.0 for other in service.opposing)
            watch.due += low if held else high
        if watch.shared:
            watch.gone |= watch.seconds >= MOVING_S and view.halting[k][0] < 1.0
        elif view.halting[k][watch.zone] < 1.0:
            self._end(k, view)

    def _end(self, k: int, view: View) -> None:
        watch, self._watch[k] = self._watch[k], None
        if watch is None or watch.seconds < (MOVING_S if watch.shared else SHORTEST_S):
            return
        stage, service = watch.stage, self._model.lanes[k].service[watch.stage]
        if watch.shared:
            self._end_shared(k, watch)
            return
        here = slice(0, watch.zone + 1)
        left = max(0.0, watch.count - sum(view.halting[k][here]) - sum(view.moving[k][here]))
        self._remember(k, stage, left, watch.due)
        if service is not None and not service.yielding:
            self._all_left += left
            self._all_due += watch.due
            if self._all_due > 2 * MEMORY:
                keep = 2 * MEMORY / self._all_due
                self._all_left *= keep
                self._all_due *= keep

    def _end_shared(self, k: int, watch: _Watch) -> None:
        """How often somebody who may not go came first, among how many. Who still stands at the stop line in the
        last second of green is held up: a queue that leaves moves there by then."""
        before = self._before[k]
        stands = 0.0 if before is None else sum(before[0][: watch.zone + 1])
        held = before is not None and before[0][0] >= 1.0
        left = watch.count if watch.gone else watch.count - stands if held else min(watch.count, watch.due)
        self._remember(k, watch.stage, max(0.0, left), 1.0 if held else 0.0)

    def _remember(self, k: int, stage: int, left: float, due: float) -> None:
        """Add to a lane's balance in a stage, within the memory."""
        self._left[k][stage] += left
        self._due[k][stage] += due
        known = max(self._left[k][stage], self._due[k][stage])
        if known > MEMORY:
            self._left[k][stage] *= MEMORY / known
            self._due[k][stage] *= MEMORY / known

    def snapshot(self) -> State:
        """Everything learnt."""
        return {
            "rate": list(self.rate),
            "left": [list(row) for row in self._left],
            "due": [list(row) for row in self._due],
            "all": [self._all_left, self._all_due],
            "green": list(self._green),
            "before": [None if one is None else [list(row) for row in one] for one in self._before],
            "watch": [None if one is None else list(astuple(one)) for one in self._watch],
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot of the same site."""
        if len(state["rate"]) != len(self.rate) or any(
            len(row) != len(self._model.stages) for row in state["due"]
        ):
            raise ValueError("the snapshot belongs to another site")
        self.rate = list(state["rate"])
        self._left = [list(row) for row in state["left"]]
        self._due = [list(row) for row in state["due"]]
        self._all_left, self._all_due = state["all"]
        self._green = list(state["green"])
        self._before = [None if one is None else (list(one[0]), list(one[1])) for one in state["before"]]
        self._watch = [None if one is None else _Watch(*one) for one in state["watch"]]
