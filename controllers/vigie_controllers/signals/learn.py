"""What a junction learns about its own lanes: arrivals beyond the view, and how fast queues really leave.

Counts alone suffice. Flow into the view is density times speed at its far edge; flow out is what came in
less what the count grew by. Over the seconds in which a queue leaves, the ratio of the flow seen to the flow
expected corrects the service of that lane in that stage: saturation, heavy vehicles, turn shares, gaps that
drivers refuse. Where the queue fills the view nothing can be learnt, and nothing is.
"""

from vigie_controllers.contract import State
from vigie_controllers.signals.model import Approach, Model, View

SMOOTH_S = 120.0
"""Memory of the arrival rate, seconds."""
MEMORY_S = 240.0
"""Memory of the service, seconds of leaving queues."""
PRIOR_S = 60.0
"""Seconds of leaving queues that the first belief is worth."""
START_S = 3
"""Seconds of green before a queue leaves at its full rate."""
LEAST, MOST = 0.3, 1.5
LEAST_OWN, MOST_OWN = 0.85, 1.25
"""The same with the right of way: lane changes that no count explains must not pass for slow queues."""


class Learner:
    """Call ``learn`` once a second. rate: arrivals per lane, vehicles per second."""

    def __init__(self, model: Model) -> None:
        self._model = model
        lanes, stages = len(model.lanes), len(model.stages)
        self.rate = [0.05] * lanes
        self._seen = [[0.0] * stages for _ in range(lanes)]
        self._due = [[0.0] * stages for _ in range(lanes)]
        self._count: list[float | None] = [None] * lanes
        self._green_s = [0] * lanes

    def factor(self, lane: int, stage: int) -> float:
        """By what to multiply the expected service."""
        expected = 0.3 * PRIOR_S
        ratio = (self._seen[lane][stage] + expected) / (self._due[lane][stage] + expected)
        service = self._model.lanes[lane].service[stage]
        if service is None or service.yielding:
            return min(MOST, max(LEAST, ratio))
        return min(MOST_OWN, max(LEAST_OWN, ratio))

    def learn(self, view: View, stage: int) -> None:
        """Take up one second in which ``stage`` was served throughout, -1 when none was."""
        for k, lane in enumerate(self._model.lanes):
            if view.blind[k] or not lane.zones:
                self._count[k] = None
                continue
            edge = lane.zones[-1]
            full = view.halting[k][-1] >= 1.0
            flow = view.moving[k][-1] * lane.speed / max(5.0, edge.to_m - edge.from_m)
            if not full:
                self.rate[k] += (min(flow, 0.6) - self.rate[k]) / SMOOTH_S
            count = sum(view.halting[k]) + sum(view.moving[k])
            before, self._count[k] = self._count[k], None if full else count
            if stage < 0 or lane.service[stage] is None:
                self._green_s[k] = 0
                continue
            self._green_s[k] += 1
            leaving = sum(view.halting[k]) >= 1.0 or view.halting[k][0] + view.moving[k][0] >= 2.0
            if before is not None and not full and leaving and self._green_s[k] > START_S:
                self._note(k, lane, stage, flow - count + before, view)

    def _note(self, k: int, lane: Approach, stage: int, left: float, view: View) -> None:
        service = lane.service[stage]
        if service is None:
            return
        low, high = service.rates(sum(self.rate[other] for other in service.opposing))
        held = any(sum(view.halting[other]) >= 1.0 for other in service.opposing)
        keep = 1.0 - 1.0 / MEMORY_S
        self._seen[k][stage] = self._seen[k][stage] * keep + left
        self._due[k][stage] = self._due[k][stage] * keep + (low if held else high)

    def snapshot(self) -> State:
        """Everything learnt."""
        return {
            "rate": list(self.rate),
            "seen": [list(row) for row in self._seen],
            "due": [list(row) for row in self._due],
            "count": list(self._count),
            "green_s": list(self._green_s),
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot of the same site."""
        if len(state["rate"]) != len(self.rate) or any(
            len(row) != len(self._model.stages) for row in state["due"]
        ):
            raise ValueError("the snapshot belongs to another site")
        self.rate = list(state["rate"])
        self._seen = [list(row) for row in state["seen"]]
        self._due = [list(row) for row in state["due"]]
        self._count, self._green_s = list(state["count"]), list(state["green_s"])
