"""Who controls a scenario in the bench, and how each is put in charge."""

from collections.abc import Mapping
from dataclasses import dataclass

from vigie_controllers.registry import KINDS


@dataclass(frozen=True, slots=True)
class Subject:
    """kind: of our controller, or ""; neighbours: junctions tell each other what they let out; sumo: SUMO's own
    type of program, or "" for the network's untouched."""

    name: str
    kind: str = ""
    sumo: str = ""
    words: str = ""
    neighbours: bool = False


SUBJECTS: Mapping[str, Subject] = {
    one.name: one
    for one in (
        Subject("adaptive", kind="signal.adaptive", words="rolling horizon on zone counts"),
        Subject(
            "adaptive_neighbours", kind="signal.adaptive", words="the same, with neighbours' forecasts",
            neighbours=True,
        ),
        Subject("max_pressure", kind="signal.max_pressure", words="saturation-weighted max pressure"),
        Subject("greedy", kind="signal.greedy", words="most vehicles within 50 m"),
        Subject("actuated", kind="signal.actuated", words="ours, gap-out and max-out"),
        Subject("fixed", kind="signal.fixed", words="the network's plan, same clearances"),
        Subject("sumo_actuated", sumo="actuated", words="SUMO's, same clearances"),
        Subject("sumo_delay_based", sumo="delay_based", words="SUMO's, same clearances"),
        Subject("net_fixed", words="the network's programs untouched, clearances as they are there"),
    )
}  # fmt: skip
"""By name, in the order of tables. Everything but ``net_fixed`` keeps the same clearances."""


def known() -> dict[str, Subject]:
    """Those whose controller is there."""
    return {name: one for name, one in SUBJECTS.items() if not one.kind or one.kind in KINDS}
