"""A restarted control waits for read-backs newer than itself before its guards take over."""

from types import SimpleNamespace
from typing import Any

import pytest

from vigie_controllers.image import Image, PointTable
from vigie_edge.memory.image import OutputCodec, OutputFrame
from vigie_edge.processes.control import HOLD_S, Hold
from vigie_protocols.points import Quality, Reading, Value, ValueType

TABLE = PointTable.of([("a/lamp", ValueType.ENUM), ("a/shown", ValueType.ENUM)])


def wiring(read_back: str | None = "a/shown") -> Any:
    plan = SimpleNamespace(table=TABLE, outputs=[SimpleNamespace(read_back=read_back)], expiry_s=0.3)
    return SimpleNamespace(plan=plan, output_codec=OutputCodec([ValueType.ENUM]))


def image(arrival: float, quality: Quality = Quality.GOOD) -> Image:
    readings: list[Reading[Value]] = [Reading(0)] * (len(TABLE.names) - 1)
    return Image(1, 0, arrival, 0.0, (*readings, Reading(3, quality, 0.0, arrival)))


def last_frame(now: float) -> tuple[int, bytes]:
    return 7, OutputCodec([ValueType.ENUM]).pack(OutputFrame(40, 0, now, now + 0.3, 0, 0, 2, 2, (2,)))


def test_it_repeats_the_last_frame_until_the_device_has_answered() -> None:
    hold = Hold.of(wiring(), last_frame(10.0), now=10.2)
    assert hold is not None
    assert not hold.over(10.3, image(arrival=10.1))
    assert hold.again(10.3).values == (2,)
    assert hold.again(10.3).expiry == pytest.approx(10.6)
    assert hold.over(10.4, image(arrival=10.35))


def test_a_device_that_cannot_be_read_is_not_waited_for() -> None:
    hold = Hold.of(wiring(), last_frame(10.0), now=10.2)
    assert hold is not None and hold.over(10.3, image(10.1, Quality.BAD))


def test_patience_ends() -> None:
    hold = Hold.of(wiring(), last_frame(10.0), now=10.2)
    assert hold is not None
    assert not hold.late(10.2 + HOLD_S)
    assert hold.late(10.3 + HOLD_S) and hold.over(10.3 + HOLD_S, image(10.1))


@pytest.mark.parametrize("seen", [None, last_frame(10.0), last_frame(99.0)])
def test_nothing_is_held_without_a_recent_predecessor(seen: tuple[int, bytes] | None) -> None:
    assert Hold.of(wiring(), seen, now=50.0) is None
    assert Hold.of(wiring(read_back=None), last_frame(49.9), now=50.0) is None
