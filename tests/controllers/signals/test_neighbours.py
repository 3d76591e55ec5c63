"""Forecasts between junctions: what is taken up, what is refused, and that a bad one never costs a scan."""

from typing import Any

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.toy import Toy, site

from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.neighbours import Forecast, read_forecast

GOOD: dict[str, Any] = {
    "loop": "next", "made_utc": 1000.0, "ttl_s": 10.0, "bin_s": 2.0, "lanes": {"out:1": [0.5, 1.0]},
}  # fmt: skip


def linked() -> dict[str, Any]:
    raw = site(3)
    approach = next(one["id"] for one in raw["lanes"] if one.get("kind", "approach") == "approach")
    raw["upstream"] = [
        {"neighbour": "gw-next", "loop": "next", "exit": "out:1", "lanes": [approach], "travel_s": 12.0}
    ]
    return raw


def test_a_forecast_survives_its_message() -> None:
    forecast = Forecast("next", 1000.0, 10.0, 2.0, (("out:1", (0.5, 1.0)),))
    assert read_forecast(forecast.message()) == forecast
    assert read_forecast(GOOD) == forecast


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loop", 3), ("loop", ""), ("made_utc", float("nan")), ("made_utc", -1), ("ttl_s", 1e9), ("bin_s", 0),
        ("lanes", []), ("lanes", {"out:1": "many"}), ("lanes", {"out:1": [float("inf")]}),
        ("lanes", {"out:1": [-1.0]}), ("lanes", {"out:1": [0.0] * 1000}), ("lanes", {"out:1": [True]}),
    ],
)  # fmt: skip
def test_a_malformed_forecast_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        read_forecast({**GOOD, field: value})


def test_fields_that_are_missing_or_strange_are_refused() -> None:
    for message in ({}, {**GOOD, "more": 1}, {key: one for key, one in GOOD.items() if key != "lanes"}):
        with pytest.raises(ValueError, match="a forecast has"):
            read_forecast(message)


def test_only_declared_neighbours_are_heard_and_once() -> None:
    domain = Drive(linked(), [("signal.adaptive", {})], step_s=1.0).domain
    assert not domain.hear("gw-other", GOOD)
    assert not domain.hear("gw-next", {**GOOD, "loop": "other"})
    assert domain.hear("gw-next", GOOD)
    assert domain.hear("gw-next", {**GOOD, "made_utc": 1001.0})
    from vigie_protocols.points import Reading

    readings = tuple(Reading(0.0) for _ in domain.reads)
    heard = domain.inputs(Reading(0.0), False, readings).heard
    assert [(name, one.made_utc) for name, one in heard] == [("gw-next", 1001.0)]
    assert domain.inputs(Reading(0.0), False, readings).heard == ()


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ("upstream", {"neighbour": "gw", "loop": "x", "exit": "o", "lanes": ["nowhere"], "travel_s": 5.0}),
        ("downstream", {"neighbour": "gw", "exits": ["nowhere"]}),
    ],
)
def test_links_name_lanes_of_the_site(field: str, row: dict[str, Any]) -> None:
    raw = site(3)
    raw[field] = [row]
    with pytest.raises(ValueError, match=f"site.{field}.*nowhere"):
        Drive(raw, [("signal.adaptive", {})])


def test_a_forecast_in_the_wrong_time_changes_nothing() -> None:
    """One from long ago or far ahead is as good as none: isolated control."""

    def shown(messages: bool) -> list[Any]:
        drive, toy = Drive(linked(), [("signal.adaptive", {})], step_s=1.0), Toy([0.14, 0.1, 0.04], 3)
        for second in range(200):
            toy.step(drive.now, drive.greens())
            drive.put(toy.roles())
            if messages:
                domain: SignalDomain = drive.domain
                made = 5.0 if second % 2 else 1e9
                assert domain.hear("gw-next", {**GOOD, "made_utc": made, "lanes": {"out:1": [9.0] * 40}})
            drive.scan()
        return list(drive.shown)

    assert shown(True) == shown(False)
