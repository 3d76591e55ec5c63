"""Pre-emption as tables: what each phase shows, second by second, from a call on."""

from typing import Any

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.sites import CLOCK, checked, reading

from vigie_controllers.signals.bounds import time_to_green
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.spat import spat
from vigie_controllers.signals.words import Frame, Lamp, PanelMode, SignalInputs, SignalWants
from vigie_protocols.points import Quality, Value
from vigie_sim.traffic.judge import Judge

SHORT = {
    Lamp.RED: "r",
    Lamp.YELLOW: "y",
    Lamp.GREEN: "G",
    Lamp.FLASH_GREEN: "f",
    Lamp.FLASH_RED: "x",
    Lamp.DARK: "x",
}
RAIL = {
    "id": "rail",
    "kind": "rail",
    "track_phases": [2],
    "track_green_s": 6,
    "dwell_phases": [1],
    "dwell_s": 5,
}
FIRE = {"id": "fire", "kind": "emergency", "dwell_phases": [3], "dwell_s": 5}


def crossing(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Three phases of one ring: 1 with pedestrians along the tracks, 2 over them, 3 the rest."""
    return {
        "phases": [{"id": 1, "walk_s": 5, "ped_clear_s": 8}, {"id": 2}, {"id": 3}],
        "channels": [
            *({"id": f"v{n}", "phases": [n]} for n in (1, 2, 3)),
            {"id": "p1", "kind": "pedestrian", "phases": [1]},
        ],
        "conflicts": [["v1", "v2"], ["v1", "v3"], ["v2", "v3"], ["p1", "v2"], ["p1", "v3"]],
        "startup": {"flash_s": 0, "all_red_s": 2, "phases": [1]},
        "preemptions": list(rows),
        **more,
    }


class Street:
    """One scan a second; ``want`` and ``call`` say what is asked from now on."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw, self.site = raw, checked(raw)
        self.guard = SignalGuard(self.site)
        self.judge = Judge(raw)
        self.now = 50.0
        self.wants = SignalWants(ped_call=frozenset({1}))
        self.calls: dict[str, Value] = {}
        self.lost: set[str] = set()
        self.read: tuple[int, ...] = ()
        self.panel = int(PanelMode.AUTO)
        self.rows: list[tuple[int, ...]] = []
        self.stages: list[str] = []
        self.told: list[str] = []
        self.rules: list[tuple[str, str]] = []

    def run(self, seconds: int) -> "Street":
        for _ in range(seconds):
            frame = Frame(
                (),
                tuple(map(reading, self.read)),
                panel=reading(self.panel),
                preempts=tuple(
                    reading(
                        self.calls.get(row.id, not row.calls_when),
                        Quality.BAD if row.id in self.lost else Quality.GOOD,
                    )
                    for row in self.site.preemptions
                ),
            )
            verdict = self.guard.permit(
                self.now, self.wants, SignalInputs(CLOCK, False, frame, self.guard.status)
            )
            self.told += [f"{one.subject}: {one.what}" for one in verdict.outputs.decisions]
            self.rules += [(one.rule, one.subject) for one in verdict.interventions]
            self.rows.append(verdict.outputs.lamps)
            self.stages.append(f"{self.guard.status.preemption} {self.guard.status.preempt_stage}".strip())
            self.judge.see(
                self.now, verdict.outputs.lamps, preempted=bool(self.stages[-1] or self.stages[-2:-1])
            )
            self.read = ()
            self.now += 1.0
        assert not self.judge.faults
        return self

    def started(self) -> "Street":
        """Run until phase 1 has just begun, then forget what was shown."""
        while not self.rows or self.rows[-1][0] != Lamp.GREEN:
            self.run(1)
        self.rows.clear()
        return self

    def shown(self, channel: str) -> str:
        place = [one.id for one in self.site.channels].index(channel)
        return "".join(SHORT[Lamp(row[place])] for row in self.rows)


def test_rail_is_entered_by_legal_clearance_clears_the_tracks_dwells_and_exits() -> None:
    street = Street(crossing({**RAIL, "exit_phases": [3]})).started()
    street.calls["rail"] = True
    street.run(45)
    street.calls["rail"] = False
    street.run(20)
    # Phase 1 has walked for one second: walk and clearance are served to their end, then yellow and red.
    assert street.shown("p1") == "G" * 4 + "f" * 8 + "r" * 53
    assert street.shown("v1") == "G" * 12 + "yyyrr" + "r" * 12 + "G" * 16 + "yyy" + "r" * 17
    assert street.shown("v2") == "r" * 17 + "G" * 7 + "yyy" + "r" * 38
    assert street.shown("v3") == "r" * 50 + "G" * 15
    assert [told.split(": ")[1] for told in street.told if "preempt" in told] == [
        "preempt-entry", "preempt-track", "preempt-dwell", "preempt-exit", "preempt-end",
    ]  # fmt: skip
    assert street.stages[-1] == ""


def test_entry_times_shorten_what_must_end_and_never_yellow_red_or_more_than_declared() -> None:
    times = {"entry_min_green_s": 2, "entry_walk_s": 2, "entry_ped_clear_s": 4}
    street = Street(crossing({**RAIL, **times})).started()
    street.calls["rail"] = True
    street.run(14)
    assert street.shown("p1") == "G" + "f" * 4 + "r" * 9
    assert street.shown("v1") == "G" * 5 + "yyy" + "r" * 6
    assert street.shown("v2") == "r" * 10 + "G" * 4


def test_entry_times_longer_than_the_phases_own_lengthen_nothing() -> None:
    times = {"entry_min_green_s": 60, "entry_walk_s": 60, "entry_ped_clear_s": 60}
    street = Street(crossing({**RAIL, **times})).started()
    street.calls["rail"] = True
    street.run(18)
    assert street.shown("v2") == "r" * 17 + "G"


def test_what_a_call_may_shorten_is_whole_again_once_it_is_gone() -> None:
    """The call goes off while the panel stops the junction: phase 1 clears with its own times, not the entry's."""
    street = Street(crossing({**FIRE, "entry_min_green_s": 4}))
    street.wants = SignalWants()
    street.started()
    street.calls["fire"] = True
    street.run(1)
    street.panel, street.calls["fire"] = int(PanelMode.HAND), False
    street.run(20)
    assert street.shown("v1").startswith("GGGGyyyr")  # 5 s in all, its first second left out


def test_phase_and_timing_follow_what_a_call_shortens() -> None:
    """While the call stands its shorter minimum is what the green may end by; the full one would be told too late."""
    raw = crossing({**FIRE, "entry_min_green_s": 6})
    raw["phases"][0]["min_green_s"] = 20
    street = Street(raw)
    street.wants = SignalWants()
    street.started()
    begun = street.now - 1.0
    street.calls["fire"] = True
    street.run(1)
    frame = Frame((), preempts=(reading(True),))
    told = spat(street.guard, frame, street.now, CLOCK, 1.0, "")["states"][0]
    earliest = street.now + told["state-time-speed"][0]["seconds"]["min"]
    street.run(20)
    assert street.shown("v1").startswith("GGGGGyyyr")
    assert earliest == pytest.approx(begun + 6.0)


def test_what_was_to_begin_next_is_taken_back() -> None:
    street = Street(crossing(FIRE))
    street.wants = SignalWants()
    street.started()
    street.wants = SignalWants(call=frozenset({2}), force_off=frozenset({1}))
    street.run(6)
    assert street.shown("v1").endswith("y") and street.guard.status.next == (2,)
    street.calls["fire"] = True
    street.run(10)
    assert "G" not in street.shown("v2")
    assert street.shown("v3") == "r" * 9 + "G" * 7


def test_a_rail_input_that_cannot_be_read_is_a_call_and_another_is_none() -> None:
    street = Street(crossing(RAIL, FIRE)).started()
    street.lost = {"fire"}
    street.run(30)
    assert set(street.stages) == {""}
    street.lost = {"fire", "rail"}
    street.run(30)
    assert street.stages[-1] == "rail dwell"
    assert street.rules == [
        ("preempt-input", "preemption fire"), ("preempt-input", "preemption rail"), ("preempted", "junction"),
    ]  # fmt: skip
    street.lost = set()
    street.run(20)
    assert street.stages[-1] == ""


@pytest.mark.parametrize("absurd", [2, -1, float("nan"), "on"])
def test_an_absurd_rail_reading_is_a_call(absurd: Value) -> None:
    street = Street(crossing(RAIL)).started()
    street.calls["rail"] = absurd
    assert street.run(3).stages[-1] == "rail entry"


def test_an_input_may_call_by_going_off() -> None:
    street = Street(crossing({**RAIL, "calls_when": False})).started()
    assert street.run(5).stages[-1] == ""
    street.calls["rail"] = False
    assert street.run(2).stages[-1] == "rail entry"


@pytest.mark.parametrize(("locking", "stage"), [(False, ""), (True, "fire dwell")])
def test_a_call_shorter_than_its_delay_is_kept_only_where_it_locks(locking: bool, stage: str) -> None:
    street = Street(crossing({**FIRE, "delay_s": 5, "locking": locking, "min_duration_s": 60})).started()
    street.calls["fire"] = True
    street.run(3)
    street.calls["fire"] = False
    assert street.run(2).stages[-1] == ""
    assert street.run(25).stages[-1] == stage


def test_it_lasts_for_its_minimum_duration() -> None:
    street = Street(crossing({**FIRE, "min_duration_s": 40})).started()
    street.calls["fire"] = True
    street.run(1)
    street.calls["fire"] = False
    street.run(60)
    assert 40 <= sum(stage != "" for stage in street.stages) <= 41


def test_rail_takes_the_junction_from_an_emergency_and_gives_it_back() -> None:
    street = Street(crossing(FIRE, RAIL)).started()
    street.calls["fire"] = True
    assert street.run(25).stages[-1] == "fire dwell"
    street.calls["rail"] = True
    assert street.run(1).stages[-1] == "rail entry"
    assert street.run(40).stages[-1] == "rail dwell"
    street.calls["rail"] = False
    assert street.run(1).stages[-1] == "fire entry"
    assert street.run(20).stages[-1] == "fire dwell"
    street.calls["fire"] = False
    assert street.run(2).stages[-1] == ""


def test_equals_do_not_interrupt_each_other_but_a_better_priority_does() -> None:
    second = {**FIRE, "id": "ambulance", "dwell_phases": [2]}
    street = Street(crossing(FIRE, second)).started()
    street.calls["ambulance"] = True
    street.run(25)
    street.calls["fire"] = True
    assert street.run(20).stages[-1] == "ambulance dwell"
    street.calls["ambulance"] = False
    assert street.run(2).stages[-1] == "fire entry"
    street = Street(crossing(FIRE, {**second, "priority": 2})).started()
    street.calls["ambulance"] = True
    street.run(25)
    street.calls["fire"] = True
    assert street.run(2).stages[-1] == "fire entry"


def test_a_stuck_emergency_input_gives_way_to_normal_service_until_it_goes_off() -> None:
    street = Street(crossing({**FIRE, "max_presence_s": 60})).started()
    street.calls["fire"] = True
    assert street.run(60).stages[-1] == "fire dwell"
    assert street.run(2).stages[-1] == ""
    assert street.guard.latched() == (
        ("preemption fire", "preempt-max-presence", "called for more than 60 s"),
    )
    with pytest.raises(ValueError, match="goes off"):
        street.guard.reset_latched("preemption fire")
    assert street.run(200).stages[-1] == ""
    street.calls["fire"] = False
    street.run(1)
    assert street.guard.latched() == ()
    street.calls["fire"] = True
    assert street.run(2).stages[-1] == "fire entry"


def test_a_stuck_rail_input_ends_in_flash_by_legal_clearance_and_is_kept_over_a_restart() -> None:
    street = Street(crossing({**RAIL, "max_presence_s": 90})).started()
    street.calls["rail"] = True
    street.run(120)
    assert street.shown("v1").rstrip("x").endswith("yyyrr")
    assert street.shown("v1").endswith("x")
    state = street.guard.snapshot()
    street.guard = SignalGuard(street.site)
    street.guard.restore(state)
    street.run(100)
    assert set(street.shown("v2")[-100:]) == {"x"}
    street.calls["rail"] = False
    street.run(30)
    assert "G" in street.shown("v1")[-30:]


def test_the_end_of_a_dwell_calls_the_linked_one_while_the_call_lasts() -> None:
    street = Street(crossing(RAIL, {**FIRE, "link": "rail"})).started()
    street.calls["fire"] = True
    street.run(80)
    order = [stage for k, stage in enumerate(street.stages) if k == 0 or street.stages[k - 1] != stage]
    assert order == ["", "fire entry", "fire dwell", "rail entry", "rail track", "rail dwell"]
    street.calls["fire"] = False
    assert street.run(2).stages[-1] == ""


def test_limited_service_serves_what_is_asked_and_allowed() -> None:
    row = {**RAIL, "cycling_phases": [3], "peds": [1]}
    street = Street(crossing(row)).started()
    street.calls["rail"] = True
    street.run(40)
    street.wants = SignalWants(
        call=frozenset({1, 2, 3}), force_off=frozenset({1, 2, 3}), ped_call=frozenset({1})
    )
    street.rows.clear()
    street.run(60)
    assert street.stages[-1] == "rail dwell"
    assert "G" not in street.shown("v2")
    assert "G" in street.shown("v3")
    assert "G" in street.shown("p1")


def test_overdue_demand_is_served_in_limited_service_against_a_hostile_controller() -> None:
    raw = crossing({**RAIL, "cycling_phases": [3]})  # without detectors every phase is on recall
    street = Street(raw).started()
    street.calls["rail"] = True
    street.run(40)
    street.wants = SignalWants(hold=frozenset({1}), omit=frozenset({3}))
    street.rows.clear()
    street.run(130)
    assert "G" in street.shown("v3")
    assert "G" not in street.shown("v2")


def test_a_restart_in_the_middle_clears_what_is_shown_and_goes_to_the_tracks() -> None:
    street = Street(crossing(RAIL)).started()
    street.run(20)
    street.calls["rail"] = True
    street.run(2)
    state = street.guard.snapshot()
    street.guard = SignalGuard(street.site)
    street.guard.restore(state)
    street.read = street.rows[-1]
    street.rows.clear()
    street.run(30)
    # What is shown is taken as just begun and cleared, all is red for the start-up, then the tracks are first.
    assert street.shown("v1") == "G" * 8 + "yyy" + "r" * 16 + "GGG"
    assert street.shown("v2") == "r" * 15 + "G" * 7 + "yyy" + "r" * 5


def test_the_bound_of_each_junction_is_what_the_worst_moment_takes() -> None:
    plan = Plan(checked(crossing(RAIL, {**FIRE, "delay_s": 4, "entry_walk_s": 0, "entry_ped_clear_s": 3})))
    rail, fire = plan.site.preemptions
    assert time_to_green(plan, rail) == 5 + 8 + 3 + 2
    assert (
        time_to_green(plan, fire) == 4 + 5 + 3 + 2
    )  # the minimum green is longer than what is left of the walk
    assert time_to_green(plan, rail, 0.5) == 18 + 5 * 0.5


def test_after_a_pre_emption_a_coordinated_plan_is_soon_in_step_again() -> None:
    """Phases follow the clock: where they would have been without it, they are two cycles later."""
    raw = crossing({**RAIL, "exit_phases": [1]})
    drives = [Drive(raw, [("signal.fixed", {})], step_s=1.0) for _ in range(2)]
    for one in drives:
        one.put({"preempt.rail": False})
        one.run(300)
    drives[1].put({"preempt.rail": True})
    for one in drives:
        one.run(100)
    assert drives[1].domain.guard.status.preempt_stage == "dwell"
    assert drives[1].greens() == {1}
    drives[1].put({"preempt.rail": False})
    for one in drives:
        one.run(240)
    for _ in range(180):
        for one in drives:
            one.scan()
        assert drives[0].written == drives[1].written


def test_nothing_is_asked_of_a_cabinet_that_pre_empts_by_itself() -> None:
    raw = crossing({"id": "any", "kind": "emergency"}, actuation="cabinet")
    drive = Drive(raw, [("signal.actuated", {})], step_s=1.0)
    assert not drive.domain.conditions()
    drive.put({f"phase.{n}.state": int(Lamp.GREEN if n == 1 else Lamp.RED) for n in (1, 2, 3)})
    drive.put({"preempt.any": False})
    drive.run(60)
    assert any(drive.written.values())
    drive.put({"preempt.any": True})
    drive.run(2)
    assert not any(drive.written.values())
    assert drive.domain.guard.status.preemption == "any"
    drive.put({"preempt.any": False}, bad=True)
    drive.run(2)
    assert any(drive.written.values())
    assert drive.domain.conditions() == {
        "jct/preempt.any": "is not believed (pre-emption any: its input cannot be read)"
    }
    drive.put({"preempt.any": False})
    drive.run(1)
    assert not drive.domain.conditions()
