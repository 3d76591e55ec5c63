"""Runs a whole signal loop scan by scan on readings by role."""

from collections.abc import Mapping
from typing import Any

from vigie_controllers.contract import Decision, Intervention
from vigie_controllers.loops import GuardedLoop, build_controller
from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.kinds import SIGNAL_KINDS
from vigie_controllers.signals.words import PhaseState
from vigie_protocols.points import Quality, Reading, Value

KINDS = {kind.name: kind for kind in SIGNAL_KINDS}
UTC0 = 1_750_000_000.0


def build(kind: str, params: dict[str, Any], raw: dict[str, Any]) -> Any:
    """A controller alone; raises ParamError."""
    domain = SignalDomain.of(raw, points(raw))
    return build_controller(KINDS[kind], params, domain)


def points(raw: dict[str, Any], extra: tuple[str, ...] = ()) -> dict[str, str]:
    roles = [f"detector.{one['id']}" for one in raw.get("detectors", ())]
    roles += [f"preempt.{one['id']}" for one in raw.get("preemptions", ())]
    if raw.get("actuation", "lamps") == "lamps":
        roles += [f"channel.{one['id']}" for one in raw["channels"]]
    else:
        for phase in raw["phases"]:
            n = phase["id"]
            roles += [f"phase.{n}.{word}" for word in ("state", "hold", "force_off", "omit", "call")]
    roles += [f"priority.{one['id']}.eta" for one in raw.get("priority", ())]
    return {role: f"jct/{role}" for role in (*roles, *extra)}


class Drive:
    def __init__(
        self,
        raw: dict[str, Any],
        controllers: list[tuple[str, dict[str, Any]]],
        step_s: float = 0.5,
        extra: tuple[str, ...] = (),
    ) -> None:
        bound = points(raw, extra)
        self.roles = {point: role for role, point in bound.items()}
        self.domain = SignalDomain.of(raw, bound)
        self.loop = GuardedLoop("jct", step_s, self.domain, [(KINDS[name], p) for name, p in controllers])
        self.step_s, self.now = step_s, 1000.0
        self.values: dict[str, Value] = dict.fromkeys(map(self.roles.__getitem__, self.domain.reads), 0)
        self.bad: set[str] = set()
        self.clock = Quality.GOOD
        self.utc_shift = 0.0
        self.decisions: list[tuple[float, Decision]] = []
        self.interventions: list[tuple[float, Intervention]] = []
        self.events: list[tuple[float, int, int]] = []
        """High-resolution events: seconds on the drive's clock to 0.1 s, code, parameter."""
        self.figures: list[tuple[float, Mapping[str, float | None]]] = []
        self.written: Mapping[str, Value] = {}
        self._readings: tuple[Reading[Value], ...] | None = None
        self.shown: list[tuple[float, tuple[Value, ...]]] = []

    def put(self, roles: Mapping[str, Value], bad: bool = False) -> None:
        for role, value in roles.items():
            assert role in self.values, role
            self.values[role] = value
            (self.bad.add if bad else self.bad.discard)(role)
        self._readings = None

    def scan(self) -> None:
        self.now += self.step_s
        if self._readings is None:
            self._readings = tuple(
                Reading(self.values[role], Quality.BAD if role in self.bad else Quality.GOOD)
                for role in map(self.roles.__getitem__, self.domain.reads)
            )
        utc = UTC0 + self.now + self.utc_shift if self.clock else 0.0
        step = self.loop.step(self.now, Reading(utc, self.clock), False, self._readings, {})
        self.decisions += [(self.now, one) for one in step.decisions]
        self.interventions += [(self.now, one) for one in step.interventions]
        ahead = UTC0 if self.clock else -self.now
        self.events += [(round(at / 10 - ahead, 1), *rest) for at, *rest in step.observed.events]
        if step.observed.figures:
            self.figures.append((self.now, step.observed.figures))
        self.written = dict(zip(map(self.roles.__getitem__, self.domain.writes), step.values, strict=True))
        if not self.shown or self.shown[-1][1] != tuple(step.values):
            self.shown.append((self.now, tuple(step.values)))

    def run(self, seconds: float) -> "Drive":
        for _ in range(round(seconds / self.step_s)):
            self.scan()
        return self

    def until(self, phase: int, limit: float = 400.0, state: PhaseState = PhaseState.GREEN) -> float:
        """Run until a phase is in a state; the seconds it took."""
        start = self.now
        while self.state(phase) is not state:
            assert self.now - start < limit, f"phase {phase} not {state.name} within {limit} s"
            self.scan()
        return self.now - start

    def state(self, phase: int) -> PhaseState:
        return next(one.state for one in self.domain.guard.status.phases if one.id == phase)

    def greens(self) -> set[int]:
        return {one.id for one in self.domain.guard.status.phases if one.state is PhaseState.GREEN}

    def reasons(self, source: str) -> list[str]:
        return [one.reason for _, one in self.decisions if one.source == source]

    def rules(self) -> list[str]:
        return [one.rule for _, one in self.interventions]
