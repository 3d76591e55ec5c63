"""Arbitrary and malicious requests, broken detectors, faults, restarts in the middle: nothing unlawful is
ever shown and nobody waits for ever. Judged by a monitor of its own."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_sim.traffic.adversary import Adversary
from vigie_sim.traffic.shapes import dual_ring, every_conflict, one_ring, with_preemptions


def attack(raw: dict[str, Any], seed: int, scans: int, **more: bool) -> Adversary:
    one = Adversary(raw, seed, **more)
    one.run(scans)
    assert not one.faults, f"seed {seed}: {one.faults[:5]}"
    return one


SITES = {
    "ring of 2": one_ring(2),
    "ring of 4": one_ring(4),
    "ring of 6": one_ring(6),
    "dual ring": dual_ring(),
    "ring with pre-emptions": with_preemptions(one_ring(4), 1),
    "dual ring with pre-emptions": with_preemptions(dual_ring(), 2),
}


@pytest.mark.parametrize("name", SITES)
def test_no_unlawful_lamps_under_attack(name: str) -> None:
    for seed in range(4):
        attack(SITES[name], seed, 4000)


@pytest.mark.parametrize("quarter", range(4))
def test_a_million_transitions(quarter: int) -> None:
    """Changes of one lamp output each, in four parts for as many cores."""
    changes, seed = 0, 1000 * (quarter + 1)
    while changes < 250_000:
        raw = one_ring(2 + seed // 5 % 5) if seed % 5 == 0 else dual_ring()
        changes += attack(with_preemptions(raw, seed) if seed % 2 else raw, seed, 20_000).transitions
        seed += 1


@pytest.mark.parametrize("name", SITES)
def test_nobody_waits_for_ever_where_nothing_breaks(name: str) -> None:
    """Without restarts and flash no clock of waiting demand begins anew: the bound is met by service alone."""
    for seed in range(4):
        attack(SITES[name], seed, 10_000, restarts=False, breaks=False)


def test_a_pre_emption_comes_within_its_bound_and_no_bound_is_idle() -> None:
    """At fine steps, since each timer may be seen one scan late; the adversary fails where a bound is passed."""
    tightest = []
    for seed in range(8, 20):
        raw = (dual_ring(), one_ring(4), one_ring(4, ped=False), one_ring(3, ped=False))[seed % 4]
        one = Adversary(with_preemptions(raw, seed), seed, restarts=False, breaks=False, steps=(0.2,))
        one.run(6_000)
        assert not one.faults, f"seed {seed}: {one.faults[:5]}"
        tightest.append(one.watch.tightest)
    assert (
        min(tightest) <= 5 * 0.2 + 1e-3
    )  # somewhere the worst moment was met, but for the scans' own lateness


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    rings = data.draw(st.integers(1, 2))
    barriers = data.draw(st.integers(1, 3))
    rows: list[dict[str, Any]] = []
    for ring in range(1, rings + 1):
        for barrier in range(1, barriers + 1):
            for _ in range(data.draw(st.integers(0 if rings > 1 else 1, 2))):
                ped, lead = data.draw(st.booleans()), data.draw(st.sampled_from([0.0, 3.0]))
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "ring": ring,
                        "barrier": barrier,
                        "min_green_s": data.draw(st.sampled_from([5.0, 7.5, 12.0])),
                        "yellow_s": data.draw(st.sampled_from([3.0, 4.2, 6.0])),
                        "red_clear_s": data.draw(st.sampled_from([0.0, 1.0, 2.5])),
                        "red_revert_s": data.draw(st.sampled_from([1.0, 2.0, 6.0])),
                        **({"walk_s": 4.0, "ped_clear_s": 6.0, "lead_walk_s": lead} if ped else {}),
                        "rest_in_walk": ped and data.draw(st.booleans()),
                    }
                )
    if len(rows) < 2:
        return
    channels: list[dict[str, Any]] = [{"id": f"v{row['id']}", "phases": [row["id"]]} for row in rows]
    channels += [
        {"id": f"p{row['id']}", "kind": "pedestrian", "phases": [row["id"]]}
        for row in rows
        if "walk_s" in row
    ]
    if data.draw(st.booleans()):
        own = {"min_green_s": 9.0, "yellow_s": 4.0, "red_clear_s": 3.5}
        channels.append({"id": "bike", "kind": "bicycle", "phases": [rows[-1]["id"]], **own})
    for k in range(data.draw(st.integers(0, 3))):
        some = data.draw(
            st.lists(st.sampled_from([row["id"] for row in rows]), min_size=2, max_size=3, unique=True)
        )
        channels.append({"id": f"o{k}", "phases": some})
    walked = [row["id"] for row in rows if "walk_s" in row]
    if len(walked) > 1 and data.draw(st.booleans()):
        channels.append({"id": "pp", "kind": "pedestrian", "phases": walked[:2]})
    conflicts = every_conflict(rows, channels)
    detectors = [{"id": f"d{row['id']}", "phases": [row["id"]]} for row in rows]
    raw = {"phases": rows, "channels": channels, "conflicts": conflicts, "detectors": detectors}
    seed = data.draw(st.integers(0, 10_000))
    attack(with_preemptions(raw, seed) if data.draw(st.booleans()) else raw, seed, 1500)
