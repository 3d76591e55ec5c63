"""Scenarios of our own, made with SUMO's tools into a cache folder when first asked for.

``grid``: 4 x 4 signals 200 m apart, single-ring programs, a peak in the middle of the hour that fills whole
blocks. ``arterial``: six eight-phase signals (NEMA rings, protected and permissive lefts) 220 to 420 m apart.
Nothing in them comes from elsewhere, and no constant of a controller was set on them.
"""

import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from vigie_protocols.errors import PermanentError
from vigie_sim.bench.cache import cache_folder

VERSION = 1
"""Part of the folder's name: raise it with every change of what is made."""
GENERATED = ("arterial", "grid")
HOUR_S = 3600
_PROFILE = ((0, 1200, 0.75), (1200, 2400, 1.25), (2400, 3600, 0.75))
"""(from, to, share of the mean demand): quiet, peak, quiet."""
_SIZE = 4
_SPACING_M = (260.0, 340.0, 220.0, 420.0, 280.0)
_SIDE_VEH_H = (300.0, 220.0, 420.0, 180.0, 380.0, 260.0)
_POCKET_M = 70.0
_TURNS = {"left": 0.15, "straight": 0.7, "right": 0.15}


def generated(name: str, cache: Path | None = None) -> Path:
    """The ``.sumocfg`` of one of ``GENERATED``, made when it is not there yet."""
    folder = (cache or cache_folder()) / f"{name}-{VERSION}"
    config = folder / f"{name}.sumocfg"
    if not config.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made aside and moved whole: two benches at once must not see half a scenario.
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            made = Path(aside) / "made"
            made.mkdir()
            {"grid": _grid, "arterial": _arterial}[name](made)
            if not config.is_file():
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    return config


def _tool(name: str, *options: str) -> None:
    import sumo

    command = [str(Path(sumo.SUMO_HOME) / "bin" / name), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermanentError(f"{name}: {done.stderr.strip()}")


def _grid(folder: Path) -> None:
    options = ["--grid", "--grid.number", str(_SIZE), "--grid.length", "200", "--grid.attach-length", "250"]
    options += ["-L", "2", "--turn-lanes", "1", "--turn-lanes.length", "60", "--no-turnarounds"]
    options += ["--default-junction-type", "traffic_light", "--tls.default-type", "static"]
    _tool("netgenerate", *options, "-o", str(folder / "grid.net.xml"))
    lines = range(_SIZE)
    letters = [chr(ord("A") + n) for n in lines]
    south = [(f"bottom{n}", f"{letters[n]}0") for n in lines]
    north = [(f"top{n}", f"{letters[n]}{_SIZE - 1}") for n in lines]
    west = [(f"left{n}", f"A{n}") for n in lines]
    east = [(f"right{n}", f"{letters[-1]}{n}") for n in lines]
    flows: list[tuple[str, str, float]] = []
    for here, there, demand in ((south, north, 420.0), (north, south, 380.0), (west, east, 460.0),
                                (east, west, 400.0)):  # fmt: skip
        # Straight through, and a share that turns off into a cross street on its way.
        aside = west + east if here in (south, north) else south + north
        for place, (source, first) in enumerate(here):
            sink, last = there[place]
            flows.append((source + first, last + sink, demand * 0.7))
            for step in (1, 3, 6):
                goal, corner = aside[(place + step) % len(aside)]
                flows.append((source + first, corner + goal, demand * 0.1))
    _write_demand(folder, "grid", flows)


def _arterial(folder: Path) -> None:
    count = len(_SPACING_M) + 1
    xs = list(accumulate(_SPACING_M, initial=0.0))
    nodes = [("W", -400.0, 0.0, "priority"), ("E", xs[-1] + 400.0, 0.0, "priority")]
    edges: list[tuple[str, str, int]] = []
    main = ["W", *(f"J{n}" for n in range(count)), "E"]
    for one, other in pairwise(main):
        edges += [(one, other, 2), (other, one, 2)]
    for n, x in enumerate(xs):
        nodes.append((f"J{n}", x, 0.0, "traffic_light"))
        for name, y in ((f"N{n}", 300.0), (f"S{n}", -300.0)):
            nodes.append((name, x, y, "priority"))
            edges += [(name, f"J{n}", 1), (f"J{n}", name, 1)]
    _write_nodes(folder, nodes)
    _write_edges(folder, edges)
    options = ["-n", str(folder / "plain.nod.xml"), "-e", str(folder / "plain.edg.xml"), "--no-turnarounds"]
    options += ["--tls.default-type", "NEMA"]
    _tool("netconvert", *options, "-o", str(folder / "arterial.net.xml"))
    _write_demand(folder, "arterial", _arterial_flows(count))


def _arterial_flows(count: int) -> list[tuple[str, str, float]]:
    flows = [("WJ0", f"J{count - 1}E", 620.0), (f"EJ{count - 1}", "J0W", 480.0)]
    for n in range(count):
        side = _SIDE_VEH_H[n]
        for here, there, right, left in (("N", "S", "W", "E"), ("S", "N", "E", "W")):
            ends = {"straight": f"J{n}{there}{n}", "left": _end(left, count), "right": _end(right, count)}
            flows += [(f"{here}{n}J{n}", ends[turn], side * share) for turn, share in _TURNS.items()]
        for source in ("WJ0", f"EJ{count - 1}"):
            flows += [(source, f"J{n}{side_name}{n}", 30.0) for side_name in ("N", "S")]
    return flows


def _end(side: str, count: int) -> str:
    return "J0W" if side == "W" else f"J{count - 1}E"


def _write_nodes(folder: Path, nodes: Iterable[tuple[str, float, float, str]]) -> None:
    root = ET.Element("nodes")
    for name, x, y, kind in nodes:
        ET.SubElement(root, "node", id=name, x=f"{x:g}", y=f"{y:g}", type=kind)
    ET.ElementTree(root).write(folder / "plain.nod.xml", encoding="utf-8")


def _write_edges(folder: Path, edges: Iterable[tuple[str, str, int]]) -> None:
    root = ET.Element("edges")
    for source, sink, lanes in edges:
        turning = sink.startswith("J")
        row = ET.SubElement(root, "edge", id=source + sink, numLanes=str(lanes + turning), speed="13.89")
        row.set("from", source)
        row.set("to", sink)
        row.set("priority", str(lanes))
        if turning:  # a pocket for left turns before the stop line
            ET.SubElement(row, "split", pos="0", lanes=" ".join(map(str, range(lanes))))
            ET.SubElement(row, "split", pos=f"-{_POCKET_M:g}", lanes=" ".join(map(str, range(lanes + 1))))
    ET.ElementTree(root).write(folder / "plain.edg.xml", encoding="utf-8")


def _write_demand(folder: Path, name: str, flows: Sequence[tuple[str, str, float]]) -> None:
    """Flows (first edge, last edge, vehicles per hour) as random arrivals, and the configuration."""
    root = ET.Element("routes")
    ET.SubElement(root, "vType", id="car", speedFactor="normc(1,0.1,0.7,1.3)")
    for begin, end, share in _PROFILE:
        for place, (source, sink, demand) in enumerate(flows):
            row = ET.SubElement(root, "flow", id=f"f{begin}-{place}", type="car", departLane="best")
            row.set("from", source)
            row.set("to", sink)
            row.set("begin", str(begin))
            row.set("end", str(end))
            row.set("period", f"exp({demand * share / HOUR_S:.6f})")
            row.set("departSpeed", "max")
    ET.ElementTree(root).write(folder / f"{name}.rou.xml", encoding="utf-8")
    config = ET.Element("configuration")
    files = ET.SubElement(config, "input")
    ET.SubElement(files, "net-file", value=f"{name}.net.xml")
    ET.SubElement(files, "route-files", value=f"{name}.rou.xml")
    time = ET.SubElement(config, "time")
    ET.SubElement(time, "begin", value="0")
    ET.SubElement(time, "end", value=str(HOUR_S))
    ET.ElementTree(config).write(folder / f"{name}.sumocfg", encoding="utf-8")
