"""The phases of a SUMO signal program: its green stages in one ring, or the rings of a NEMA program."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from vigie_sim.traffic.network import Signal, Stage

GREEN = "Gg"
HIGHEST_NUMBER = 16


@dataclass(frozen=True, slots=True)
class Slot:
    """A phase: its number, where it stands, and what it opens."""

    number: int
    ring: int
    barrier: int
    stage: Stage


def phase_slots(signal: Signal) -> tuple[Slot, ...]:
    """Every phase of a program in its order of service; empty when nothing is ever green."""
    rings = _nema_slots(signal) if signal.kind == "NEMA" else ()
    return rings or tuple(
        Slot(number, 1, 1, stage) for number, stage in enumerate(green_stages(signal), start=1)
    )


def program_splits(signal: Signal) -> dict[int, float]:
    """Seconds of the program's cycle that belong to each phase: its green and what follows up to the next one.

    Empty for NEMA programs, whose greens have no fixed length.
    """
    if signal.kind == "NEMA":
        return {}
    keys = {_key(signal, slot.stage): slot.number for slot in phase_slots(signal)}
    owners = [keys.get(_key(signal, stage)) if _is_green(stage) else None for stage in signal.stages]
    known = [owner for owner in owners if owner is not None]
    if not known:
        return {}
    current = known[-1]
    splits = dict.fromkeys(keys.values(), 0.0)
    for owner, stage in zip(owners, signal.stages, strict=True):
        current = current if owner is None else owner
        splits[current] += stage.duration
    return splits


def shown_together(signal: Signal) -> tuple[str, ...]:
    """Every combination of greens the program may show: its phases, and those of two rings side by side."""
    slots = phase_slots(signal)
    states = [slot.stage.state for slot in slots]
    for one, other in product(slots, slots):
        if one.ring < other.ring and one.barrier == other.barrier:
            states.append(_joined(one.stage, other.stage).state)
    return tuple(states)


def green_stages(signal: Signal) -> tuple[Stage, ...]:
    """The stages of a program that are a phase: something is green and nothing is yellow, each once.

    Stages are told apart by the vehicles they let go: the one in which the pedestrians of a phase already
    clear the crossing is part of it, as are stages that differ in ``G`` and ``g`` alone (``g`` wins).
    Durations of the parts add up.
    """
    found: dict[tuple[bool, ...], Stage] = {}
    for stage in signal.stages:
        if _is_green(stage):
            key = _key(signal, stage)
            known = found.get(key)
            found[key] = stage if known is None else _joined(known, stage)
    return tuple(found.values())


def _is_green(stage: Stage) -> bool:
    return not any(letter in "yYu" for letter in stage.state) and any(
        letter in GREEN for letter in stage.state
    )


def _key(signal: Signal, stage: Stage) -> tuple[bool, ...]:
    """What tells a phase: the vehicles it lets go, or its pedestrians where it lets no vehicle go."""
    feet = {one.link for one in signal.connections if one.crossing}
    key = tuple(letter in GREEN and link not in feet for link, letter in enumerate(stage.state))
    return key if any(key) else tuple(letter in GREEN for letter in stage.state)


def _joined(one: Stage, other: Stage) -> Stage:
    letters = []
    for a, b in zip(one.state, other.state, strict=True):
        pair = {a, b}
        letters.append("g" if "g" in pair else "G" if "G" in pair else a)
    return Stage("".join(letters), one.duration + other.duration, one.name)


def _nema_slots(signal: Signal) -> tuple[Slot, ...]:
    """The rings of a NEMA program; empty when its parameters do not describe them."""
    params = dict(signal.params)
    stages = {stage.name: stage for stage in signal.stages}
    barriers = {*_numbers(params.get("barrierPhases", "")), *_numbers(params.get("barrier2Phases", ""))}
    found: list[tuple[int, int, Slot]] = []
    for ring, key in ((1, "ring1"), (2, "ring2")):
        barrier = 1
        for place, number in enumerate(_numbers(params.get(key, ""))):
            stage = stages.get(str(number))
            if stage is None or not 1 <= number <= HIGHEST_NUMBER:
                return ()
            opened = "".join(letter if letter in GREEN else "r" for letter in stage.state)
            if any(letter in GREEN for letter in opened):
                slot = Slot(number, ring, barrier, Stage(opened, stage.duration, stage.name))
                found.append((barrier, place, slot))
            if number in barriers:
                barrier += 1
    numbers = [slot.number for _, _, slot in found]
    if len(set(numbers)) != len(numbers) or max((row[0] for row in found), default=0) > 2:
        return ()
    return tuple(slot for _, _, slot in sorted(found, key=lambda row: (*row[:2], row[2].ring)))


def _numbers(text: str) -> Sequence[int]:
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts if part.isdigit() and part != "0"]
