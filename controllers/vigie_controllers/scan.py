"""The scan: freeze, step the loops that are due, pass the write gate. Pure; the agent and the
simulator's in-process run use this same code, so that they decide the same.

One ``ScanEngine`` is one gateway: its loops, its write gate, its leases and its policies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vigie_controllers.contract import Decision, Intervention, State
from vigie_controllers.gate import OutputSpec, WriteGate
from vigie_controllers.image import Image, PointTable
from vigie_controllers.leases import LeaseBook
from vigie_controllers.loops import GuardedLoop, LoopStep, ParamError
from vigie_controllers.policy.armed import ArmedPolicies
from vigie_protocols.points import NEVER, SCAN_OVERRUN, ClockTrust, Quality, Reading, Value

_TRUSTED = {ClockTrust.SYNCED: Quality.GOOD, ClockTrust.HOLDOVER: Quality.UNCERTAIN}
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What one scan gave.

    values: one per output of the engine, in its order, already through the gate.
    decisions, interventions: what was decided anew and where guards or gate stepped in.
    loops: names of the loops that ran.
    """

    values: tuple[Value, ...]
    decisions: tuple[Decision, ...]
    interventions: tuple[Intervention, ...]
    loops: tuple[str, ...]


class _Bound:
    """A loop with its points resolved to places."""

    __slots__ = ("every", "last_frame", "loop", "next_scan", "outputs", "places", "readings")

    def __init__(self, loop: GuardedLoop[Any, Any], table: PointTable, outputs: Mapping[str, int], base_s: float) -> None:
        self.loop = loop
        self.every = max(1, round(loop.period_s / base_s))
        self.next_scan = 0
        self.places = tuple(table.index[name] for name in loop.domain.reads)
        self.outputs = tuple(outputs[name] for name in loop.domain.writes)
        self.last_frame = -1
        self.readings: tuple[Reading[Value], ...] = ()


class ScanEngine:
    """All loops of one gateway on one grid of scans ``base_s`` apart.

    table: the gateway's points; outputs: what may be written, in the order of the output frames.
    A written point belongs to one loop at most.
    """

    def __init__(
        self,
        table: PointTable,
        loops: Sequence[GuardedLoop[Any, Any]],
        outputs: Sequence[OutputSpec],
        base_s: float,
        expiry_s: float,
        policies: ArmedPolicies,
        leases: LeaseBook,
    ) -> None:
        self.table = table
        self.base_s = base_s
        self.outputs = tuple(outputs)
        self.policies = policies
        self.leases = leases
        places = {spec.name: place for place, spec in enumerate(outputs)}
        owners: dict[str, str] = {}
        for loop in loops:
            for name in loop.domain.writes:
                if owners.setdefault(name, loop.name) != loop.name:
                    raise ParamError(loop.name, "points", f"{name} is written by loop {owners[name]} already")
        self.loops = tuple(_Bound(loop, table, places, base_s) for loop in loops)
        self._owned = {name: bound for bound in self.loops for name in bound.loop.domain.writes}
        self.gate = WriteGate(outputs, expiry_s)
        self._readbacks = tuple(None if one.readback is None else table.index[one.readback] for one in outputs)
        self._places = places
        self._overrun_place = table.index[SCAN_OVERRUN]
        self._seen = -1

    def scan(self, now: float, utc: float, trust: ClockTrust, image: Image, overrun: bool = False) -> ScanOutcome:
        """One scan at ``now`` (monotonic) and ``utc``, on ``image``. Never raises for what readings say."""
        number = int(now / self.base_s + _HALF)
        clock = Reading(utc, _TRUSTED.get(trust, Quality.BAD), utc, now if trust else NEVER)
        decisions: list[Decision] = []
        interventions: list[Intervention] = []
        if self.policies.tick(now, utc, trust, decisions):
            self._apply_policies(decisions)
        forces = self.leases.active(now, decisions)
        wanted: dict[int, Value] = {}
        ran: list[str] = []
        for bound in self.loops:
            if number < bound.next_scan:
                continue
            bound.next_scan = number - number % bound.every + bound.every
            if image.frame != bound.last_frame:
                bound.last_frame = image.frame
                bound.readings = tuple([image.readings[place] for place in bound.places])
            mine = {name: forces[name] for name in bound.loop.domain.writes if name in forces} if forces else {}
            step: LoopStep = bound.loop.step(now, clock, overrun, bound.readings, mine)
            wanted.update(zip(bound.outputs, step.values, strict=True))
            decisions.extend(step.decisions)
            interventions.extend(step.interventions)
            ran.append(bound.loop.name)
        for name, value in forces.items():
            if name not in self._owned and name in self._places:
                wanted[self._places[name]] = value  # a spare output: the gate alone guards it
        if image.frame != self._seen:
            self._seen = image.frame
            shown = [None if place is None else image.readings[place] for place in self._readbacks]
            interventions.extend(self.gate.read_back(now, shown))
        values, stopped = self.gate.permit(now, wanted)
        interventions.extend(stopped)
        return ScanOutcome(values, tuple(decisions), tuple(interventions), tuple(ran))

    def check_policies(self, overrides: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Try parameters (loop -> kind -> parameters) against every envelope; raises ParamError, changes nothing."""
        for bound in self.loops:
            bound.loop.stage(overrides.get(bound.loop.name, {}))

    def _apply_policies(self, decisions: list[Decision]) -> None:
        overrides = self.policies.overrides()
        try:
            staged = [(one.loop, one.loop.stage(overrides.get(one.loop.name, {}))) for one in self.loops]
        except ParamError as error:
            # Checked when it was staged; if it fails now the loops stay as they are and say so.
            decisions.append(Decision("policy", error.kind, "not-applied", str(error)))
            return
        for loop, changes in staged:
            if changes:
                loop.adopt(changes)
                decisions.append(Decision("policy", loop.name, "applied", f"{loop.name} runs with new parameters"))

    def effective(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The parameters in force: loop -> kind -> parameters."""
        return {one.loop.name: one.loop.effective() for one in self.loops}

    def snapshot(self, now: float) -> State:
        """Everything that goes on after a restart; times to live as what remains at ``now``."""
        return {
            "loops": {one.loop.name: one.loop.snapshot() for one in self.loops},
            "gate": self.gate.snapshot(),
            "leases": self.leases.snapshot(now),
            "policies": self.policies.snapshot(now),
        }

    def restore(self, state: State, now: float) -> list[Decision]:
        """Take up a snapshot part by part; a part that does not fit is left out and named."""
        notes: list[Decision] = []
        parts: list[tuple[str, Any]] = [
            ("policies", lambda: self.policies.restore(state["policies"], now)),
            ("leases", lambda: self.leases.restore(state["leases"], now)),
            ("gate", lambda: self.gate.restore(state["gate"])),
        ]
        for one in self.loops:
            parts.append((one.loop.name, lambda one=one: one.loop.restore(state["loops"][one.loop.name])))
        for name, restore in parts:
            try:
                restore()
            except (KeyError, TypeError, ValueError) as error:
                notes.append(Decision("scan", name, "not-restored", f"{type(error).__name__}: {error}"))
        return notes
