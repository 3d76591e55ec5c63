"""A loop alone, cycle by cycle, on readings by role and a clock that leaps: what a controller's test is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from vigie_controllers.contract import Decision, Intervention
from vigie_controllers.foreign import admit
from vigie_controllers.loops import ControllerKind, ControllerSpec, LoopSpec
from vigie_controllers.registry import KINDS, build_loop
from vigie_protocols.points import Quality, Reading, Value


class Trial:
    """One loop with its guard and its invariant check, as a gateway runs it.

    kind: the kind under trial, built in or of another package, first in the loop with ``params``; behind: kinds
    after it. site: of the loop. reads: every role bound that is read, with its value at first; writes: the
    roles bound that are written. Raises ParamError as a gateway file would.
    """

    def __init__(
        self,
        kind: ControllerKind,
        params: Mapping[str, Any],
        site: Mapping[str, Any],
        reads: Mapping[str, Value],
        writes: Sequence[str],
        behind: Sequence[str] = (),
        period_s: float = 1.0,
    ) -> None:
        kinds = KINDS if KINDS.get(kind.name) is kind else {**KINDS, kind.name: admit(kind.name, kind)}
        spec = LoopSpec(
            name="trial",
            domain=kind.domain,
            period_s=period_s,
            site=dict(site),
            points={role: f"trial/{role}" for role in (*reads, *writes)},
            controllers=tuple(
                ControllerSpec(kind=name, params=dict(params) if name == kind.name else {})
                for name in (kind.name, *behind)
            ),
        )
        self.loop = build_loop(spec, kinds)
        self.now = 1000.0
        self.utc = 1_780_000_000.0
        self.decisions: list[Decision] = []
        self.interventions: list[Intervention] = []
        self.active = ""
        """Kind that spoke in the last scan; empty: the guard alone."""
        self._values = dict(reads)
        self._bad: set[str] = set()

    def run(
        self, seconds: float, reads: Mapping[str, Value] | None = None, bad: Sequence[str] = ()
    ) -> dict[str, Value]:
        """Scan after scan for ``seconds``, with these readings changed; what the last one writes, by role.

        bad: roles that cannot be read from now on; a role in ``reads`` can be read again.
        """
        written: dict[str, Value] = {}
        self._values.update(reads or {})
        self._bad = (self._bad - set(reads or {})) | set(bad)
        for _ in range(max(1, round(seconds / self.loop.period_s))):
            written = self._scan()
        return written

    def _scan(self) -> dict[str, Value]:
        self.now += self.loop.period_s
        self.utc += self.loop.period_s
        domain = self.loop.domain
        readings = tuple(
            Reading(
                self._values[role], Quality.BAD if role in self._bad else Quality.GOOD, self.utc, self.now
            )
            for role in (name.removeprefix("trial/") for name in domain.reads)
        )
        step = self.loop.step(
            self.now, Reading(self.utc, Quality.GOOD, self.utc, self.now), False, readings, {}
        )
        self.decisions += step.decisions
        self.interventions += step.interventions
        self.active = self.loop.kinds[step.active].name if step.active >= 0 else ""
        names = (name.removeprefix("trial/") for name in domain.writes)
        return dict(zip(names, step.values, strict=True))
