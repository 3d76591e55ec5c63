"""Channels with several phases as tables of what they show, second by second."""

from typing import Any

import pytest
from tests.controllers.signals.sites import checked, frame, inputs

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.words import Lamp, SignalWants

SHORT = {Lamp.RED: "r", Lamp.YELLOW: "y", Lamp.GREEN: "G", Lamp.FLASH_GREEN: "f"}


def two_rings(**more: Any) -> dict[str, Any]:
    """Phases 1 and 2 in ring 1, 3 and 4 in ring 2, one barrier; ``o`` is an overlap of 1 and 3."""
    phases = [{"id": n, "ring": 1 if n < 3 else 2, **more} for n in (1, 2, 3, 4)]
    channels = [{"id": f"v{n}", "phases": [n]} for n in (1, 2, 3, 4)] + [{"id": "o", "phases": [1, 3]}]
    return {
        "phases": phases,
        "channels": channels,
        "conflicts": [["v1", "v2"], ["v3", "v4"]],
        "startup": {"flash_s": 0, "all_red_s": 6, "phases": [1]},
    }


def played(raw: dict[str, Any], script: dict[int, SignalWants], scans: int, step_s: float) -> dict[str, str]:
    """Per channel one letter per scan from the first green on; script: what is wanted from a scan on."""
    guard = SignalGuard(checked(raw))
    now, wants, rows = 50.0, SignalWants(), []
    seen = frame([])
    while len(rows) < scans:
        wants = script.get(len(rows), wants)
        lamps = guard.permit(now, wants, inputs(seen, guard.status)).outputs.lamps
        if rows or Lamp.GREEN in lamps:
            rows.append(lamps)
        now += step_s
    ids = [channel["id"] for channel in raw["channels"]]
    return {name: "".join(SHORT[Lamp(row[c])] for row in rows) for c, name in enumerate(ids)}


def asked(*call: int, off: int) -> SignalWants:
    return SignalWants(call=frozenset(call), force_off=frozenset({off}))


@pytest.mark.parametrize("clear_s", [0.0, 2.0])
def test_an_overlap_whose_yellow_ends_as_another_of_its_phases_begins_shows_red_between(
    clear_s: float,
) -> None:
    """Phase 1 gives way to 2; while the overlap is yellow, 3 is called in the idle ring."""
    shown = played(
        two_rings(red_clear_s=clear_s), {5: asked(2, off=1), 7: asked(2, 3, off=1)}, 14, step_s=1.0
    )
    assert shown["v1"] == "GGGGGyyyrrrrrr"
    assert shown["o"] == "GGGGGyyyrrGGGG"
    assert shown["v3"] == "rrrrrrrrrrGGGG"


def test_the_longest_red_revert_of_an_overlaps_phases_counts() -> None:
    raw = two_rings()
    raw["phases"][0]["red_revert_s"] = 4.0
    shown = played(raw, {5: asked(2, off=1), 7: asked(2, 3, off=1)}, 14, step_s=1.0)
    assert shown["o"] == "GGGGGyyyrrrrGG"


def test_a_phase_called_again_at_once_shows_red_between() -> None:
    """No other phase begins in between, so that no clearance of others parts its yellow from its green."""
    raw = two_rings(red_clear_s=0.0, red_revert_s=1.0)
    raw["phases"][1]["barrier"] = raw["phases"][3]["barrier"] = 2
    first = asked(2, off=1)
    shown = played(raw, {5: first, 6: SignalWants(omit=frozenset({2}), call=frozenset({1}))}, 20, step_s=1.0)
    assert "yG" not in shown["v1"]


def test_an_overlap_stays_green_from_one_of_its_phases_to_the_next() -> None:
    raw = two_rings()
    raw["channels"][4]["phases"] = [1, 2]
    shown = played(raw, {5: asked(2, off=1)}, 14, step_s=1.0)
    assert shown["v1"] == "GGGGGyyyrrrrrr"
    assert shown["v2"] == "rrrrrrrrrrGGGG"
    assert shown["o"] == "G" * 14


def test_pedestrians_of_two_phases_see_no_walk_within_a_clearance() -> None:
    """Phase 3 joins phase 1 while the crossing of both clears: its walk waits until the clearance is over."""
    raw = two_rings()
    for phase in (raw["phases"][0], raw["phases"][2]):
        phase.update(walk_s=5.0, ped_clear_s=8.0)
    raw["channels"].append({"id": "p", "kind": "pedestrian", "phases": [1, 3]})
    script = {
        0: SignalWants(ped_call=frozenset({1})),
        8: SignalWants(call=frozenset({3}), ped_call=frozenset({3})),
    }
    shown = played(raw, script, 32, step_s=1.0)
    assert shown["v3"] == "r" * 8 + "G" * 24
    assert shown["p"] == "G" * 5 + "f" * 8 + "rr" + "G" * 5 + "f" * 8 + "rr" + "GG"
