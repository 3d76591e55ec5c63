"""What a scaffolded controller says and how it is tested, for each domain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """controller, test: templates of the two modules. fallback: a built-in kind that speaks when it is silent."""

    controller: str
    test: str
    parameters: str
    silence: str
    fallback: str


_TEST = '''\
"""{title}: cycle by cycle through the loop a gateway runs, its guard and its invariant check included."""

import pytest
from vigie_controllers.loops import ParamError
from vigie_controllers.trial import Trial

from {package} import KIND

'''
_TAIL = """

def test_a_snapshot_goes_on_as_if_nothing_had_happened() -> None:
    one, other = trial(), trial()
    one.run(30)
    other.run(30)
    other.loop.restore(one.loop.snapshot())
    assert one.run(60) == other.run(60)


def test_parameters_are_refused_by_name() -> None:
    with pytest.raises(ParamError, match="{field}"):
        trial({{"{field}": {wrong}}})
    with pytest.raises(ParamError, match="unknown"):
        trial({{"unknown": 1}})
"""

_WATER = '''\
"""``water.{name}``: one pump between two levels.

Change the rule; keep it pure: no I/O, no clock, no chance.
"""

from pydantic import Field
from vigie_controllers.contract import Decision, State
from vigie_controllers.foreign import Surroundings
from vigie_controllers.loops import ControllerKind, Strict
from vigie_controllers.water.words import WaterInputs, WaterOutputs, level_of

NAME = "water.{name}"


class {kind}Config(Strict):
    """Parameters, also of policies of this kind. Levels in metres above the floor of the well."""

    start_m: float = Field(default=1.5, gt=0)
    stop_m: float = Field(default=0.8, gt=0)


class {kind}:
    """The first pump that the guard would start runs from ``start_m`` down to ``stop_m``."""

    def __init__(self, config: {kind}Config, around: Surroundings) -> None:
        if not around.site.dry_run_m < config.stop_m < config.start_m < around.site.alarm_high_m:
            raise ValueError("stop_m: dry_run_m < stop_m < start_m < alarm_high_m of the site does not hold")
        self._config = config
        self._site = around.site
        self._on = False

    def step(self, now: float, inputs: WaterInputs) -> WaterOutputs | None:
        """Which pump is to run; None without a level to go by."""
        level, _ = level_of(now, inputs, self._site)
        if level is None:
            return None
        said: tuple[Decision, ...] = ()
        if level >= self._config.start_m and not self._on:
            self._on, said = True, (Decision(NAME, "well", "start", f"level {{level:.2f}} m"),)
        elif level <= self._config.stop_m and self._on:
            self._on, said = False, (Decision(NAME, "well", "stop", f"level {{level:.2f}} m"),)
        permits = inputs.permits
        ready = next((place for place, one in enumerate(permits) if one.available or one.on), -1)
        run = tuple(self._on and place == ready for place in range(len(permits)))
        return WaterOutputs(run=run, speed=(100.0,) * len(permits), decisions=said)

    def snapshot(self) -> State:
        """All it remembers, plain."""
        return {{"on": self._on}}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self._on = bool(state["on"])


KIND = ControllerKind(NAME, "water", {kind}Config, {kind})
'''
_WATER_TEST = (
    _TEST
    + """\
SITE = {{"level_max_m": 4.0, "dry_run_m": 0.4, "alarm_high_m": 2.6, "high_float_m": 2.8, "pumps": [{{}}, {{}}]}}
READS = {{"level": 1.0}}
WRITES = ["pump.1.run", "pump.2.run"]


def trial(params: dict[str, float] | None = None) -> Trial:
    return Trial(KIND, params or {{}}, SITE, READS, WRITES)


TABLE = [
    # seconds, readings that change, what is written in the end; the guard believes a jump after a while
    (60, {{"level": 1.0}}, {{"pump.1.run": False, "pump.2.run": False}}),
    (60, {{"level": 1.6}}, {{"pump.1.run": True, "pump.2.run": False}}),
    (60, {{"level": 1.0}}, {{"pump.1.run": True, "pump.2.run": False}}),
    (60, {{"level": 0.7}}, {{"pump.1.run": False, "pump.2.run": False}}),
]


def test_cycle_by_cycle() -> None:
    one = trial()
    for row, (seconds, reads, wanted) in enumerate(TABLE):
        written = one.run(seconds, reads)
        assert wanted.items() <= written.items(), f"row {{row}}: {{written}}"
        assert one.active == KIND.name


def test_it_is_silent_without_a_level_and_the_guard_decides() -> None:
    one = trial()
    one.run(40)
    one.run(1, bad=["level"])
    assert one.active == ""
"""
    + _TAIL.replace("{field}", "stop_m").replace("{wrong}", "9.0")
)

_LIGHTING = '''\
"""``lighting.{name}``: one level by night.

Change the rule; keep it pure: no I/O, no clock, no chance.
"""

from pydantic import Field
from vigie_controllers.contract import Decision, State
from vigie_controllers.foreign import Surroundings
from vigie_controllers.lighting.words import LightingInputs, LightingOutputs
from vigie_controllers.loops import ControllerKind, Strict

NAME = "lighting.{name}"


class {kind}Config(Strict):
    """Parameters, also of policies of this kind. The level in percent, the sun's elevation in degrees."""

    night_pct: float = Field(default=80.0, ge=1, le=100)
    from_deg: float = Field(default=-3.0, ge=-12, le=6)


class {kind}:
    """Every segment at ``night_pct`` while the sun is below ``from_deg``, else off."""

    def __init__(self, config: {kind}Config, around: Surroundings) -> None:
        self._config = config
        self._site = around.site
        self._lit: bool | None = None

    def step(self, now: float, inputs: LightingInputs) -> LightingOutputs | None:
        """The segments' levels; None while nobody knows where the sun is."""
        if inputs.sun is None:
            return None
        lit = inputs.sun.elevation_deg < self._config.from_deg
        said: tuple[Decision, ...] = ()
        if lit != self._lit:
            self._lit = lit
            what = "light" if lit else "dark"
            said = (Decision(NAME, "cabinet", what, f"the sun stands at {{inputs.sun.elevation_deg:.1f}} deg"),)
        level = self._config.night_pct if lit else 0.0
        segments, lamps = len(self._site.segments), len(self._site.lamp_segments)
        return LightingOutputs((level,) * segments, (None,) * lamps, contactor=lit, decisions=said)

    def snapshot(self) -> State:
        """All it remembers, plain."""
        return {{"lit": self._lit}}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self._lit = None if state["lit"] is None else bool(state["lit"])


KIND = ControllerKind(NAME, "lighting", {kind}Config, {kind})
'''
_LIGHTING_TEST = (
    _TEST
    + """\
SITE = {{"latitude": 45.5, "longitude": -73.6, "segments": [{{"lamps": 20, "floor_pct": 30.0}}]}}
READS = {{"mode": 2}}
WRITES = ["segment.1.level", "contactor"]
NOON, MIDNIGHT = 1_791_651_600.0, 1_791_694_800.0  # UTC of 10 October 2026, 13:00 and 01:00 in Montreal


def trial(params: dict[str, float] | None = None) -> Trial:
    return Trial(KIND, params or {{}}, SITE, READS, WRITES)


TABLE = [
    # UTC, what is written
    (NOON, {{"segment.1.level": 0.0, "contactor": False}}),
    (MIDNIGHT, {{"segment.1.level": 80.0, "contactor": True}}),
]


def test_cycle_by_cycle() -> None:
    one = trial()
    for row, (utc, wanted) in enumerate(TABLE):
        one.utc = utc
        written = one.run(5)
        assert wanted.items() <= written.items(), f"row {{row}}: {{written}}"
        assert one.active == KIND.name


def test_the_guard_keeps_the_floor_whatever_is_wanted() -> None:
    one = trial({{"night_pct": 5.0}})
    one.utc = MIDNIGHT
    assert one.run(5)["segment.1.level"] == 30.0
"""
    + _TAIL.replace("{field}", "night_pct").replace("{wrong}", "0.0")
)

_SIGNAL = '''\
"""``signal.{name}``: every phase in turn, each for a while.

Change the rule; keep it pure: no I/O, no clock, no chance.
"""

from pydantic import Field
from vigie_controllers.contract import Decision, State
from vigie_controllers.foreign import Surroundings
from vigie_controllers.loops import ControllerKind, Strict
from vigie_controllers.signals.words import PhaseState, SignalInputs, SignalWants

NAME = "signal.{name}"


class {kind}Config(Strict):
    """Parameters, also of policies of this kind. Times in seconds."""

    green_s: float = Field(default=15.0, ge=5, le=90)


class {kind}:
    """Calls every phase, and ends a green that is ``green_s`` old. Yellow and clearances are the guard's."""

    def __init__(self, config: {kind}Config, around: Surroundings) -> None:
        self._config = config
        self._all = frozenset(phase.id for phase in around.site.phases)
        self._ended: list[int] = []

    def step(self, now: float, inputs: SignalInputs) -> SignalWants | None:
        """What is asked of the phases; while the junction starts or flashes, the guard does not ask."""
        old = [
            phase.id
            for phase in inputs.status.phases
            if phase.state is PhaseState.GREEN and now - phase.since >= self._config.green_s
        ]
        said = tuple(
            Decision(NAME, f"phase {{one}}", "end", f"green for {{self._config.green_s:.0f}} s")
            for one in old
            if one not in self._ended
        )
        self._ended = old
        return SignalWants(force_off=frozenset(old), call=self._all, decisions=said)

    def snapshot(self) -> State:
        """All it remembers, plain."""
        return {{"ended": list(self._ended)}}

    def restore(self, state: State) -> None:
        """Take up a snapshot."""
        self._ended = [int(one) for one in state["ended"]]


KIND = ControllerKind(NAME, "signal", {kind}Config, {kind})
'''
_SIGNAL_TEST = (
    _TEST
    + """\
SITE = {{
    "phases": [{{"id": 1}}, {{"id": 2}}],
    "channels": [{{"id": "ns", "phases": [1]}}, {{"id": "ew", "phases": [2]}}],
    "conflicts": [["ns", "ew"]],
}}
WRITES = ["channel.ns", "channel.ew"]
YELLOW, GREEN = 2, 3


def trial(params: dict[str, float] | None = None) -> Trial:
    return Trial(KIND, params or {{}}, SITE, {{}}, WRITES, period_s=0.5)


def test_each_phase_in_turn_and_never_two() -> None:
    one = trial()
    greens = {{role: 0 for role in WRITES}}
    for _ in range(400):
        written = one.run(0.5)
        assert sum(lamp in (YELLOW, GREEN) for lamp in written.values()) <= 1, written
        for role, lamp in written.items():
            greens[role] += lamp == GREEN
    assert all(count >= 100 for count in greens.values()), greens
    assert one.active == KIND.name and not one.interventions


def test_a_longer_green_is_a_longer_green() -> None:
    def changes(green_s: float) -> int:
        one, before, count = trial({{"green_s": green_s}}), None, 0
        for _ in range(400):
            lamp = one.run(0.5)["channel.ns"]
            count += lamp != before
            before = lamp
        return count

    assert changes(30.0) < changes(10.0)
"""
    + _TAIL.replace("{field}", "green_s").replace("{wrong}", "1.0")
)

DOMAINS = {
    "signal": Parts(
        _SIGNAL,
        _SIGNAL_TEST,
        "| `green_s` | 15 | seconds of green of each phase |\n",
        "While the junction starts or flashes, nobody is asked.",
        "signal.fixed",
    ),
    "water": Parts(
        _WATER,
        _WATER_TEST,
        "| `start_m`, `stop_m` | 1.5, 0.8 | level at which a pump starts and stops, metres above the floor |\n",
        "Without a level it is silent.",
        "water.level",
    ),
    "lighting": Parts(
        _LIGHTING,
        _LIGHTING_TEST,
        "| `night_pct` | 80 | level by night, percent |\n"
        "| `from_deg` | -3 | elevation of the sun below which it is night, degrees |\n",
        "While nobody knows where the sun is it is silent.",
        "lighting.astro",
    ),
}
