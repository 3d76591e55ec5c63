"""Every kind of signal controller, as gateway files and policies name them."""

from typing import Protocol

from vigie_controllers.loops import ControllerKind
from vigie_controllers.signals import actuated, adaptive, fixed, max_pressure, priority
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.site import SignalSite


class Junction(Protocol):
    """What a controller may know of its domain: the site's facts and their compiled plan."""

    site: SignalSite
    guard: SignalGuard


def _zoned(site: SignalSite) -> SignalSite:
    """A site on which zones can be counted; raises ValueError for one that has none."""
    lanes = {lane.id for lane in site.lanes if lane.kind == "approach"}
    if not any(one.kind in ("count", "halting") and lanes.intersection(one.lanes) for one in site.detectors):
        raise ValueError(
            "site.detectors: none counts vehicles on an approach lane; declare count or halting zones, or take "
            "signal.actuated or signal.fixed"
        )
    return site


def _actuated(config: actuated.ActuatedConfig, domain: Junction) -> actuated.Actuated:
    return actuated.Actuated(config, domain.site, domain.guard.plan)


def _fixed(config: fixed.FixedConfig, domain: Junction) -> fixed.Fixed:
    return fixed.Fixed(config, domain.guard.plan)


def _pressure(config: max_pressure.PressureConfig, domain: Junction) -> max_pressure.Pressure:
    return max_pressure.Pressure(max_pressure.KIND, config, _zoned(domain.site), domain.guard.plan)


def _greedy(config: max_pressure.GreedyConfig, domain: Junction) -> max_pressure.Pressure:
    return max_pressure.Pressure(max_pressure.GREEDY, config, _zoned(domain.site), domain.guard.plan)


def _adaptive(config: adaptive.AdaptiveConfig, domain: Junction) -> adaptive.Adaptive:
    return adaptive.Adaptive(config, _zoned(domain.site), domain.guard.plan)


def _priority(config: priority.PriorityConfig, domain: Junction) -> priority.Priority:
    return priority.Priority(config, domain.site, domain.guard.plan)


SIGNAL_KINDS: tuple[ControllerKind, ...] = (
    ControllerKind(actuated.KIND, "signal", actuated.ActuatedConfig, _actuated),
    ControllerKind(fixed.KIND, "signal", fixed.FixedConfig, _fixed),
    ControllerKind(max_pressure.KIND, "signal", max_pressure.PressureConfig, _pressure),
    ControllerKind(max_pressure.GREEDY, "signal", max_pressure.GreedyConfig, _greedy),
    ControllerKind(adaptive.KIND, "signal", adaptive.AdaptiveConfig, _adaptive),
    ControllerKind(priority.KIND, "signal", priority.PriorityConfig, _priority),
)
