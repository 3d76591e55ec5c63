"""Signal channels of a SUMO signal: which links they hold, and how their lamps become link states."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vigie_protocols.errors import input_error
from vigie_sim.traffic.lamps import GOING, Lamp
from vigie_sim.traffic.matrix import LinkMatrix, link_matrix
from vigie_sim.traffic.network import Network, Signal
from vigie_sim.traffic.phases import GREEN, Slot, phase_slots

MAX_CHANNELS = 64
MAX_PHASES = 16
YIELD_TAIL_S = 2.0
"""How long a link goes on giving way after its foe turned red: the foe's last vehicles are still in there."""


@dataclass(frozen=True, slots=True)
class Group:
    """One channel. links: SUMO link numbers; phases: numbers of the phases that open it; permissive: those
    in which one of its links must give way; approach: edge or crossing it comes from."""

    id: str
    pedestrian: bool
    links: tuple[int, ...]
    phases: tuple[int, ...]
    permissive: tuple[int, ...]
    approach: str


@dataclass(frozen=True)
class SignalHead:
    """Everything between the lamps of one junction and SUMO's link states.

    slots: the phases in the order of the program.
    static: letters of links that no channel governs, by link.
    conflicts, permitted: pairs of channels by place, i < j. unsafe: pairs of channels the program itself
    shows green together with nobody giving way.
    """

    signal: str
    slots: tuple[Slot, ...]
    groups: tuple[Group, ...]
    static: dict[int, str]
    links: int
    matrix: LinkMatrix
    conflicts: frozenset[tuple[int, int]]
    permitted: frozenset[tuple[int, int]]
    unsafe: frozenset[tuple[int, int]]
    majors: frozenset[int] = field(default_factory=frozenset)
    """Links that give way to nobody when the signal is off."""


def signal_head(network: Network, signal: Signal) -> SignalHead:
    """Channels, phases and conflicts of one signal; raises InputError when it cannot be controlled."""
    where = f"tlLogic {signal.id}"
    slots = _chosen(phase_slots(signal))
    if not slots:
        raise input_error(
            str(network.path), f"{where} phase state", signal.stages[0].state,
            "the program has no stage that is green without yellow", "Give the program at least one green phase",
        )  # fmt: skip
    if len(slots) > MAX_PHASES:
        raise input_error(
            str(network.path), f"{where} phase", len(slots),
            f"the program has more than {MAX_PHASES} different green stages", "Join stages that differ little",
        )  # fmt: skip
    matrix = link_matrix(network, signal)
    sources = _sources(network, signal)
    groups = _groups(slots, sources, by_approach=True)
    if len(groups) > MAX_CHANNELS:
        groups = _groups(slots, sources, by_approach=False)
    if len(groups) > MAX_CHANNELS:
        raise input_error(
            str(network.path), where, len(groups),
            f"more than {MAX_CHANNELS} signal groups", "Split the joined signal into several",
        )  # fmt: skip
    governed = {link for group in groups for link in group.links}
    static = {link: _still(signal, link) for link in range(signal.links) if link not in governed}
    yielding = {pair[0] for pair in matrix.yields}
    return SignalHead(
        signal.id, slots, groups, static, signal.links, matrix,
        _pairs(groups, matrix.conflicts), _pairs(groups, matrix.permitted), _pairs(groups, matrix.unsafe),
        frozenset(range(signal.links)) - yielding,
    )  # fmt: skip


def _chosen(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """All phases, or, when there are too many, those that open something no larger phase opens."""
    if len(slots) <= MAX_PHASES:
        return slots

    def opened(slot: Slot) -> set[int]:
        return {link for link, letter in enumerate(slot.stage.state) if letter in GREEN}

    return tuple(one for one in slots if not any(opened(one) < opened(other) for other in slots))


def _sources(network: Network, signal: Signal) -> dict[int, tuple[str, bool]]:
    """Link -> (edge or crossing it comes from, whether it is a crossing)."""
    found: dict[int, tuple[str, bool]] = {}
    for one in signal.connections:
        if one.crossing:
            found[one.link] = (network.lanes[one.to_lane].edge, True)
        else:
            found.setdefault(one.link, (network.lanes[one.from_lane].edge, False))
    return found


def _groups(
    slots: tuple[Slot, ...], sources: dict[int, tuple[str, bool]], by_approach: bool
) -> tuple[Group, ...]:
    rows: dict[tuple[str, bool, str], list[int]] = {}
    for link in sorted(sources):
        letters = "".join(slot.stage.state[link] for slot in slots)
        if not any(letter in GREEN for letter in letters):
            continue
        approach, crossing = sources[link]
        rows.setdefault((letters, crossing, approach if by_approach or crossing else ""), []).append(link)
    groups = []
    # Vehicles first: devices then have one row of vehicle lamps and one of pedestrian lamps.
    ordered = sorted(rows.items(), key=lambda row: row[0][1])
    for place, ((letters, crossing, approach), links) in enumerate(ordered, start=1):
        shown = tuple(zip(slots, letters, strict=True))
        phases = tuple(slot.number for slot, letter in shown if letter in GREEN)
        permissive = tuple(slot.number for slot, letter in shown if letter == "g" and not crossing)
        groups.append(Group(f"c{place}", crossing, tuple(links), phases, permissive, approach))
    return tuple(groups)


def _still(signal: Signal, link: int) -> str:
    """The letter of a link that no phase opens: as the program has it where that never changes, else red."""
    letters = {stage.state[link] for stage in signal.stages}
    return letters.pop() if len(letters) == 1 and letters <= set("oOs") else "r"


def _pairs(groups: tuple[Group, ...], links: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    place = {link: number for number, group in enumerate(groups) for link in group.links}
    found = set()
    for i, j in links:
        if i in place and j in place and place[i] != place[j]:
            found.add((min(place[i], place[j]), max(place[i], place[j])))
    return frozenset(found)


class LampMap:
    """Turns lamps into link states for SUMO.

    A green link shows ``g`` while a foe it must give way to is open or was so ``YIELD_TAIL_S`` ago, else
    ``G``: the lamp is the same, but SUMO needs to know who has right of way. Likewise ``y`` and ``Y``: with ``y`` for
    both, who turns across no longer gives way to those who go straight on in the yellow, and they collide.
    """

    def __init__(self, head: SignalHead) -> None:
        self._head = head
        self._last_open = [float("-inf")] * head.links
        foes: dict[int, list[int]] = {}
        for link, foe in sorted(head.matrix.yields):
            foes.setdefault(link, []).append(foe)
        self._foes = foes
        self._known: tuple[tuple[int, ...], str, float] | None = None

    def state(self, lamps: Sequence[int], now: float) -> str:
        """SUMO's letters for ``lamps`` (one number per channel, in their order) at ``now`` (s)."""
        key = tuple(lamps)
        if self._known is not None and self._known[0] == key and now >= self._known[2]:
            self._touch(key, now)
            return self._known[1]
        letters = [self._head.static.get(link, "r") for link in range(self._head.links)]
        going = self._touch(key, now)
        settled = now
        for group, lamp in zip(self._head.groups, key, strict=True):
            for link in group.links:
                letters[link] = self._letter(link, lamp, group.pedestrian)
                if letters[link] in "GY" and link in self._foes:
                    last = max(self._last_open[foe] for foe in self._foes[link])
                    if now - last < YIELD_TAIL_S:
                        letters[link] = letters[link].lower()
                        if not going.intersection(self._foes[link]):
                            settled = max(settled, last + YIELD_TAIL_S)
        state = "".join(letters)
        self._known = (key, state, settled) if settled <= now else None
        return state

    def _touch(self, lamps: tuple[int, ...], now: float) -> set[int]:
        going = set()
        for group, lamp in zip(self._head.groups, lamps, strict=True):
            if lamp in GOING:
                for link in group.links:
                    self._last_open[link] = now
                    going.add(link)
        return going

    def _letter(self, link: int, lamp: int, pedestrian: bool) -> str:
        if pedestrian:
            # Clearance lets nobody begin to cross; dark heads leave the right of way to those on foot.
            return {Lamp.GREEN: "G", Lamp.DARK: "G"}.get(Lamp(lamp), "r")
        if lamp in (Lamp.GREEN, Lamp.FLASH_GREEN):
            return "G"
        if lamp == Lamp.YELLOW:
            return "Y"
        if lamp == Lamp.FLASH_RED:
            return "s"
        if lamp in (Lamp.FLASH_YELLOW, Lamp.DARK):
            return "O" if link in self._head.majors else "o"
        return "r"
