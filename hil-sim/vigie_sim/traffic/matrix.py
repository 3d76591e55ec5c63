"""The conflict matrix of a signal, from the network's own right of way.

Two links are foes when their ways cross or merge (the ``request`` rows of their junction). Foes conflict
unless the network's own program shows them green together: then one of them gives way (``g``), which is
a permitted yield. The same rule makes the program card of the rig's conflict monitor.
"""

from dataclasses import dataclass

from vigie_protocols.errors import input_error
from vigie_sim.traffic.network import Network, Signal
from vigie_sim.traffic.phases import GREEN, shown_together


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


def link_matrix(network: Network, signal: Signal) -> LinkMatrix:
    """Foes, permitted pairs and yields of one signal."""
    shown = shown_together(signal)
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
        together = [state for state in shown if state[i] in GREEN and state[j] in GREEN]
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
    """Junction -> (link, place among the junction's requests); raises InputError for a link without one."""
    found: dict[str, list[tuple[int, int]]] = {}
    for one in signal.connections:
        # A crossing is its own internal lane. A way for vehicles names its first internal lane; where it
        # waits inside the junction (a left turn), the junction lists the piece behind that place.
        lane = one.to_lane if one.crossing else one.via
        while lane and lane not in network.requests:
            onward = network.leaving.get(lane, ())
            lane = onward[0].via if onward else ""
        where = network.requests[lane] if lane else network.plain_requests.get((one.from_lane, one.to_lane))
        if where is None:
            raise input_error(
                str(network.path), f"connection {one.from_lane} -> {one.to_lane}", one.link,
                "no right of way is written for it, so that its conflicts are unknown",
                "Write the network again with netconvert",
            )  # fmt: skip
        found.setdefault(where[0], []).append((one.link, where[1]))
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
