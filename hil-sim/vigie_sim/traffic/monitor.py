"""The conflict monitor of a simulated cabinet: judges what the lamps show, whoever asked for it.

Behaves as the monitors (MMU) of NEMA TS 2 cabinets do: its own program card, timers with latches, flash
that stays until somebody resets it, also across a power cycle. It shares no code with the controllers:
a monitor that repeats their errors proves nothing. Thresholds: operation manuals of two makers.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vigie_sim.traffic.lamps import Lamp

CONFLICT_S = 0.3
"""A conflict latches after this long; NEMA: never below 0.2 s, always above 0.45 s."""
CLEAN_S = 0.666
"""A conflict's timer pauses while absent and is cleared after this long."""
RED_FAIL_S = 0.8
DUAL_S = 0.3
MIN_YELLOW_S = 2.7
TOLERANCE_S = 0.1
"""Granted on configured clearances, as a real monitor's timers grant it."""
_EPS = 1e-4

RED, YELLOW, GREEN = 1, 2, 4
COLOURS: dict[int, int] = {
    Lamp.DARK: 0,
    Lamp.RED: RED,
    Lamp.YELLOW: YELLOW,
    Lamp.GREEN: GREEN,
    Lamp.FLASH_RED: RED,
    Lamp.FLASH_YELLOW: YELLOW,
    Lamp.FLASH_GREEN: GREEN,
}
"""Which of a channel's three outputs a lamp state drives."""
_FLASHING = frozenset({Lamp.FLASH_RED, Lamp.FLASH_YELLOW, Lamp.DARK})


@dataclass(frozen=True, slots=True)
class CardChannel:
    """One channel on the program card. clear_s: red after yellow before a conflicting green; for
    pedestrians ped_clear_s: time from the end of walk to a conflicting green."""

    id: str
    pedestrian: bool = False
    min_yellow_s: float = MIN_YELLOW_S
    clear_s: float = 0.0
    ped_clear_s: float = 0.0
    flash: Lamp = Lamp.FLASH_RED


@dataclass(frozen=True, slots=True)
class ProgramCard:
    """What the monitor knows of its junction: read-only, apart from every policy.

    conflicts: pairs of channels by place that may never be green, yellow or walk together.
    """

    channels: tuple[CardChannel, ...]
    conflicts: frozenset[tuple[int, int]]

    @property
    def flash(self) -> tuple[int, ...]:
        """What every channel shows in flash."""
        return tuple(int(Lamp.DARK if one.pedestrian else one.flash) for one in self.channels)


@dataclass(frozen=True, slots=True)
class Trip:
    """One latched fault. at: simulated seconds; kind: a stable word; channels: names; reason: a sentence."""

    at: float
    kind: str
    channels: tuple[str, ...]
    reason: str


KINDS = (
    "", "conflict", "short-yellow", "red-clearance", "ped-clearance", "dual-indication", "red-fail", "no-red",
)  # fmt: skip
"""Kinds of trips, in the order of the numbers that ``Monitor.Cause`` reports."""


class Monitor:
    """Watches the lamps of one junction.

    ``show`` gives every change with its instant, in order; ``advance`` lets time pass. Once ``fault`` is
    set the output is flash until ``reset``. store: a file that keeps a latched fault over a power cycle.
    """

    def __init__(self, card: ProgramCard, store: Path | None = None) -> None:
        self.card = card
        self.trips: list[Trip] = []
        self.fault: Trip | None = None
        self._store = store
        count = len(card.channels)
        self._rivals = [0] * count
        for i, j in card.conflicts:
            self._rivals[i] |= 1 << j
            self._rivals[j] |= 1 << i
        self._lamps: tuple[int, ...] = card.flash
        self._bits: tuple[int, ...] = tuple(COLOURS[lamp] for lamp in self._lamps)
        self._stuck = False
        self._now = float("-inf")
        self._yellow_since = [float("-inf")] * count
        self._closed_at = [float("-inf")] * count
        self._walk_end = [float("-inf")] * count
        self._dark_since: dict[int, float] = {}
        self._dual_since: dict[int, float] = {}
        self._present: dict[tuple[int, int], float] = {}
        self._spent: dict[tuple[int, int], float] = {}
        self._absent: dict[tuple[int, int], float] = {}
        if store is not None and store.is_file():
            row = json.loads(store.read_text())
            self.fault = Trip(row["at"], row["kind"], tuple(row["channels"]), row["reason"])

    @property
    def cause(self) -> int:
        """Number of the latched fault's kind, 0 for none."""
        return 0 if self.fault is None else KINDS.index(self.fault.kind)

    def output(self, lamps: Sequence[int]) -> tuple[int, ...]:
        """What reaches the street: ``lamps``, or flash while a fault is latched."""
        return self.card.flash if self.fault is not None else tuple(lamps)

    def reset(self, now: float) -> None:
        """A person at the cabinet clears the fault; timers begin anew, out of the flash that was shown."""
        self.fault = None
        self._lamps = self.card.flash
        self._bits = tuple(COLOURS[lamp] for lamp in self._lamps)
        if self._store is not None:
            self._store.unlink(missing_ok=True)
        self._restart(now)

    def show(self, instant: float, lamps: Sequence[int], stuck: Sequence[int] = ()) -> None:
        """The lamps from ``instant`` on, one number per channel; stuck: outputs that are on besides, as bits.

        Instants never go back; several changes at one instant are judged as they come.
        """
        self.advance(instant)
        if self.fault is not None or (lamps is self._lamps and not stuck and not self._stuck):
            return
        self._stuck = bool(stuck)
        new = tuple(lamps)
        bits = tuple(COLOURS.get(lamp, 0) for lamp in new)
        if stuck:
            bits = tuple(one | more for one, more in zip(bits, stuck, strict=True))
        if new == self._lamps and bits == self._bits:
            return
        old, old_bits = self._lamps, self._bits
        self._lamps, self._bits = new, bits
        if self._all_flashing(new):
            # A transfer to flash drops everything at once; a monitor watches no conflicts in flash.
            self._restart(instant)
            return
        self._judge_changes(instant, old, old_bits)
        self._watch_levels(instant)

    def advance(self, now: float) -> None:
        """Let time pass up to ``now`` with the lamps as they are."""
        if now <= self._now:
            return
        self._now = now
        if self.fault is not None or not (self._present or self._dual_since or self._dark_since):
            return
        due: list[tuple[float, str, tuple[int, ...]]] = []
        for pair, since in self._present.items():
            latch = since + CONFLICT_S - self._spent.get(pair, 0.0)
            due.append((latch, "conflict", pair))
        due.extend((since + DUAL_S, "dual-indication", (c,)) for c, since in self._dual_since.items())
        due.extend((since + RED_FAIL_S, "red-fail", (c,)) for c, since in self._dark_since.items())
        at, kind, channels = min(due)
        if now >= at - _EPS:
            self._trip(at, kind, channels, self._why_level(kind, channels))

    # -- changes -------------------------------------------------------------------------------------

    def _judge_changes(self, instant: float, old: tuple[int, ...], old_bits: tuple[int, ...]) -> None:
        opened = []
        for c, channel in enumerate(self.card.channels):
            was, now = old_bits[c], self._bits[c]
            if was == now and old[c] == self._lamps[c]:
                continue
            if channel.pedestrian:
                if old[c] == Lamp.GREEN:
                    self._walk_end[c] = instant
            elif was & GREEN and not now & (GREEN | YELLOW):
                self._trip(instant, "short-yellow", (c,), f"{channel.id} went from green without any yellow")
                return
            elif was & YELLOW and not was & GREEN and not now & YELLOW and old[c] != Lamp.FLASH_YELLOW:
                shown = instant - self._yellow_since[c]
                if shown < channel.min_yellow_s - _EPS:
                    reason = (
                        f"{channel.id} was yellow for {shown:.1f} s, {channel.min_yellow_s:g} s are the least"
                    )
                    self._trip(instant, "short-yellow", (c,), reason)
                    return
            if not channel.pedestrian and now & GREEN and was & YELLOW and not was & GREEN:
                self._trip(instant, "no-red", (c,), f"{channel.id} went from yellow to green without any red")
                return
            if now & YELLOW and not was & YELLOW:
                self._yellow_since[c] = instant
            going = now & (GREEN | YELLOW)
            if was & (GREEN | YELLOW) and not going:
                self._closed_at[c] = instant
            if now & GREEN and not was & GREEN:
                opened.append(c)
        for c in opened:
            if self._judge_opening(instant, c):
                return

    def _judge_opening(self, instant: float, c: int) -> bool:
        """Whether opening ``c`` came too early after a conflicting channel; trips if so."""
        rivals = self._rivals[c]
        for d, other in enumerate(self.card.channels):
            if not rivals >> d & 1 or self._bits[d] & (GREEN | YELLOW):
                continue  # open together: the conflict timer judges that
            name = self.card.channels[c].id
            if other.pedestrian:
                since, least, kind = self._walk_end[d], other.ped_clear_s, "ped-clearance"
            else:
                since, least, kind = self._closed_at[d], other.clear_s, "red-clearance"
            passed = instant - since
            if passed < least - TOLERANCE_S - _EPS:
                reason = f"{name} opened {passed:.1f} s after {other.id} closed, {least:g} s are the least"
                self._trip(instant, kind, (d, c), reason)
                return True
        return False

    # -- levels --------------------------------------------------------------------------------------

    def _watch_levels(self, instant: float) -> None:
        if self.fault is not None:
            return
        open_now = 0
        for c, bits in enumerate(self._bits):
            if bits & (GREEN | YELLOW):
                open_now |= 1 << c
            _track(self._dark_since, c, bits == 0, instant)
            _track(self._dual_since, c, bits not in (0, RED, YELLOW, GREEN), instant)
        found = {
            (c, d)
            for c, rivals in enumerate(self._rivals)
            if open_now >> c & 1 and rivals & open_now
            for d in range(c + 1, len(self._rivals))
            if rivals & open_now & 1 << d
        }
        for pair in [pair for pair in self._present if pair not in found]:
            self._spent[pair] = self._spent.get(pair, 0.0) + instant - self._present.pop(pair)
            self._absent[pair] = instant
        for pair in found:
            if pair in self._present:
                continue
            if instant - self._absent.pop(pair, float("-inf")) >= CLEAN_S:
                self._spent.pop(pair, None)
            self._present[pair] = instant

    def _why_level(self, kind: str, channels: Iterable[int]) -> str:
        names = [self.card.channels[c].id for c in channels]
        if kind == "conflict":
            shown = [Lamp(self._lamps[c]).name.lower() for c in channels]
            return (
                f"{names[0]} ({shown[0]}) and {names[1]} ({shown[1]}) were open together for {CONFLICT_S:g} s"
            )
        if kind == "dual-indication":
            return f"{names[0]} showed two colours for {DUAL_S:g} s"
        return f"{names[0]} showed nothing for {RED_FAIL_S:g} s"

    def _all_flashing(self, lamps: tuple[int, ...]) -> bool:
        return all(
            lamp in _FLASHING or (channel.pedestrian and lamp == Lamp.RED)
            for lamp, channel in zip(lamps, self.card.channels, strict=True)
        )

    def _trip(self, at: float, kind: str, channels: Iterable[int], reason: str) -> None:
        trip = Trip(round(at, 6), kind, tuple(self.card.channels[c].id for c in channels), reason)
        self.fault = trip
        self.trips.append(trip)
        if self._store is not None:
            self._store.write_text(json.dumps(asdict(trip)))

    def _restart(self, now: float) -> None:
        self._dark_since.clear()
        self._dual_since.clear()
        self._present.clear()
        self._spent.clear()
        self._absent.clear()
        for c, bits in enumerate(self._bits):
            if bits & (GREEN | YELLOW):
                self._closed_at[c] = now


def _track(since: dict[int, float], c: int, on: bool, instant: float) -> None:
    if on:
        since.setdefault(c, instant)
    else:
        since.pop(c, None)
