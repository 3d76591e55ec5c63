"""The scan as a whole: what it does when it was late."""

from typing import Any

import pytest
from tests.controllers.signals.sites import one_ring

from vigie_controllers.assembly import Assembly
from vigie_controllers.loops import LoopSpec
from vigie_controllers.policy.document import Place
from vigie_controllers.scan import ScanEngine
from vigie_protocols.points import ClockTrust, ValueType


class Lamp:
    """A declared point, as a profile has it."""

    type, low, high, writable, safe, read_back, alarm = ValueType.ENUM, 0.0, 6.0, True, 4, None, None

    def __init__(self, name: str, **more: Any) -> None:
        self.name = name
        vars(self).update(more)


@pytest.fixture
def engine() -> ScanEngine:
    site = one_ring(2, ped=False)
    site["detectors"] = []
    channels = [f"channel.{one['id']}" for one in site["channels"]]
    spec = LoopSpec.model_validate(
        {
            "name": "jct",
            "domain": "signal",
            "period_s": 0.5,
            "site": site,
            "points": {role: f"jct/{role}" for role in channels},
            "controllers": [{"kind": "signal.fixed"}],
        }
    )
    points = [Lamp(f"jct/{role}") for role in channels]
    return Assembly.of(Place(gateway="gw", district="d", city="c"), points, [spec], 0.5, 1.0).engine()


def run(engine: ScanEngine, now: float, until: float) -> tuple[float, list[tuple[Any, ...]], set[str]]:
    shown, rules = [], set()
    while now < until:
        out = engine.scan(now, now, ClockTrust.SYNCED, engine.table.empty())
        shown.append(out.values)
        rules |= {one.rule for one in out.interventions}
        now += 0.5
    return now, shown, rules


@pytest.mark.parametrize(("pause", "expired"), [(0.5, False), (1.0, False), (1.6, True), (600.0, True)])
def test_a_junction_whose_outputs_have_expired_starts_up_anew(
    engine: ScanEngine, pause: float, expired: bool
) -> None:
    now, shown, _ = run(engine, 100.0, 125.0)
    while 3 not in shown[-1]:
        now, shown, _ = run(engine, now, now + 0.5)
    _, after, rules = run(engine, now - 0.5 + pause, now + pause)
    assert ("interrupted" in rules) is expired
    assert (set(after[0]) == {4}) is expired  # what field has shown meanwhile is where it begins
