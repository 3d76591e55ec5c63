"""A cabinet behind a guard under attack: nothing unlawful is asked, no monitor trips, and nobody waits for ever."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_sim.traffic.cabinetattack import CabinetAdversary
from vigie_sim.traffic.shapes import dual_ring, one_ring, rings


def attack(raw: dict[str, Any], seed: int, scans: int, **more: bool) -> CabinetAdversary:
    one = CabinetAdversary(raw, seed, **more)
    one.run(scans)
    assert not one.faults, f"seed {seed}: {one.faults[:5]}"
    return one


@pytest.mark.parametrize("lies", [False, True], ids=["read as it is", "read wrongly"])
def test_tens_of_thousands_of_transitions(lies: bool) -> None:
    """Changes of one lamp output each; the bench counts millions."""
    changes, restarts, preemptions, seed = 0, 0, 0, 100
    while changes < 12_000:
        raw = one_ring(2 + seed // 5 % 5) if seed % 5 == 0 else dual_ring()
        one = attack(raw, seed, 2500, lies=lies)
        changes += one.transitions
        restarts += one.restarted
        preemptions += one.watch.served
        seed += 1
    assert restarts > 50
    assert preemptions > 50


def test_the_guard_alone_keeps_the_maximum_red_of_a_cabinet_that_would_wait_for_ever() -> None:
    """Nothing breaks, and the cabinet has no maximum of its own: who waits is served by our force-offs alone."""
    longest = 0.0
    for seed in range(0, 12, 3):  # the stubborn ones: hold everything, omit everything
        longest = max(longest, attack(dual_ring(), seed, 4000, lies=False, breaks=False).watch.longest)
    assert longest > 60.0, "nobody ever had to be helped: this proves nothing"


def test_the_judges_object_to_what_is_wanted_without_a_guard() -> None:
    one = CabinetAdversary(dual_ring(), 1, lies=False, guarded=False)
    one.run(1000)
    assert len(one.faults) > 100
    assert not any("conflict" in text for text in one.faults), "the cabinet keeps its clearances all the same"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    raw = data.draw(rings_of_any_shape())
    if raw is not None:
        attack(raw, data.draw(st.integers(0, 10_000)), 600, lies=data.draw(st.booleans()))


@st.composite
def rings_of_any_shape(draw: st.DrawFn) -> dict[str, Any] | None:
    """Up to two rings and three barriers, pedestrians here and there."""
    count, barriers = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rows: list[dict[str, Any]] = []
    for ring in range(1, count + 1):
        for barrier in range(1, barriers + 1):
            for _ in range(draw(st.integers(0 if count > 1 else 1, 2))):
                ped = {"walk_s": 4.0, "ped_clear_s": 6.0} if draw(st.booleans()) else {}
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "ring": ring,
                        "barrier": barrier,
                        "min_green_s": draw(st.sampled_from([5.0, 7.5, 12.0])),
                        "yellow_s": draw(st.sampled_from([3.0, 4.0, 6.0])),
                        "red_clear_s": draw(st.sampled_from([0.0, 1.0, 2.5])),
                        **ped,
                    }
                )
    return rings(rows) if len(rows) > 1 else None
