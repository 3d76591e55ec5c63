"""Guard and monitor were written apart and must agree: no lawful trace trips, every unlawful one does."""

import random

import pytest

from vigie_controllers.signals.domain import SignalDomain
from vigie_controllers.signals.words import SignalWants
from vigie_protocols.points import Quality, Reading
from vigie_sim.traffic.cabinet import LampCabinet, program_card
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.documents import loop_points
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.monitor import Monitor

SCANS = 20_000


def random_wants(source: random.Random, phases: list[int]) -> SignalWants | None:
    """What a malicious controller may ask, or silence."""
    if source.random() < 0.02:
        return None

    def some(share: float) -> frozenset[int]:
        return frozenset(number for number in [*phases, 99] if source.random() < share)

    return SignalWants(some(0.2), some(0.5), some(0.1), some(0.5), some(0.5))


class Street:
    """A bare-lamps junction whose guard hears a malicious controller."""

    def __init__(self, junction: Junction, seed: int) -> None:
        self.junction, self.source = junction, random.Random(seed)
        self.phases = [phase.id for phase in junction.site.phases]
        self.cabinet = LampCabinet(junction.site, Monitor(program_card(junction.site)))
        self.domain = self.fresh()
        self.trace: list[tuple[float, tuple[int, ...]]] = []

    def fresh(self) -> SignalDomain:
        return SignalDomain.of(self.junction.site.model_dump(mode="json"), loop_points(self.junction))

    def readings(self, now: float) -> tuple[Reading[int], ...]:
        """Lamps as shown, detectors at random."""
        shown = {
            f"{self.junction.device}/channel.{k}.shown": v for k, v in enumerate(self.cabinet.lamps, start=1)
        }
        fixed = {f"{self.junction.device}/monitor.fault": 0, f"{self.junction.device}/panel.mode": 0}
        return tuple(
            Reading(shown.get(name, fixed.get(name, self.source.randrange(2))), Quality.GOOD, now, now)
            for name in self.domain.reads
        )

    def run(self, scans: int) -> None:
        lamps: tuple[int, ...] = ()
        wants: SignalWants | None = None
        for scan in range(scans):
            now = round(scan / 10, 1)
            if scan % 10 == 0:
                readings = self.readings(now)
                wants = random_wants(self.source, self.phases)
            if scan % 10 == 0 and self.source.random() < 0.005:
                # A restart: the new guard reads lamps that are as fresh as its image.
                state = self.domain.guard.snapshot()
                self.domain = self.fresh()
                self.domain.guard.restore(state)
            outputs = self.domain.guard.permit(
                now, wants, self.domain.inputs(Reading(now), False, readings)
            ).outputs
            if outputs.lamps != lamps:
                lamps = outputs.lamps
                self.trace.append((now, lamps))
                self.cabinet.command(now, "Lamps", lamps)
            self.cabinet.advance(now)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_makes_the_guard_trip_the_monitor(intersections: dict[str, Junction], seed: int) -> None:
    street = Street(intersections["passerelle"], seed)
    street.run(SCANS)
    assert street.cabinet.monitor.trips == []
    assert len(street.trace) > 300


def faulty(trace: list[tuple[float, tuple[int, ...]]], kind: str) -> list[tuple[float, tuple[int, ...]]]:
    """The trace with one fault of a kind in its middle."""
    start = len(trace) // 2
    for place in range(start, len(trace)):
        now, lamps = trace[place]
        before = trace[place - 1][1]
        if kind == "no-yellow" and Lamp.YELLOW in lamps and Lamp.GREEN in before:
            changed = tuple(Lamp.RED if lamp == Lamp.YELLOW else lamp for lamp in lamps)
            return [*trace[:place], (now, changed)]
        if kind == "short-yellow" and Lamp.YELLOW in before and Lamp.YELLOW not in lamps:
            begun = trace[place - 1][0]
            return [*trace[:place], (begun + 1.5, lamps)]
        if kind == "no-red" and Lamp.YELLOW in before and Lamp.YELLOW not in lamps:
            again = tuple(
                Lamp.GREEN if was == Lamp.YELLOW else one for was, one in zip(before, lamps, strict=True)
            )
            return [*trace[:place], (now, again)]
        if kind == "early-green" and Lamp.GREEN in lamps and set(before) <= {Lamp.RED, Lamp.FLASH_GREEN}:
            return [*trace[:place], (trace[place - 1][0] + 0.5, lamps)]
        if kind == "conflict" and Lamp.GREEN in lamps:
            return [*trace[:place], (now, tuple(Lamp.GREEN for _ in lamps)), (now + 1.0, lamps)]
        if kind == "dark" and Lamp.GREEN in lamps and Lamp.RED in lamps:
            at = lamps.index(Lamp.RED)
            dark = (*lamps[:at], Lamp.DARK, *lamps[at + 1 :])
            return [*trace[:place], (now, dark), (now + 2.0, dark)]
    raise AssertionError(f"the trace has no place for {kind}")


@pytest.mark.parametrize("kind", ["no-yellow", "short-yellow", "no-red", "early-green", "conflict", "dark"])
def test_one_fault_in_a_lawful_trace_trips_the_monitor(intersections: dict[str, Junction], kind: str) -> None:
    street = Street(intersections["passerelle"], 3)
    street.run(4_000)
    monitor = Monitor(street.cabinet.monitor.card)
    for instant, lamps in faulty(street.trace, kind):
        monitor.show(instant, lamps)
    monitor.advance(1e6)
    assert len(monitor.trips) == 1


def test_the_card_says_what_the_site_says(intersections: dict[str, Junction]) -> None:
    for junction in intersections.values():
        card = program_card(junction.site)
        names = [channel.id for channel in card.channels]
        assert {frozenset((names[i], names[j])) for i, j in card.conflicts} == {
            frozenset(pair) for pair in junction.site.conflicts
        }
        assert all(channel.clear_s == 2.0 for channel in card.channels if not channel.pedestrian)
        assert all(channel.ped_clear_s >= 9.0 for channel in card.channels if channel.pedestrian)
