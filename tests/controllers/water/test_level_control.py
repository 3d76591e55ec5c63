"""``water.level`` and the water domain, from outside."""

from itertools import pairwise
from typing import Any

import pytest
from tests.controllers.water.wells import SITE, Well, domain, loop, settled

from vigie_controllers.loops import LoopSpec, ParamError
from vigie_controllers.registry import build_loop
from vigie_controllers.water.words import WaterOutputs


def station(params: dict[str, Any] | None = None, site: dict[str, Any] | None = None, **other: Any) -> Well:
    return settled(Well(loop(params, site), **other))


def lowest_and_highest(well: Well, seconds: int, inflow: float) -> tuple[float, float]:
    levels = []
    for _ in range(seconds):
        well.scan(inflow)
        levels.append(well.level)
    return min(levels), max(levels)


def test_the_lead_pump_works_between_its_levels_and_pumps_take_turns() -> None:
    well = station(level=1.0)
    low, high = lowest_and_highest(well, 6000, 0.02)
    assert 0.65 < low < 0.72
    assert 1.38 < high < 1.45
    order = [n for _, n in well.starts]
    assert len(order) >= 3
    assert all(a != b for a, b in pairwise(order))
    assert well.rules() == set()


def test_without_alternation_the_same_pump_leads() -> None:
    well = station({"alternate": "never"}, level=1.0)
    well.run(6000, 0.02)
    assert {n for _, n in well.starts} == {1}


def test_a_lead_pump_that_runs_long_alone_hands_over() -> None:
    well = station({"alternate_after_s": 600.0}, level=1.5)
    well.run(1500, 0.0299)
    assert [n for _, n in well.starts] == [1, 2, 1]
    assert "alternate" in {one.what for one in well.decisions}


def test_the_lag_pump_joins_and_leaves_at_its_own_levels() -> None:
    well = station(level=1.5)
    while well.level < 1.89:
        well.scan(0.06)
    assert sum(well.running) == 1
    well.run(30, 0.06)
    assert sum(well.running) == 2
    while well.level > 1.02:
        well.scan(0.0)
    assert sum(well.running) == 2
    well.run(15, 0.0)
    assert sum(well.running) == 1


def test_a_wave_shorter_than_the_hold_starts_nothing() -> None:
    well = station({"start_hold_s": 5.0}, level=1.39)
    for _ in range(20):
        well.says = {"level": 1.42, "level.2": 1.42}
        well.run(4)
        well.says = {}
        well.scan()
    assert well.starts == []


def test_a_pump_that_does_not_confirm_is_passed_over_in_time_and_retried_later() -> None:
    well = station({"retry_s": 300.0}, level=1.3)
    well.broken = {1}
    begun = well.now
    while not well.starts:
        begun = well.now if well.level < 1.4 else begun
        well.scan(0.02)
    assert well.starts[0][1] == 2
    assert well.starts[0][0] - begun <= 3 + 1 + 8 + 1 + 1
    (passed,) = [one for one in well.decisions if one.what == "failover"]
    assert passed.subject == "pump 1"
    well.broken = set()
    well.run(4000, 0.02)
    assert 1 in {n for _, n in well.starts}, "retried once its time was over"


def test_if_no_pump_confirms_they_are_told_to_run_all_the_same() -> None:
    well = station(level=1.45)
    well.broken = {1, 2}
    written = well.run(120, 0.01)
    assert written["pump.1.run"] or written["pump.2.run"]


def test_a_pump_run_by_hand_does_its_share() -> None:
    well = station(level=1.3)
    well.says["pump.2.mode"] = 1
    well.run(60, 0.04)
    assert well.running == [False, True], "one pump suffices, and one runs"


def test_storm_levels_start_earlier_at_a_scan_boundary_and_keep_the_state() -> None:
    well = station(level=1.0)
    well.run(30, 0.0)
    well.loop.adopt(well.loop.stage({"water.level": {"lead_start_m": 0.9, "lead_stop_m": 0.5}}))
    well.run(5, 0.0)
    assert sum(well.running) == 1
    assert well.loop.effective()["water.level"]["lead_start_m"] == 0.9
    well.loop.adopt(well.loop.stage({}))
    well.run(30, 0.0)
    assert sum(well.running) == 1, "between the old levels: what runs goes on"


def test_the_gate_holds_back_while_the_well_is_full_and_relieves_a_full_basin() -> None:
    rule = {"gate_hold_from_m": 1.0, "gate_hold_to_m": 2.0, "gate_held_pct": 20.0, "gate_relief_m": 2.0}
    well = Well(loop(rule), level=1.5, capacity_m3s=(0.0, 0.0))
    assert well.run(60)["basin.gate"] == pytest.approx(60.0)
    well.says["basin.level"] = 2.9
    assert well.run(60)["basin.gate"] == pytest.approx(90.0)
    well.bad.add("basin.level")
    assert well.run(60)["basin.gate"] == 60.0, "a basin that nobody sees: the safe opening"


def test_three_pumps_have_three_stages() -> None:
    site = {"pumps": [SITE["pumps"][0]] * 3}
    well = settled(Well(loop(site=site), level=2.45, capacity_m3s=(0.01,) * 3))
    well.run(120, 0.03)
    assert well.running == [True, True, True]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"lead_stop_m": 0.4}, "lead_stop_m"),
        ({"lead_start_m": 0.6}, "lead_start_m"),
        ({"lag_start_m": 1.3}, "lag_start_m"),
        ({"lag_start_m": 2.6}, "lag_start_m"),
        ({"lag_stop_m": 2.0}, "lag_stop_m"),
        ({"lag_stop_m": 0.5}, "lag_stop_m"),
        ({"gate_hold_from_m": 1.0}, "gate_hold_to_m"),
        ({"gate_hold_from_m": 2.0, "gate_hold_to_m": 1.0}, "gate_hold_to_m"),
        ({"gate_open_pct": 1.0}, "gate_open_pct"),
        ({"gate_hold_from_m": 1.0, "gate_hold_to_m": 2.0, "gate_held_pct": 1.0}, "gate_held_pct"),
        ({"gate_relief_m": 3.0}, "gate_relief_m"),
        ({"start_hold_s": -1}, "start_hold_s"),
        ({"lead_start": 1.0}, "lead_start"),
    ],
)
def test_parameters_outside_the_envelope_are_refused_by_name(params: dict[str, Any], field: str) -> None:
    with pytest.raises(ParamError) as error:
        loop(params)
    assert error.value.field == field
    with pytest.raises(ParamError):
        loop().stage({"water.level": params})


def test_a_gate_rule_without_a_gate_is_refused() -> None:
    with pytest.raises(ParamError, match="no basin gate"):
        loop({"gate_relief_m": 1.0}, {"basin": None})


def spec(**changed: Any) -> LoopSpec:
    raw: dict[str, Any] = {
        "name": "station",
        "domain": "water",
        "period_s": 1.0,
        "site": {**SITE, "basin": None},
        "points": {"level": "st/level", "pump.1.run": "st/p1", "pump.2.run": "st/p2", "heartbeat": "st/beat"},
        "controllers": [
            {
                "kind": "water.level",
                "params": {"lead_start_m": 1.4, "lead_stop_m": 0.7, "lag_start_m": 1.9, "lag_stop_m": 1.0},
            }
        ],
    }
    raw.update(changed)
    return LoopSpec.model_validate(raw)


def test_a_loop_is_built_from_its_specification() -> None:
    built = build_loop(spec())
    assert built.domain.reads == ("st/level",)
    assert built.domain.writes == ("st/p1", "st/p2", "st/beat")


@pytest.mark.parametrize(
    ("points", "field"),
    [
        ({"pump.1.run": "a", "pump.2.run": "b"}, "points.level"),
        ({"level": "l", "pump.1.run": "a", "pump.2.run": "b", "pump.3.run": "c"}, "points.pump.3.run"),
        ({"level": "l", "pump.1.run": "a", "pump.2.run": "a"}, "points.pump.2.run"),
    ],
)
def test_wrong_points_are_named(points: dict[str, str], field: str) -> None:
    with pytest.raises(ParamError) as error:
        build_loop(spec(points=points))
    assert error.value.field == field


@pytest.mark.parametrize(
    "site",
    [
        {**SITE, "alarm_high_m": 0.3},
        {**SITE, "high_float_m": 0.3},
        {**SITE, "pumps": []},
        {**SITE, "basin": {"level_max_m": 3.0, "gate_safe_pct": 1.0, "gate_low_pct": 5.0}},
        {**SITE, "basin": {"level_max_m": -3.0}},
        {**SITE, "pumps": [{"current_dry_a": 5, "current_max_a": 4}]},
        {**SITE, "pumps": [{"speed_low_pct": 90, "speed_high_pct": 80}]},
        {**SITE, "colour": "blue"},
    ],
)
def test_a_wrong_site_is_refused(site: dict[str, Any]) -> None:
    with pytest.raises(ParamError) as error:
        build_loop(spec(site=site))
    assert error.value.field.startswith("site")


def test_priority_merging_and_forcing() -> None:
    water = domain()
    first = WaterOutputs((True, None), (None, 50.0), None)
    second = WaterOutputs((False, False), (80.0, 80.0), 30.0)
    merged = water.merge(first, second)
    assert (merged.run, merged.speed, merged.gate) == ((True, False), (80.0, 50.0), 30.0)
    forced = water.force(None, "st/pump.2.run", True)
    assert (forced.run, forced.forced) == ((None, True), frozenset({1}))
    assert water.force(first, "st/pump.1.speed", 70).speed == (70.0, 50.0)
    for point, value in (
        ("st/heartbeat", 3),
        ("st/pump.1.run", 1.0),
        ("st/basin.gate", float("nan")),
        ("else", True),
    ):
        with pytest.raises(ValueError, match="cannot be forced"):
            water.force(first, point, value)


def test_the_fail_safe_is_lawful_and_the_unlawful_is_named() -> None:
    water = domain()
    safe = water.failsafe()
    assert water.unlawful(safe) is None
    assert water.values(safe) == [False, 0.0, False, 0.0, 60.0, 0]
    for wrong in (
        WaterOutputs((False, False), (0.0, 20.0), 50.0),
        WaterOutputs((False, True), (0.0, 0.0), 50.0),
        WaterOutputs((None, False), (0.0, 0.0), 50.0),
        WaterOutputs((False, False), (0.0, None), 50.0),
        WaterOutputs((False, False), (0.0, 0.0), None),
        WaterOutputs((False, False), (0.0, 0.0), 101.0),
        WaterOutputs((False, False), (0.0, 0.0), float("nan")),
    ):
        assert water.unlawful(wrong)


def test_the_barest_station_of_one_sensor_and_two_commands_works() -> None:
    bare = tuple(
        role
        for role in ["level.2", "float.high", "float.low", "heartbeat"]
        + [f"pump.{n}.{word}" for n in (1, 2) for word in ("running", "fault", "mode", "current", "speed")]
    )
    well = settled(Well(loop(site={"basin": None}, leave_out=bare), level=1.0))
    low, high = lowest_and_highest(well, 4000, 0.02)
    assert 0.65 < low < 0.72
    assert 1.38 < high < 1.45
    assert {n for _, n in well.starts} == {1, 2}
    well.bad.add("level")
    assert well.run(30) == {"pump.1.run": False, "pump.2.run": False}
    assert "blind" in well.rules()


def test_a_reboot_leaves_a_failed_pump_the_time_it_had() -> None:
    well = station({"retry_s": 300.0}, level=1.45)
    well.broken = {1}
    well.run(60, 0.02)
    assert "failover" in {one.what for one in well.decisions}
    state = well.loop.snapshot()
    (failed,) = state["controllers"][0]["state"]["failed"].values()
    left = failed - well.now
    well.loop = loop({"retry_s": 300.0})
    well.loop.restore(state)
    well.now = 5.0
    well.scan(0.02)
    (failed,) = well.loop.snapshot()["controllers"][0]["state"]["failed"].values()
    assert failed - 5.0 == pytest.approx(left, abs=1.5)


def test_a_snapshot_of_another_station_is_refused() -> None:
    state = loop().snapshot()
    state["controllers"][0]["state"]["order"] = [0, 1, 2]
    with pytest.raises(ValueError, match="other pumps"):
        loop().restore(state)


def test_a_latched_fault_outlives_a_change_of_the_list_of_controllers() -> None:
    before = station()
    before.says["pump.1.fault"] = True
    before.run(3)
    assert before.loop.domain.guard.latched()
    after = station()
    state = before.loop.snapshot()
    state["controllers"][0]["kind"] = "water.other"
    with pytest.raises(ValueError, match="other controllers"):
        after.loop.restore(state)
    assert after.loop.domain.guard.latched() == before.loop.domain.guard.latched()
