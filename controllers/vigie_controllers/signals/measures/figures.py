"""What is counted per phase over a period: split failures, arrivals on green, terminations, pedestrian delay,
queue and delay. Definitions follow the ATSPM measures; each says where it must estimate.

Stop-line detectors of a phase are those of its presence and count detectors nearest to the stop line, arrival
detectors those farthest from it on each lane. A vehicle arrives at the stop line after its distance at the
lane's speed limit. A zone's count only shows net changes, so arrivals into it are estimates from below.
"""

from collections import deque
from collections.abc import Collection, Sequence

from vigie_controllers.contract import State
from vigie_controllers.signals.measures.codes import Code, Event
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import Detector, SignalSite

NAMES = (
    "greens", "green_s", "gap_outs", "max_outs", "force_offs",
    "green_occupancy", "red_occupancy", "split_failures",
    "arrivals", "arrivals_on_green",
    "ped_services", "ped_delay_s", "ped_delay_max_s",
    "queue_max", "delay_veh_s",
)  # fmt: skip
"""Per phase. Occupancies and arrivals_on_green are shares from 0 to 1; delays are seconds and vehicle seconds."""
FULL = 0.8
"""A stop line occupied for this share of the green and of the first seconds of red: a split failure."""
RED_S = 5.0
PENDING = 500
"""Vehicles on their way to the stop line that are remembered."""
SPEED = 13.9
FOREVER = 1e18
EPS = 1e-6
_ENDS = {
    Code.GAP_OUT: "gap_outs",
    Code.MAX_OUT: "max_outs",
    Code.FORCE_OFF: "force_offs",
    Code.PRIORITY_FORCE_OFF: "force_offs",
    Code.PREEMPT_FORCE_OFF: "force_offs",
}


class PhaseFigures:
    """One phase. All times are seconds on the monotonic clock."""

    def __init__(self, standing: bool) -> None:
        """standing: queue and delay come from detectors of standing vehicles, not from arrivals."""
        self._standing = standing
        self.counts: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self._ratios = 0
        self._arrived: deque[float] = deque(maxlen=PENDING)
        self._green: float | None = None
        self._counted_from = 0.0
        self._red_until: float | None = None
        self._occupied: float | None = None
        self._on_s = [0.0, 0.0]
        self._green_share: float | None = None
        self._sound = True
        self._red_count, self._red_sum = 0, 0.0
        self._asked: float | None = None
        self._queue, self._queue_at = 0.0, 0.0

    # -- what happens --------------------------------------------------------------------------------

    def occupied(self, now: float, on: bool, sound: bool) -> None:
        """The stop line is occupied or not; not ``sound`` when no detector there can be believed."""
        self._sound = self._sound and sound
        if on is (self._occupied is not None):
            return
        self._spend(now)
        self._occupied = now if on else None

    def _spend(self, now: float) -> None:
        """Occupied time since the last look, to green or to the beginning of red."""
        since = self._occupied
        if since is None:
            return
        self._occupied = now
        if self._green is not None:
            self._on_s[0] += now - max(since, self._green)
        elif self._red_until is not None:
            begun = self._red_until - RED_S
            self._on_s[1] += max(0.0, min(now, self._red_until) - max(since, begun))

    def arrive(self, at: float) -> None:
        """A vehicle will be at the stop line at ``at``."""
        if len(self._arrived) == PENDING:
            self.settle(self._arrived[0])
        self._arrived.append(at)

    def settle(self, now: float) -> None:
        """Judge who has come to the stop line by ``now`` by what the phase has shown since."""
        arrived, counts = self._arrived, self.counts
        while arrived and arrived[0] <= now:
            at = arrived.popleft()
            counts["arrivals"] += 1
            if self._green is not None:
                counts["arrivals_on_green"] += 1
            else:
                self._red_count += 1
                self._red_sum += at
        if not self._standing:
            counts["queue_max"] = max(counts["queue_max"], self._red_count)

    def begin(self, at: float) -> None:
        """Green begins."""
        self.settle(at)
        self._spend(at)
        if not self._standing:
            self.counts["delay_veh_s"] += max(0.0, self._red_count * at - self._red_sum)
        self._red_count, self._red_sum = 0, 0.0
        self._green = self._counted_from = at
        self._red_until = self._green_share = None
        self._on_s = [0.0, 0.0]
        self._sound = True
        self.counts["greens"] += 1

    def end(self, at: float) -> None:
        """Green ends."""
        begun = self._green
        if begun is None:
            return
        self.settle(at)
        self._spend(at)
        self.counts["green_s"] += at - self._counted_from
        self._green_share = self._on_s[0] / max(at - begun, 0.1)
        self._green = None

    def red(self, at: float) -> None:
        """Red begins, after yellow."""
        if self._green_share is not None:
            self._spend(at)
            self._red_until = at + RED_S

    def due(self) -> float:
        """When the beginning of red has been seen."""
        return FOREVER if self._red_until is None else self._red_until

    def judge(self, now: float) -> None:
        """The first seconds of red are over: has the green been too short?"""
        share = self._green_share
        if self._red_until is None or share is None or now < self._red_until - EPS:
            return
        self._spend(now)
        red = self._on_s[1] / RED_S
        self._red_until = self._green_share = None
        if self._sound:
            self._ratios += 1
            self.counts["green_occupancy"] += share
            self.counts["red_occupancy"] += red
            self.counts["split_failures"] += share >= FULL and red >= FULL

    def ended(self, code: int) -> None:
        """Why a green ended."""
        self.counts[_ENDS[Code(code)]] += 1

    def call(self, at: float) -> None:
        """A pedestrian asked."""
        self._asked = at if self._asked is None else self._asked

    def walk(self, at: float) -> None:
        """Walk begins."""
        waited = 0.0 if self._asked is None else max(0.0, at - self._asked)
        self._asked = None
        counts = self.counts
        counts["ped_services"] += 1
        counts["ped_delay_s"] += waited
        counts["ped_delay_max_s"] = max(counts["ped_delay_max_s"], waited)

    def queue(self, now: float, standing: float) -> None:
        """So many vehicles stand."""
        self.counts["delay_veh_s"] += self._queue * max(0.0, now - self._queue_at)
        self._queue, self._queue_at = standing, now
        self.counts["queue_max"] = max(self.counts["queue_max"], standing)

    # -- the period ----------------------------------------------------------------------------------

    def close(self, now: float) -> dict[str, float | None]:
        """The figures of the period that ends, None where there was nothing to divide by; begins the next."""
        told = self.so_far(now)
        if self._green is not None:
            self._counted_from = now
        self.counts = dict.fromkeys(NAMES, 0.0)
        self.counts["queue_max"] = self._queue if self._standing else float(self._red_count)
        self._ratios = 0
        return told

    def so_far(self, now: float) -> dict[str, float | None]:
        """The same without an end."""
        self.settle(now)
        if self._standing:
            self.queue(now, self._queue)
        counts = self.counts
        told: dict[str, float | None] = dict(counts)
        if self._green is not None:
            told["green_s"] = counts["green_s"] + now - self._counted_from

        def share(name: str, of: float) -> None:
            told[name] = counts[name] / of if of else None

        share("green_occupancy", self._ratios)
        share("red_occupancy", self._ratios)
        share("arrivals_on_green", counts["arrivals"])
        share("ped_delay_s", counts["ped_services"])
        return {name: None if value is None else round(value, 3) for name, value in told.items()}

    def snapshot(self) -> State:
        """The exact state, for replay."""
        state = {name: getattr(self, name) for name in _KEPT}
        return {
            **state,
            "_on_s": list(self._on_s),
            "counts": dict(self.counts),
            "arrived": list(self._arrived),
        }

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        for name in _KEPT:
            setattr(self, name, state[name])
        self._on_s, self.counts = list(state["_on_s"]), dict(state["counts"])
        self._arrived = deque(state["arrived"], maxlen=PENDING)


_KEPT = (
    "_ratios", "_green", "_counted_from", "_red_until", "_occupied", "_green_share", "_sound", "_red_count",
    "_red_sum", "_asked", "_queue", "_queue_at",
)  # fmt: skip


class Figures:
    """All phases of a junction."""

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        detectors = site.detectors
        speeds = {lane.id: lane.speed_mps for lane in site.lanes}
        self._ids = plan.ids
        self._place = plan.place
        self._stop: list[tuple[int, ...]] = []
        self._halting: list[tuple[int, ...]] = []
        self._arrivals: dict[int, list[tuple[int, float]]] = {}
        self._names = tuple(one.id for one in detectors)
        for p, number in enumerate(plan.ids):
            own = [k for k, one in enumerate(detectors) if number in one.phases]
            seeing = [k for k in own if detectors[k].kind in ("presence", "count")]
            nearest = min((detectors[k].from_m for k in seeing), default=0.0)
            self._stop.append(tuple(k for k in seeing if detectors[k].from_m <= nearest + 1.0))
            self._halting.append(tuple(k for k in own if detectors[k].kind == "halting"))
            for k in _farthest(detectors, seeing):
                one = detectors[k]
                metres = one.from_m if one.kind == "presence" else max(one.from_m, one.to_m)
                travel = metres / speeds.get(next(iter(one.lanes), ""), SPEED)
                self._arrivals.setdefault(k, []).append((p, travel))
        self.phases = tuple(PhaseFigures(bool(standing)) for standing in self._halting)
        self._values: list[float | None] = [None] * len(detectors)

    def take(self, events: Sequence[Event]) -> None:
        """Count what happened."""
        for at, code, parameter in events:
            if code in _ENDS:
                self.phases[self._place[parameter]].ended(code)
            elif code in _ACTS:
                _ACTS[Code(code)](self.phases[self._place[parameter]], at)

    def see(self, now: float, values: Sequence[float | None], failed: Collection[str]) -> None:
        """What the detectors report, whenever any of it changed."""
        for k, rows in self._arrivals.items():
            value, before = values[k], self._values[k]
            if value is not None and before is not None and value > before and self._names[k] not in failed:
                for _ in range(min(int(value - before), 20)):
                    for p, travel in rows:
                        self.phases[p].arrive(now + travel)
        self._values = list(values)
        for p, one in enumerate(self.phases):
            believed = [values[k] for k in self._stop[p] if self._names[k] not in failed]
            one.occupied(now, any(believed), bool(believed))
            if self._halting[p]:
                standing = sum(values[k] or 0.0 for k in self._halting[p] if self._names[k] not in failed)
                one.queue(now, standing)

    def judge(self, now: float) -> float:
        """Judge the greens whose first seconds of red are over; when to ask again."""
        for one in self.phases:
            one.judge(now)
        return min((one.due() for one in self.phases), default=FOREVER)

    def told(self, now: float, close: bool) -> dict[str, float | None]:
        """``<phase>/<name>`` -> figure; ``close`` ends the period."""
        return {
            f"{number}/{name}": value
            for number, one in zip(self._ids, self.phases, strict=True)
            for name, value in (one.close(now) if close else one.so_far(now)).items()
        }

    def snapshot(self) -> State:
        """The exact state, for replay."""
        return {"phases": [one.snapshot() for one in self.phases], "values": list(self._values)}

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        for one, row in zip(self.phases, state["phases"], strict=True):
            one.resume(row)
        self._values = list(state["values"])


_ACTS = {
    Code.GREEN_BEGIN: PhaseFigures.begin,
    Code.GREEN_END: PhaseFigures.end,
    Code.YELLOW_END: PhaseFigures.red,
    Code.PED_CALL: PhaseFigures.call,
    Code.WALK_BEGIN: PhaseFigures.walk,
}


def _farthest(detectors: Sequence[Detector], seeing: Sequence[int]) -> list[int]:
    """Of each lane the detector farthest upstream; of detectors without a lane each one."""
    by_lane: dict[str, int] = {}
    alone = []
    for k in seeing:
        lane = next(iter(detectors[k].lanes), None)
        if lane is None:
            alone.append(k)
        elif lane not in by_lane or detectors[k].from_m > detectors[by_lane[lane]].from_m:
            by_lane[lane] = k
    return alone + list(by_lane.values())
