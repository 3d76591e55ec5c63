"""Signal programs for the references: the network's own phases under the same real clearances as ours.

``fixed``: parameters of our fixed-time controller that repeat the network's plan, its offset included.
``sumo_*``: programs that SUMO itself runs (its types ``actuated`` and ``delay_based``).
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from vigie_controllers.loops import ControllerSpec
from vigie_sim.traffic.derive import Clearances, Junction
from vigie_sim.traffic.network import Network
from vigie_sim.traffic.phases import GREEN
from vigie_sim.traffic.timing import fixed_controller

MAX_GREEN_S = 50.0


def fixed_spec(network: Network, junction: Junction, epoch: float, begin: float) -> ControllerSpec:
    """``signal.fixed`` with the network's plan, begun at the instant at which SUMO begins it.

    epoch: UTC seconds of the run's first instant, which is SUMO's second ``begin``. A program of rings (NEMA)
    has no splits of its own: its cycle is shared evenly.
    """
    spec = fixed_controller(junction)
    if not spec.params:
        return spec
    signal = network.signals[junction.signal]
    # SUMO counts from the first stage, the controller from the first green.
    lead = sum(
        stage.duration for stage in takewhile(lambda stage: not set(stage.state) & set(GREEN), signal.stages)
    )
    plans = {
        name: {**plan, "offset_s": (epoch - begin + signal.offset + lead) % plan["cycle_s"]}
        for name, plan in spec.params["plans"].items()
    }
    return ControllerSpec(kind=spec.kind, params={**spec.params, "plans": plans})


def write_programs(
    path: Path, network: Network, junctions: Sequence[Junction], kind: str, times: Clearances
) -> Path:
    """An additional file for SUMO with one program of type ``kind`` per signal; returns ``path``.

    Greens last 5 to 50 s (longer where pedestrians need it), closing links are yellow, then all red, for the
    seconds of ``times``.
    """
    root = ET.Element("additional")
    for junction in junctions:
        logic = ET.SubElement(root, "tlLogic", id=junction.signal, type=kind, programID="bench", offset="0")
        for state, least, most in _program(network, junction, times):
            row = ET.SubElement(logic, "phase", state=state, duration=f"{least:g}")
            if most > least:
                row.set("minDur", f"{least:g}")
                row.set("maxDur", f"{most:g}")
    ET.ElementTree(root).write(path, encoding="utf-8")
    return path


def _program(network: Network, junction: Junction, times: Clearances) -> Iterator[tuple[str, float, float]]:
    """(state, least, most seconds) of every stage; least = most: a fixed one."""
    feet = frozenset(link for group in junction.head.groups if group.pedestrian for link in group.links)
    stages = _greens(junction)
    for place, (state, numbers) in enumerate(stages):
        following = stages[(place + 1) % len(stages)][0]
        own = [phase for phase in junction.site.phases if phase.id in numbers]
        clearing = max(phase.ped_clear_s for phase in own)
        walking = max(phase.walk_s for phase in own)
        closing = [n for n in feet if state[n] in GREEN and following[n] not in GREEN]
        least = max(times.min_green_s, walking if closing else walking + clearing)
        yield state, least, max(MAX_GREEN_S, least + 1)
        if closing and clearing:
            state = "".join("r" if n in closing else letter for n, letter in enumerate(state))
            yield state, math.ceil(clearing), math.ceil(clearing)
        between = "".join(map(_between, state, following))
        if "y" in between:
            yield between, times.yellow_s, times.yellow_s
            yield between.replace("y", "r"), times.red_s, times.red_s


def _greens(junction: Junction) -> list[tuple[str, frozenset[int]]]:
    """The greens in turn and their phases; two rings go side by side."""
    slots = junction.head.slots
    found: list[tuple[str, frozenset[int]]] = []
    for barrier in sorted({slot.barrier for slot in slots}):
        rings = [
            [slot for slot in slots if slot.ring == ring and slot.barrier == barrier]
            for ring in sorted({slot.ring for slot in slots})
        ]
        rings = [ring for ring in rings if ring]
        for step in range(max(map(len, rings))):
            together = [ring[min(step, len(ring) - 1)] for ring in rings]
            state = "".join(map(_either, *[slot.stage.state for slot in together]))
            found.append((state, frozenset(slot.number for slot in together)))
    return found


def _either(*letters: str) -> str:
    if "g" in letters:
        return "g"
    return "G" if "G" in letters else letters[0]


def _between(now: str, following: str) -> str:
    if now in GREEN:
        if following in GREEN:
            return "g" if "g" in (now, following) else "G"
        return "y"
    return now if now == following else "r"
