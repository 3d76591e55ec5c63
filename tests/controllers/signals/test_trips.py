"""When what the guard gave was not shown: it starts up anew, and flashes for good once that is no accident."""

import json

import pytest
from tests.controllers.signals.drive import Drive
from tests.controllers.signals.sites import one_ring

from vigie_controllers.contract import Verdict
from vigie_controllers.signals.words import Lamp, SignalWants

FLASH = {f"channel.v{n}": int(Lamp.FLASH_RED) for n in (1, 2)}


def street() -> Drive:
    drive = Drive(one_ring(2, ped=False), [("signal.fixed", {})])
    drive.until(1)
    return drive


def fail(drive: Drive, scans: int = 1, unlawful: bool = False) -> None:
    """Some scans whose guard raises, or gives two greens."""
    guard, permit = drive.domain.guard, drive.domain.guard.permit
    greens = Verdict(SignalWants(lamps=(int(Lamp.GREEN), int(Lamp.GREEN))))
    guard.permit = (lambda *_: greens) if unlawful else None  # type: ignore[assignment, method-assign]
    for _ in range(scans):
        drive.scan()
        assert drive.written == FLASH
    guard.permit = permit  # type: ignore[method-assign]
    drive.scan()  # the first that answers again


def latched(drive: Drive) -> str:
    return " ".join(reason for _, rule, reason in drive.domain.guard.latched() if rule == "guard-trip")


def test_an_unlawful_output_latches_at_once_until_somebody_resets_it() -> None:
    drive = street()
    fail(drive, unlawful=True)
    assert latched(drive) == "the output check refused what the guard gave"
    drive.run(300)
    assert drive.written == FLASH
    assert drive.rules().count("guard-trip") == 1
    assert drive.domain.guard.reset_latched("junction")
    assert not latched(drive) and not drive.domain.guard.reset_latched("junction")
    startup = drive.domain.site.startup
    assert drive.until(1) >= startup.flash_s + startup.all_red_s


def test_the_third_failure_within_an_hour_latches_and_a_long_one_counts_once() -> None:
    drive = street()
    fail(drive, scans=50)
    for failures in (2, 3):
        drive.until(1)
        assert not latched(drive)
        fail(drive)
        assert bool(latched(drive)) == (failures == 3)
    drive.run(60)
    assert drive.written == FLASH


def test_failures_more_than_an_hour_apart_are_forgotten() -> None:
    drive = street()
    for _ in range(4):
        fail(drive)
        drive.until(1)
        drive.run(1900)
    assert not latched(drive)


@pytest.mark.parametrize("exact", [False, True])
def test_a_latched_trip_outlives_a_restart(exact: bool) -> None:
    drive = street()
    fail(drive, unlawful=True)
    state = json.loads(json.dumps(drive.loop.snapshot()))
    again = Drive(one_ring(2, ped=False), [("signal.fixed", {})])
    again.loop.restore(state)
    if exact:
        again.domain.guard.resume(state["guard"])
    again.now = drive.now
    again.run(100)
    assert again.written == FLASH
    assert latched(again)
