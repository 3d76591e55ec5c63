"""The station's firmware and motors, by tables of cycles; no SWMM."""

import random

import pytest

from vigie_sim.water.basin import Basin, BasinSpec
from vigie_sim.water.motor import HAND, OFF, Motor, MotorSpec
from vigie_sim.water.sensor import FloatSwitch, LevelSensor, SensorFault
from vigie_sim.water.station import PumpStation, StationSpec

SPEC = StationSpec(device="s", dry_m=0.35, low_m=0.8, lead_m=2.2, lag_m=3.0, high_m=3.6)


def station(**changes: object) -> PumpStation:
    return PumpStation(SPEC.model_copy(update=changes), 2, random.Random(1))


def run(it: PumpStation, start: int, seconds: int, depth: float, beat: bool = True) -> tuple[bool, ...]:
    turning: tuple[bool, ...] = ()
    for now in range(start + 1, start + seconds + 1):
        if beat:
            it.command(now - 1.0, "heartbeat", now % 65536)
        turning = it.step(float(now), 1.0, depth)
    return turning


def test_commands_start_and_stop_with_the_starters_delays() -> None:
    it = station()
    run(it, 0, 5, 1.5)
    it.command(5.0, "pump.1.command", True)
    assert run(it, 5, 1, 1.5) == (False, False)
    assert run(it, 6, 2, 1.5) == (True, False)
    it.command(8.0, "pump.1.command", False)
    assert run(it, 8, 1, 1.5) == (True, False)
    assert run(it, 9, 1, 1.5) == (False, False)
    assert it.values()["pump.1.starts"] == 1


def test_the_starter_holds_a_restart_back() -> None:
    motor = Motor(MotorSpec(start_delay_s=0, stop_delay_s=0, anti_restart_s=10))
    trace = []
    for now in range(1, 16):
        motor.step(float(now), 1.0, wanted=now != 3, dry=False)
        trace.append(motor.running)
    assert trace == [True, True] + [False] * 10 + [True] * 3
    assert motor.starts == 2


def test_one_start_too_many_within_an_hour_burns_the_motor_and_only_a_cold_one_resets() -> None:
    motor = Motor(
        MotorSpec(start_delay_s=0, stop_delay_s=0, anti_restart_s=0, starts_per_hour=6, cooling_s=100)
    )
    now = 0
    for _ in range(6):
        for wanted in (True, False):
            now += 60
            motor.step(float(now), 60.0, wanted, dry=False)
    assert (motor.starts, motor.burnt, motor.fault) == (6, 0, "")
    motor.step(now + 60.0, 60.0, True, dry=False)
    assert (motor.burnt, motor.fault, motor.running) == (1, "overheated", False)
    assert not motor.reset(now + 120.0)
    assert motor.reset(now + 160.0)
    motor.step(now + 161.0, 1.0, True, dry=False)
    assert motor.running


def test_the_same_starts_spread_over_more_than_an_hour_do_no_harm() -> None:
    motor = Motor(MotorSpec(start_delay_s=0, stop_delay_s=0, anti_restart_s=0, starts_per_hour=6))
    for now in range(0, 36060, 601):
        motor.step(now + 1.0, 1.0, True, dry=False)
        motor.step(now + 301.0, 300.0, False, dry=False)
    assert (motor.starts, motor.burnt) == (60, 0)


def test_running_dry_burns_the_motor() -> None:
    it = station()
    run(it, 0, 1, 1.0)
    it.command(1.0, "pump.2.command", True)
    run(it, 1, 10, 0.2)
    assert it.motors[1].burnt == 0
    run(it, 11, 30, 0.2)
    assert (it.motors[1].burnt, it.motors[1].fault) == (1, "dry")
    assert it.values()["pump.2.fault"] is True


def test_without_a_heartbeat_the_relay_pumps_by_its_floats_and_takes_turns() -> None:
    it = station()
    assert run(it, 0, 20, 1.5, beat=False) == (False, False)
    assert it.fallback
    assert run(it, 20, 10, 2.3, beat=False) == (True, False)
    assert run(it, 30, 10, 3.1, beat=False) == (True, True)
    assert run(it, 40, 10, 1.0, beat=False) == (True, True)
    assert run(it, 50, 10, 0.7, beat=False) == (False, False)
    assert run(it, 60, 10, 2.3, beat=False) == (False, True)


def test_a_heartbeat_that_stands_still_is_none() -> None:
    it = station()
    run(it, 0, 5, 1.5)
    it.command(5.0, "pump.1.command", True)
    assert run(it, 5, 5, 1.5) == (True, False)
    for now in range(11, 40):
        it.command(float(now), "heartbeat", 10)
        turning = it.step(float(now), 1.0, 1.5)
    assert it.fallback
    assert turning == (False, False)


def test_a_high_float_pumps_whatever_the_gateway_says() -> None:
    it = station()
    run(it, 0, 5, 1.5)
    assert run(it, 5, 10, 3.7) == (True, True)
    assert not it.fallback
    assert run(it, 15, 10, 2.5) == (True, True)
    assert run(it, 25, 10, 2.0) == (False, False)
    assert it.rescue_s == 20.0


@pytest.mark.parametrize(("selector", "expected"), [(OFF, False), (HAND, True)])
def test_the_selector_outranks_everything(selector: int, expected: bool) -> None:
    it = station()
    it.selectors[0] = selector
    it.command(0.0, "pump.1.command", not expected)
    assert run(it, 0, 10, 3.7 if not expected else 1.5)[0] is expected


def test_power_loss_stops_the_motors_and_they_come_back() -> None:
    it = station()
    it.command(0.0, "pump.1.command", True)
    assert run(it, 0, 10, 1.5) == (True, False)
    it.power = False
    assert run(it, 10, 5, 1.5) == (False, False)
    assert it.values()["power.ok"] is False
    it.power = True
    assert run(it, 15, 20, 1.5) == (True, False)


def test_a_blocked_pump_draws_current_and_never_reports_running() -> None:
    it = station()
    it.motors[0].blocked = True
    it.command(0.0, "pump.1.command", True)
    run(it, 0, 10, 1.5)
    it.measure(1.5, 1.0, (0.0, 0.0), {})
    values = it.values()
    assert values["pump.1.run"] is False
    assert float(values["pump.1.current"]) > 40


def test_floats_have_hysteresis() -> None:
    switch = FloatSwitch(2.0)
    seen = []
    for depth in (1.9, 2.0, 1.97, 1.96, 1.95, 1.99, 2.0):
        switch.step(depth)
        seen.append(switch.wet)
    assert seen == [False, True, True, True, False, False, True]


def test_sensor_faults_do_not_shift_the_noise_that_follows() -> None:
    healthy, faulty = (LevelSensor(random.Random(3), 6.0, 0.01) for _ in range(2))
    for step in range(30):
        faulty.fault = (
            SensorFault.FROZEN if 5 <= step < 10 else SensorFault.DEAD if step >= 25 else SensorFault.NONE
        )
        before = faulty.level
        healthy.step(2.0, 1.0)
        faulty.step(2.0, 1.0)
        if faulty.fault is SensorFault.FROZEN:
            assert faulty.level == before
        elif faulty.fault is SensorFault.DEAD:
            assert faulty.level == 0.0
        else:
            assert faulty.level == healthy.level


def test_gate_travels_at_its_rate_and_opens_by_itself_without_a_heartbeat() -> None:
    gate = Basin(BasinSpec(device="b", area_m2=100, high_m=3), random.Random(1))
    for now in range(30):
        gate.command(float(now), "heartbeat", now + 1)
        gate.command(float(now), "gate.command", 20.0)
        gate.step(now + 1.0, 1.0)
    assert gate.position == 40.0
    for now in range(30, 100):
        gate.step(now + 1.0, 1.0)
    assert gate.fallback
    assert gate.position == 100.0
    gate.remote = False
    gate.command(100.0, "heartbeat", 7)
    gate.step(101.0, 1.0)
    assert gate.position == 100.0
