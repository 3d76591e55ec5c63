"""Sites and readings for the signal tests."""

from typing import Any

from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, SignalInputs, Status
from vigie_protocols.points import Quality, Reading, Value
from vigie_sim.traffic.shapes import dual_ring, one_ring

__all__ = ["CLOCK", "checked", "dual_ring", "frame", "inputs", "one_ring", "reading"]

CLOCK = Reading(1_750_000_000.0)


def checked(raw: dict[str, Any]) -> SignalSite:
    return SignalSite.model_validate(raw)


def reading(value: Value, quality: Quality = Quality.GOOD) -> Reading[Value]:
    return Reading(value, quality)


def frame(detectors: list[Value], lamps: tuple[int, ...] = (), **more: Any) -> Frame:
    return Frame(tuple(map(reading, detectors)), tuple(map(reading, lamps)), **more)


def inputs(frame: Frame, status: Status) -> SignalInputs:
    return SignalInputs(CLOCK, False, frame, status)
