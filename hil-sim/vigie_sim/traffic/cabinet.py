"""What stands between a rig's wires and the lamps: a cabinet with its conflict monitor and watchdog.

``LampCabinet`` takes lamps as they are asked; ``PhaseCabinet`` is a NEMA controller that takes hold,
force-off, omit and call per phase and makes the lamps itself. In both the monitor has the last word.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from vigie_controllers.signals.engine import Ask, Engine, Order, Stop
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Ped, PhaseState
from vigie_protocols.errors import DeviceRefused
from vigie_sim.traffic.lamps import GOING, Lamp
from vigie_sim.traffic.monitor import CardChannel, Monitor, ProgramCard

HEARTBEAT_TIMEOUT_S = 5.0
HEARTBEAT_PERIOD_S = 2.0
"""The gateway's own expiry (1 s) answers for control; this watchdog for a gateway that is gone altogether."""
STEP_S = 0.1
"""Resolution of the cabinet's own controller."""
_EPS = 1e-6


class Panel(IntEnum):
    """The switch on the cabinet's panel."""

    AUTO = 0
    HAND = 1
    OFF = 2
    FLASH = 3
    POLICE = 4


def program_card(site: SignalSite) -> ProgramCard:
    """The monitor's program card for a junction: conflicts and least clearances, and nothing else of it."""
    phases = {phase.id: phase for phase in site.phases}
    place = {channel.id: number for number, channel in enumerate(site.channels)}
    channels = []
    entries = [row.entry_ped_clear_s for row in site.preemptions if row.entry_ped_clear_s is not None]
    for channel in site.channels:
        own = [phases[number] for number in channel.phases]
        feet = channel.kind == "pedestrian"
        clear = (
            min(phase.red_clear_s for phase in own) if channel.red_clear_s is None else channel.red_clear_s
        )
        channels.append(
            CardChannel(
                channel.id,
                feet,
                clear_s=0.0 if feet else clear,
                ped_clear_s=min([*entries, *(phase.ped_clear_s for phase in own)]) if feet else 0.0,
                flash=Lamp.FLASH_YELLOW if channel.flash == "yellow" else Lamp.FLASH_RED,
            )
        )
    pairs = frozenset((min(place[a], place[b]), max(place[a], place[b])) for a, b in site.conflicts)
    return ProgramCard(tuple(channels), pairs)


@dataclass
class LampFaults:
    """Broken hardware between cabinet and street. stuck: colour bits that stay on, by channel place;
    out: colour bits that stay dark."""

    stuck: dict[int, int] = field(default_factory=dict)
    out: dict[int, int] = field(default_factory=dict)


class Cabinet(ABC):
    """Common part: monitor, panel, watchdog. Instants are simulated seconds and never go back.

    lamps: what the street shows now. changes: every change of it as (instant, lamps), for whoever drains it.
    """

    def __init__(self, site: SignalSite, monitor: Monitor) -> None:
        self.site = site
        self.monitor = monitor
        self.panel = Panel.AUTO
        self.faults = LampFaults()
        self.lamps: tuple[int, ...] = monitor.card.flash
        self.heartbeat = 0
        self.watchdog_trips = 0
        self.now = 0.0
        self._beat_at: float | None = None
        self._silent = False

    # -- commands ------------------------------------------------------------------------------------

    def beat(self, instant: float, value: int) -> None:
        """The heartbeat as written; the watchdog arms with the first one."""
        if value != self.heartbeat or self._beat_at is None:
            self.heartbeat = value
            self._beat_at = instant
            self._silent = False

    @abstractmethod
    def command(self, instant: float, node: str, values: Sequence[Any]) -> None:
        """A written array; raises DeviceRefused for a node this cabinet does not take."""

    @abstractmethod
    def nodes(self) -> dict[str, Any]:
        """The values of this cabinet's nodes, the written ones as they stand."""

    @abstractmethod
    def _wanted(self, now: float) -> tuple[int, ...]:
        """The lamps this cabinet's inside asks for."""

    def advance(self, now: float) -> tuple[int, ...]:
        """Let time pass up to ``now``; returns the lamps of the street."""
        if (
            self._beat_at is not None
            and not self._silent
            and now - self._beat_at > HEARTBEAT_TIMEOUT_S + _EPS
        ):
            self._silent = True
            self.watchdog_trips += 1
        self._light(now)
        self.now = max(self.now, now)
        return self.lamps

    def reset(self, now: float) -> None:
        """A person resets the latched monitor at the panel."""
        self.monitor.reset(now)

    @property
    def flashing(self) -> bool:
        """Whether the cabinet itself has taken the lamps away from its inside."""
        return self.monitor.fault is not None or self._cut()

    def _cut(self) -> bool:
        return self.panel is not Panel.AUTO or self._silent

    def _light(self, now: float) -> None:
        if self.panel is Panel.OFF:
            asked: tuple[int, ...] = (int(Lamp.DARK),) * len(self.site.channels)
        elif self._cut():
            asked = self.monitor.card.flash
        else:
            asked = self._wanted(now)
        if self.faults.stuck or self.faults.out:
            self._show_faulty(now, asked)
        else:
            self.monitor.show(now, asked)
            self.monitor.advance(now)
        self.lamps = self.monitor.output(asked)

    def _show_faulty(self, now: float, asked: tuple[int, ...]) -> None:
        stuck = [self.faults.stuck.get(place, 0) for place in range(len(asked))]
        lit = tuple(
            int(Lamp.DARK) if self.faults.out.get(place, 0) & _BITS.get(lamp, 0) else lamp
            for place, lamp in enumerate(asked)
        )
        self.monitor.show(now, lit, stuck)
        self.monitor.advance(now)


_BITS: dict[int, int] = {
    Lamp.RED: 1,
    Lamp.YELLOW: 2,
    Lamp.GREEN: 4,
    Lamp.FLASH_GREEN: 4,
    Lamp.FLASH_RED: 1,
    Lamp.FLASH_YELLOW: 2,
}


class LampCabinet(Cabinet):
    """Bare lamps: shows what ``Lamps`` says, each change from its own instant on."""

    def __init__(self, site: SignalSite, monitor: Monitor) -> None:
        super().__init__(site, monitor)
        self._asked: tuple[int, ...] = monitor.card.flash
        self._held = False

    def command(self, instant: float, node: str, values: Sequence[Any]) -> None:
        """Lamps from ``instant`` on, one number per channel."""
        if node != "Lamps":
            raise DeviceRefused(f"{node} cannot be written")
        if len(values) != len(self._asked) or any(not 0 <= value <= 6 for value in values):
            raise DeviceRefused(f"Lamps takes {len(self._asked)} numbers from 0 to 6")
        if instant > self.now:
            self.advance(instant)
        self._asked = tuple(int(value) for value in values)
        self._light(max(instant, self.now))

    def nodes(self) -> dict[str, Any]:
        """Lamps as asked and as they are."""
        return {"Lamps": list(self._asked), "LampReadback": list(self.lamps)}

    def _wanted(self, now: float) -> tuple[int, ...]:
        # After flash of the cabinet's own making nobody gets a green before all was red or flashing once.
        if self._held and any(lamp in GOING for lamp in self._asked):
            return self.monitor.card.flash
        self._held = False
        return self._asked

    def _light(self, now: float) -> None:
        if self.flashing:
            self._held = True
        super()._light(now)


Sensing = Callable[[], tuple[set[int], set[int]]]
"""Phases with a vehicle before their stop line, and phases with a pedestrian who asked."""


class PhaseCabinet(Cabinet):
    """A NEMA cabinet: rings, barriers, minimum greens and clearances are its own.

    While somebody beats the heart, greens end when that somebody forces them off, or at ``last_max_green_s``
    unless they are held; else it runs actuated by itself: a green ends after a gap or at its maximum. Either
    only when somebody else waits. preempted: phases that a pre-emption of its own keeps green meanwhile.
    """

    def __init__(
        self,
        site: SignalSite,
        monitor: Monitor,
        sensing: Sensing,
        *,
        gap_s: float = 3.0,
        max_green_s: float = 40.0,
        last_max_green_s: float = 120.0,
        step_s: float = STEP_S,
        recall: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(site, monitor)
        self._plan = Plan(site)
        self._engine = Engine(self._plan)
        self._sensing = sensing
        self._gap_s, self._max_green_s, self._last_max_green_s = gap_s, max_green_s, last_max_green_s
        self.preempted: frozenset[int] = frozenset()
        self._flashed = False
        self._recall = self._plan.mask(recall)
        self._rows = max(self._plan.ids)
        self._asked: tuple[int, ...] = (0, 0, 0, 0, 0)
        words = ("Hold", "ForceOff", "Omit", "Call", "PedCall")
        self._written = {word: [False] * self._rows for word in words}
        self._ped_calls = 0
        self._last_seen = [float("-inf")] * len(site.phases)
        self._next_step, self._step_s = 0.0, step_s

    def command(self, instant: float, node: str, values: Sequence[Any]) -> None:
        """One of ``Phases.Hold|ForceOff|Omit|Call|PedCall`` from ``instant`` on, one flag per phase."""
        word = node.removeprefix("Phases.")
        row = self._written.get(word)
        if row is None or not node.startswith("Phases."):
            raise DeviceRefused(f"{node} cannot be written")
        if len(values) != len(row):
            raise DeviceRefused(f"{node} takes {len(row)} flags")
        if instant > self.now:
            self.advance(instant)
        self._written[word] = [bool(value) for value in values]
        self._asked = tuple(
            self._plan.mask(number for number, on in enumerate(row, start=1) if on)
            for row in self._written.values()
        )

    def nodes(self) -> dict[str, Any]:
        """Requests as written, phases and lamps as they are."""
        engine = self._engine
        running = engine.mode not in ("flash", "dark", "start") and not self.flashing
        states = [int(Lamp.RED if running else Lamp.FLASH_RED)] * self._rows
        peds = [int(Lamp.RED if running else Lamp.DARK)] * self._rows
        if running:
            for number, state, ped in zip(self._plan.ids, engine.state, engine.ped, strict=True):
                states[number - 1], peds[number - 1] = int(_PHASE_LAMPS[state]), int(_PED_LAMPS[ped])
        return {
            **{f"Phases.{word}": list(row) for word, row in self._written.items()},
            "Phases.State": states,
            "Peds.State": peds,
            "LampReadback": list(self.lamps),
            "Cabinet.Flash": not running,
        }

    @property
    def remote(self) -> bool:
        """Whether somebody outside is in charge of the phases."""
        return self._beat_at is not None and not self._silent

    def _cut(self) -> bool:
        return self.panel is not Panel.AUTO  # a silent gateway only means that it runs by itself

    def advance(self, now: float) -> tuple[int, ...]:
        """Step the cabinet's controller at its own resolution up to ``now``."""
        while self._next_step <= now + _EPS:
            self._step(self._next_step)
            super().advance(self._next_step)
            self._next_step = round(self._next_step + self._step_s, 6)
        return super().advance(now)

    def _wanted(self, now: float) -> tuple[int, ...]:
        return self.monitor.card.flash if self._flashed else self._engine.lamps

    def _light(self, now: float) -> None:
        self._flashed = self._flashed or self.flashing
        super()._light(now)

    def _step(self, now: float) -> None:
        engine, plan = self._engine, self._plan
        if self.flashing or self._flashed:
            # The flasher has the lamps; the inside waits in flash and starts anew afterwards.
            engine.step(now, Ask(), _FLASH)
            self._flashed = self.flashing
            return
        vehicles, feet = self._sensing()
        seen = plan.mask(vehicles)
        self._ped_calls |= plan.mask(feet) & plan.peds
        for p, ped in enumerate(engine.ped):
            if ped == Ped.WALK:
                self._ped_calls &= ~(1 << p)
        call = seen | self._recall | self._ped_calls
        if self.preempted:
            wanted = plan.mask(self.preempted)
            rest = plan.all & ~wanted
            engine.step(now, Ask(wanted, 0, wanted, rest, rest), None, Order(rest))
            return
        if self.remote:
            hold, force, omit, more, walk = self._asked
            force |= self._ripe(now, seen, None, self._last_max_green_s)
            walk &= plan.peds
            ask = Ask(call | more | walk, self._ped_calls | walk, hold, force, omit)
        else:
            ask = Ask(call, self._ped_calls, 0, self._ripe(now, seen, self._gap_s, self._max_green_s), 0)
        engine.step(now, ask, None)

    def _ripe(self, now: float, seen: int, gap_s: float | None, max_green_s: float) -> int:
        """Greens that end by themselves: gap, where gaps count, or maximum."""
        ripe = 0
        for p, state in enumerate(self._engine.state):
            if seen >> p & 1:
                self._last_seen[p] = now
            if state == PhaseState.GREEN:
                on = now - self._engine.since[p]
                gap = gap_s is not None and now - self._last_seen[p] >= gap_s
                if gap or on >= max_green_s:
                    ripe |= 1 << p
        return ripe


_PHASE_LAMPS: dict[int, Lamp] = {
    PhaseState.RED: Lamp.RED,
    PhaseState.GREEN: Lamp.GREEN,
    PhaseState.YELLOW: Lamp.YELLOW,
    PhaseState.RED_CLEAR: Lamp.RED,
}
_PED_LAMPS: dict[int, Lamp] = {Ped.DONT_WALK: Lamp.RED, Ped.WALK: Lamp.GREEN, Ped.CLEARANCE: Lamp.FLASH_GREEN}
_FLASH = Stop(rule="flasher", cause="the flasher has the lamps", at_once=True)
