"""A seeded adversary between one guard and one cabinet: requests, readings, panel and restarts are its own.

The cabinet is the rig's, with rings, clearances and a monitor of its own; the guard sees only what is read from it,
which may be frozen, wrong, or not readable at all, and its requests reach it as a gateway writes them. The lamps
are judged by ``Judge`` and by the conflict monitor. What the guard asked is judged against the truth: no force-off
before minimum green and pedestrian service, nothing at all while the cabinet is out of our hands, and nobody
on red for ever because of what was asked.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, SignalInputs, SignalWants
from vigie_protocols.points import Quality, Reading, Value
from vigie_sim.traffic.adversary import longest_services, wild
from vigie_sim.traffic.cabinet import Panel, PhaseCabinet, program_card
from vigie_sim.traffic.judge import F_GREEN, GREEN, RED, YELLOW, Judge
from vigie_sim.traffic.monitor import Monitor

STEP_S = 0.5
"""Of the cabinet's own controller."""
LAST_MAX_S = 60.0
WORDS = {"Hold": "hold", "ForceOff": "force_off", "Omit": "omit", "Call": "call", "PedCall": "ped_call"}
HONEST, FROZEN, WRONG, UNREADABLE = "honest", "frozen", "wrong", "unreadable"
_CLOCK = Reading(1_750_000_000.0)
_LAMPS: tuple[Value, ...] = (0, 1, 1, 1, 2, 3, 3, 4, 6, 17, -1, "x", float("nan"), True)


class CabinetAdversary:
    """One junction with a cabinet under attack; ``raw`` is its ``site`` mapping. faults: all that was wrong.

    lies: what is read from the cabinet may be wrong; it has a last maximum of its own then, else none, so that the
    guard alone ends greens. breaks: panel, monitor, restarts and pre-emptions by the cabinet. guarded: False asks the
    cabinet for whatever is wanted, to see what the judges say then.
    """

    def __init__(
        self, raw: Mapping[str, Any], seed: int, lies: bool = True, breaks: bool = True, guarded: bool = True
    ) -> None:
        self.dice = random.Random(seed)
        own = {"id": "own", "kind": self.dice.choice(["rail", "emergency", "other"])}
        raw = {**raw, "actuation": "cabinet", "preemptions": [own]}
        self.site = SignalSite.model_validate(raw)
        self.plan = Plan(self.site)
        self.ids = list(self.plan.ids)
        self.guard = SignalGuard(self.site, heartbeat=True)
        self.vehicles: set[int] = set()
        self.feet: set[int] = set()
        self.cabinet = PhaseCabinet(
            self.site,
            Monitor(program_card(self.site)),
            lambda: (self.vehicles, self.feet),
            last_max_green_s=LAST_MAX_S if lies else 1e9,
            step_s=STEP_S,
        )
        self.judge = Judge(raw)
        self.faults = self.judge.faults
        self.guarded = guarded
        self.lies, self.breaks, self.eager = lies, breaks, seed % 4 != 0
        self.stubborn = seed % 3 == 0
        """Whether it seldom changes its mind: what is held, omitted or read wrongly stays so for long."""
        self.beating = self.dice.random() < 0.7
        """Whether the loop drives the heartbeat; else something else keeps beating it, whatever is asked."""
        self.traffic = self.dice.choice([0.01, 0.05, 0.2])
        """Share of scans in which a vehicle comes to a stop line without one."""
        self.now, self.step_s = 0.0, 1.0
        self.wants: SignalWants | None = SignalWants()
        self.written: dict[str, list[bool]] = {}
        self.mood = HONEST
        self.broken: set[str] = set()
        self.states: tuple[Reading[Value], ...] = ()
        self.peds: tuple[Reading[Value] | None, ...] = ()
        self.detectors: tuple[Reading[Value], ...] = ()
        self.nodes: Mapping[str, Any] = self.cabinet.nodes()
        self.frame = Frame(())
        self._seen: tuple[object, ...] = ()
        self.calling = False
        self.scans = self.restarted = self.asked = 0
        self.watch = _Watch(self)

    @property
    def transitions(self) -> int:
        """Lamp changes so far."""
        return self.judge.changes

    def run(self, scans: int) -> None:
        """So many scans more."""
        for _ in range(scans):
            self._live()
            luck = self.dice.random()
            if luck < 0.2:
                self._mutate(luck * 5)
            elif luck > 0.95:
                self._mend()
            self._advance()
            self._scan(self._read())
            self.watch.look()
            self.scans += 1

    # -- the world ---------------------------------------------------------------------------------------

    def _live(self) -> None:
        """Vehicles come, and go when they have green; pedestrians press and let go."""
        dice = self.dice
        for number, lamp in zip(self.ids, self.watch.shown, strict=True):
            if lamp == GREEN and dice.random() < 0.3:
                self.vehicles.discard(number)
            elif dice.random() < self.traffic:
                self.vehicles.add(number)
        if self.feet:
            self.feet.clear()
        elif dice.random() < 0.02:
            self.feet.add(dice.choice(self.ids))

    def _advance(self) -> None:
        """Let the cabinet run to the next scan, each of its steps seen by the judge."""
        until = round(self.now + self.step_s, 6)
        cabinet = self.cabinet
        while self.now < until - 1e-9:
            next_step = (self.now // STEP_S + 1) * STEP_S
            self.now = round(min(next_step, until), 6)
            if not self.beating:
                cabinet.beat(self.now, self.scans)
            lamps = cabinet.advance(self.now)
            fault = cabinet.flashing
            self.judge.see(self.now, lamps, fault=fault)
            if cabinet.monitor.fault is not None:
                self.faults.append(f"{self.now:.2f}: the conflict monitor: {cabinet.monitor.fault.reason}")
                cabinet.reset(self.now)

    def _read(self) -> Frame:
        """What the guard gets to see of it."""
        self.nodes = nodes = self.cabinet.nodes()
        seen = (
            self.mood,
            nodes["Phases.State"] if self.mood != FROZEN else None,
            nodes["Peds.State"] if self.mood != FROZEN else None,
            nodes["Cabinet.Flash"],
            int(self.cabinet.panel),
            self.calling,
            set(self.vehicles),
            set(self.feet),
            set(self.broken),
        )
        if seen == self._seen and self.mood != WRONG:  # the image stands
            return self.frame
        self._seen = seen
        states = tuple(Reading(nodes["Phases.State"][number - 1]) for number in self.ids)
        peds = tuple(Reading(nodes["Peds.State"][number - 1]) for number in self.ids)
        if self.mood == WRONG:
            states = tuple(self._garbled(one) for one in states)
            peds = tuple(self._garbled(one) for one in peds)
        elif self.mood == UNREADABLE:
            states = tuple(replace(one, quality=Quality.BAD) for one in states)
        elif self.mood == FROZEN and self.states:
            states, peds = self.states, tuple(one for one in self.peds if one is not None)
        self.states, self.peds = states, peds
        self.detectors = tuple(self._detected(one.kind, one.phases, one.id) for one in self.site.detectors)
        self.frame = Frame(
            self.detectors,
            cabinet=states,
            cabinet_ped=peds,
            cabinet_flash=Reading(nodes["Cabinet.Flash"] if self.mood != FROZEN else False),
            monitor_fault=Reading(self.cabinet.monitor.fault is not None),
            panel=Reading(int(self.cabinet.panel)),
            preempts=(Reading(self.calling),),
        )
        return self.frame

    def _garbled(self, true: Reading[Value]) -> Reading[Value]:
        if self.dice.random() < 0.5:
            return true
        return Reading(self.dice.choice(_LAMPS), Quality.BAD if self.dice.random() < 0.05 else Quality.GOOD)

    def _detected(self, kind: str, phases: tuple[int, ...], name: str) -> Reading[Value]:
        if name in self.broken:  # a loop that sees nobody, a button that is stuck
            return Reading(kind == "button")
        return Reading(bool((self.feet if kind == "button" else self.vehicles) & set(phases)))

    # -- the guard ---------------------------------------------------------------------------------------

    def _scan(self, frame: Frame) -> None:
        guard, cabinet = self.guard, self.cabinet
        inputs = SignalInputs(_CLOCK, False, frame, guard.status)
        out = guard.permit(self.now, self.wants, inputs).outputs
        if not self.guarded:
            out = replace(self.wants or SignalWants(), heartbeat=self.scans)
        self.watch.judge(out)
        for node, field in WORDS.items():
            row = [number in getattr(out, field) for number in range(1, max(self.ids) + 1)]
            if row != self.written.get(node):
                self.written[node] = row
                cabinet.command(self.now, f"Phases.{node}", row)
                self.asked += 1
        if self.beating:
            cabinet.beat(self.now, out.heartbeat)

    def _mutate(self, luck: float) -> None:
        dice = self.dice
        if self.stubborn and luck < 0.88 and dice.random() < 0.97:
            return
        if luck < 0.6:
            self.wants = self._stubborn() if self.stubborn else wild(dice, self.ids, self.eager)
        elif luck < 0.63:
            self.wants = None
        elif luck < 0.7:
            self.step_s = dice.choice([0.2, 0.5, 1.0, 1.0, 1.0, 2.0])
        elif luck < 0.74:
            name = dice.choice(self.site.detectors).id
            (self.broken.discard if name in self.broken else self.broken.add)(name)
        elif luck < 0.8:
            self.broken.clear()
        elif luck < 0.88 and self.lies:
            self.mood = HONEST if self.mood != HONEST else dice.choice([FROZEN, WRONG, UNREADABLE])
        elif self.breaks:
            self._break(luck)

    def _stubborn(self) -> SignalWants:
        """Keep what is green, let nobody else begin, or both."""
        every, none = frozenset(self.ids), frozenset[int]()
        hold, omit = self.dice.choice([(every, none), (none, every), (every, every)])
        return SignalWants(hold=hold, omit=omit, force_off=every if self.dice.random() < 0.3 else none)

    def _mend(self) -> None:
        """What takes the junction out of our hands is over sooner or later."""
        if self.dice.random() < 0.5:
            self.cabinet.panel = Panel.AUTO
        else:
            self.calling, self.cabinet.preempted = False, frozenset()

    def _break(self, luck: float) -> None:
        dice, cabinet = self.dice, self.cabinet
        if luck < 0.89:
            cabinet.panel = dice.choice(list(Panel))
        elif luck < 0.91 and not self.calling:
            self.calling = True
            first = dice.choice(self.ids)
            company = self.plan.names(self.plan.company[self.plan.place[first]])
            cabinet.preempted = frozenset([first, *dice.sample(company, 1)])
            self.watch.served += 1
        elif luck < 0.93:
            state = self.guard.snapshot()
            self.guard = SignalGuard(self.site, heartbeat=True)
            if dice.random() < 0.7:
                self.guard.restore(state)
            self.restarted += 1
            self.watch.begin_anew()
        elif luck < 0.94:  # outputs expired: the safe values have been written meanwhile
            self.written = {node: [False] * max(self.ids) for node in WORDS}
            for node, row in self.written.items():
                cabinet.command(self.now, f"Phases.{node}", row)
            self.guard.replaced("outputs expired")


class _Watch:
    """What a request may be, by the truth of the street, and how long anybody waits there."""

    def __init__(self, one: CabinetAdversary) -> None:
        self.one = one
        plan = one.plan
        count = len(plan.ids)
        self._lights = [[c for c in plan.channels[p] if plan.vehicle[c]] for p in range(count)]
        self._heads = [[c for c in plan.channels[p] if not plan.vehicle[c]] for p in range(count)]
        self._callers = [
            (k, plan.mask(row.phases)) for k, row in enumerate(one.site.detectors) if row.kind != "button"
        ]
        self.shown = [RED] * count
        """Per phase: green where all its vehicle lamps are."""
        self._green_at = [-1e9] * count
        self._green = [False] * count
        self._honest_at = self._read_at = 0.0
        """Until when what was read could be wrong, or nothing was ours; since when everything is read as it is."""
        self._waits: list[float | None] = [None] * count
        self._honest: list[float | None] = [None] * count
        services = longest_services(one.site)
        self._patience = max(phase.max_red_s for phase in one.site.phases)
        self.bound = self._patience + sum(services)
        """Of a red with demand while everything is read as it is."""
        self.blind_bound = count * (max(self._patience, LAST_MAX_S) + max(services)) + self.bound
        """Of the same whatever is read: each phase before it may be held once for as long as holds last."""
        self.longest = self.longest_blind = 0.0
        self.served = 0
        """Pre-emptions of the cabinet's own."""

    def judge(self, out: SignalWants) -> None:
        """What the guard asks now."""
        one, cabinet = self.one, self.one.cabinet
        asked = out.hold | out.force_off | out.omit | out.call | out.ped_call
        if not asked <= set(one.ids):
            self._say(f"undeclared phases asked for: {asked - set(one.ids)}")
        away = one.calling or one.mood == UNREADABLE or cabinet.panel is not Panel.AUTO
        if asked and (away or (one.nodes["Cabinet.Flash"] and one.mood == HONEST)):
            self._say(f"asked for {sorted(asked)} although the cabinet is not ours to ask")
        company = one.plan.company
        on = [p for p, reading in enumerate(one.states) if reading.value in (YELLOW, GREEN, F_GREEN)]
        if asked and any(not company[p] >> q & 1 for p in on for q in on):
            self._say(f"asked for {sorted(asked)} on states that cannot be")
        if one.mood != HONEST:
            self._read_at = float("inf")
        elif self._read_at > one.now:
            self._read_at = one.now
        engine = one.nodes
        for p, number in enumerate(one.ids):
            truth = engine["Phases.State"][number - 1] == GREEN
            if truth != self._green[p]:
                self._green[p], self._green_at[p] = truth, one.now
            if number not in out.force_off or one.mood != HONEST:
                continue
            if not truth:
                self._say(f"phase {number} forced off though it is not green")
            elif self._green_at[p] <= self._read_at:
                pass  # what was read before it began may have been wrong, so that its beginning was not seen
            elif one.now - self._green_at[p] < one.plan.min_green[p] - 1e-6:
                self._say(f"phase {number} forced off after {one.now - self._green_at[p]:.1f} s of green")
            elif engine["Peds.State"][number - 1] in (GREEN, F_GREEN):
                self._say(f"phase {number} forced off before its pedestrians are through")
            if number in out.hold:
                self._say(f"phase {number} both held and forced off")

    def begin_anew(self) -> None:
        """The guard was restarted: it trusts no clock of waiting demand either."""
        self._waits, self._honest = [None] * len(self._waits), [None] * len(self._waits)

    def look(self) -> None:
        """How long anybody has waited, at the end of a scan."""
        one, now = self.one, self.one.now
        lamps = one.cabinet.lamps
        if one.mood != HONEST or one.cabinet.flashing or one.calling:
            self._honest_at = now
        running = not one.nodes["Cabinet.Flash"] and not one.calling
        seen = 0
        for k, mask in self._callers:
            if one.detectors and one.detectors[k].value:
                seen |= mask
        for p, lights in enumerate(self._lights):
            green = all(lamps[c] == GREEN for c in lights)
            self.shown[p] = GREEN if green else RED
            if not running or not lights or green or not seen >> p & 1:
                self._waits[p] = self._honest[p] = None
                continue
            since = self._waits[p] = now if self._waits[p] is None else self._waits[p]
            honest = self._honest[p]
            if honest is None or self._honest_at >= now - 1e-9:
                self._honest[p] = honest = now
            assert since is not None
            self.longest = max(self.longest, now - honest)
            self.longest_blind = max(self.longest_blind, now - since)
            for what, at, bound in (
                ("waits for ever", honest, self.bound),
                ("waits for ever behind wrong readings", since, self.blind_bound),
            ):
                if now - at > bound:
                    self._say(f"phase {one.ids[p]} {what}: {now - at:.0f} s")
                    self._waits[p] = self._honest[p] = None
                    break

    def _say(self, text: str) -> None:
        self.one.faults.append(f"{self.one.now:.2f}: {text}")
