"""Every kind of loop and controller that is ours, by the name a gateway file uses."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from vigie_controllers.lighting.domain import LightingDomain
from vigie_controllers.lighting.kinds import LIGHTING_KINDS
from vigie_controllers.loops import ControllerKind, Domain, GuardedLoop, LoopSpec, ParamError
from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.kinds import SIGNAL_KINDS
from vigie_controllers.water.domain import WaterDomain
from vigie_controllers.water.kinds import WATER_KINDS

DomainFactory = Callable[[Mapping[str, Any], Mapping[str, str]], Domain[Any, Any]]
"""Makes a domain from a loop's ``site`` and ``points``; raises pydantic's ValidationError or ValueError."""

DOMAINS: dict[str, DomainFactory] = {
    "signal": SignalDomain.of,
    "water": WaterDomain.of,
    "lighting": LightingDomain.of,
}

KINDS: dict[str, ControllerKind] = {
    kind.name: kind for kind in (*SIGNAL_KINDS, *WATER_KINDS, *LIGHTING_KINDS)
}


def build_loop(spec: LoopSpec, kinds: Mapping[str, ControllerKind] = KINDS) -> GuardedLoop[Any, Any]:
    """A loop ready to step; raises ParamError naming field and reason when the spec is wrong."""
    factory = DOMAINS.get(spec.domain)
    if factory is None:
        raise ParamError(spec.name, "domain", f"unknown domain {spec.domain!r}; known: {', '.join(DOMAINS)}")
    try:
        domain = factory(spec.site, spec.points)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParamError(spec.name, ".".join(("site", *map(str, first["loc"]))), first["msg"]) from error
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise ParamError(spec.name, field, reason or field) from error
    controllers = []
    for place, one in enumerate(spec.controllers):
        kind = kinds.get(one.kind)
        if kind is None or kind.domain != spec.domain:
            known = ", ".join(name for name, each in kinds.items() if each.domain == spec.domain)
            raise ParamError(
                spec.name,
                f"controllers.{place}.kind",
                f"unknown kind {one.kind!r} for {spec.domain}; known: {known}",
            )
        controllers.append((kind, one.params))
    return GuardedLoop(spec.name, spec.period_s, domain, controllers)
