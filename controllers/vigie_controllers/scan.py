"""The scan: freeze, step the loops that are due, pass the write gate. Pure; the agent and the
simulator's in-process run use this same code, so that they decide the same.

One ``ScanEngine`` is one gateway: its loops, its write gate, its leases and its policies.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from vigie_controllers.alarms import AlarmChange, AlarmRule, AlarmWatch
from vigie_controllers.contract import Decision, Intervention, State
from vigie_controllers.gate import OutputSpec, WriteGate
from vigie_controllers.image import Image, PointTable
from vigie_controllers.leases import LeaseBook
from vigie_controllers.loops import ControllerKind, GuardedLoop, LoopStep, ParamError
from vigie_controllers.policy.armed import PolicyLife
from vigie_controllers.policy.document import Place
from vigie_protocols.points import NEVER, ClockTrust, Quality, Reading, Value

_TRUSTED = {ClockTrust.SYNCED: Quality.GOOD, ClockTrust.HOLDOVER: Quality.UNCERTAIN}
_HALF = 0.5
_ROUNDING = 1e-6
"""Of a scan's period: what sums of floats may fall short of a whole number of them."""
_QUIET_S = 10.0
"""An intervention that goes on is told once; it is told again after this many seconds without it."""

Told = TypeVar("Told", Decision, Intervention)


class Fault(NamedTuple):
    """A latched fault of a loop: what it concerns (``pump 1``), the guard's rule, and why."""

    loop: str
    subject: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What one scan gave.

    values: one per output of the engine, in its order, already through the gate.
    decisions, interventions: what was decided anew and where guards or gate began to step in; a gateway with
    several loops says of which one, as ``tisserands: phase 4``.
    loops: names of the loops that ran. alarms: those that began or ended.
    events: (loop, UTC in tenths of a second, code, parameter) as the loops' observers saw them; figures: (loop,
    what it counted over a period that has just ended). said: (loop, message for its neighbours' loops).
    """

    values: tuple[Value, ...]
    decisions: tuple[Decision, ...]
    interventions: tuple[Intervention, ...]
    loops: tuple[str, ...]
    alarms: tuple[AlarmChange, ...] = ()
    events: tuple[tuple[str, int, int, int], ...] = ()
    figures: tuple[tuple[str, dict[str, float | None]], ...] = ()
    said: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class _Bound:
    """A loop with its points resolved to places."""

    __slots__ = (
        "conditions",
        "every",
        "last_frame",
        "loop",
        "next_scan",
        "outputs",
        "places",
        "readings",
        "seen",
        "urgent",
    )

    def __init__(
        self,
        loop: GuardedLoop[Any, Any],
        table: PointTable,
        outputs: Mapping[str, int],
        base_s: float,
        urgent: Collection[str],
    ) -> None:
        self.loop = loop
        self.every = max(1, round(loop.period_s / base_s))
        self.next_scan = 0
        self.places = tuple(table.index[name] for name in loop.domain.reads)
        self.outputs = tuple(outputs[name] for name in loop.domain.writes)
        self.last_frame: int | None = None
        self.readings: tuple[Reading[Value], ...] = ()
        self.urgent = tuple(place for place in self.places if table.names[place] in urgent)
        self.conditions: Mapping[str, str] | None = None
        self.seen: list[tuple[Value, int]] = []
        """Value and quality of the urgent points when the loop last ran."""

    def called(self, image: Image) -> bool:
        """True when an urgent point has changed since the loop last ran: it runs out of its turn."""
        return bool(self.urgent) and self.look(image) != self.seen

    def look(self, image: Image) -> list[tuple[Value, int]]:
        """Value and quality of the urgent points now."""
        return [(one.value, int(one.quality)) for one in map(image.readings.__getitem__, self.urgent)]


class ScanEngine:
    """All loops of one gateway on one grid of scans ``base_s`` apart.

    place: where the gateway stands, in the words of policies' scopes; kinds: every known kind of controller.
    table: the gateway's points; outputs: what may be written, in the order of the output frames.
    expiry_s: an output its loop no longer renews falls to its safe value after so long.
    urgent: points whose change is not left to wait for a loop's next turn.
    A written point belongs to one loop at most.
    """

    def __init__(
        self,
        place: Place,
        kinds: Mapping[str, ControllerKind],
        table: PointTable,
        loops: Sequence[GuardedLoop[Any, Any]],
        outputs: Sequence[OutputSpec],
        base_s: float,
        expiry_s: float,
        alarms: Sequence[AlarmRule] = (),
        urgent: Collection[str] = (),
    ) -> None:
        self.table = table
        self.base_s = base_s
        self.outputs = tuple(outputs)
        self.leases = LeaseBook()
        self.alarms = AlarmWatch(alarms, [loop.name for loop in loops])
        places = {spec.name: place for place, spec in enumerate(outputs)}
        owners: dict[str, str] = {}
        for loop in loops:
            for name in loop.domain.writes:
                if owners.setdefault(name, loop.name) != loop.name:
                    raise ParamError(loop.name, "points", f"{name} is written by loop {owners[name]} already")
        self.loops = tuple(_Bound(loop, table, places, base_s, urgent) for loop in loops)
        by_name = {loop.name: loop for loop in loops}
        self.policies = PolicyLife(
            place,
            {loop.name: tuple(kind.name for kind in loop.kinds) for loop in loops},
            kinds,
            lambda loop, overrides: by_name[loop].stage(overrides),
        )
        self._by_name = by_name
        self._owned = {name: bound for bound in self.loops for name in bound.loop.domain.writes}
        self._spare = tuple(
            (place, spec.name) for place, spec in enumerate(outputs) if spec.name not in self._owned
        )
        self._held: list[Value | None] = [None] * len(outputs)
        self._gateway = place.gateway
        self._said: tuple[tuple[str, Mapping[str, Any]], ...] = ()
        self.gate = WriteGate(outputs, table.index, expiry_s)
        self._told: dict[tuple[str, str], float] = {}
        self._expiry_s = expiry_s
        self._last: float | None = None

    def scan(
        self, now: float, utc: float, trust: ClockTrust, image: Image, overrun: bool = False
    ) -> ScanOutcome:
        """One scan at ``now`` (monotonic) and ``utc``, on ``image``. Never raises for what readings say."""
        number = int(now / self.base_s + _ROUNDING)
        clock = self._clock(now, utc, trust)
        decisions: list[Decision] = []
        interventions: list[Intervention] = []
        if self._last is not None and now - self._last > self._expiry_s + _HALF * self.base_s:
            for bound in self.loops:
                bound.loop.replaced(f"no scan for {now - self._last:.1f} s, so outputs expired")
        self._last = now
        for one in self.policies.tick(now, utc, trust):
            self._by_name[one.loop].adopt(one.staged)
            decisions.append(Decision("policy", one.loop, "applied", _told(one.overrides)))
        for event in self.leases.tick(now):
            lease = event.lease
            decisions.append(
                Decision("lease", ", ".join(lease.forces), event.what, f"{lease.holder}: {lease.reason}")
            )
        forces = self.leases.forces
        held = self._held
        reported: tuple[AlarmChange, ...] = ()
        events: list[tuple[str, int, int, int]] = []
        figures: list[tuple[str, dict[str, float | None]]] = []
        said: list[tuple[str, Mapping[str, Any]]] = []
        ran: list[str] = []
        for bound in self.loops:
            fresh = image.frame != bound.last_frame
            if number >= bound.next_scan:
                bound.next_scan = number - number % bound.every + bound.every
            elif not (fresh and bound.called(image)):
                continue
            if fresh:
                bound.last_frame = image.frame
                bound.seen = bound.look(image)
                bound.readings = tuple([image.readings[place] for place in bound.places])
            mine = (
                {name: forces[name] for name in bound.loop.domain.writes if name in forces} if forces else {}
            )
            step: LoopStep = bound.loop.step(now, clock, overrun, bound.readings, mine)
            for place, value in zip(bound.outputs, step.values, strict=True):
                held[place] = value
            decisions.extend(self._placed(bound.loop.name, step.decisions))
            interventions.extend(self._placed(bound.loop.name, step.interventions))
            if step.said is not None:
                said.append((bound.loop.name, step.said))
            observed = step.observed
            if observed.events:
                events.extend((bound.loop.name, *event) for event in observed.events)
            if observed.figures:
                figures.append((bound.loop.name, dict(observed.figures)))
            conditions = bound.loop.domain.conditions()
            if conditions is not bound.conditions:
                bound.conditions = conditions
                reported += self.alarms.report(bound.loop.name, conditions)
            ran.append(bound.loop.name)
        for place, name in self._spare:
            held[place] = forces.get(name)  # no loop writes it: the gate alone guards it
        alarms = self.alarms.step(now, image.readings) + reported
        passed = self.gate.permit(now, held, image.readings)
        interventions.extend(passed.interventions)
        self._said = tuple(said)
        self._pass_on()
        return ScanOutcome(
            passed.values,
            tuple(decisions),
            self._fresh(now, interventions),
            tuple(ran),
            alarms,
            tuple(events),
            tuple(figures),
            self._said,
        )

    def _pass_on(self) -> None:
        """What this scan's loops said to others of this gateway, for the next scan."""
        for loop, message in self._said:
            if self._gateway in self.audience(loop):
                self.hear(self._gateway, message)

    def hear(self, neighbour: str, message: Mapping[str, Any]) -> bool:
        """A neighbour's message (body of ``/peer/``), for the next scan; False when no loop expects it.

        Raises ValueError, with the field's name first, when it is malformed.
        """
        heard = False
        for one in self.loops:
            heard = one.loop.domain.hear(neighbour, message) or heard
        return heard

    def audience(self, loop: str) -> tuple[str, ...]:
        """The gateways that what ``loop`` said is for."""
        return self._by_name[loop].domain.audience

    def _placed(self, loop: str, said: Sequence[Told]) -> Sequence[Told]:
        """What a loop says of ``phase 4``, with the loop's name where the gateway has others with a phase 4."""
        if not said or len(self.loops) == 1:
            return said
        return [
            one
            if one.subject == loop or "/" in one.subject
            else replace(one, subject=f"{loop}: {one.subject}")
            for one in said
        ]

    def _fresh(self, now: float, interventions: list[Intervention]) -> tuple[Intervention, ...]:
        if not interventions:
            return ()
        fresh = []
        for one in interventions:
            key = (one.rule, one.subject)
            if now - self._told.get(key, NEVER) > _QUIET_S:
                fresh.append(one)
            self._told[key] = now
        if len(self._told) > 256:
            self._told = {key: at for key, at in self._told.items() if now - at <= _QUIET_S}
        return tuple(fresh)

    def effective(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The parameters in force: loop -> kind -> parameters."""
        return {one.loop.name: one.loop.effective() for one in self.loops}

    def outlook(self, now: float, utc: float, trust: ClockTrust) -> dict[str, dict[str, Any]]:
        """What the loops' devices show and when that may end: loop -> its domain's words."""
        clock = self._clock(now, utc, trust)
        told = {one.loop.name: one.loop.outlook(now, clock, one.every * self.base_s) for one in self.loops}
        return {name: rows for name, rows in told.items() if rows}

    @staticmethod
    def _clock(now: float, utc: float, trust: ClockTrust) -> Reading[float]:
        return Reading(utc, _TRUSTED.get(trust, Quality.BAD), utc, now if trust else NEVER)

    def measures(self, now: float) -> dict[str, dict[str, Any]]:
        """What the loops' observers have counted: loop -> figures of the last period and of the one under way."""
        told = {one.loop.name: one.loop.domain.measures(now) for one in self.loops}
        return {name: figures for name, figures in told.items() if figures}

    def faults(self) -> tuple[Fault, ...]:
        """What the guards have latched, until a named person resets it."""
        return tuple(
            Fault(one.loop.name, *latched)
            for one in self.loops
            for latched in getattr(one.loop.domain.guard, "latched", tuple)()
        )

    def reset_fault(self, loop: str, subject: str) -> bool:
        """Reset what is latched for ``subject``; False when nothing is. ValueError when only the site itself can."""
        bound = self._by_name.get(loop)
        reset = None if bound is None else getattr(bound.domain.guard, "reset_latched", None)
        return bool(reset is not None and reset(subject))

    def snapshot(self) -> State:
        """Everything that goes on after a restart."""
        return {
            "loops": {one.loop.name: one.loop.snapshot() for one in self.loops},
            "gate": self.gate.snapshot(),
            "leases": self.leases.snapshot(),
            "policies": self.policies.snapshot(),
            "alarms": self.alarms.snapshot(),
            "exact": {
                "held": list(self._held),
                "told": [[*key, at] for key, at in self._told.items()],
                "due": [one.next_scan for one in self.loops],
                "seen": [[list(row) for row in one.seen] for one in self.loops],
                "policies": self.policies.between(),
                "said": [[loop, dict(message)] for loop, message in self._said],
            },
        }

    def resume(self, state: State, now: float, utc: float) -> None:
        """Take up the exact state after a scan at ``now`` and ``utc``, as if this engine had run until then.

        For replay; a restart takes ``restore``, which trusts less. Raises KeyError, TypeError or ValueError
        when the snapshot is not one of this gateway's.
        """
        exact = state["exact"]
        self._last = now
        self.policies.resume(state["policies"], exact["policies"], now, utc)
        self.leases.restore(state["leases"])
        self.gate.restore(state["gate"])
        self.alarms.restore(state["alarms"])
        for one, due, seen in zip(self.loops, exact["due"], exact["seen"], strict=True):
            one.loop.resume(state["loops"][one.loop.name])
            one.next_scan = due
            one.seen = [(value, quality) for value, quality in seen]
        self._said = tuple((loop, message) for loop, message in exact["said"])
        self._pass_on()
        self._held = list(exact["held"])
        self._told = {(rule, subject): at for rule, subject, at in exact["told"]}

    def restore(self, state: State) -> list[Decision]:
        """Take up a snapshot part by part; a part that does not fit is left out and named."""
        notes: list[Decision] = []
        parts: list[tuple[str, Any]] = [
            ("policies", lambda: self.policies.restore(state["policies"])),
            ("leases", lambda: self.leases.restore(state["leases"])),
            ("gate", lambda: self.gate.restore(state["gate"])),
            ("alarms", lambda: self.alarms.restore(state["alarms"])),
        ]
        for one in self.loops:
            parts.append((one.loop.name, lambda one=one: one.loop.restore(state["loops"][one.loop.name])))
        for name, restore in parts:
            try:
                restore()
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                notes.append(Decision("scan", name, "not-restored", f"{type(error).__name__}: {error}"))
        return notes


def _told(overrides: Mapping[str, Mapping[str, Any]]) -> str:
    names = [f"{kind}: {', '.join(params)}" for kind, params in overrides.items() if params]
    return "; ".join(names) if names else "local default"
