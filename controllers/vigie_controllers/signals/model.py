"""A junction as controllers that predict see it: stages, lanes, what each stage serves, what detectors tell.

A *stage* is a set of phases that may be on together and that fills every ring of its barrier: with one ring
each phase is a stage. Nothing here is tuned per site; the service rates are typical of urban lanes and are
scaled by the controller's own estimates.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from math import exp

from vigie_controllers.signals.demand import number_of
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import Lane, Movement, SignalSite
from vigie_controllers.signals.words import Frame

SATURATION = 0.5
"""Vehicles per second from one lane with the right of way, straight on."""
SLOWER = {"straight": 1.0, "left": 0.92, "right": 0.82, "u-turn": 0.7}
"""The same for turns, as parts of it: the bend is driven slowly (HCM has 0.95 and 0.85)."""
DRIVERS = {"straight": 2.0, "left": 1.0, "right": 1.0, "u-turn": 0.2}
"""How drivers choose, relative to one another; those of one way spread over the lanes that lead there."""
SNEAKERS = 0.06
"""The same when it must give way to a queue: those who turn at the change."""
GAP_S = 4.5
"""Gap in an opposing stream that a turning vehicle needs."""
FOLLOW_S = 2.3
"""Time between two turning vehicles in one gap."""
TURN_SHARE = 0.25
"""Part of a shared lane's traffic that must give way."""
YIELDING_WEIGHT, MIXED_WEIGHT = 0.25, 0.6
"""What a lane counts for max pressure when all, or some, of it must give way."""
MOST_STAGES = 24
FULL_EXIT = 3.0
"""Standing vehicles at the beginning of an exit that mean it is full."""
INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Service:
    """What a lane gets in a stage.

    yielding: part of its green traffic that must give way; opposing: places of the lanes that go first; exits:
    detector places of its receiving lanes; weight: 1 with the right of way, less without (max pressure).
    channels: its green channels, as a mask. saturation: vehicles per second with the right of way; most:
    vehicles to be expected before one that must stay red stands first and holds up all the others.
    """

    yielding: float
    opposing: tuple[int, ...]
    exits: tuple[tuple[int, ...], ...]
    weight: float
    channels: int
    saturation: float = SATURATION
    most: float = INFINITY

    def rates(self, flow: float) -> tuple[float, float]:
        """Vehicles per second while an opposing queue lasts, and after it, in an opposing stream of ``flow``
        vehicles per second (gap acceptance, Siegloch)."""
        if not self.yielding:
            return self.saturation, self.saturation
        through = 1.0 / FOLLOW_S
        if flow > 0.01:
            through = flow * exp(-flow * GAP_S) / (1.0 - exp(-flow * FOLLOW_S))
        through = max(SNEAKERS, through)
        straight = (1.0 - self.yielding) / self.saturation
        return 1.0 / (straight + self.yielding / SNEAKERS), 1.0 / (straight + self.yielding / through)


@dataclass(frozen=True, slots=True)
class Zone:
    """A stretch of an approach, metres from the stop line, and where its detectors stand among the readings."""

    from_m: float
    to_m: float
    count: int
    halting: int
    share: float


@dataclass(slots=True)
class Approach:
    """An approach lane. service: by stage, None where it stays red."""

    id: str
    speed: float
    reach: float
    zones: tuple[Zone, ...]
    phases: int
    service: list[Service | None] = field(default_factory=list)


class Model:
    """Immutable after construction. stages: masks of phase places; lanes: approaches with zones."""

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        self.plan = plan
        self.stages = _stages(plan)
        self._names = tuple(one.id for one in site.detectors)
        place = {channel.id: c for c, channel in enumerate(site.channels)}
        permissive = [plan.mask(channel.permissive) for channel in site.channels]
        ways: dict[str, list[Movement]] = {}
        for movement in site.movements:
            ways.setdefault(movement.lane, []).append(movement)
        self._spread = Counter((way.channel, way.turn) for way in site.movements)
        self.lanes: list[Approach] = []
        for lane in site.lanes:
            if lane.kind == "approach" and lane.id in ways:
                zones = _zones(site, lane)
                phases = 0
                for way in ways[lane.id]:
                    phases |= plan.parents[place[way.channel]]
                reach = max((zone.to_m for zone in zones), default=0.0)
                self.lanes.append(Approach(lane.id, lane.speed_mps, reach, zones, phases))
        where = {lane.id: k for k, lane in enumerate(self.lanes)}
        exits = _exits(site)
        by_channel: dict[int, set[int]] = {}
        for movement in site.movements:
            if movement.lane in where:
                by_channel.setdefault(place[movement.channel], set()).add(where[movement.lane])
        for approach in self.lanes:
            own = ways[approach.id]
            for stage in self.stages:
                approach.service.append(
                    self._service(stage, own, place, permissive, by_channel, exits, where[approach.id])
                )
        self.exits = tuple(sorted({k for rows in exits.values() for k in rows}))

    def _service(
        self,
        stage: int,
        ways: list[Movement],
        place: dict[str, int],
        permissive: list[int],
        by_channel: dict[int, set[int]],
        exits: dict[str, tuple[int, ...]],
        own: int,
    ) -> Service | None:
        plan = self.plan
        channels = green = yielding = 0
        drivers = seconds = 0.0
        opposing: set[int] = set()
        out: list[tuple[int, ...]] = []
        for way in ways:
            c = place[way.channel]
            parents = plan.parents[c] & stage
            if not parents:
                continue
            many = self.drivers(way)
            drivers += many
            seconds += many / (SATURATION * SLOWER[way.turn])
            if way.to is not None and exits.get(way.to):
                out.append(exits[way.to])
            if not channels >> c & 1:
                channels |= 1 << c
                green += 1
                if not parents & ~permissive[c]:
                    yielding += 1
            if not parents & ~permissive[c]:
                for name in way.yields_to:
                    foe = place[name]
                    if plan.parents[foe] & stage:
                        opposing |= by_channel.get(foe, set())
        if not green:
            return None
        opposing.discard(own)
        gives = yielding > 0 and bool(opposing)
        part = 0.0 if not gives else 1.0 if yielding == green else TURN_SHARE
        weight = 1.0 if not gives else YIELDING_WEIGHT if yielding == green else MIXED_WEIGHT
        held = 1.0 - drivers / sum(map(self.drivers, ways))
        return Service(
            part, tuple(sorted(opposing)) if gives else (), tuple(dict.fromkeys(out)), weight, channels,
            drivers / seconds, 1.0 / held if held > 0.01 else INFINITY,
        )  # fmt: skip

    def drivers(self, way: Movement) -> float:
        """How many choose a way from a lane, relative to its other ways."""
        return DRIVERS[way.turn] / self._spread[way.channel, way.turn]

    def clearance(self, one: int, other: int) -> float:
        """Seconds from the end of a stage's green to the beginning of another's."""
        plan = self.plan
        ending = one & ~other
        return max(
            (plan.phase_yellow[p] + plan.phase_clear[p] for p in range(len(plan.ids)) if ending >> p & 1),
            default=0.0,
        )

    def least(self, stage: int, peds: int) -> float:
        """Least green of a stage when pedestrians of ``peds`` are served in it."""
        plan = self.plan
        return max(
            max(plan.min_green[p], plan.walk[p] + plan.ped_clear[p] if peds >> p & 1 else 0.0)
            for p in range(len(plan.ids))
            if stage >> p & 1
        )

    def stage_of(self, phases: int) -> int:
        """The place of a stage, -1 when these phases are none."""
        try:
            return self.stages.index(phases)
        except ValueError:
            return -1


class View:
    """What the detectors of a model tell now; ``look`` refreshes it from a frame.

    halting, moving: per lane and zone; dark: likewise, True where no detector can be believed; blind: per lane,
    True when all its zones are dark.
    """

    def __init__(self, model: Model, names: tuple[str, ...]) -> None:
        self._model = model
        self._names = names
        self.halting = [[0.0] * len(lane.zones) for lane in model.lanes]
        self.moving = [[0.0] * len(lane.zones) for lane in model.lanes]
        self.dark = [[False] * len(lane.zones) for lane in model.lanes]
        self.blind = [not lane.zones for lane in model.lanes]
        self.exit_halting: dict[int, float] = {}

    def look(self, frame: Frame, failed: frozenset[str]) -> None:
        """Take up a frame; a zone whose detectors failed shows nothing."""
        readings, names = frame.detectors, self._names

        def value(k: int) -> float | None:
            return None if k < 0 or names[k] in failed else number_of(readings[k])

        for place, lane in enumerate(self._model.lanes):
            seen = False
            for z, zone in enumerate(lane.zones):
                count, halting = value(zone.count), value(zone.halting)
                self.dark[place][z] = count is None and halting is None
                if self.dark[place][z]:
                    self.halting[place][z] = self.moving[place][z] = 0.0
                    continue
                seen = True
                stands = (halting or 0.0) * zone.share
                self.halting[place][z] = stands
                self.moving[place][z] = max(0.0, (count or 0.0) * zone.share - stands)
            self.blind[place] = not seen
        for k in self._model.exits:
            self.exit_halting[k] = value(k) or 0.0

    def full(self, service: Service, many: float) -> float:
        """How far the exits let a lane discharge: 1 free, 0.5 some full, 0.1 all full."""
        if not service.exits:
            return 1.0
        blocked = sum(1 for way in service.exits if max(self.exit_halting[k] for k in way) >= many)
        if not blocked:
            return 1.0
        return 0.1 if blocked == len(service.exits) else 0.5


def _stages(plan: Plan) -> tuple[int, ...]:
    stages: list[int] = []
    for barrier in plan.barriers:
        rings = [[p for p in ring if barrier >> p & 1] for ring in plan.rings]
        for chosen in product(*(ring for ring in rings if ring)):
            stages.append(sum(1 << p for p in chosen))
    return tuple(stages[:MOST_STAGES])


def _zones(site: SignalSite, lane: Lane) -> tuple[Zone, ...]:
    found: dict[tuple[float, float], list[int]] = {}
    shares: dict[tuple[float, float], float] = {}
    for k, one in enumerate(site.detectors):
        if one.kind in ("count", "halting") and one.lanes[:1] == (lane.id,):
            row = found.setdefault((one.from_m, one.to_m), [-1, -1])
            row[0 if one.kind == "count" else 1] = k
            shares[one.from_m, one.to_m] = 1.0 / len(one.lanes)
    return tuple(
        Zone(near, far, row[0], row[1], shares[near, far]) for (near, far), row in sorted(found.items())
    )


def _exits(site: SignalSite) -> dict[str, tuple[int, ...]]:
    exits: dict[str, tuple[int, ...]] = {}
    for k, one in enumerate(site.detectors):
        if one.kind == "exit":
            for lane in one.lanes:
                exits[lane] = (*exits.get(lane, ()), k)
    return exits
