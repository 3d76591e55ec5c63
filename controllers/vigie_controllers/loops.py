"""A loop: ordered controllers, one guard, one invariant check, bound to points.

The generic loop knows no traffic and no water; a ``Domain`` brings the words of one kind of site. The
order of the controllers gives priority. The guard comes last and no policy can take it out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vigie_controllers.contract import Controller, Decision, Guard, Intervention, State
from vigie_protocols.points import Reading, Value


class HasDecisions(Protocol):
    """Outputs of every domain carry the reasons for them."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Why these outputs; empty when nothing was decided anew."""
        ...


I = TypeVar("I")  # noqa: E741 - inputs and outputs of a domain, as in the contract
O = TypeVar("O", bound=HasDecisions)  # noqa: E741


class Strict(BaseModel):
    """Base of all configuration: unknown fields are refused, values are never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ControllerSpec(Strict):
    """A controller in a loop's list, as the gateway file writes it."""

    kind: str
    params: dict[str, Any] = Field(default_factory=dict)


class LoopSpec(Strict):
    """A loop as the gateway file writes it.

    site: the physical facts and the guard's limits, read by the domain and never touched by a policy.
    points: role -> point name ``device/point``; roles are the domain's words.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    domain: str
    period_s: float = Field(gt=0, le=60)
    site: dict[str, Any]
    points: dict[str, str]
    controllers: tuple[ControllerSpec, ...] = Field(min_length=1)


_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Observed:
    """What a domain's observer saw in one scan; nothing that controls depends on it.

    events: (UTC in tenths of a second since 1970, code, parameter), the codes as the domain's field numbers
    them. figures: of a period that has just ended, by name; None where a figure has no meaning for it.
    """

    events: tuple[tuple[int, int, int], ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)


_QUIET = Observed()


class Domain(ABC, Generic[I, O]):
    """What one kind of site adds to the generic loop."""

    reads: tuple[str, ...]
    """Names of the points this loop reads, in the order ``inputs`` takes them."""
    writes: tuple[str, ...]
    """Names of the points this loop writes, in the order ``values`` gives them."""
    guard: Guard[I, O]
    reserved: tuple[str, ...] = ("heartbeat",)
    """Fields of the outputs that are the guard's or a lease's to set, never a controller's."""
    audience: tuple[str, ...] = ()
    """Gateways of the neighbours that ``said`` is for."""
    sources: tuple[str, ...] = ()
    """Gateways of the neighbours that ``hear`` expects messages from."""
    measured: tuple[str, ...] = ()
    """Names of the figures that ``observe`` gives."""

    @abstractmethod
    def inputs(self, clock: Reading[float], overrun: bool, readings: Sequence[Reading[Value]]) -> I:
        """The frozen inputs of one scan; ``readings`` follow ``reads``. The same tuple means the same frame."""

    @abstractmethod
    def merge(self, first: O, second: O) -> O:
        """What both want, ``first`` having priority wherever it has an opinion."""

    @abstractmethod
    def force(self, wanted: O | None, point: str, value: Value) -> O:
        """``wanted`` with one written point forced; raises ValueError where that cannot be forced."""

    @abstractmethod
    def values(self, outputs: O) -> Sequence[Value]:
        """The values to write, one per name of ``writes``."""

    @abstractmethod
    def unlawful(self, outputs: O) -> str | None:
        """The invariant check: why these combined outputs may never be written, or None. Stateless."""

    def hear(self, neighbour: str, message: Mapping[str, Any]) -> bool:
        """A neighbour's message, for the next ``inputs``; False when this loop expects none from there.

        Raises ValueError when it is malformed.
        """
        return False

    def said(self, wanted: O | None) -> Mapping[str, Any] | None:
        """What to tell the neighbours now, as plain JSON values, or None."""
        return None

    def conditions(self) -> Mapping[str, str]:
        """Points this loop does not believe, with the reason: alarms. The same object while nothing changed."""
        return _NONE

    def observe(
        self, now: float, clock: Reading[float], outputs: O, decisions: Sequence[Decision]
    ) -> Observed:
        """Look at what this scan brought, after everything was decided."""
        return _QUIET

    def measures(self, now: float) -> dict[str, Any]:
        """The figures of the last period and of the one under way, for people."""
        return {}

    def outlook(self, now: float, clock: Reading[float], period_s: float, speaker: str) -> dict[str, Any]:
        """What the devices show and when that may end, for people and vehicles; nothing where nobody asks.

        period_s: of the loop; speaker: kind of the first controller that could speak, "" for the guard alone.
        """
        return {}

    def observed(self) -> State:
        """The observer's exact state."""
        return {}

    def observe_on(self, state: State) -> None:
        """Take up the observer's exact state, for replay."""

    @abstractmethod
    def failsafe(self) -> O:
        """What to write when guard or invariant check fails: always lawful."""


@dataclass(frozen=True)
class ControllerKind:
    """A kind of controller that gateway files and policies may name, such as ``signal.actuated``.

    config: its pydantic model, also the schema of policies of this kind.
    build: makes one from a checked configuration and the domain; raises ValueError when a parameter is
    outside the guard's envelope, with the field's name first in the text.
    """

    name: str
    domain: str
    config: type[BaseModel]
    build: Callable[[Any, Any], Controller[Any, Any]]


class ParamError(ValueError):
    """A parameter of a controller is wrong: which kind, which field, why."""

    def __init__(self, kind: str, field: str, reason: str) -> None:
        super().__init__(f"{kind}: {field}: {reason}")
        self.kind = kind
        self.field = field
        self.reason = reason


def build_controller(
    kind: ControllerKind, params: Mapping[str, Any], domain: Any, last: bool = False
) -> Controller[Any, Any]:
    """A controller from raw parameters; raises ParamError naming the first wrong field.

    last: nobody stands behind it in the list. One that leans on others says so in its attribute ``leans``,
    field and reason, and is refused there.
    """
    try:
        config = kind.config.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParamError(kind.name, ".".join(map(str, first["loc"])) or "params", first["msg"]) from error
    try:
        controller = kind.build(config, domain)
        leans = getattr(controller, "leans", "") if last else ""
        if leans:
            raise ValueError(leans)
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise ParamError(kind.name, field, reason or "outside the guard's envelope") from error
    return controller


@dataclass(frozen=True, slots=True)
class LoopStep:
    """What one scan of a loop gave.

    values: one per name of ``writes``; active: index of the first controller that could speak, -1 if none.
    said: a message for the neighbours.
    """

    values: Sequence[Value]
    decisions: tuple[Decision, ...]
    interventions: tuple[Intervention, ...]
    active: int
    observed: Observed = _QUIET
    said: Mapping[str, Any] | None = None


Staged = dict[int, tuple[dict[str, Any], Controller[Any, Any]]]
"""Controllers built aside with new parameters, by place in the list."""


class GuardedLoop(Generic[I, O]):
    """One loop of a gateway: inputs -> controllers in order -> guard -> invariant check -> values."""

    def __init__(
        self,
        name: str,
        period_s: float,
        domain: Domain[I, O],
        controllers: Sequence[tuple[ControllerKind, Mapping[str, Any]]],
    ) -> None:
        self.name = name
        self.period_s = period_s
        self.domain = domain
        self.kinds = tuple(kind for kind, _ in controllers)
        self.defaults = tuple(dict(params) for _, params in controllers)
        self._params: list[dict[str, Any]] = [dict(params) for params in self.defaults]
        self._controllers = [
            build_controller(kind, params, domain, place + 1 == len(controllers))
            for place, (kind, params) in enumerate(controllers)
        ]
        self._faults: list[str] = [""] * len(controllers)
        self._observer_fault = ""
        self._active = -1

    def stage(self, overrides: Mapping[str, Mapping[str, Any]]) -> Staged:
        """Build what ``overrides`` (kind -> parameters over the local defaults) would change.

        Nothing running is touched; raises ParamError when a value is wrong or outside the envelope.
        """
        staged: Staged = {}
        for place, kind in enumerate(self.kinds):
            params = {**self.defaults[place], **overrides.get(kind.name, {})}
            if params != self._params[place]:
                last = place + 1 == len(self.kinds)
                staged[place] = (params, build_controller(kind, params, self.domain, last))
        return staged

    def adopt(self, staged: Staged) -> None:
        """Swap staged controllers in at a scan boundary; each takes up its predecessor's state."""
        for place, (params, controller) in staged.items():
            try:
                controller.restore(self._controllers[place].snapshot())
            except (KeyError, TypeError, ValueError):
                # Its predecessor's state does not fit its parameters: it begins anew, whole.
                controller = build_controller(self.kinds[place], params, self.domain)
            self._controllers[place] = controller
            self._params[place] = params
            self._faults[place] = ""

    def effective(self) -> dict[str, dict[str, Any]]:
        """The parameters in force, by controller kind."""
        return {kind.name: dict(params) for kind, params in zip(self.kinds, self._params, strict=True)}

    def step(
        self,
        now: float,
        clock: Reading[float],
        overrun: bool,
        readings: Sequence[Reading[Value]],
        forces: Mapping[str, Value],
    ) -> LoopStep:
        """One scan. Never raises: a faulty controller falls to the next, a faulty guard to fail-safe."""
        domain = self.domain
        decisions: list[Decision] = []
        interventions: list[Intervention] = []
        outputs: O
        active = -1
        said: Mapping[str, Any] | None = None
        try:
            inputs = domain.inputs(clock, overrun, readings)
            wanted, active = self._ask(now, inputs, decisions)
            words = domain.said(wanted)
            said = None if words is None else {**words, "loop": self.name}
            for point, value in forces.items():
                try:
                    wanted = domain.force(wanted, point, value)
                except ValueError as error:
                    interventions.append(Intervention("lease", point, str(error)))
            verdict = domain.guard.permit(now, wanted, inputs)
            outputs = verdict.outputs
            interventions.extend(verdict.interventions)
            broken = domain.unlawful(outputs)
            if broken is not None:
                interventions.append(Intervention("invariant", self.name, broken))
                outputs = domain.failsafe()
                self._tripped(now, unlawful=True)
        except Exception as error:  # noqa: BLE001 - the guard must answer every scan, whatever broke in it
            interventions.append(Intervention("guard-fault", self.name, f"{type(error).__name__}: {error}"))
            outputs = domain.failsafe()
            self._tripped(now, unlawful=False)
        decisions.extend(outputs.decisions)
        self._active = active
        observed = self._observe(now, clock, outputs, decisions)
        return LoopStep(
            domain.values(outputs), tuple(decisions), tuple(interventions), active, observed, said
        )

    def _observe(self, now: float, clock: Reading[float], outputs: O, decisions: list[Decision]) -> Observed:
        try:
            return self.domain.observe(now, clock, outputs, decisions)
        except Exception as error:  # noqa: BLE001 - measures must never cost a scan
            fault = f"{type(error).__name__}: {error}"
            if fault != self._observer_fault:
                self._observer_fault = fault
                decisions.append(Decision("observer", self.name, "observer-fault", fault))
            return _QUIET

    def outlook(self, now: float, clock: Reading[float], period_s: float) -> dict[str, Any]:
        """What the devices show and when that may end."""
        speaker = self.kinds[self._active].name if self._active >= 0 else ""
        return self.domain.outlook(now, clock, period_s, speaker)

    def _tripped(self, now: float, unlawful: bool) -> None:
        """The fail-safe is shown in the place of what the guard gave; some guards latch that."""
        self.replaced("the fail-safe was shown")
        tripped = getattr(self.domain.guard, "tripped", None)
        if tripped is not None:
            tripped(now, unlawful)

    def replaced(self, why: str) -> None:
        """Tell the guard that the devices were given other values than its outputs; most guards need not know."""
        replaced = getattr(self.domain.guard, "replaced", None)
        if replaced is not None:
            replaced(why)

    def _ask(self, now: float, inputs: I, decisions: list[Decision]) -> tuple[O | None, int]:
        wanted: O | None = None
        active = -1
        for place, controller in enumerate(self._controllers):
            try:
                more = controller.step(now, inputs)
            except Exception as error:  # noqa: BLE001 - a faulty controller must not stop the scan
                self._note_fault(place, f"{type(error).__name__}: {error}", decisions)
                continue
            self._faults[place] = ""
            if more is None:
                continue
            if wanted is None:
                wanted, active = more, place
            else:
                wanted = self.domain.merge(wanted, more)
        return wanted, active

    def _note_fault(self, place: int, fault: str, decisions: list[Decision]) -> None:
        """Told when it begins; a reason that is another in every scan would fill the journal."""
        if not self._faults[place]:
            self._faults[place] = fault
            decisions.append(Decision(self.kinds[place].name, self.name, "controller-fault", fault))

    def snapshot(self) -> State:
        """State of every controller and of the guard."""
        return {
            "controllers": [
                {"kind": kind.name, "params": params, "state": controller.snapshot()}
                for kind, params, controller in zip(self.kinds, self._params, self._controllers, strict=True)
            ],
            "guard": self.domain.guard.snapshot(),
            "faults": list(self._faults),
            "observed": self.domain.observed(),
            "observer_fault": self._observer_fault,
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot. The guard's comes first: a latched fault outlives a change of controllers.

        Raises ValueError, KeyError or TypeError when the rest is of a loop with other controllers.
        """
        self.domain.guard.restore(state["guard"])
        rows = state["controllers"]
        if [row["kind"] for row in rows] != [kind.name for kind in self.kinds]:
            raise ValueError(f"loop {self.name}: the snapshot has other controllers")
        for place, row in enumerate(rows):
            controller = build_controller(self.kinds[place], row["params"], self.domain)
            controller.restore(row["state"])
            self._controllers[place] = controller
            self._params[place] = dict(row["params"])

    def resume(self, state: State) -> None:
        """Take up the exact state, timers too: for replay, where the snapshot is what really ran."""
        self.restore(state)
        self._faults, self._observer_fault = list(state["faults"]), state["observer_fault"]
        self.domain.observe_on(state["observed"])
        resume = getattr(self.domain.guard, "resume", None)
        if resume is not None:
            resume(state["guard"])
