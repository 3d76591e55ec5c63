"""The traffic half of the built-in district: our own arterial of three signals, in a fictional Montréal.

Sources are plain XML beside the scenario; ``build_net`` makes the network from them with netconvert. The
built network is kept with them, so that a run needs no build. Signals A and C are NEMA cabinets with
protected arterial lefts, B has bare lamps.
"""

import re
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

from vigie_protocols.errors import PermanentError
from vigie_sim.traffic.derive import Clearances, Junction, derive
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.geometry import geojson
from vigie_sim.traffic.nema import Leg, rephase
from vigie_sim.traffic.network import Network, parse_xml, read_network
from vigie_sim.traffic.sumoconfig import SumoRun, read_run

TIMES = Clearances(red_s=2.0)
SHORT_NAMES = {"A": "tisserands", "B": "passerelle", "C": "vieux-marche"}
"""Signal -> name of its junction, after its side street."""
_MAIN_EAST, _MAIN_WEST = Leg(through=2, left=5, walk=4), Leg(through=6, left=1, walk=8)
_NORTH, _SOUTH = Leg(through=4, left=4, walk=6), Leg(through=8, left=8, walk=2)
CABINETS: dict[str, dict[str, Leg]] = {
    "A": {"W-A.v": _MAIN_EAST, "B-A.v": _MAIN_WEST, "NA-A.v": _NORTH, "SA-A.v": _SOUTH},
    "C": {"B-C.v": _MAIN_EAST, "E-C.v": _MAIN_WEST, "NC-C.v": _NORTH, "SC-C.v": _SOUTH},
}
"""Signals with a NEMA cabinet, and the phases of their approaches: 2 goes east, 6 west, 4 south, 8 north."""
OPTIONS = (
    *("--no-turnarounds", "--walkingareas", "--junctions.corner-detail", "5"),
    *("--offset.disable-normalization", "--tls.default-type", "static", "--output.street-names"),
)


def folder() -> Path:
    """Where the district's traffic files are: in the source tree, else in the installed package."""
    here = Path(__file__).resolve()
    for place in (here.parents[2] / "scenarios", here.parents[1] / "builtin_scenarios"):
        found = place / "district" / "traffic"
        if found.is_dir():
            return found
    raise PermanentError("the built-in district is not installed")


def build_net(sources: Path, target: Path) -> None:
    """Make the network from the plain sources; raises PermanentError with netconvert's words."""
    import sumo

    names = {"-n": "nod", "-e": "edg", "-x": "con", "-i": "tll"}
    command = [str(Path(sumo.SUMO_HOME) / "bin" / "netconvert")]
    for option, kind in names.items():
        command += [option, str(sources / f"district.{kind}.xml")]
    done = subprocess.run(
        [*command, "-o", str(target), *OPTIONS], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PermanentError(f"netconvert: {done.stderr.strip()}")
    # The comment at the top holds the time and this machine's paths: nothing that belongs to the network.
    text = re.sub(r"<!--.*?-->\s*", "", target.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
    target.write_text(text, encoding="utf-8")


def district_run() -> SumoRun:
    """The hour of the scenario."""
    return read_run(folder() / "district.sumocfg")


def district_junctions(network: Network) -> tuple[Junction, ...]:
    """The three intersections: cabinets with NEMA phases where the scenario has them."""
    made = []
    for junction in derive(network, TIMES):
        named = replace(junction, name=SHORT_NAMES[junction.signal])
        legs = CABINETS.get(junction.signal)
        made.append(named if legs is None else rephase(network, named, legs, TIMES))
    return tuple(made)


def district_field(*, seed: int = 1, own_programs: bool = False, store: Path | None = None) -> TrafficField:
    """Plant and rigs of the district; with ``own_programs`` the fixed-time reference without any rig."""
    run = district_run()
    network = read_network(run.net)
    return TrafficField(
        run, seed=seed, network=network, junctions=district_junctions(network), own_programs=own_programs,
        store=store,
    )  # fmt: skip


def district_geojson(network: Network | None = None) -> dict[str, Any]:
    """Streets, crossings and signal heads in longitude and latitude, for the map."""
    run = district_run()
    network = network or read_network(run.net)
    names = {
        edge.attrib["id"]: edge.get("name", "")
        for edge in _edges(run.net)
        if edge.get("function") != "internal"
    }
    return geojson(network, district_junctions(network), names)


def _edges(net: Path) -> list[ET.Element]:
    return list(parse_xml(net, "net-file").iter("edge"))
