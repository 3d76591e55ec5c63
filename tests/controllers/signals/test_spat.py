"""SPaT: the earliest end is never after the real one, the latest never before, committed ends are exact.

Judged by what the lamps really did under a seeded adversary that ends, holds, omits and calls as it likes.
"""

import json
import random
from typing import Any

import pytest
from tests.controllers.signals.drive import UTC0, Drive
from tests.controllers.signals.sites import CLOCK, dual_ring, inputs, one_ring, reading

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.spat import UNKNOWN_TIME, spat
from vigie_protocols.points import Quality, Reading
from vigie_sim.traffic.adversary import Adversary

STEP = 0.5


class Witness:
    """Every forecast made of what a channel shows, judged when it ends."""

    def __init__(self, channels: int, slack: float = 1e-6) -> None:
        self.lamps: tuple[int, ...] | None = None
        self.told: list[list[tuple[float, float, float | None]]] = [[] for _ in range(channels)]
        self.wrong: list[str] = []
        self.exact = self.ends = 0
        self.worst = 0.0
        self._slack = slack

    def see(self, now: float, lamps: tuple[int, ...], told: dict[str, Any]) -> None:
        if self.lamps is not None:
            for c, (old, new) in enumerate(zip(self.lamps, lamps, strict=True)):
                if old != new:
                    self._judge(c, now, old)
        self.lamps = lamps
        for c, state in enumerate(told["states"]):
            seconds = state["state-time-speed"][0].get("seconds")
            if seconds is not None:
                latest = seconds.get("max")
                self.told[c].append((now, now + seconds["min"], None if latest is None else now + latest))

    def _judge(self, c: int, now: float, lamp: int) -> None:
        self.ends += 1
        for at, earliest, latest in self.told[c]:
            if earliest > now + self._slack:
                self.wrong.append(
                    f"channel {c} showing {lamp}: {earliest:.2f} told at {at:.2f}, ended {now:.2f}"
                )
            if latest is not None:
                self.exact += 1
                self.worst = max(self.worst, abs(latest - now))
                if latest < now - self._slack:
                    self.wrong.append(
                        f"channel {c} showing {lamp}: by {latest:.2f} told at {at:.2f}, was {now:.2f}"
                    )
        self.told[c] = []


class Steady(Adversary):
    """An adversary that has no say in when the scans come."""

    def _mutate(self, luck: float) -> None:
        super()._mutate(luck)
        self.step_s = 0.0


def witness(raw: dict[str, Any], seed: int, scans: int, jitter: float = 0.0, step_s: float = STEP) -> Witness:
    one = Steady(raw, seed, restarts=False, breaks=False)
    one.step_s = 0.0
    seen = Witness(len(one.site.channels), 1e-6 if not jitter else step_s + jitter)
    dice = random.Random(seed)
    for number in range(scans):
        one.now = 1000.0 + number * step_s + dice.uniform(0.0, jitter)
        one.run(1)
        told = spat(one.guard, one.frame, one.now, CLOCK, step_s, "signal.actuated")
        seen.see(one.now, one.lamps, told)
    return seen


@pytest.mark.parametrize("raw", [one_ring(2), one_ring(5), dual_ring()], ids=["two", "five", "dual ring"])
@pytest.mark.parametrize("seed", range(1, 3))
def test_ends_are_never_outside_what_was_told(raw: dict[str, Any], seed: int) -> None:
    seen = witness(raw, seed, 3000)
    assert seen.wrong == []
    assert seen.ends > 300 and seen.exact > 1000
    assert seen.worst < 1e-3  # committed changes come when they were told, to the millisecond of the message


@pytest.mark.parametrize("seed", range(1, 3))
def test_a_walk_that_may_lead_the_green_is_reckoned_with(seed: int) -> None:
    raw = dual_ring()
    for phase in raw["phases"]:
        phase["lead_walk_s"] = 4.0 if phase.get("walk_s") else 0.0
        phase["rest_in_walk"] = phase["id"] in (4, 6)
    seen = witness(raw, seed, 3000)
    assert seen.wrong == []
    assert seen.ends > 300 and seen.exact > 1000
    assert seen.worst < 4.0 + 1e-3  # only whether somebody will walk is not known


def test_scans_that_come_late_keep_committed_changes_within_a_scan() -> None:
    seen = witness(dual_ring(), 3, 5_000, jitter=0.0004, step_s=0.1)
    assert seen.wrong == []
    assert seen.exact > 1000
    assert seen.worst < 0.101  # the first scan after it is due: one later at most


def shown(drive: Drive, clock: Reading[float] | None = None) -> dict[str, Any]:
    told = drive.loop.outlook(drive.now, clock or Reading(UTC0 + drive.now), drive.step_s)
    again: dict[str, Any] = json.loads(json.dumps(told))
    assert again == told
    return told


def states(told: dict[str, Any]) -> dict[str, str]:
    return {one["movementName"]: one["state-time-speed"][0]["eventState"] for one in told["states"]}


def test_the_words_and_marks_of_the_standard() -> None:
    raw = one_ring(2)
    raw["channels"][1] |= {"permissive": [2]}
    drive = Drive(raw, [("signal.actuated", {})], extra=("monitor.fault", "mode"))
    drive.put({"monitor.fault": False, "mode": 0})
    drive.run(2)
    told = shown(drive)
    assert told["status"] == ["standbyOperation"]
    assert states(told) == {"v1": "stop-Then-Proceed", "v2": "stop-Then-Proceed", "p1": "dark"}
    assert all(
        "max" in one["state-time-speed"][0]["seconds"] for one in told["states"]
    )  # the start-up's flash
    drive.until(1)
    drive.put({"detector.d2": True})
    drive.until(2)
    told = shown(drive)
    assert told["status"] == ["trafficDependentOperation"]
    assert states(told) == {
        "v1": "stop-And-Remain", "v2": "permissive-Movement-Allowed", "p1": "stop-And-Remain",
    }  # fmt: skip
    green = told["states"][1]
    assert green["signalGroup"] == 2
    timing = green["state-time-speed"][0]["timing"]
    assert timing == {"minEndTime": int((UTC0 + drive.now + 7.0) * 10) % 36000}  # nobody bounds it from above
    drive.put({"detector.d2": False, "detector.b1": True})
    drive.run(4)
    yellow = shown(drive)["states"][1]["state-time-speed"][0]
    assert drive.state(2).name == "GREEN"
    while drive.state(2).name == "GREEN":
        drive.run(0.5)
    yellow = shown(drive)["states"][1]["state-time-speed"][0]
    assert yellow["eventState"] == "permissive-clearance"
    mark = int((UTC0 + drive.now + 3.0) * 10) % 36000
    assert yellow["timing"] == {"minEndTime": mark, "maxEndTime": mark, "likelyTime": mark}
    red = shown(drive)["states"][0]["state-time-speed"][0]
    assert red["seconds"] == {"min": 5.0, "max": 5.0}  # yellow and red clearance, then phase 1 for certain
    drive.until(1)
    assert states(shown(drive))["p1"] == "protected-Movement-Allowed"
    drive.run(5.5)
    assert states(shown(drive))["p1"] == "protected-clearance"
    unsure = shown(drive, Reading(0.0, Quality.BAD))
    assert unsure["states"][2]["state-time-speed"][0]["timing"]["minEndTime"] == UNKNOWN_TIME
    assert "moy" not in unsure
    drive.put({"monitor.fault": True})
    drive.run(1)
    told = shown(drive)
    assert told["status"] == ["failureFlash"]
    assert "timing" not in told["states"][0]["state-time-speed"][0]


def test_the_minute_of_the_year() -> None:
    drive = Drive(one_ring(2), [("signal.fixed", {})])
    drive.run(1)
    told = shown(drive, Reading(1_767_225_600.0 + 86_400 + 61.25))  # 2026-01-02 00:01:01.25
    assert (told["moy"], told["timeStamp"]) == (1441, 1250)


def test_a_cabinet_keeps_its_times_to_itself() -> None:
    raw = {**one_ring(2, ped=False), "actuation": "cabinet"}
    guard = SignalGuard(Adversary(raw, 1).site)
    from vigie_controllers.signals.words import Frame

    frame = Frame((), cabinet=(reading(3), reading(1)), cabinet_ped=(None, None))
    frame = Frame(tuple(reading(False) for _ in raw["detectors"]), (), frame.cabinet, frame.cabinet_ped)
    guard.permit(10.0, None, inputs(frame, guard.status))
    told = spat(guard, frame, 10.0, CLOCK, 0.1, "")
    one, two = (state["state-time-speed"][0] for state in told["states"])
    assert one["eventState"] == "protected-Movement-Allowed" and one["seconds"] == {"min": 6.0}
    assert two == {"eventState": "stop-And-Remain"}
