"""The motor's limits hold whatever anybody wants, through restarts and reboots, over random inflow."""

import json
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.water.wells import SITE, Well, domain, loop

from vigie_controllers.water.domain import WaterDomain
from vigie_controllers.water.words import WaterOutputs
from vigie_protocols.points import Quality, Reading, Value

MIN_RUN, MIN_OFF, STARTS, GAP, DELAY = 10.0, 30.0, 12, 5.0, 10.0


@dataclass
class Judge:
    """Knows the limits by itself and watches the commands alone. Time is true time, over every reboot."""

    on: list[bool] = field(default_factory=lambda: [False, False])
    since: list[float] = field(default_factory=lambda: [-1e9, -1e9])
    starts: list[list[float]] = field(default_factory=lambda: [[], []])
    last_start: float = -1e9
    power_back: float = -1e9
    rationed_starts: int = 0

    def power_cut(self, t: float) -> None:
        self.power_back = t
        for place in (0, 1):
            self.on[place], self.since[place] = False, t

    def watch(
        self, t: float, run: tuple[bool | None, ...], rules: set[tuple[str, str]], excused: list[bool]
    ) -> None:
        for place, now_on in enumerate(run):
            was_on, name = self.on[place], f"pump {place + 1}"
            assert isinstance(now_on, bool)
            if now_on and not was_on:
                assert t - self.since[place] >= MIN_OFF - 1e-6, f"{name} rested too short"
                assert t - self.last_start >= GAP - 1e-6, f"{name} started together with another"
                assert t - self.power_back >= DELAY - 1e-6, f"{name} started just after power came back"
                recent = [start for start in self.starts[place] if t - start < 3600.0]
                if len(recent) >= STARTS:
                    assert ("start-limit-override", name) in rules, f"{name}: too many starts, not logged"
                    self.rationed_starts += 1
                self.starts[place] = [*recent, t]
                self.last_start = t
            if was_on and not now_on and not excused[place]:
                assert t - self.since[place] >= MIN_RUN - 1e-6, f"{name} ran too short"
            if now_on != was_on:
                self.on[place], self.since[place] = now_on, t


def good(value: Value, now: float, quality: Quality = Quality.GOOD) -> Reading[Value]:
    return Reading(value, quality, 0.0, now)


@dataclass
class Rig:
    """A guard alone, with a clock that may begin anew."""

    t: float = 10_000.0
    offset: float = 0.0
    judge: Judge = field(default_factory=Judge)
    water: WaterDomain = field(default_factory=domain)

    def scan(
        self, wait: float, wanted: WaterOutputs | None, level: Value, quality: Quality, **lies: Value
    ) -> None:
        self.t += wait
        now = self.t - self.offset
        readings = []
        for point in self.water.reads:
            role = point.removeprefix("st/")
            value: Value
            if role.startswith("level"):
                readings.append(good(level, now, quality))
                continue
            if role == "basin.level":
                value = 1.0
            elif role.startswith("float"):
                value = isinstance(level, float) and level > (2.8 if role == "float.high" else 0.5)
            else:
                n, word = int(role.split(".")[1]), role.split(".")[2]
                running = self.judge.on[n - 1]
                value = {"running": running, "fault": False, "mode": 2, "current": 12.0 if running else 0.0}[
                    word
                ]
            readings.append(good(lies.get(role.replace(".", "_"), value), now))
        inputs = self.water.inputs(Reading(0.0, Quality.BAD), False, tuple(readings))
        verdict = self.water.guard.permit(now, wanted, inputs)
        rules = {(one.rule, one.subject) for one in verdict.interventions} | self.water.guard._said
        assert self.water.unlawful(verdict.outputs) is None
        # Stops for safety need no minimum run: a dry well (by the low float where the level is in doubt),
        # a level nobody can tell, a latched fault, the switch at the panel.
        low = not (isinstance(level, float) and level > 0.5)
        doubt = quality is Quality.BAD or not isinstance(level, float)
        excused = [
            doubt
            or (low and ("dry-run", f"pump {n}") in rules)
            or bool(self.water.guard.motors[n - 1].latched)
            or ("panel", f"pump {n}") in rules
            for n in (1, 2)
        ]
        self.judge.watch(self.t, verdict.outputs.run, rules, excused)

    def restart(self) -> None:
        state = json.loads(json.dumps(self.water.guard.snapshot()))
        self.water = domain()
        self.water.guard.restore(state)

    def reboot(self) -> None:
        self.restart()
        self.judge.power_cut(self.t)
        self.offset = self.t - 2.0


WANTED = st.one_of(
    st.none(),
    st.builds(
        WaterOutputs,
        run=st.tuples(st.sampled_from([None, True, False]), st.sampled_from([None, True, False])),
        speed=st.tuples(st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.floats())),
        gate=st.one_of(st.none(), st.floats()),
        forced=st.sampled_from([frozenset(), frozenset({0}), frozenset({0, 1})]),
    ),
)
SCANS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 1.0, 5.0, 40.0]),
        WANTED,
        st.one_of(st.floats(0.3, 3.9), st.sampled_from([1.0, 1.5, 2.7, float("nan"), -3.0, True, "x"])),
        st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]),
        st.sampled_from(["", "", "", "", "restart", "reboot"]),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(SCANS)
def test_limits_hold_for_any_wants_and_readings(
    scans: list[tuple[float, WaterOutputs | None, Value, Quality, str]],
) -> None:
    rig = Rig()
    rig.judge.power_back = rig.t
    for wait, wanted, level, quality, event in scans:
        if event == "restart":
            rig.restart()
        elif event == "reboot":
            rig.reboot()
        rig.scan(wait, wanted, level, quality)


@pytest.mark.parametrize("seed", range(4))
def test_limits_hold_over_hours_of_malice(seed: int) -> None:
    """Wants that flip as fast as they can, at levels from dry to flooding, with restarts and reboots."""
    chance = random.Random(seed)
    rig = Rig()
    rig.judge.power_back = rig.t
    level, drift = 1.0, 0.0
    for _ in range(15_000):
        if chance.random() < 0.01:
            drift = chance.uniform(-0.02, 0.025)
        level = min(max(level + drift, 0.2), 3.9)
        event = chance.random()
        if event < 0.001:
            rig.restart()
        elif event < 0.0015:
            rig.reboot()
        run = (chance.random() < 0.5, chance.random() < 0.5)
        wanted = None if chance.random() < 0.02 else WaterOutputs(run, (None, None), chance.uniform(-50, 150))
        quality = Quality.BAD if chance.random() < 0.01 else Quality.GOOD
        rig.scan(1.0, wanted, level, quality)
    assert sum(map(len, rig.judge.starts)) > 4, "a test in which nothing starts proves nothing"


def test_the_ration_of_starts_is_lifted_by_a_high_level_alone() -> None:
    rig = Rig()
    rig.judge.power_back = rig.t
    want_on, want_off = (WaterOutputs((on, False), (None, None), 50.0) for on in (True, False))
    for level in (1.5, 2.7):
        before = len(rig.judge.starts[0])
        for second in range(3000):
            rig.scan(1.0, want_on if second % 50 < 12 else want_off, level, Quality.GOOD)
        if level == 1.5:
            assert len(rig.judge.starts[0]) - before == STARTS
    assert rig.judge.rationed_starts > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_station_that_can_cope_never_spills(seed: int) -> None:
    """Random inflow up to 1.2 times one pump's capacity, with restarts of the agent in the middle."""
    chance = random.Random(seed)
    well = Well(loop(), level=1.0)
    inflow = 0.0
    for _ in range(14_000):
        if chance.random() < 0.01:
            inflow = chance.uniform(0.0, 0.036)
        if chance.random() < 0.001:
            state = json.loads(json.dumps(well.loop.snapshot()))
            well.loop = loop()
            well.loop.restore(state)
        well.scan(inflow)
        assert 0.35 < well.level < SITE["high_float_m"]
    assert well.spilt_m3 == 0.0
    assert not well.rules() - {"restart-delay", "min-off"}


def test_the_same_scans_from_the_same_snapshot_give_the_same_outputs() -> None:
    well = Well(loop())
    well.run(1500, 0.02)
    state = json.loads(json.dumps(well.loop.snapshot()))
    twin = Well(loop(), level=well.level, now=well.now, running=list(well.running))
    twin.loop.restore(state)
    for _ in range(2000):
        assert twin.scan(0.028) == well.scan(0.028)
    assert twin.loop.snapshot() == well.loop.snapshot()
