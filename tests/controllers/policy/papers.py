"""Documents, bundles and a gateway with two loops to apply them to."""

from collections.abc import Mapping
from typing import Any

from tests.controllers.lighting import cabinets
from tests.controllers.water import wells

from vigie_controllers.loops import GuardedLoop
from vigie_controllers.policy.armed import Apply, PolicyLife
from vigie_controllers.policy.document import Place
from vigie_controllers.registry import KINDS
from vigie_protocols.points import ClockTrust

T0 = 1_800_000_000.0
PLACE = Place(gateway="gw-1", district="est", city="mtl")
LOOPS = {"pumps": ("water.level",), "lamps": ("lighting.astro",), "lamps-2": ("lighting.astro",)}
SYNCED, LOST = ClockTrust.SYNCED, ClockTrust.UNTRUSTED


def paper(**changed: Any) -> dict[str, Any]:
    """An event policy for lamps, valid for an hour from T0."""
    raw: dict[str, Any] = {
        "kind": "lighting.astro",
        "id": "event",
        "version": 1,
        "scope": {"level": "city", "name": "mtl"},
        "valid_from": T0,
        "not_after": T0 + 3600.0,
        "params": {"boost_pct": 90.0},
    }
    raw.update(changed)
    return raw


def storm(**changed: Any) -> dict[str, Any]:
    return paper(
        **{
            "kind": "water.level",
            "id": "storm",
            "scope": {"level": "district", "name": "est"},
            "params": {"lead_start_m": 1.0, "lead_stop_m": 0.5},
            **changed,
        }
    )


def bundle(*documents: Mapping[str, Any], generation: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "audience": "gw-1",
        "root_epoch": 0,
        "generation": generation,
        "documents": [dict(one) for one in documents],
        **changed,
    }


class Gateway:
    """Real loops behind a PolicyLife, adopting at every tick."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        kind = KINDS["lighting.astro"]
        self.loops: dict[str, GuardedLoop[Any, Any]] = {
            "pumps": wells.loop(),
            "lamps": cabinets.loop(),
            "lamps-2": GuardedLoop("lamps-2", 1.0, cabinets.domain(), [(kind, {"level_pct": 80.0})]),
        }
        self.staged = 0
        self.life = PolicyLife(PLACE, LOOPS, KINDS, self._stage)
        self.now, self.utc, self.trust = 1000.0, T0 - 100.0, SYNCED
        if state is not None:
            self.life.restore(state)

    def _stage(self, loop: str, overrides: dict[str, dict[str, Any]]) -> Any:
        self.staged += 1
        return self.loops[loop].stage(overrides)

    def offer(self, raw: Mapping[str, Any], **other: Any) -> Any:
        return self.life.offer(self.now, self.utc, self.trust, raw, **other)

    def tick(self, seconds: float = 0.0) -> tuple[Apply, ...]:
        self.now += seconds
        self.utc += seconds
        applied = self.life.tick(self.now, self.utc, self.trust)
        for one in applied:
            self.loops[one.loop].adopt(one.staged)
        return applied

    def param(self, loop: str, name: str) -> Any:
        (params,) = self.loops[loop].effective().values()
        return params.get(name)

    def states(self) -> dict[str, str]:
        return {f"{one['id']}@{one['version']}": one["state"] for one in self.life.reported()["documents"]}

    def codes(self) -> dict[str, str]:
        return {f"{one['id']}@{one['version']}": one["code"] for one in self.life.reported()["documents"]}
