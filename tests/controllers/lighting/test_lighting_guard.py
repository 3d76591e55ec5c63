"""The floor guard and the lighting domain: never dark at night, in doubt on."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.lighting.cabinets import DUSK, MIDNIGHT, NOON, SITE, Cabinet, domain, loop

from vigie_controllers.lighting.words import LightingInputs, LightingOutputs
from vigie_protocols.points import Quality, Reading, Value

SILENT = LightingOutputs.silent(2, 2)


def inputs(
    utc: float, clock: Quality = Quality.GOOD, mode: Value = 2, lux: float | None = None
) -> LightingInputs:
    water = domain()
    rows = {
        "cab/photocell": Reading(lux or 0.0, Quality.BAD if lux is None else Quality.GOOD, 0.0, 0.0),
        "cab/mode": Reading(mode),
        "cab/meter.power": Reading(0.0),
    }
    return water.inputs(Reading(utc, clock), False, [rows[point] for point in water.reads])


def test_the_floor_of_each_class_holds_at_night() -> None:
    guard = domain().guard
    asked = LightingOutputs((10.0, 10.0), (None, 5.0), contactor=False)
    verdict = guard.permit(0.0, asked, inputs(MIDNIGHT))
    assert verdict.outputs.segments == (50.0, 20.0)
    assert verdict.outputs.lamps == (50.0, 20.0)
    assert verdict.outputs.contactor is True
    assert {(one.rule, one.subject) for one in verdict.interventions} == {
        ("floor", "segment 1"),
        ("floor", "segment 2"),
        ("floor", "lamp 2"),
        ("contactor", "cabinet"),
    }
    assert guard.permit(1.0, asked, inputs(MIDNIGHT)).interventions == ()


@pytest.mark.parametrize(("when", "level"), [(NOON, 0.0), (DUSK, 0.0), (MIDNIGHT, 100.0)])
def test_when_nobody_speaks_the_sun_alone_decides(when: float, level: float) -> None:
    for asked in (None, SILENT, replace(SILENT, segments=(math.nan, math.inf))):
        assert domain().guard.permit(0.0, asked, inputs(when)).outputs.segments == (level, level)


def test_in_doubt_everything_is_fully_on() -> None:
    asked = LightingOutputs((0.0, 30.0), (0.0, 0.0), contactor=False)
    verdict = domain().guard.permit(0.0, asked, inputs(NOON, Quality.BAD))
    assert verdict.outputs.segments == verdict.outputs.lamps == (100.0, 100.0)
    assert verdict.outputs.contactor is True
    day = domain().guard.permit(0.0, asked, inputs(NOON, Quality.BAD, lux=800.0))
    assert day.outputs.segments == (0.0, 30.0)


def test_by_day_what_is_asked_for_is_given_within_range() -> None:
    verdict = domain().guard.permit(0.0, LightingOutputs((130.0, -5.0), (None, None), False), inputs(NOON))
    assert verdict.outputs.segments == (100.0, 0.0)
    assert {one.rule for one in verdict.interventions} == {"range", "contactor"}
    dark = domain().guard.permit(0.0, LightingOutputs((0.0, 0.0), (None, None), False), inputs(NOON))
    assert dark.outputs.contactor is False


def test_the_panel_outranks_everybody() -> None:
    asked = LightingOutputs((0.0, 0.0), (None, None), False)
    hand = domain().guard.permit(0.0, asked, inputs(NOON, mode=1)).outputs
    assert (hand.segments, hand.contactor) == ((100.0, 100.0), True)
    off = domain().guard.permit(0.0, None, inputs(MIDNIGHT, mode=0)).outputs
    assert (off.segments, off.contactor) == ((100.0, 100.0), False), "ready for the way back"
    odd = domain().guard.permit(0.0, asked, inputs(NOON, mode=7)).outputs
    assert odd.segments == (0.0, 0.0)


def test_changes_keep_to_the_ramp_but_the_floor_needs_none() -> None:
    cabinet = Cabinet(loop({"level_pct": 80.0}, {"ramp_pct_per_s": 2.0}), utc=NOON)
    assert cabinet.levels() == (0.0, 0.0)
    cabinet.forces = {"cab/segment.1.level": 50.0, "cab/lamp.2.level": 9.0}
    assert cabinet.levels(2.0) == (4.0, 0.0)
    assert cabinet.scan(2.0)["lamp.2.level"] == 8.0
    cabinet.forces = {}
    assert cabinet.levels(1.0) == (6.0, 0.0)
    cabinet.utc = MIDNIGHT
    assert cabinet.levels(1.0) == (50.0, 20.0)
    assert cabinet.levels(5.0) == (60.0, 30.0)
    cabinet.clock = Quality.BAD
    assert cabinet.levels(1.0) == (100.0, 100.0)


def test_the_heartbeat_counts() -> None:
    cabinet = Cabinet(loop())
    beat = cabinet.scan()["heartbeat"]
    assert isinstance(beat, int)
    assert cabinet.scan()["heartbeat"] == beat + 1


def test_forcing_and_merging() -> None:
    lights = domain()
    forced = lights.force(None, "cab/segment.2.level", 70)
    forced = lights.force(forced, "cab/lamp.1.level", 60.0)
    forced = lights.force(forced, "cab/contactor", True)
    assert (forced.segments, forced.lamps, forced.contactor) == ((None, 70.0), (60.0, None), True)
    both = lights.merge(forced, LightingOutputs((10.0, 10.0), (10.0, 10.0), False))
    assert (both.segments, both.lamps, both.contactor) == ((10.0, 70.0), (60.0, 10.0), True)
    wrong = (
        ("cab/segment.1.level", True),
        ("cab/segment.1.level", math.nan),
        ("cab/contactor", 1),
        ("cab/heartbeat", 2),
        ("x", 1),
    )
    for point, value in wrong:
        with pytest.raises(ValueError, match="cannot be forced"):
            lights.force(forced, point, value)


def test_the_fail_safe_is_light_and_the_unlawful_is_named() -> None:
    lights = domain()
    safe = lights.failsafe()
    assert lights.unlawful(safe) is None
    assert lights.values(safe) == [100.0, 100.0, 100.0, 100.0, True, 0]
    assert lights.values(SILENT) == [100.0, 100.0, 100.0, 100.0, True, 0], "what nobody decided is on"
    for wrong in (None, -1.0, 101.0, math.nan):
        assert lights.unlawful(replace(safe, segments=(100.0, wrong)))
        assert lights.unlawful(replace(safe, lamps=(100.0, wrong)))


@pytest.mark.parametrize(
    "site",
    [
        {"latitude": 80.0},
        {"segments": []},
        {"segments": [{"lamps": 1, "floor_pct": 0.0}]},
        {"lamp_segments": [3]},
        {"service_below_deg": -6.0, "dark_below_deg": -3.0},
    ],
)
def test_a_wrong_site_is_refused(site: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\d|least"):
        domain({**site})


@pytest.mark.parametrize("changed", [{"levels": [1.0]}, {"lamps": []}])
def test_a_snapshot_of_another_cabinet_is_refused(changed: dict[str, object]) -> None:
    state = domain().guard.snapshot()
    with pytest.raises(ValueError, match="snapshot"):
        domain().guard.restore({**state, **changed})


LEVEL = st.one_of(st.none(), st.floats())
SCANS = st.lists(
    st.tuples(
        st.floats(0.0, 7200.0),
        st.one_of(
            st.none(),
            st.builds(
                LightingOutputs,
                segments=st.tuples(LEVEL, LEVEL),
                lamps=st.tuples(LEVEL, LEVEL),
                contactor=st.sampled_from([None, True, False]),
            ),
        ),
        st.sampled_from([Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]),
        st.one_of(st.none(), st.floats(0, 9000)),
        st.sampled_from([2, 2, 2, 0, 1, 9]),
        st.booleans(),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(SCANS, st.sampled_from([0.0, 2.0]))
def test_a_street_is_never_dark_at_night_or_in_doubt(
    scans: list[tuple[float, LightingOutputs | None, Quality, float | None, Value, bool]], ramp: float
) -> None:
    site = {"ramp_pct_per_s": ramp}
    lights, now = domain(site), 0.0
    for wait, asked, clock, lux, mode, restart in scans:
        now += wait
        if restart:
            state = json.loads(json.dumps(lights.guard.snapshot()))
            lights = domain(site)
            lights.guard.restore(state)
        seen = inputs(DUSK + now, clock, mode, lux)
        if seen.photocell is not None:
            seen = replace(seen, photocell=replace(seen.photocell, arrival=now))
        outputs = lights.guard.permit(now, asked, seen).outputs
        assert lights.unlawful(outputs) is None
        floors = [segment["floor_pct"] for segment in SITE["segments"]]
        if seen.sun is not None and seen.sun.elevation_deg < -6.0:
            assert all(
                level is not None and level >= floor
                for level, floor in zip(outputs.segments, floors, strict=True)
            )
            assert all(
                level is not None and level >= floor
                for level, floor in zip(outputs.lamps, floors, strict=True)
            )
        elif seen.sun is None and (lux is None or lux < 500.0):
            assert outputs.segments == outputs.lamps == (100.0, 100.0)
        if any(outputs.segments) and mode != 0:
            assert outputs.contactor is True
