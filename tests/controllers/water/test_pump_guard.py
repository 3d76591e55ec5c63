"""The pump guard, rule by rule, on a well that answers."""

import json

import pytest
from tests.controllers.water.wells import Well, domain, loop, settled

from vigie_controllers.water.words import WaterOutputs
from vigie_protocols.points import Quality, Reading, Value


def station(**other: object) -> Well:
    return settled(Well(loop(), **other))  # type: ignore[arg-type]


def test_after_power_came_back_nothing_starts_for_a_while_and_then_one_after_the_other() -> None:
    well = Well(loop(), level=2.5)
    well.run(60, 0.1)
    first, second = well.starts
    assert first[0] - 1000.0 >= 30.0, (
        "the pumps rest their minimum off time, counted from the return of power"
    )
    assert second[0] - first[0] >= 5.0
    assert "restart-delay" in well.rules()


def test_a_pump_found_running_is_taken_over_without_a_bump() -> None:
    well = Well(loop(), level=1.2, running=[True, False])
    assert well.scan()["pump.1.run"] is True
    well.run(9)
    assert well.running == [True, False], "minimum run, counted from when it was found"
    well.run(3)
    assert well.running == [False, False], "nobody wants it"


def test_a_short_absence_of_the_agent_counts_as_a_stop_of_what_does_not_say_that_it_runs() -> None:
    well = station(level=1.6)
    well.run(20, 0.03)
    assert well.running == [True, False]
    state = json.loads(json.dumps(well.loop.snapshot()))
    well.loop = loop()
    well.loop.restore(state)
    well.now += 8.0
    well.running = [False, False]
    stopped_at = well.now
    well.run(60, 0.03)
    assert well.starts[-1][0] - stopped_at >= 5.0
    assert all(start - stopped_at >= 30.0 for start, n in well.starts if n == 1 and start > stopped_at)


@pytest.mark.parametrize("mode", [0, 1])
def test_what_the_panel_says_outranks_us_and_is_followed(mode: int) -> None:
    well = station(level=1.6)
    well.run(20, 0.02)
    assert well.running == [True, False]
    well.says["pump.1.mode"] = mode
    written = well.run(5, 0.02)
    assert written["pump.1.run"] is (mode == 1), "off: our command is off; hand: it follows what runs"
    assert ("panel", "pump 1") in {(one.rule, one.subject) for one in well.interventions}
    del well.says["pump.1.mode"]
    before = list(well.running)
    well.scan(0.02)
    assert well.running == before, "the way back to auto is without a bump"


def test_an_unreadable_switch_lets_nothing_start_but_stops_nothing() -> None:
    well = station(level=1.85)
    well.run(5, 0.02)
    well.bad |= {"pump.1.mode", "pump.2.mode"}
    well.forces = {"st/pump.2.run": True}
    well.run(60, 0.05)
    assert well.running == [True, False]
    assert "panel-unreadable" in well.rules()
    well.bad.clear()
    well.run(10, 0.05)
    assert well.running == [True, True]


def test_a_fault_latches_until_the_panel_is_switched_off_or_a_person_resets_it() -> None:
    well = station(level=1.6)
    well.run(20, 0.02)
    well.says["pump.1.fault"] = True
    well.scan(0.02)
    assert well.running == [False, False]
    well.says.clear()
    well.run(120, 0.02)
    assert well.running == [False, True], "latched though the contact has opened; the other pump took over"
    state = json.loads(json.dumps(well.loop.snapshot()))
    well.loop = loop()
    well.loop.restore(state)
    well.scan(0.02)
    assert not well.loop.domain.guard.permits[0].available, "latched through a restart"
    assert well.loop.domain.guard.reset(1) is True
    assert well.loop.domain.guard.reset(1) is False
    well.scan(0.02)
    assert well.loop.domain.guard.permits[0].available
    well.says["pump.1.fault"] = True
    well.scan(0.02)
    well.says = {"pump.1.mode": 0}
    well.scan(0.02)
    well.says = {}
    well.scan(0.02)
    assert well.loop.domain.guard.permits[0].available


def test_a_latched_fault_holds_in_hand_too() -> None:
    well = station(level=1.6)
    well.says = {"pump.1.fault": True}
    well.scan()
    well.says = {"pump.1.mode": 1}
    written = well.run(5)
    assert written["pump.1.run"] is False


@pytest.mark.parametrize(("current", "rule"), [(1.0, "dry-run"), (45.0, "overload")])
def test_a_current_outside_its_limits_latches_within_five_seconds_and_a_scan(
    current: float, rule: str
) -> None:
    well = station(level=1.6)
    well.run(20, 0.02)
    well.says["pump.1.current"] = current
    well.run(5, 0.02)
    assert well.running[0] is True
    well.scan(0.02)
    assert well.running[0] is False
    assert rule in well.rules()


def test_below_the_dry_run_level_no_pump_runs_whatever_anybody_wants() -> None:
    well = station(level=0.9)
    well.forces = {"st/pump.1.run": True}
    well.run(300)
    assert 0.3 < well.level < 0.46
    assert len(well.starts) == 1, "stopped at once, and not started again"
    assert "dry-run" in well.rules()


def test_a_bad_level_means_pumping_by_the_high_float_for_its_time() -> None:
    well = station(level=1.6)
    well.run(20, 0.02)
    well.bad.add("level")
    well.bad.add("level.2")
    well.run(12, 0.02)
    assert well.running == [False, False]
    assert "float-mode" in well.rules()
    while well.level < 2.8:
        well.scan(0.05)
    well.run(50, 0.05)
    assert well.running == [True, True]
    fell = well.now
    while well.level >= 2.8:
        well.scan(0.0)
        fell = well.now
    well.run(60, 0.0)
    assert well.running == [True, True], "they run on for their time"
    well.run(80, 0.0)
    assert well.running == [False, False]
    assert well.now > fell


def test_the_low_float_ends_float_mode_early_and_bars_starts() -> None:
    well = station(level=2.9)
    well.bad |= {"level", "level.2"}
    well.run(40, 0.05)
    assert well.running == [True, True]
    well.level = 0.45
    well.run(1)
    assert well.running == [False, False]
    well.level = 0.6
    starts = len(well.starts)
    well.run(60)
    assert len(well.starts) == starts, "not before the high float rises again"


def test_blind_pumps_rest_and_the_heartbeat_stands_still_so_that_the_floats_take_over() -> None:
    well = station(level=1.6)
    beat = well.scan()["heartbeat"]
    assert well.scan()["heartbeat"] == int(beat) + 1
    well.bad |= {"level", "level.2", "float.high"}
    still = well.run(20)["heartbeat"]
    written = well.run(5)
    assert (written["heartbeat"], written["pump.1.run"]) == (still, False)
    assert "blind" in well.rules()
    well.forces = {"st/pump.1.run": True}
    assert well.run(40)["pump.1.run"] is True, "a person with a lease may still pump"


def test_sensors_that_disagree_jump_or_freeze_are_not_believed() -> None:
    well = station(level=1.0)
    well.says["level.2"] = 1.9
    well.scan()
    assert "float-mode" in well.rules()
    well.says.clear()
    well.interventions.clear()
    well.scan()
    well.says.update({"level": 2.4, "level.2": 2.4})
    well.scan()
    assert "the level jumped" in well.interventions[-1].reason
    assert well.running == [False, False]
    frozen = station(level=1.6)
    frozen.run(20, 0.03)
    frozen.says.update({"level": 1.5, "level.2": 1.5})
    frozen.run(1900, 0.03)
    assert any("not moved" in one.reason for one in frozen.interventions)


def test_with_one_sensor_dead_the_other_suffices() -> None:
    well = station(level=1.6)
    well.bad.add("level")
    well.run(20, 0.02)
    assert well.running == [True, False]
    assert not well.rules() & {"float-mode", "blind"}


def test_the_alarm_level_starts_pumps_that_nobody_asked_for_and_lets_go_lower_down() -> None:
    water = domain()
    off = WaterOutputs((False, False), (None, None), 50.0)
    level, now, running = 2.0, 0.0, (False, False)
    seen = []
    for _ in range(400):
        rows: list[Reading[Value]] = []
        for point in water.reads:
            role = point.removeprefix("st/")
            value: Value = level if "level" in role else False
            if role.endswith("mode"):
                value = 2
            elif role.endswith("running"):
                value = running[int(role.split(".")[1]) - 1]
            elif role.endswith("current"):
                value = 12.0
            rows.append(Reading(value, Quality.GOOD, 0.0, now))
        verdict = water.guard.permit(now, off, water.inputs(Reading(0.0), False, tuple(rows)))
        running = tuple(bool(each) for each in verdict.outputs.run)  # type: ignore[assignment]
        level += 0.008 if running == (False, False) else -0.01
        seen.append((level, running))
        now += 1.0
    highest = max(each for each, _ in seen)
    assert 2.6 < highest < 2.65
    assert any(run == (True, True) for _, run in seen)
    assert min(each for each, run in seen[150:]) > 1.7, (
        "service ends a third of the way down, not at the bottom"
    )


def test_no_more_pumps_than_allowed_run_together() -> None:
    well = settled(Well(loop(site={"max_running": 1}), level=2.9))
    well.run(100, 0.06)
    assert sum(well.running) == 1
    assert "max-running" in well.rules()


def test_speed_starts_at_its_lowest_and_keeps_its_ramp() -> None:
    well = Well(loop(), level=2.2)
    before, speeds = 0.0, []
    for _ in range(80):
        speed = well.scan(0.05)["pump.1.speed"]
        assert isinstance(speed, float)
        assert speed in (0.0, 40.0) or abs(speed - before) <= 10.0 + 1e-9
        speeds.append(speed)
        before = speed
    assert speeds[-1] == 100.0


def test_the_gate_keeps_its_range_and_rate_and_goes_safe_when_nobody_speaks() -> None:
    well = station(level=1.0)
    well.forces = {"st/basin.gate": -20.0}
    opening = well.scan()["basin.gate"]
    assert opening == 98.0, "2 % a second from fully open"
    well.run(120)
    assert well.scan()["basin.gate"] == 5.0
    assert "gate-range" in well.rules()
    well.forces = {}
    well.bad |= {"level", "level.2"}
    assert well.run(120)["basin.gate"] == 60.0
    assert "gate-safe" in well.rules()


@pytest.mark.parametrize("wrong", [{"motors": []}, {}])
def test_a_snapshot_of_something_else_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        domain().guard.restore(wrong)


def test_an_unreadable_fault_contact_lets_nothing_start() -> None:
    well = Well(loop(), level=1.6)
    well.bad |= {"pump.1.fault", "pump.2.fault"}
    well.forces = {"st/pump.1.run": True}
    well.run(100, 0.02)
    assert well.starts == []
    assert "fault-unreadable" in well.rules()


def test_after_a_reboot_pumps_start_again_and_the_ration_goes_on() -> None:
    water = domain()
    now, running, starts = 50_000.0, False, 0
    for second in range(4000):
        if second == 400:
            state = json.loads(json.dumps(water.guard.snapshot()))
            water = domain()
            water.guard.restore(state)
            now, running = 3.0, False
            before = starts
        rows: list[Reading[Value]] = []
        for point in water.reads:
            value: Value = 1.5 if "level" in point else 2 if point.endswith("mode") else False
            if point.endswith(("current", "1.running")):
                value = 12.0 if point.endswith("current") else running
            rows.append(Reading(value, Quality.GOOD, 0.0, now))
        wanted = WaterOutputs((second % 50 < 12, False), (None, None), 50.0)
        run = water.guard.permit(now, wanted, water.inputs(Reading(0.0), False, tuple(rows))).outputs.run[0]
        starts += run is True and not running
        running = run is True
        now += 1.0
        if second == 500:
            assert starts > before
        if second == 3550:
            assert starts == 12, "those before the reboot count"
    assert starts > 12, "an hour later there are new ones"


def test_a_lease_that_ends_leaves_pump_and_gate_where_they_are_and_the_controller_goes_on_from_there() -> (
    None
):
    well = station(level=1.6)
    well.run(60, 0.03)
    well.forces = {"st/pump.1.run": True, "st/pump.1.speed": 100.0, "st/basin.gate": 40.0}
    held = well.run(60, 0.03)
    assert (held["pump.1.speed"], held["basin.gate"]) == (100.0, 40.0)
    well.forces = {}
    speed, opening = 100.0, 40.0
    for _ in range(40):
        written = well.scan(0.03)
        assert isinstance(written["pump.1.speed"], float) and isinstance(written["basin.gate"], float)
        assert written["pump.1.run"] is True, "it is wanted still, and is not stopped in between"
        assert (
            abs(written["pump.1.speed"] - speed) <= 10.0 + 1e-9
            and abs(written["basin.gate"] - opening) <= 2.0 + 1e-9
        )
        speed, opening = written["pump.1.speed"], written["basin.gate"]
    assert speed < 100.0 and opening > 40.0


def test_a_pump_that_a_lease_had_started_is_not_stopped_before_its_time_when_it_ends() -> None:
    well = settled(Well(loop(), level=1.0))
    well.forces = {"st/pump.1.run": True}
    well.scan()
    assert well.running == [True, False]
    well.forces = {}
    for _ in range(8):
        assert well.scan()["pump.1.run"] is True, "minimum run counts from when the lease started it"
    well.run(5)
    assert well.running == [False, False]
