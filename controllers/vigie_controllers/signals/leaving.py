"""What a junction lets out, told to its neighbours: departures per exit lane under the plan in force.

All lanes are stepped together, second by second, through the stages of the plan; whoever gives way does so
while a queue that goes first lasts. Which way the drivers of a shared lane take is not known here: straight on
counts double. Who hears it scales it by what arrives (``coming``).
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from vigie_controllers.contract import State
from vigie_controllers.signals.model import Model
from vigie_controllers.signals.neighbours import BIN_S, MOST_PER_BIN, TTL_S, Forecast
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.predict import START_UP, LanePrediction
from vigie_controllers.signals.search import YELLOW_USED, Choice, goes_on
from vigie_controllers.signals.site import SignalSite

Rates = Sequence[Sequence[tuple[float, float]]]
"""Per lane and stage: vehicles per second while an opposing queue lasts, and after it."""


FOR_EVER = 1e9
"""Seconds; longer than any plan."""


class Part(NamedTuple):
    """A stage of the plan in force, its green in monotonic seconds."""

    stage: int
    begin: float
    end: float


class Leaving:
    """The plan in force, and what it lets out. told: somebody is to hear of it."""

    def __init__(self, site: SignalSite, plan: Plan, model: Model) -> None:
        self._model = model
        self._exits = tuple(dict.fromkeys(lane for one in site.downstream for lane in one.exits))
        self.told = bool(self._exits)
        place = {channel.id: c for c, channel in enumerate(site.channels)}
        exits = {lane: number for number, lane in enumerate(self._exits)}
        self._ways: list[list[tuple[tuple[int, float], ...]]] = []
        for lane in model.lanes:
            ways = [one for one in site.movements if one.lane == lane.id]
            rows = []
            for stage in model.stages:
                row: dict[int, float] = {}
                total = 0.0
                for way in ways:
                    if plan.parents[place[way.channel]] & stage:
                        many = model.drivers(way)
                        total += many
                        if way.to in exits:
                            row[exits[way.to]] = row.get(exits[way.to], 0.0) + many
                rows.append(tuple((number, many / total) for number, many in row.items()))
            self._ways.append(rows)
        self._parts: tuple[Part, ...] = ()

    def follow(self, now: float, present: int, choice: Choice) -> None:
        """Take up what was decided."""
        model, end = self._model, now + choice.hold_s
        parts = [Part(present, now - 1.0, end)]
        for stage, last in ((choice.next, choice.then_s), (choice.third, FOR_EVER)):
            before = parts[-1].stage
            if stage >= 0 and stage != before:
                begin = end + ceil(model.clearance(model.stages[before], model.stages[stage]))
                end = begin + last
                parts.append(Part(stage, begin, end))
        self._parts = tuple(parts)

    def forget(self) -> None:
        """No plan is in force."""
        self._parts = ()

    def forecast(
        self,
        now: float,
        utc: float,
        present: int,
        lanes: Sequence[LanePrediction],
        rates: Rates,
        most: Sequence[Sequence[float]],
        horizon: int,
    ) -> Forecast:
        """What leaves from now on. present: the stage that is green, -1 while none is; most: per lane and stage,
        how many can leave before one who must wait comes first."""
        if present >= 0 and not any(part.stage == present and now <= part.end for part in self._parts):
            # Not what was planned (the guard stepped in): nothing is known but this.
            self._parts = (Part(present, now - 1.0, now + FOR_EVER),)
        bins = ceil(horizon / BIN_S)
        counts = [[0.0] * bins for _ in self._exits]
        for t, served in enumerate(self._served(now, lanes, rates, most, horizon)):
            for k, stage, many in served:
                for number, share in self._ways[k][stage]:
                    counts[number][int(t / BIN_S)] += many * share
        rows = tuple(
            (name, tuple(min(MOST_PER_BIN, round(one, 3)) for one in row))
            for name, row in zip(self._exits, counts, strict=True)
        )
        return Forecast("", utc, TTL_S, BIN_S, rows)

    def _served(
        self,
        now: float,
        lanes: Sequence[LanePrediction],
        rates: Rates,
        most: Sequence[Sequence[float]],
        horizon: int,
    ) -> list[list[tuple[int, int, float]]]:
        """Per second: (lane, stage, vehicles)."""
        count = len(self._model.lanes)
        queues = [lanes[k].queue for k in range(count)]
        begun = [len(START_UP)] * count  # seconds of green so far: what is green now has started up
        passed = [(-1, 0.0)] * count  # the stage it is served in, and how many it let go there
        told = []
        for t in range(horizon):
            before, after = self._stages_at(now + t)
            row = []
            for k in range(count):
                queues[k] += lanes[k].arrivals[t]
                stage = self._served_in(k, before, after)
                if stage < 0:
                    begun[k] = 0
                    continue
                many = self._rate(k, stage, queues, rates)
                if begun[k] < len(START_UP) and queues[k] > 0.0:
                    many *= START_UP[begun[k]]
                begun[k] += 1
                gone = passed[k][1] if passed[k][0] == stage else 0.0
                left = min(queues[k], many * (1.0 - gone / most[k][stage]))
                passed[k] = (stage, gone + left)
                queues[k] -= left
                if left > 0.0 and self._ways[k][stage]:
                    row.append((k, stage, left))
            told.append(row)
        return told

    def _served_in(self, k: int, before: int, after: int) -> int:
        """The stage in which a lane is served, -1 when it is not: in a clearance, who stays green is."""
        services = self._model.lanes[k].service
        if before == after or after < 0:
            return before if before >= 0 and services[before] is not None else -1
        return before if goes_on(services[before], services[after]) else -1

    def _rate(self, k: int, stage: int, queues: Sequence[float], rates: Rates) -> float:
        low, high = rates[k][stage]
        service = self._model.lanes[k].service[stage]
        held = service is not None and any(queues[other] > 0.5 for other in service.opposing)
        return low if held else high

    def _stages_at(self, at: float) -> tuple[int, int]:
        """The stage at an instant, twice; in a clearance the one that ends and the one that follows."""
        before = -1
        for part in self._parts:
            if at < part.begin:
                return (before, part.stage) if before >= 0 else (-1, -1)
            if at < part.end + YELLOW_USED:
                return part.stage, part.stage
            before = part.stage
        return -1, -1

    def snapshot(self) -> State:
        """The plan in force."""
        return {"parts": [list(part) for part in self._parts]}

    def restore(self, state: State) -> None:
        """Take up a snapshot of the same site."""
        stages = len(self._model.stages)
        parts = tuple(Part(int(one[0]), float(one[1]), float(one[2])) for one in state["parts"])
        if any(not 0 <= part.stage < stages for part in parts):
            raise ValueError("the snapshot belongs to another site")
        self._parts = parts
