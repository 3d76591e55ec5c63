"""A seeded adversary at one junction: whatever can be asked, read wrongly, broken or restarted, scan by scan.

Requests are random or end everything as early as they can; detectors, panel, monitor and pre-emption inputs lie
or fail; the guard is killed in the middle and finds its lamps readable or not. What it shows is judged by the
invariant check, by ``Judge`` and by the rig's conflict monitor, each written apart from the guard, and they
must agree. Waiting is judged too: red with demand longer than its bound, and a pre-emption that does not
come within its bound, are faults.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from vigie_controllers.signals.bounds import time_to_green
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.invariant import Invariant, flash_lamps
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, SignalInputs, SignalWants
from vigie_protocols.points import Quality, Reading, Value
from vigie_sim.traffic.cabinet import program_card
from vigie_sim.traffic.judge import GREEN, Judge
from vigie_sim.traffic.monitor import Monitor

STEPS = (0.1, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 2.5, 3.0, 3.0)
"""Seconds between scans, drawn now and then."""
_CLOCK = Reading(1_750_000_000.0)
_VALUES: tuple[Value, ...] = (True, False, True, False, -3, "x", float("nan"), 7)
_CALLS: tuple[Value, ...] = (True, True, False, False, False, False, 2, "x")


class Adversary:
    """One junction under attack; ``raw`` is its ``site`` mapping. faults: everything that was unlawful.

    restarts: the guard is killed now and then; breaks: monitor and panel stop the junction now and then;
    steps: seconds between scans, one of which is drawn from time to time.
    """

    def __init__(
        self,
        raw: Mapping[str, Any],
        seed: int,
        restarts: bool = True,
        breaks: bool = True,
        steps: Sequence[float] = STEPS,
    ) -> None:
        self.dice = random.Random(seed)
        self.site = SignalSite.model_validate(raw)
        self.plan = Plan(self.site)
        self.guard = SignalGuard(self.site)
        self.judge = Judge(raw)
        self.monitor = Monitor(program_card(self.site))
        self.invariant = Invariant(self.site)
        self.faults = self.judge.faults
        self.now = self.dice.uniform(0, 1e6)
        self.steps = tuple(steps)
        self.step_s = self.steps[-1]
        self.ids = [phase.id for phase in self.site.phases]
        self.detectors: tuple[Reading[Value], ...] = tuple(Reading(False) for _ in self.site.detectors)
        self.quiet: tuple[Reading[Value], ...] = tuple(
            Reading(not row.calls_when) for row in self.site.preemptions
        )
        self.calls = self.quiet
        self.fault, self.panel = False, 0
        self.wants: SignalWants | None = SignalWants()
        self.lamps: tuple[int, ...] = tuple(0 for _ in self.site.channels)
        self.eager = seed % 8 != 0
        self.restless = seed % 7 != 3
        """Whether something changes nearly all the time; else request and image stand for long."""
        self.restarts, self.breaks = restarts, breaks
        self.frame = self._frame(())
        self.scans = self.restarted = 0
        self.watch = _Watch(self.site, self.plan)

    @property
    def transitions(self) -> int:
        """Lamp changes so far."""
        return self.judge.changes

    def run(self, scans: int) -> None:
        """So many scans more."""
        dice = self.dice
        for _ in range(scans):
            luck = dice.random()
            if luck < (0.25 if self.restless else 0.01):
                self._mutate(luck * 4 if self.restless else dice.random())
            elif luck > 0.95 and (self.fault or self.panel):
                self.fault, self.panel = False, 0
                self.frame = self._frame(())
            elif luck > 0.985 and self.calls is not self.quiet:
                self.calls = self.quiet
                self.frame = self._frame(())
            self.now += self.step_s
            before = self.guard.status.preemption
            inputs = SignalInputs(_CLOCK, False, self.frame, self.guard.status)
            lamps = self.guard.permit(self.now, self.wants, inputs).outputs.lamps
            if self.frame.lamps:  # what was read at the restart is not true for ever
                self.frame = self._frame(())
            if lamps is not self.lamps:
                self.lamps = lamps
                self._judge(bool(before or self.guard.status.preemption))
            self.watch.look(self)
            self.scans += 1

    def _judge(self, preempted: bool) -> None:
        broken = self.invariant.unlawful(self.lamps)
        if broken is not None:
            self.faults.append(f"{self.now:.2f}: {broken}")
        found = len(self.faults)
        self.judge.see(self.now, self.lamps, fault=self.fault, preempted=preempted)
        self.monitor.show(self.now, self.lamps)
        if self.monitor.fault is not None:
            verdict = "alone" if len(self.faults) == found else "too"
            self.faults.append(f"{self.now:.2f}: the conflict monitor {verdict}: {self.monitor.fault.reason}")
            self.monitor.reset(self.now)

    def _frame(self, lamps: tuple[int, ...]) -> Frame:
        return Frame(
            self.detectors,
            tuple(map(Reading, lamps)),
            monitor_fault=Reading(self.fault),
            panel=Reading(self.panel),
            preempts=self.calls,
        )

    def _mutate(self, luck: float) -> None:
        dice = self.dice
        if luck < 0.45:
            self.wants = wild(dice, self.ids, self.eager)
        elif luck < 0.5:
            self.wants = None
        elif luck < 0.9:
            k = dice.randrange(len(self.detectors))
            changed = Reading(dice.choice(_VALUES), self._quality())
            self.detectors = (*self.detectors[:k], changed, *self.detectors[k + 1 :])
            self.frame = self._frame(())
        elif luck < 0.96:
            self.step_s = dice.choice(self.steps)
        elif luck < 0.98 and self.calls:
            k = dice.randrange(len(self.calls))
            changed = Reading(dice.choice(_CALLS), self._quality())
            self.calls = (*self.calls[:k], changed, *self.calls[k + 1 :])
            self.frame = self._frame(())
        elif 0.98 < luck < 0.985 and self.breaks:
            self.fault = dice.random() < 0.5
            self.panel = dice.choice([0, 1, 2, 3, 4, 9])
            self.frame = self._frame(())
        elif 0.985 < luck < 0.99 and self.restarts:
            self._expire()
        elif luck > 0.99 and self.restarts:
            self._restart()

    def _quality(self) -> Quality:
        return Quality.BAD if self.dice.random() < 0.1 else Quality.GOOD

    def _expire(self) -> None:
        """Outputs were not renewed in time: the street has been given the safe values, flash, meanwhile."""
        self.guard.replaced("outputs expired")
        self.judge.forget()
        self.monitor.show(self.now, flash_lamps(self.site))
        self.lamps = ()

    def _restart(self) -> None:
        self.restarted += 1
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
            self.judge.forget()
        self.lamps = ()


def wild(dice: random.Random, ids: Sequence[int], eager: bool) -> SignalWants:
    """Any request at all, also for a phase that is not there; eager: end everything as early as it can."""

    def some(*shares: float) -> frozenset[int]:
        share = dice.choice(shares)
        return frozenset(n for n in [*ids, 99] if dice.random() < share)

    if eager:
        return SignalWants(
            force_off=some(0.9, 1.0),
            call=some(0.5, 0.8, 1.0),
            ped_call=some(0.0, 0.2),
            hold=some(0, 0, 0.1),
        )
    hold, force_off, omit, call, ped = (some(0.0, 0.2, 0.5, 1.0) for _ in range(5))
    return SignalWants(hold, force_off, omit, call, ped)


def longest_services(site: SignalSite) -> list[float]:
    """Seconds that each phase may take when nobody lengthens it, its clearance and some late scans included."""
    return [
        max(phase.min_green_s, phase.walk_s + phase.ped_clear_s)
        + phase.yellow_s
        + phase.red_clear_s
        + max(phase.red_revert_s, 2.0)
        + 2.0
        for phase in site.phases
    ]


class _Watch:
    """Whether everybody gets his turn: demand on red, and calls of the pre-emption of the highest rank."""

    def __init__(self, site: SignalSite, plan: Plan) -> None:
        self._plan = plan
        self._lights = [[c for c in plan.channels[p] if plan.vehicle[c]] for p in range(len(plan.ids))]
        services = longest_services(site)
        self._bound = max(phase.max_red_s for phase in site.phases) + sum(services)
        self._callers = [
            (k, plan.mask(row.phases)) for k, row in enumerate(site.detectors) if row.kind != "button"
        ]
        self._waiting: dict[int, float] = {}
        self._first = min(
            range(len(site.preemptions)), key=lambda k: (site.preemptions[k].rank, k), default=-1
        )
        self._rank = site.preemptions[self._first].rank if self._first >= 0 else None
        self._equals = sum(row.rank == self._rank for row in site.preemptions)
        self._called: float | None = None
        self._served = False
        self._scan_s = 0.0
        self.tightest = float("inf")
        self.served = 0
        self._seen: tuple[object, ...] = ()

    def look(self, one: Adversary) -> None:
        """After a scan."""
        status = one.guard.status
        seen = (status, one.detectors, one.lamps, one.calls)
        if one.scans % 16 and all(a is b for a, b in zip(seen, self._seen, strict=False)):
            return
        self._seen = seen
        if self._equals == 1:
            self._look_call(one, status.mode == "run", status.preempt_stage)
        if status.mode != "run" or status.preemption:
            self._waiting.clear()
            return
        asked = 0
        for k, mask in self._callers:
            reading = one.detectors[k]
            if reading.good and isinstance(reading.value, bool | int) and reading.value > 0:
                asked |= mask
        for p, lights in enumerate(self._lights):
            if not asked >> p & 1 or not lights or all(one.lamps[c] == GREEN for c in lights):
                self._waiting.pop(p, None)
            elif one.now - self._waiting.setdefault(p, one.now) > self._bound:
                one.faults.append(f"{one.now:.2f}: phase {self._plan.ids[p]} waits for ever")
                self._waiting.pop(p)

    def _look_call(self, one: Adversary, running: bool, stage: str) -> None:
        row, reading = one.site.preemptions[self._first], one.calls[self._first]
        usable = reading.good and reading.value in (0, 1)
        on = reading.value == row.calls_when if usable else row.kind == "rail"
        if not (on and running) or one.guard.latched():
            self._called, self._served = None, False
            return
        if self._called is None:
            self._called, self._scan_s = one.now, one.step_s
        self._scan_s = max(self._scan_s, one.step_s)
        late, bound = one.now - self._called, time_to_green(self._plan, row, self._scan_s) + 1e-6
        held = one.guard.status.preemption == row.id
        if not self._served and held:
            # A call that comes again in the dwell finds the tracks cleared and kept clear.
            wanted = self._plan.mask(row.track_phases or row.dwell_phases)
            self._served = stage == "dwell" or all(
                all(one.lamps[c] == GREEN for c in lights)
                for p, lights in enumerate(self._lights)
                if wanted >> p & 1
            )
            if self._served:
                self.served += 1
                self.tightest = min(self.tightest, bound - late)
        if not self._served and late > bound:
            one.faults.append(
                f"{one.now:.2f}: pre-emption {row.id} is not served {late:.1f} s after its call"
            )
            self._served = True
        if held and late > bound:
            may = self._plan.mask((*row.track_phases, *row.dwell_phases, *row.cycling_phases))
            for c, mask in enumerate(self._plan.parents):
                if one.lamps[c] == GREEN and not mask & may:
                    name = one.site.channels[c].id
                    one.faults.append(f"{one.now:.2f}: {name} is green in the pre-emption {row.id}")
