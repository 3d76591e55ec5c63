"""Arbitrary and malicious requests, broken detectors, faults, restarts in the middle: nothing unlawful is
ever shown and nobody waits for ever. Judged by a monitor of its own."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.signals.monitor import Monitor
from tests.controllers.signals.sites import checked, dual_ring, inputs, one_ring, reading

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.invariant import Invariant
from vigie_controllers.signals.words import Frame, SignalWants
from vigie_protocols.points import Quality, Reading, Value

STEPS = (0.1, 0.5, *(1.0,) * 8)


class Attack:
    """A seeded adversary at one junction, run scan by scan."""

    def __init__(self, raw: dict[str, Any], seed: int, restarts: bool = True, faults: bool = True) -> None:
        self.dice = random.Random(seed)
        self.raw = raw
        self.site = checked(raw)
        self.guard = SignalGuard(self.site)
        self.monitor = Monitor(raw)
        self.invariant = Invariant(self.site)
        self.now = self.dice.uniform(0, 1e6)
        self.step_s = 1.0
        self.ids = [phase.id for phase in self.site.phases]
        self.detectors: tuple[Reading[Value], ...] = tuple(reading(False) for _ in self.site.detectors)
        self.fault, self.panel = False, 0
        self.wants: SignalWants | None = SignalWants()
        self.lamps: tuple[int, ...] = tuple(0 for _ in self.site.channels)
        self.eager = seed % 8 != 0
        self.restarts, self.faults = restarts, faults
        self.frame = self._frame(())
        self.scans = 0
        self.red_since: dict[int, float] = {}
        self.longest: dict[int, float] = {}

    def _frame(self, lamps: tuple[int, ...]) -> Frame:
        return Frame(
            self.detectors,
            tuple(map(reading, lamps)),
            monitor_fault=reading(self.fault),
            panel=reading(self.panel),
        )

    def run(self, scans: int) -> None:
        dice = self.dice
        for _ in range(scans):
            luck = dice.random()
            if luck < 0.25:
                self._mutate(luck * 4)
            elif luck > 0.95 and (self.fault or self.panel):
                self.fault, self.panel = False, 0
                self.frame = self._frame(())
            self.now += self.step_s
            verdict = self.guard.permit(self.now, self.wants, inputs(self.frame, self.guard.status))
            if self.frame.lamps:  # what was read at the restart is not true for ever
                self.frame = self._frame(())
            lamps = verdict.outputs.lamps
            if lamps is not self.lamps:
                self.lamps = lamps
                assert self.invariant.unlawful(lamps) is None
                self.monitor.see(self.now, lamps, fault=self.fault)
            self.scans += 1

    def _mutate(self, luck: float) -> None:
        dice = self.dice
        if luck < 0.45:
            self.wants = self._wild()
        elif luck < 0.5:
            self.wants = None
        elif luck < 0.9:
            k = dice.randrange(len(self.detectors))
            quality = Quality.BAD if dice.random() < 0.1 else Quality.GOOD
            values: list[Value] = [True, False, True, False, -3, "x", float("nan"), 7]
            changed = reading(dice.choice(values), quality)
            self.detectors = (*self.detectors[:k], changed, *self.detectors[k + 1 :])
            self.frame = self._frame(())
        elif luck < 0.98:
            self.step_s = dice.choice(STEPS)
        elif luck < 0.985 and self.faults:
            self.fault = dice.random() < 0.5
            self.panel = dice.choice([0, 1, 2, 3, 4, 9])
            self.frame = self._frame(())
        elif luck > 0.99 and self.restarts:
            self._restart()

    def _wild(self) -> SignalWants:
        dice = self.dice

        def some(*shares: float) -> frozenset[int]:
            share = dice.choice(shares)
            return frozenset(n for n in [*self.ids, 99] if dice.random() < share)

        if self.eager:  # end everything as early as it can
            return SignalWants(
                force_off=some(0.9, 1.0),
                call=some(0.5, 0.8, 1.0),
                ped_call=some(0.0, 0.2),
                hold=some(0, 0, 0.1),
            )
        return SignalWants(*(some(0.0, 0.2, 0.5, 1.0) for _ in range(5)))

    def _restart(self) -> None:
        state = self.guard.snapshot()
        self.guard = SignalGuard(self.site)
        kind = self.dice.random()
        if kind < 0.6:  # lamps can be read
            self.frame = self._frame(self.lamps)
            if kind < 0.4:
                self.guard.restore(state)
        else:  # they cannot: the guard must flash first
            self.frame = self._frame(())
            self.guard.restore(state)
            self.monitor.forget()
        self.lamps = ()


def attack(raw: dict[str, Any], seed: int, scans: int) -> Attack:
    one = Attack(raw, seed)
    one.run(scans)
    assert not one.monitor.faults, f"seed {seed}: {one.monitor.faults[:5]}"
    return one


SITES = {
    "ring of 2": one_ring(2),
    "ring of 4": one_ring(4),
    "ring of 6": one_ring(6),
    "dual ring": dual_ring(),
}


@pytest.mark.parametrize("name", SITES)
def test_no_unlawful_lamps_under_attack(name: str) -> None:
    for seed in range(4):
        attack(SITES[name], seed, 4000)


def test_a_million_transitions() -> None:
    changes, seed = 0, 1000
    while changes < 1_000_000:
        one = attack(dual_ring() if seed % 5 else one_ring(2 + seed % 5), seed, 20_000)
        changes += one.monitor.changes
        seed += 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    rings = data.draw(st.integers(1, 2))
    barriers = data.draw(st.integers(1, 3))
    rows: list[dict[str, Any]] = []
    for ring in range(1, rings + 1):
        for barrier in range(1, barriers + 1):
            for _ in range(data.draw(st.integers(0 if rings > 1 else 1, 2))):
                ped = data.draw(st.booleans())
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "ring": ring,
                        "barrier": barrier,
                        "min_green_s": data.draw(st.sampled_from([5.0, 7.5, 12.0])),
                        "yellow_s": data.draw(st.sampled_from([3.0, 4.2, 6.0])),
                        "red_clear_s": data.draw(st.sampled_from([0.0, 1.0, 2.5])),
                        "red_revert_s": data.draw(st.sampled_from([1.0, 2.0, 6.0])),
                        **({"walk_s": 4.0, "ped_clear_s": 6.0} if ped else {}),
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
    for k in range(data.draw(st.integers(0, 3))):
        some = data.draw(
            st.lists(st.sampled_from([row["id"] for row in rows]), min_size=2, max_size=3, unique=True)
        )
        channels.append({"id": f"o{k}", "phases": some})
    walked = [row["id"] for row in rows if "walk_s" in row]
    if len(walked) > 1 and data.draw(st.booleans()):
        channels.append({"id": "pp", "kind": "pedestrian", "phases": walked[:2]})
    of = {row["id"]: row for row in rows}

    def apart(p: int, q: int) -> bool:
        return p != q and (of[p]["barrier"] != of[q]["barrier"] or of[p]["ring"] == of[q]["ring"])

    conflicts = [
        [a["id"], b["id"]]
        for k, a in enumerate(channels)
        for b in channels[k + 1 :]
        if all(apart(p, q) for p in a["phases"] for q in b["phases"])
    ]
    detectors = [{"id": f"d{row['id']}", "phases": [row["id"]]} for row in rows]
    raw = {"phases": rows, "channels": channels, "conflicts": conflicts, "detectors": detectors}
    attack(raw, data.draw(st.integers(0, 10_000)), 1500)


@pytest.mark.parametrize("name", SITES)
def test_nobody_waits_longer_than_the_maximum_red_and_one_service_of_the_others(name: str) -> None:
    raw = SITES[name]
    services = [
        max(row.get("min_green_s", 5), row.get("walk_s", 0) + row.get("ped_clear_s", 0)) + 3 + 2 + 2
        for row in raw["phases"]
    ]
    bound = 120 + sum(services)
    place = {channel["id"]: k for k, channel in enumerate(raw["channels"])}
    for seed in range(6):
        one = Attack(raw, seed, restarts=False, faults=False)
        one.run(60)
        waiting: dict[int, float] = {}
        for _ in range(15_000):
            one.run(1)
            for k, number in enumerate(one.ids):
                value = one.detectors[k].value
                there = one.detectors[k].good and isinstance(value, bool | int) and value > 0
                if not there or one.lamps[place[f"v{number}"]] == 3:
                    waiting.pop(number, None)
                else:
                    since = waiting.setdefault(number, one.now)
                    assert one.now - since <= bound, f"seed {seed}: phase {number} waits"
        assert not one.monitor.faults
