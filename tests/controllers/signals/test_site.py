"""What a wrong site says: the field first, then why."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from tests.controllers.signals.drive import points
from tests.controllers.signals.sites import dual_ring, one_ring

from vigie_controllers.loops import ControllerSpec, LoopSpec, ParamError
from vigie_controllers.registry import build_loop
from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.invariant import Invariant
from vigie_controllers.signals.site import SignalSite

Edit = Callable[[dict[str, Any]], Any]

WRONG: list[tuple[str, Edit, str]] = [
    (
        "conflict within a phase",
        lambda s: s["conflicts"].append(["v1", "p1"]),
        "site.conflicts: channels 'v1'",
    ),
    ("unknown channel", lambda s: s["conflicts"].append(["v1", "zz"]), "site.conflicts: channel 'zz'"),
    ("with itself", lambda s: s["conflicts"].append(["v1", "v1"]), "site.conflicts: channel 'v1'"),
    ("phase twice", lambda s: s["phases"].append(dict(s["phases"][0])), "site.phases: '1'"),
    (
        "phase without lamps",
        lambda s: s["phases"].append({"id": 9}),
        "site.channels: no channel belongs to phase 9",
    ),
    (
        "unknown phase",
        lambda s: s["channels"].append({"id": "x", "phases": [12]}),
        "site.channels: channel 'x'",
    ),
    (
        "button for cars",
        lambda s: s["detectors"].append({"id": "q", "kind": "button", "phases": [2]}),
        "site.detectors",
    ),
    (
        "empty zone",
        lambda s: s["detectors"].append({"id": "q", "kind": "count", "phases": [2]}),
        "site.detectors",
    ),
    ("unknown start", lambda s: s.update(startup={"phases": [11]}), "site.startup: phase 11"),
    ("short all red", lambda s: s.update(startup={"all_red_s": 1.0}), "site.startup: all_red_s"),
    ("two starts of a ring", lambda s: s.update(startup={"phases": [1, 2]}), "site.startup: phases 1 and 2"),
    (
        "pre-emption into an unknown phase",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [12]}]),
        "site.preemptions: preemption 'r': dwell_phases: phase 12 is not declared; use some of 1, 2, 3",
    ),
    (
        "pre-emption into conflicting phases",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [1, 2]}]),
        "site.preemptions: preemption 'r': dwell_phases: phases 1 and 2 may not be on together",
    ),
    (
        "pre-emption names a phase twice",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [1, 1]}]),
        "site.preemptions: preemption 'r': dwell_phases: phase 1 is named twice",
    ),
    (
        "pre-emption without dwell",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency"}]),
        "site.preemptions: preemption 'r': dwell_phases: missing",
    ),
    (
        "unknown exit",
        lambda s: s.update(
            preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [1], "exit_phases": [9]}]
        ),
        "site.preemptions: preemption 'r': exit_phases: phase 9",
    ),
    (
        "unknown cycling phase",
        lambda s: s.update(
            preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [1], "cycling_phases": [9]}]
        ),
        "site.preemptions: preemption 'r': cycling_phases: phase 9",
    ),
    (
        "tracks for an ambulance",
        lambda s: s.update(
            preemptions=[
                {"id": "r", "kind": "emergency", "dwell_phases": [1], "track_phases": [2], "track_green_s": 9}
            ]
        ),
        "site.preemptions: preemption 'r': track_phases: only a rail",
    ),
    (
        "tracks without green",
        lambda s: s.update(
            preemptions=[{"id": "r", "kind": "rail", "dwell_phases": [1], "track_phases": [2]}]
        ),
        "site.preemptions: preemption 'r': track_green_s: track_phases and",
    ),
    (
        "short track green",
        lambda s: s.update(
            preemptions=[
                {"id": "r", "kind": "rail", "dwell_phases": [1], "track_phases": [2], "track_green_s": 2}
            ]
        ),
        "site.preemptions: preemption 'r': track_green_s: 2 s is too short",
    ),
    (
        "walk without pedestrians",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "rail", "dwell_phases": [2], "peds": [2]}]),
        "site.preemptions: preemption 'r': peds: phase 2 has no pedestrian service",
    ),
    (
        "walk of an absent phase",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "rail", "dwell_phases": [2], "peds": [1]}]),
        "site.preemptions: preemption 'r': peds: phase 1 is no dwell or cycling phase",
    ),
    (
        "presence too short",
        lambda s: s.update(
            preemptions=[
                {"id": "r", "kind": "emergency", "dwell_phases": [2], "delay_s": 30, "max_presence_s": 33}
            ]
        ),
        "site.preemptions: preemption 'r': max_presence_s: 33 s is over before",
    ),
    (
        "rail back to normal",
        lambda s: s.update(
            preemptions=[
                {
                    "id": "r",
                    "kind": "rail",
                    "dwell_phases": [2],
                    "max_presence_s": 600,
                    "after_max_presence": "normal",
                }
            ]
        ),
        "site.preemptions: preemption 'r': after_max_presence: a rail input",
    ),
    (
        "after nothing",
        lambda s: s.update(
            preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [2], "after_max_presence": "flash"}]
        ),
        "site.preemptions: preemption 'r': after_max_presence: nothing without",
    ),
    (
        "unknown link",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [2], "link": "x"}]),
        "site.preemptions: preemption 'r': link: 'x' is not declared",
    ),
    (
        "link to itself",
        lambda s: s.update(preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [2], "link": "r"}]),
        "site.preemptions: preemption 'r': link: 'r' has no higher rank",
    ),
    (
        "pre-emption twice",
        lambda s: s.update(
            preemptions=[
                {"id": "r", "kind": "emergency", "dwell_phases": [2]},
                {"id": "r", "kind": "rail", "dwell_phases": [1]},
            ]
        ),
        "site.preemptions: preemption 'r': declared twice",
    ),
    (
        "a walk that rests without a walk",
        lambda s: s["phases"][1].update(rest_in_walk=True),
        "site.phases: phase 2: rest_in_walk needs a walk",
    ),
    (
        "a walk that rests at a cabinet",
        lambda s: (s["phases"][0].update(rest_in_walk=True), s.update(actuation="cabinet")),
        "site.phases: phase 1: rest_in_walk is a setting of the cabinet itself",
    ),
    (
        "phases for a cabinet's pre-emption",
        lambda s: s.update(
            preemptions=[{"id": "r", "kind": "emergency", "dwell_phases": [2]}], actuation="cabinet"
        ),
        "site.preemptions: preemption 'r': dwell_phases: the cabinet pre-empts by itself",
    ),
    (
        "lane",
        lambda s: s.update(movements=[{"channel": "v1", "lane": "nowhere"}]),
        "site.movements: number 0",
    ),
]


@pytest.mark.parametrize(("edit", "text"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_site_names_its_field(edit: Edit, text: str) -> None:
    raw = copy.deepcopy(one_ring(4))
    edit(raw)
    with pytest.raises(ValueError, match="site") as caught:
        SignalDomain.of(raw, points(raw))
    assert str(caught.value).startswith(text)


def test_every_combination_that_the_rings_permit_must_be_free_of_conflict() -> None:
    raw = dual_ring()
    SignalDomain.of(raw, points(raw))
    raw["conflicts"].append(["v2", "v6"])
    with pytest.raises(ValueError, match="phases 2 and 6 may be on together"):
        SignalDomain.of(raw, points(raw))


@pytest.mark.parametrize(("field", "value"), [("yellow_s", 2.5), ("min_green_s", 4.0), ("red_clear_s", 7.0)])
def test_limits_of_a_phase(field: str, value: float) -> None:
    raw = one_ring(2)
    raw["phases"][0][field] = value
    with pytest.raises(ValidationError) as caught:
        SignalDomain.of(raw, points(raw))
    assert caught.value.errors()[0]["loc"] == ("phases", 0, field)


def test_roles_are_checked() -> None:
    raw = one_ring(2)
    bound = points(raw)
    del bound["channel.v2"]
    with pytest.raises(ValueError, match=r"^points\.channel\.v2: must be bound"):
        SignalDomain.of(raw, bound)
    with pytest.raises(ValueError, match=r"^points\.lamp\.v2: must be bound"):
        SignalDomain.of(raw, {**points(raw), "lamp.v1": "j/l1"})
    with pytest.raises(ValueError, match=r"^points\.phase\.1\.hold: "):
        SignalDomain.of(raw, {**points(raw), "phase.1.hold": "j/h"})


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("signal.actuated", {"max_green_s": {"1": 4}}, "max_green_s.1"),
        ("signal.actuated", {"max_green_s": {"1": 200}}, "max_green_s.1"),
        ("signal.actuated", {"max_green_s": {"9": 30}}, "max_green_s.9"),
        ("signal.actuated", {"recall": {"2": "ped"}}, "recall.2"),
        ("signal.actuated", {"plan": "holiday"}, "plan"),
        ("signal.actuated", {"passsage_s": {}}, "passsage_s"),
        ("signal.fixed", {"plan": "night"}, "plan"),
        ("signal.fixed", {"plans": {"normal": {"splits_s": {"1": 40}}}}, "plans.normal.splits_s"),
        ("signal.fixed", {"plans": {"normal": {"splits_s": {"1": 40, "2": 9}}}}, "plans.normal.splits_s.2"),
        ("signal.fixed", {"plans": {"normal": {"cycle_s": 20}}}, "plans.normal.cycle_s"),
    ],
)
def test_parameters_outside_the_envelope(kind: str, params: dict[str, Any], field: str) -> None:
    raw = one_ring(2)
    spec = LoopSpec(
        name="jct", domain="signal", period_s=0.1, site=raw, points=points(raw),
        controllers=(ControllerSpec(kind=kind, params=params),),
    )  # fmt: skip
    with pytest.raises(ParamError) as caught:
        build_loop(spec)
    assert caught.value.field == field


def test_invariant_check() -> None:
    site = SignalSite.model_validate(one_ring(2, ped=False))
    check = Invariant(site)
    assert check.unlawful((3, 1)) is None
    assert "conflict" in (check.unlawful((3, 2)) or "")
    assert "conflict" in (check.unlawful((5, 3)) or "")
    assert "2 channels" in (check.unlawful((3,)) or "")
    assert "no lamp state" in (check.unlawful((3, 7)) or "")
