"""The conflict matrix of a signal, from the network's own right of way.

Two links are foes when their ways cross or merge (the ``request`` rows of their junction). Foes conflict
unless the network's own program shows them green together: then one of them gives way (``g``), which is
a permitted yield. The same rule makes the program card of the rig's conflict monitor.
"""

from dataclasses import dataclass

from vigie_sim.traffic.network import Network, Signal, Stage

GREEN = "Gg"


@dataclass(frozen=True, slots=True)
class LinkMatrix:
    """Links of one signal, by number.

    foes: pairs (i < j) whose ways cross or merge; permitted: those the program shows green together;
    yields: (i, j) where i gives way to j while both are green; unsafe: permitted pairs that the program
    shows as ``G`` both, so that on paper nobody gives way.
    """

    foes: frozenset[tuple[int, int]]
    permitted: frozenset[tuple[int, int]]
    yields: frozenset[tuple[int, int]]
    unsafe: frozenset[tuple[int, int]]

    @property
    def conflicts(self) -> frozenset[tuple[int, int]]:
        """Pairs of links that may never be open together."""
        return self.foes - self.permitted


def green_stages(signal: Signal) -> tuple[Stage, ...]:
    """The stages of a program that are a phase: something is green and nothing is yellow, each once.

    Stages are told apart by the vehicles they let go: the one in which the pedestrians of a phase already
    clear the crossing is part of it, as are stages that differ in ``G`` and ``g`` alone (``g`` wins).
    Durations of the parts add up.
    """
    feet = {one.link for one in signal.connections if one.crossing}
    found: dict[tuple[bool, ...], Stage] = {}
    for stage in signal.stages:
        if any(letter in "yYu" for letter in stage.state) or not any(
            letter in GREEN for letter in stage.state
        ):
            continue
        key = tuple(letter in GREEN and link not in feet for link, letter in enumerate(stage.state))
        if not any(key):
            key = tuple(letter in GREEN for letter in stage.state)
        known = found.get(key)
        found[key] = stage if known is None else _joined(known, stage)
    return tuple(found.values())


def _joined(one: Stage, other: Stage) -> Stage:
    letters = []
    for a, b in zip(one.state, other.state, strict=True):
        pair = {a, b}
        letters.append("g" if "g" in pair else "G" if "G" in pair else a)
    return Stage("".join(letters), one.duration + other.duration, one.name)


def link_matrix(network: Network, signal: Signal) -> LinkMatrix:
    """Foes, permitted pairs and yields of one signal."""
    stages = green_stages(signal)
    foes: set[tuple[int, int]] = set()
    yields: set[tuple[int, int]] = set()
    for junction, requests in _requests(network, signal).items():
        rows = network.junctions[junction]
        for i, place in requests:
            for j, other in requests:
                if i == j or not rows.foes[place] >> other & 1:
                    continue
                foes.add((min(i, j), max(i, j)))
                if rows.response[place] >> other & 1:
                    yields.add((i, j))
    permitted: set[tuple[int, int]] = set()
    unsafe: set[tuple[int, int]] = set()
    for i, j in foes:
        together = [stage.state for stage in stages if stage.state[i] in GREEN and stage.state[j] in GREEN]
        if together:
            permitted.add((i, j))
            if any(state[i] == state[j] == "G" for state in together):
                unsafe.add((i, j))
    return LinkMatrix(
        frozenset(foes),
        frozenset(permitted),
        frozenset(pair for pair in yields if (min(pair), max(pair)) in permitted),
        frozenset(unsafe),
    )


def _requests(network: Network, signal: Signal) -> dict[str, list[tuple[int, int]]]:
    """Junction -> (link, place among the junction's requests)."""
    places = {
        lane: (junction.id, place)
        for junction in network.junctions.values()
        for place, lane in enumerate(junction.internal)
        if place < len(junction.foes)
    }
    onward = {one.from_lane: one.via for one in network.connections if one.from_lane.startswith(":")}
    found: dict[str, list[tuple[int, int]]] = {}
    for one in signal.connections:
        # A crossing is its own internal lane. A way for vehicles names its first internal lane; where it
        # waits inside the junction (a left turn), the junction lists the piece behind that place.
        lane = one.to_lane if one.crossing else one.via
        while lane and lane not in places:
            lane = onward.get(lane, "")
        if lane:
            junction, place = places[lane]
            found.setdefault(junction, []).append((one.link, place))
    return found


def show_matrix(
    names: tuple[str, ...], conflicts: frozenset[tuple[str, str]], permitted: frozenset[tuple[str, str]]
) -> str:
    """The matrix as text: X may never be open together, y permitted with yielding, . free."""
    width = max(len(name) for name in names)
    lines = [" " * width + "  " + " ".join(f"{name:>{width}}" for name in names)]
    for one in names:
        cells = []
        for other in names:
            pairs = {(one, other), (other, one)}
            mark = "-" if one == other else "X" if pairs & conflicts else "y" if pairs & permitted else "."
            cells.append(f"{mark:>{width}}")
        lines.append(f"{one:>{width}}  " + " ".join(cells))
    return "\n".join(lines)
