"""Sun, lamps, cabinets and meters, without sockets."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vigie_protocols.errors import InputError
from vigie_sim.lighting.cabinet import HAND, OFF, Cabinet, CabinetSpec, GroupSpec
from vigie_sim.lighting.lamps import LampBank, LampFault, LampKind, PlannedFault
from vigie_sim.lighting.plant import LightingPlant, load_lighting
from vigie_sim.lighting.sun import daylight_lux, solar_elevation

DISTRICT = Path(__file__).parents[2] / "hil-sim" / "scenarios" / "district"
LED = LampKind(rated_w=100, fade_pct_per_s=10)
HPS = LampKind(rated_w=100, fade_pct_per_s=100, warm_up_s=100, least_pct=50)


def test_night_hours_of_a_year_agree_with_an_independent_ephemeris() -> None:
    # Hours of 2026 in Montréal with the sun below -0.833, -3 and -6 degrees, by NREL's SPA.
    start = 1767225600.0
    low = [0, 0, 0]
    for step in range(365 * 144):
        elevation = solar_elevation(start + step * 600.0, 45.5019, -73.5674)
        for place, limit in enumerate((-0.833, -3.0, -6.0)):
            low[place] += elevation < limit
    assert [count / 6 for count in low] == pytest.approx([4296, 4130, 3899], abs=3)


def test_daylight_falls_with_the_sun() -> None:
    lux = [daylight_lux(elevation / 2) for elevation in range(-50, 181)]
    assert all(dim <= bright for dim, bright in pairwise(lux))
    assert daylight_lux(-6.0) == pytest.approx(3.4)
    assert 400 < daylight_lux(-0.833) < 460


def test_power_is_not_linear_in_level_and_standby_is_not_nothing() -> None:
    bank = LampBank([LED], [])
    powers = {}
    for level in (0.0, 25.0, 50.0, 100.0):
        for now in range(20):
            bank.step(float(now), 1.0, np.array([level]), fed=True, live=True)
        powers[level] = float(bank.power[0])
    assert powers[0.0] == 0.6
    assert powers[100.0] == pytest.approx(100.0)
    assert powers[25.0] + powers[25.0] > powers[50.0]
    assert powers[50.0] < 0.55 * powers[100.0]
    bank.step(99.0, 1.0, np.array([100.0]), fed=False, live=True)
    assert float(bank.power[0]) == 0.0


def test_lamps_fade_and_discharge_lamps_warm_up() -> None:
    bank = LampBank([LED, HPS], [])
    light = []
    for now in range(110):
        bank.step(float(now), 1.0, np.array([80.0, 30.0]), fed=True, live=True)
        light.append((float(bank.light[0]), float(bank.light[1])))
    assert [led for led, _ in light[:9]] == [10, 20, 30, 40, 50, 60, 70, 80, 80]
    assert float(bank.level[1]) == 50.0
    assert light[0][1] < 16.0
    assert light[99][1] == pytest.approx(50.0)


def test_faults_come_at_their_instant_and_show() -> None:
    plan = [
        PlannedFault(0, 10.0, LampFault.FAILED),
        PlannedFault(1, 20.0, LampFault.DAY_BURNER),
        PlannedFault(2, 30.0, LampFault.CYCLING),
    ]
    bank = LampBank([LED] * 4, plan)
    lit = []
    for now in range(1, 700):
        bank.step(float(now), 1.0, np.full(4, 100.0), fed=now < 600, live=now < 690)
        lit.append([level > 0 for level in bank.level])
    assert lit[8] == [True, True, True, True]
    assert lit[10] == [False, True, True, True]
    assert [row[2] for row in lit[29:599]].count(False) == 120 + 90
    assert lit[650] == [False, True, False, False]
    assert lit[695] == [False] * 4
    assert bank.fault.tolist() == [1, 2, 3, 0]


def cabinet(**changes: object) -> Cabinet:
    spec = CabinetSpec(
        device="c",
        meter="m",
        latitude=45.5,
        longitude=-73.6,
        groups=(GroupSpec(lamps=4, kind="led", floor_pct=30), GroupSpec(lamps=2, kind="led", floor_pct=50)),
    ).model_copy(update=changes)
    return Cabinet(spec, {"led": LED}, [], random.Random(1))


def run(it: Cabinet, start: int, seconds: int, lux: float, beat: bool = True) -> None:
    for now in range(start, start + seconds):
        if beat:
            it.command(float(now), "heartbeat", now % 65536 + 1)
        it.step(now + 1.0, 1.0, lux)


def test_without_commands_every_lamp_is_full_in_the_dark_and_off_by_day() -> None:
    it = cabinet()
    run(it, 0, 30, 5000.0, beat=False)
    assert it.fallback and not it.contactor
    run(it, 30, 30, 10.0, beat=False)
    assert it.bank.level.tolist() == [100.0] * 6
    run(it, 60, 10, 70.0, beat=False)
    assert it.contactor, "between dusk and dawn threshold the photocell relay stays"
    run(it, 70, 10, 100.0, beat=False)
    assert not it.contactor


def test_commands_rule_while_the_heartbeat_counts_and_no_longer() -> None:
    it = cabinet()
    it.command(0.0, "contactor.command", True)
    it.command(0.0, "group.1.command", 40.0)
    it.command(0.0, "group.2.command", 0.0)
    run(it, 0, 30, 10.0)
    assert it.values()["group.1.level"] == 40.0
    assert it.values()["group.2.level"] == 0.0
    assert it.below_floor() == 2
    run(it, 30, 61, 10.0, beat=False)
    assert it.fallback
    run(it, 91, 10, 10.0, beat=False)
    assert it.bank.level.tolist() == [100.0] * 6


def test_selector_and_breaker_outrank_commands() -> None:
    it = cabinet()
    it.command(0.0, "contactor.command", False)
    it.selector = HAND
    run(it, 0, 20, 5000.0)
    assert it.bank.level.tolist() == [100.0] * 6
    it.selector = OFF
    run(it, 20, 5, 1.0)
    assert it.bank.level.tolist() == [0.0] * 6
    it.selector = HAND
    it.tripped = True
    run(it, 25, 5, 1.0)
    assert it.values()["contactor"] is False and it.values()["breaker"] is True
    assert sum(it.meter.powers) == 0.0


def test_too_much_current_trips_the_breaker() -> None:
    it = cabinet(breaker_a=0.3)
    it.selector = HAND
    run(it, 0, 20, 1.0)
    assert it.tripped


def test_the_meter_counts_what_the_lamps_draw() -> None:
    it = cabinet()
    it.selector = HAND
    run(it, 0, 3600, 1.0)
    values = it.meter.values()
    assert values["power"] == pytest.approx(600.0)
    assert values["power"] == pytest.approx(sum(float(values[f"power.{phase}"]) for phase in (1, 2, 3)))
    assert it.meter.energy_kwh == pytest.approx(0.6, rel=0.01)
    apparent = sum(
        float(values[f"voltage.{phase}"]) * float(values[f"current.{phase}"]) for phase in (1, 2, 3)
    )
    assert apparent * float(values["power.factor"]) == pytest.approx(600.0)


def district(seed: int, dimmed: bool) -> tuple[dict[str, float], list[int]]:
    plant = LightingPlant(load_lighting(DISTRICT / "lighting.yaml"), seed)
    plant.start()
    for now in range(3600):
        for each in plant.cabinets if dimmed else ():
            level = 0.0 if plant.elevation > -0.833 else 60.0 if plant.elevation > -6 else 80.0
            each.command(float(now), "heartbeat", now + 1)
            each.command(float(now), "contactor.command", level > 0)
            for group in (1, 2):
                each.command(float(now), f"group.{group}.command", level)
        plant.step(now + 1.0)
    return plant.outcomes(), [int(code) for each in plant.cabinets for code in each.bank.fault]


def test_the_districts_dusk_full_night_against_dimmed() -> None:
    full, faults = district(1, dimmed=False)
    again, same = district(1, dimmed=False)
    dimmed, _ = district(1, dimmed=True)
    _, other = district(2, dimmed=False)
    assert (full, faults) == (again, same)
    assert faults != other
    assert len(faults) == 60
    assert full["lamps_faulty"] == 6.0
    assert dimmed["lamp_energy_kwh"] < 0.9 * full["lamp_energy_kwh"]
    assert dimmed["lit_min"] > full["lit_min"]
    for each in (full, dimmed):
        assert each["below_floor_min"] == 0.0


def test_lamps_kept_below_their_floor_in_the_dark_are_counted() -> None:
    plant = LightingPlant(load_lighting(DISTRICT / "lighting.yaml"), 1)
    plant.start()
    for each in plant.cabinets:
        each.selector = OFF
    for now in range(3600):
        plant.step(now + 1.0)
    assert plant.elevation < -6
    assert plant.outcomes()["below_floor_min"] > 15 * 54


def test_a_wrong_scenario_names_field_and_remedy(tmp_path: Path) -> None:
    text = (DISTRICT / "lighting.yaml").read_text(encoding="utf-8")
    for old, new, said in (
        ("kind: walk-led", "kind: walk-neon", "walk-neon"),
        ("failed: 1", "failed: 99", "more faults than lamps"),
        ("T21:15:00+00:00", "T21:15:00", "offset"),
        ("cloud_share", "cloud_shere", "cloud_share"),
    ):
        wrong = tmp_path / "lighting.yaml"
        wrong.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match=said):
            load_lighting(wrong)
