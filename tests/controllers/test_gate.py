"""The write gate: every rule, from outside."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_controllers.gate import OutputSpec, WriteGate, fits
from vigie_protocols.points import Quality, Reading, Value, ValueType

GATE = OutputSpec(
    "b/gate", ValueType.FLOAT, 0.0, 100.0, rate_per_s=2.0, safe=50.0, readback="b/pos", tolerance=1.0
)
RUN = OutputSpec("p/run", ValueType.BOOL, safe=False, readback="p/running", settle_s=3.0)
LAMP = OutputSpec("s/lamp", ValueType.ENUM, 0, 6, safe=4)
TEXT = OutputSpec("v/text", ValueType.STRING, safe="")
SPECS = (GATE, RUN, LAMP, TEXT)
PLACES = {"b/pos": 0, "p/running": 1}
GOOD: tuple[Value, ...] = (50.0, True, 3, "hello")


def gate(expiry_s: float = 1.0) -> WriteGate:
    return WriteGate(SPECS, PLACES, expiry_s)


def shown(
    position: Value = 50.0, running: Value = True, quality: Quality = Quality.GOOD
) -> list[Reading[Value]]:
    return [Reading(position, quality), Reading(running, quality)]


def rules(step: object) -> list[tuple[str, str]]:
    return [(one.rule, one.subject) for one in step.interventions]  # type: ignore[attr-defined]


def test_good_values_pass_as_they_are_and_unchanged_ones_give_the_same_object() -> None:
    one = gate()
    first = one.permit(0.0, GOOD, shown())
    assert first.values == GOOD
    assert first.interventions == ()
    second = one.permit(0.1, GOOD, shown())
    assert second.values is one.permit(0.2, list(GOOD), shown()).values


@pytest.mark.parametrize(
    ("place", "bad", "safe"),
    [
        (0, math.nan, 50.0),
        (0, math.inf, 50.0),
        (0, 10**400, 50.0),
        (0, True, 50.0),
        (0, "7", 50.0),
        (1, 0, False),
        (1, 2.0, False),
        (2, 2.0, 4),
        (2, True, 4),
        (2, 2**63, 4),
        (3, 3, ""),
    ],
)
def test_a_value_of_the_wrong_type_becomes_the_safe_value(place: int, bad: Value, safe: Value) -> None:
    one = gate()
    one.permit(0.0, GOOD, shown())
    wanted: list[Value] = list(GOOD)
    wanted[place] = bad
    step = one.permit(0.1, tuple(wanted), shown())
    assert step.values[place] == safe
    assert type(step.values[place]) is type(safe)
    assert rules(step) == [("type", SPECS[place].name)]
    again = one.permit(0.2, tuple(wanted), shown())
    assert again.interventions == (), "an intervention is named when it begins"
    assert one.permit(0.3, GOOD, shown()).interventions == ()
    assert rules(one.permit(0.4, tuple(wanted), shown())) == [("type", SPECS[place].name)]


@pytest.mark.parametrize(("place", "bad", "edge"), [(0, 101.0, 100.0), (0, -1, 0.0), (2, 9, 6), (2, -1, 0)])
def test_a_value_outside_its_range_is_clamped(place: int, bad: Value, edge: Value) -> None:
    one = WriteGate([OutputSpec("b/gate", ValueType.FLOAT, 0.0, 100.0, safe=0.0), RUN, LAMP, TEXT], {}, 1.0)
    wanted: list[Value] = list(GOOD)
    wanted[place] = bad
    step = one.permit(0.0, tuple(wanted), [])
    assert step.values[place] == edge
    assert [rule for rule, _ in rules(step)] == ["range"]


def test_the_rate_counts_from_what_was_written_last_so_that_a_release_does_not_bump() -> None:
    one = gate()
    one.permit(0.0, GOOD, shown())
    forced = (60.0, True, 3, "hello")
    assert one.permit(1.0, forced, shown()).values[0] == 52.0
    assert one.permit(2.0, forced, shown()).values[0] == 54.0
    assert one.permit(3.0, GOOD, shown()).values[0] == 52.0
    assert one.permit(3.5, GOOD, shown()).values[0] == 51.0
    assert one.permit(4.5, GOOD, shown()).values[0] == 50.0


def test_the_first_value_of_all_starts_from_what_the_device_shows() -> None:
    assert gate().permit(0.0, (90.0, True, 3, ""), shown(70.0)).values[0] == 70.0
    assert gate().permit(0.0, (90.0, True, 3, ""), shown(170.0)).values[0] == 100.0, "within its range"
    assert gate().permit(0.0, (90.0, True, 3, ""), shown(70.0, quality=Quality.BAD)).values[0] == 90.0
    assert gate().permit(0.0, (90.0, True, 3, ""), shown("open")).values[0] == 90.0


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("position", "quality", "first"),
    [
        (57.0, Quality.GOOD, 57.0),
        (170.0, Quality.GOOD, 100.0),
        (57.0, Quality.BAD, 50.0),
        ("open", Quality.GOOD, 50.0),
    ],
)
def test_after_a_lapse_the_rate_counts_from_where_the_device_was_left(
    restart: bool, position: Value, quality: Quality, first: float
) -> None:
    """Without a scan field writes the safe value; what was wanted before must not come back in one step."""
    one = gate(expiry_s=1.0)
    high = (90.0, True, 3, "")
    one.permit(0.0, high, shown(90.0))
    assert one.permit(1.0, high, shown(90.0)).values[0] == 90.0, "as long as an output lives it stands"
    if restart:
        state = json.loads(json.dumps(one.snapshot()))
        one = gate(expiry_s=1.0)
        one.restore(state)
    step = one.permit(2.5, high, shown(position, quality=quality))
    assert step.values == (first, True, 3, "")
    assert one.permit(3.0, high, shown(position)).values[0] == (99.0 if first == 100.0 else first + 1.0)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(
    ("position", "quality", "first"), [(57.0, Quality.GOOD, 57.0), (57.0, Quality.BAD, 90.0)]
)
def test_after_a_reboot_the_rate_counts_from_what_the_device_shows(
    quiet: bool, position: Value, quality: Quality, first: float
) -> None:
    one = gate(expiry_s=1.0)
    high = (90.0, True, 3, "")
    for scan in range(20 if quiet else 1):
        one.permit(1000.0 + scan / 10, high, shown(90.0))
    again = gate(expiry_s=1.0)
    again.restore(json.loads(json.dumps(one.snapshot())))
    for each in (one, again):
        assert each.permit(5.0, high, shown(position, quality=quality)).values == (first, True, 3, "")
        assert each.permit(5.5, high, shown(position)).values[0] == min(90.0, first + 1.0)
        assert each.permit(6.0, (None,) * 4, shown()).values[1:] == (True, 3, ""), "renewed half a second ago"
        assert each.permit(6.6, (None,) * 4, shown()).values == (50.0, False, 4, "")


def test_a_lapse_leaves_time_before_drift_is_reported() -> None:
    one = gate(expiry_s=1.0)
    still = (50.0, True, 3, "")
    for scan in range(100):
        one.permit(scan / 10, still, shown())
    assert one.permit(20.0, still, shown(running=False)).interventions == ()
    for scan in range(201, 230):
        assert one.permit(scan / 10, still, shown(running=False)).interventions == ()
    assert rules(one.permit(23.0, still, shown(running=False))) == [("drift", "p/run")]


def test_an_output_that_nobody_renews_goes_to_its_safe_value() -> None:
    one = gate(expiry_s=1.0)
    one.permit(0.0, GOOD, shown())
    one.permit(0.1, GOOD, shown())
    silent = (50.0, None, 3, "hello")
    assert one.permit(0.2, silent, shown()).values[1] is True
    assert one.permit(1.0, silent, shown()).values[1] is True
    step = one.permit(1.1, silent, shown())
    assert step.values[1] is False
    assert rules(step) == [("expired", "p/run")]
    assert one.permit(1.2, GOOD, shown()).values[1] is True


def test_a_wanted_row_that_is_too_short_counts_as_silence() -> None:
    one = gate(expiry_s=0.5)
    one.permit(0.0, GOOD, shown())
    assert one.permit(0.4, (), shown()).values == GOOD
    step = one.permit(1.0, (), shown())
    assert step.values == (50.0, False, 4, "")
    assert [rule for rule, _ in rules(step)] == ["expired"] * 4


def test_an_output_that_nobody_drives_rests_at_its_safe_value_without_a_word() -> None:
    one = gate(expiry_s=0.5)
    spare = (50.0, None, 3, "hello")
    first = one.permit(0.0, spare, shown(running=False))
    assert (first.values, first.interventions) == ((50.0, False, 3, "hello"), ())
    assert one.permit(9.0, spare, shown(running=False)).values is first.values
    again = gate(expiry_s=0.5)
    again.restore(json.loads(json.dumps(one.snapshot())))
    assert again.permit(9.1, spare, shown(running=False)) == first
    one.permit(9.1, GOOD, shown())
    assert one.permit(9.2, spare, shown()).values[1] is True
    assert rules(one.permit(9.7, spare, shown())) == [("expired", "p/run")]
    assert one.permit(9.8, spare, shown(running=False)).interventions == ()


def test_drift_is_reported_after_the_settling_time_and_once() -> None:
    one = gate(expiry_s=1000.0)
    one.permit(0.0, GOOD, shown(running=False))
    assert one.permit(2.9, GOOD, shown(running=False)).interventions == ()
    assert rules(one.permit(3.0, GOOD, shown(running=False))) == [("drift", "p/run")]
    assert one.permit(3.1, GOOD, shown(running=False)).interventions == ()
    assert one.permit(3.2, GOOD, shown(running=False, quality=Quality.BAD)).interventions == ()
    assert rules(one.permit(3.3, GOOD, shown(running=False))) == [("drift", "p/run")]
    assert one.drifting == {"p/run": "the device shows False, True was written"}
    one.permit(3.4, GOOD, shown())
    assert one.drifting == {}


@pytest.mark.parametrize(
    ("position", "drift"), [(50.9, False), (51.1, True), (math.nan, True), ("50", True), (10**400, True)]
)
def test_drift_of_a_number_has_a_tolerance(position: Value, drift: bool) -> None:
    one = gate(expiry_s=1000.0)
    one.permit(0.0, GOOD, shown(position))
    one.permit(1.0, GOOD, shown(position))
    step = one.permit(100.0, GOOD, shown(position))
    assert (("drift", "b/gate") in rules(step)) is drift


def test_a_restart_goes_on_from_what_was_written_also_after_a_reboot() -> None:
    one = gate()
    one.permit(1000.0, GOOD, shown())
    one.permit(1001.0, (60.0, True, 3, "x"), shown())
    state = json.loads(json.dumps(one.snapshot()))
    again, rebooted = gate(), gate()
    again.restore(state)
    rebooted.restore(state)
    assert again.permit(1002.0, GOOD, shown()) == one.permit(1002.0, GOOD, shown())
    # The monotonic clock began anew: no time has passed, the silence goes on from where it was.
    silent = (None, None, None, None)
    assert rebooted.permit(5.0, silent, shown()).values == (52.0, True, 3, "x")
    assert rebooted.permit(6.5, silent, shown()).values == (50.0, False, 4, "")


def test_a_snapshot_taken_in_the_quiet_knows_that_all_was_renewed() -> None:
    one = gate(expiry_s=1.0)
    for scan in range(50):
        one.permit(scan / 10, GOOD, shown())
    again = gate(expiry_s=1.0)
    again.restore(json.loads(json.dumps(one.snapshot())))
    assert again.permit(5.0, (None,) * 4, shown()).values == GOOD
    assert one.permit(5.0, (None,) * 4, shown()).values == GOOD


def test_a_snapshot_of_other_outputs_is_taken_up_where_it_fits() -> None:
    state = gate().snapshot()
    assert json.dumps(state)
    one = WriteGate([GATE, OutputSpec("new", ValueType.BOOL, safe=True)], PLACES, 1.0)
    one.restore(state)
    assert one.permit(0.0, (50.0, False), shown()).values == (50.0, False)
    used = gate()
    used.permit(0.0, (49.0, True, 3, ""), shown(49.0))
    changed = WriteGate(
        [OutputSpec("b/gate", ValueType.ENUM, safe=0), OutputSpec("p/run", ValueType.BOOL, safe=False)],
        {},
        1.0,
    )
    changed.restore(used.snapshot())
    assert changed.permit(0.1, (2, None), []).values == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": ValueType.BOOL, "safe": 0},
        {"type": ValueType.FLOAT, "safe": 5.0, "high": 1.0},
        {"type": ValueType.FLOAT, "safe": 0.0, "low": 1.0, "high": 0.0},
        {"type": ValueType.FLOAT, "safe": 0.0, "rate_per_s": 0.0},
        {"type": ValueType.FLOAT, "safe": math.nan},
        {"type": ValueType.ENUM, "safe": 0, "rate_per_s": 1.0},
        {"type": ValueType.UINT, "safe": -1},
    ],
)
def test_a_spec_that_cannot_hold_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="x/y"):
        OutputSpec("x/y", **wrong)  # type: ignore[arg-type]


ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.tuples(ANY, ANY, ANY, ANY), ANY, st.booleans()), max_size=20)
)
def test_nothing_unlawful_ever_passes(
    scans: list[tuple[float, tuple[Value | None, ...], Value | None, bool]],
) -> None:
    one = gate()
    now, before = 0.0, None
    for pause, wanted, position, restart in scans:
        last, now = now, now + pause
        wait = now - last  # as the gate reckons it: sums of floats are rounded
        if restart:
            state = json.loads(json.dumps(one.snapshot()))
            one = gate()
            one.restore(state)
        step = one.permit(now, wanted, shown(0.0 if position is None else position))
        opening = step.values[0]
        for spec, value in zip(SPECS, step.values, strict=True):
            assert fits(spec.type, value)
        assert isinstance(opening, float) and 0.0 <= opening <= 100.0
        assert 0 <= int(step.values[2]) <= 6
        if before is not None and wait > 1.0:
            left = position if fits(ValueType.FLOAT, position) else 0.0 if position is None else GATE.safe
            assert opening in (GATE.safe, min(max(float(left), 0.0), 100.0))  # type: ignore[arg-type]
        elif before is not None and opening != GATE.safe:
            assert abs(opening - before) <= 2.0 * wait + 1e-9
        before = opening
