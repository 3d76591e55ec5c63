"""The guard rule by rule, by what it shows and says."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.monitor import Monitor
from tests.controllers.signals.sites import checked, frame, inputs, one_ring, reading

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.words import Frame, Lamp, PanelMode, PhaseState, SignalWants
from vigie_protocols.points import Quality, Value


class Hand:
    """Steps a guard on wants given by the test."""

    def __init__(self, raw: dict[str, object], step_s: float = 0.5) -> None:
        self.site = checked(raw)
        self.guard = SignalGuard(self.site)
        self.detectors: list[Value] = [False] * len(self.site.detectors)
        self.step_s, self.now = step_s, 50.0
        self.wants: SignalWants | None = SignalWants()
        self.rules: list[str] = []
        self.extra: Mapping[str, object] = {}
        self.read: tuple[int, ...] = ()
        self.lamps: tuple[int, ...] = ()
        self.monitor = Monitor(raw)

    def run(self, seconds: float) -> "Hand":
        for _ in range(round(seconds / self.step_s)):
            self.now += self.step_s
            seen = replace(frame(self.detectors, self.read), **self.extra)
            verdict = self.guard.permit(self.now, self.wants, inputs(seen, self.guard.status))
            self.rules += [one.rule for one in verdict.interventions]
            self.lamps = verdict.outputs.lamps
            self.monitor.see(self.now, self.lamps, fault="monitor_fault" in self.extra)
        return self

    def green(self) -> set[int]:
        return {one.id for one in self.guard.status.phases if one.state is PhaseState.GREEN}

    def wait(self, phase: int, limit: float = 300.0) -> float:
        start = self.now
        while phase not in self.green():
            assert self.now - start < limit, f"phase {phase} not served within {limit} s"
            self.run(self.step_s)
        return self.now - start


def only(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


def test_start_up_is_flash_then_all_red_then_start_phases() -> None:
    hand = Hand(one_ring(3, ped=False))
    hand.run(4.5)
    assert set(hand.lamps) == {Lamp.FLASH_RED}
    hand.run(1.5)
    assert set(hand.lamps) == {Lamp.RED}
    assert hand.wait(1) <= 6.0
    assert not hand.monitor.faults


def test_minimum_green_is_kept_and_told_once() -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.wait(1)
    hand.wants = SignalWants(call=only(2), force_off=only(1))
    started = hand.now
    hand.wait(2)
    assert hand.now - started == pytest.approx(6 + 3 + 2)
    assert hand.rules.count("min-green") == 1


def test_pedestrian_clearance_is_never_cut() -> None:
    hand = Hand(one_ring(2))
    hand.wants = SignalWants(ped_call=only(1))
    hand.wait(1)
    hand.run(1.0)
    hand.wants = SignalWants(call=only(2), force_off=only(1))
    hand.wait(2)
    assert "ped-clearance" in hand.rules
    assert not hand.monitor.faults


def test_nothing_is_granted_that_nobody_asked_for() -> None:
    hand = Hand(one_ring(4))
    hand.wait(1)
    hand.wants = SignalWants(force_off=only(1, 2, 3, 4))
    hand.run(60)  # within the maximum red of any detector
    assert hand.green() == {1}


def test_waiting_demand_is_served_within_the_maximum_red_against_a_hostile_controller() -> None:
    hand = Hand(one_ring(4))
    hand.wait(1)
    hand.wants = SignalWants(hold=only(1), omit=only(2, 3, 4))
    hand.detectors[2] = True
    took = hand.wait(3)
    assert took <= 121.0
    assert "max-red" in hand.rules
    assert not hand.monitor.faults


@pytest.mark.parametrize("actuation", ["lamps", "cabinet"])
def test_the_maximum_red_is_counted_although_no_reading_and_no_request_changes(actuation: str) -> None:
    """One image stands for as long as nothing changes, and a controller may ask for the same for ever."""
    site = checked({**one_ring(2, ped=False), "actuation": actuation})
    guard, wants, now = SignalGuard(site), SignalWants(hold=only(1)), 0.0
    states = (reading(3), reading(1)) if actuation == "cabinet" else ()
    idle, busy = (
        frame([False, seen], cabinet=states, cabinet_ped=(None,) * len(states)) for seen in (False, True)
    )

    def scan(seen: Frame) -> None:
        nonlocal now
        now += 1.0
        guard.permit(now, wants, inputs(seen, guard.status))

    for _ in range(60):
        scan(idle)
    begun = now
    while not guard.status.overdue:
        assert now - begun < 130.0
        scan(busy)
    assert now - begun > 100.0
    for _ in range(10):
        scan(idle)
    begun = now
    while guard.status.phases[1].waiting is not None and actuation == "cabinet":
        assert now - begun < 10.0, "demand that is gone is forgotten, too"
        scan(idle)


def test_pedestrians_are_served_too_although_their_phase_is_green() -> None:
    hand = Hand(one_ring(2))
    hand.wait(1)
    hand.wants = SignalWants(hold=only(1))
    button = [one.id for one in hand.site.detectors].index("b1")
    hand.detectors[button] = True
    hand.run(0.5)
    hand.detectors[button] = False
    hand.run(121)
    place = [one.id for one in hand.site.channels].index("p1")
    assert hand.lamps[place] in (Lamp.GREEN, Lamp.FLASH_GREEN)


def test_without_any_controller_every_phase_is_served() -> None:
    hand = Hand(one_ring(4))
    hand.wants = None
    hand.wait(1)
    for phase in (2, 3, 4, 1):
        assert hand.wait(phase) < 40
    assert hand.rules.count("fail-safe") == 1


def test_a_bad_detector_puts_its_phase_on_recall() -> None:
    hand = Hand(one_ring(3, ped=False))
    hand.wait(1)
    hand.wants = SignalWants(hold=only(1))
    hand.detectors[1] = "broken"
    assert hand.wait(2) <= 121
    assert hand.guard.status.failed == {"d2"}


def test_a_monitor_fault_flashes_at_once_and_holds_until_it_is_reset() -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.wait(1)
    hand.extra = {"monitor_fault": reading(True)}
    hand.run(0.5)
    assert set(hand.lamps) == {Lamp.FLASH_RED}
    hand.run(600)
    assert set(hand.lamps) == {Lamp.FLASH_RED}
    hand.extra = {"monitor_fault": reading(False)}
    assert hand.wait(1) >= 5 + 6
    assert "monitor-fault" in hand.rules
    assert not hand.monitor.faults


@pytest.mark.parametrize(("source", "normal"), [("monitor_fault", False), ("panel", 0)])
def test_a_monitor_or_panel_that_stays_unreadable_no_longer_vouches(source: str, normal: Value) -> None:
    hand = Hand(one_ring(3, ped=False))
    hand.extra = {source: reading(normal)}
    hand.run(30.0)
    assert hand.green()
    hand.extra = {source: replace(reading(normal), quality=Quality.BAD)}
    hand.run(9.0)
    assert hand.green() or Lamp.YELLOW in hand.lamps  # a short loss changes nothing
    hand.run(40.0)
    assert set(hand.lamps) == {Lamp.FLASH_RED}
    assert not hand.monitor.faults  # by legal clearance
    hand.extra = {source: reading(normal)}
    hand.run(40.0)
    assert hand.green()


@pytest.mark.parametrize(
    ("mode", "shown"), [(1, Lamp.FLASH_RED), (2, Lamp.DARK), (3, Lamp.FLASH_RED), (77, Lamp.FLASH_RED)]
)
def test_the_panel_outranks_us_by_legal_clearance(mode: int, shown: Lamp) -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.wait(1)
    hand.extra = {"panel": reading(mode)}
    hand.run(30)
    assert set(hand.lamps) == {shown}
    assert not hand.monitor.faults
    hand.extra = {"panel": reading(0)}
    hand.wait(1)
    assert not hand.monitor.faults


def test_a_restart_ends_what_the_lamps_show_with_full_clearance() -> None:
    hand = Hand(one_ring(2))
    hand.wants = SignalWants(ped_call=only(1))
    hand.wait(1)
    hand.run(2)
    hand.read, state = hand.lamps, hand.guard.snapshot()
    hand.guard = SignalGuard(hand.site)
    hand.guard.restore(state)
    began = hand.now
    hand.wants = SignalWants(call=only(2))
    while hand.lamps[0] == Lamp.GREEN:
        hand.run(0.5)
        hand.read = hand.lamps
    assert hand.now - began >= 5 + 8  # walk and clearance anew, whatever had run before
    hand.read = ()
    hand.wait(1)
    assert not hand.monitor.faults


def test_unreadable_lamps_after_a_restart_mean_flash() -> None:
    hand = Hand(one_ring(2))
    hand.wait(1)
    state = hand.guard.snapshot()
    hand.guard = SignalGuard(hand.site)
    hand.guard.restore(state)
    hand.monitor.forget()
    hand.run(3)
    assert set(hand.lamps) == {Lamp.FLASH_RED, Lamp.DARK}
    hand.wait(1)
    assert not hand.monitor.faults


def test_replay_resumes_bit_for_bit() -> None:
    one, two = Hand(one_ring(4)), Hand(one_ring(4))
    for hand in (one, two):
        hand.wants = SignalWants(call=only(1, 2, 3, 4), force_off=only(1, 2, 3, 4), ped_call=only(1, 3))
        hand.detectors[2] = True
    one.run(33.5)
    two.now = one.now
    two.guard.resume(one.guard.snapshot())
    for _ in range(400):
        assert one.run(0.5).lamps == two.run(0.5).lamps
        assert one.guard.snapshot() == two.guard.snapshot()


def test_lamps_that_flash_against_orders_lead_to_a_new_start() -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.read = (Lamp.RED, Lamp.RED)
    hand.wait(1)
    hand.read = (Lamp.FLASH_RED, Lamp.FLASH_RED)
    hand.run(4)
    assert "lamp-feedback" in hand.rules
    assert set(hand.lamps) <= {Lamp.FLASH_RED}
    hand.read = (Lamp.RED, Lamp.RED)
    hand.wait(1)


def test_a_conflicting_writer_trips_the_test_monitor() -> None:
    monitor = Monitor(one_ring(2, ped=False))
    monitor.see(0, (1, 1))
    monitor.see(10, (3, 1))
    monitor.see(20, (3, 3))
    assert any("conflict" in text for text in monitor.faults)
    for sequence, word in (
        ([(0, (1, 1)), (10, (3, 1)), (12, (2, 1))], "green of"),
        ([(0, (1, 1)), (10, (3, 1)), (20, (2, 1)), (22, (1, 1))], "yellow of"),
        ([(0, (1, 1)), (10, (3, 1)), (20, (2, 1)), (23, (1, 3))], "began"),
        ([(0, (1, 1)), (10, (3, 1)), (20, (1, 1))], "3 to 1"),
        ([(0, (4, 4)), (10, (3, 1))], "left flash"),
    ):
        judge = Monitor(one_ring(2, ped=False))
        for at, lamps in sequence:
            judge.see(at, lamps)
        assert any(word in text for text in judge.faults), (sequence, judge.faults)


# -- cabinets ----------------------------------------------------------------------------------------


def cabinet() -> Drive:
    raw = one_ring(3, ped=False)
    raw["actuation"] = "cabinet"
    drive = Drive(raw, [("signal.actuated", {})], extra=("cabinet.flash", "heartbeat"))
    drive.put({"phase.1.state": 3, "phase.2.state": 1, "phase.3.state": 1})
    return drive


def test_a_cabinet_gets_no_force_off_before_its_minimum_green() -> None:
    drive = cabinet()
    drive.put({"detector.d2": True})
    drive.run(5.5)
    assert drive.written["phase.2.call"]
    assert not drive.written["phase.1.force_off"]
    drive.run(2)
    assert drive.written["phase.1.force_off"]


def test_a_cabinet_that_cannot_be_read_or_flashes_gets_nothing() -> None:
    drive = cabinet()
    drive.put({"detector.d2": True})
    drive.run(20)
    drive.put({"phase.3.state": 1}, bad=True)
    drive.run(1)
    assert not any(value for role, value in drive.written.items() if role != "heartbeat")
    drive.put({"phase.3.state": 1})
    drive.run(1)
    assert drive.written["phase.2.call"]
    drive.put({"cabinet.flash": True})
    drive.run(1)
    assert not drive.written["phase.2.call"]


def test_the_heartbeat_beats_once_a_second() -> None:
    drive = cabinet().run(1)
    first = drive.written["heartbeat"]
    drive.run(3)
    assert drive.written["heartbeat"] == (int(first) + 3) % 65536


def test_maximum_red_holds_for_a_cabinet_too() -> None:
    drive = cabinet()
    drive.put({"detector.d1": True, "detector.d2": True})
    drive.domain.guard.plan.max_red = (60.0, 60.0, 60.0)
    drive.run(70)
    assert drive.written["phase.2.call"]
    assert drive.written["phase.1.force_off"]
    assert not drive.written["phase.1.hold"]


def test_lamps_that_nobody_can_read_any_more_lead_to_flash_and_a_new_start() -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.wants = SignalWants(call=only(1, 2))
    hand.read = (Lamp.RED, Lamp.RED)
    hand.wait(1)
    lost = tuple(reading(0, Quality.BAD) for _ in hand.read)
    hand.read, hand.extra = (), {"lamps": lost}
    hand.run(2)
    assert hand.green()  # a short gap stops nothing
    hand.run(30)
    assert set(hand.lamps) == {Lamp.FLASH_RED} and "lamp-feedback" in hand.rules
    hand.extra, hand.read = {}, (Lamp.FLASH_RED, Lamp.FLASH_RED)
    hand.run(0.5)
    assert not hand.green()
    hand.read = ()
    hand.wait(1)
    assert not hand.monitor.faults


def test_outputs_that_expired_on_the_way_to_flash_are_never_shown_again() -> None:
    hand = Hand(one_ring(2, ped=False))
    hand.wait(1)
    hand.extra = {"panel": reading(int(PanelMode.HAND))}
    hand.run(0.5)  # phase 1 is still kept for its minimum green
    hand.guard.replaced("no scan for 3.0 s, so outputs expired")
    hand.monitor.forget()
    hand.run(30)
    assert set(hand.lamps) == {Lamp.FLASH_RED}
    assert not hand.monitor.faults


def test_after_a_scan_whose_fail_safe_was_shown_the_junction_starts_up_anew() -> None:
    drive = Drive(one_ring(2, ped=False), [("signal.fixed", {})])
    drive.until(1)
    guard, permit = drive.domain.guard, drive.domain.guard.permit
    guard.permit = None  # type: ignore[assignment]
    drive.scan()
    assert "guard-fault" in drive.rules()
    guard.permit = permit  # type: ignore[method-assign]
    begun = drive.now
    drive.scan()
    assert not drive.greens() and "interrupted" in drive.rules()
    drive.until(1)
    startup = drive.domain.site.startup
    assert drive.now - begun >= startup.flash_s + startup.all_red_s
