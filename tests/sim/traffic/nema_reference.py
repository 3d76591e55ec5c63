"""SUMO's own NEMA controller at an eight-phase junction, run as a process of its own: what its detectors saw, what it
showed. ``python nema_reference.py FOLDER SETTINGS`` writes FOLDER/seen.json: one row per step of
[phases with a vehicle on their detector, phases green, phases yellow].
"""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import sumo

BIN = Path(sumo.SUMO_HOME) / "bin"
LEGS = {"n": (0, 300), "e": (300, 0), "s": (0, -300), "w": (-300, 0)}
THROUGH = {"e": 2, "w": 6, "n": 4, "s": 8}
LEFT = {"e": 5, "w": 1, "n": 7, "s": 3}
ACROSS = {"n": "s", "s": "n", "e": "w", "w": "e"}
LEFT_OF = {"n": "e", "e": "s", "s": "w", "w": "n"}
STOP_M = 20.0


def write_net(folder: Path) -> Path:
    """Four legs of two lanes, the inner one for left turns alone."""
    nodes = '<nodes><node id="c" x="0" y="0" type="traffic_light"/>' + "".join(
        f'<node id="{leg}" x="{x}" y="{y}"/>' for leg, (x, y) in LEGS.items()
    )
    edges = "".join(
        f'<edge id="{a}{b}" from="{a}" to="{b}" numLanes="2" speed="13.9"/>'
        for leg in LEGS
        for a, b in ((leg, "c"), ("c", leg))
    )
    ways = "".join(
        f'<connection from="{leg}c" to="c{ACROSS[leg]}" fromLane="0" toLane="0"/>'
        f'<connection from="{leg}c" to="c{LEFT_OF[leg]}" fromLane="1" toLane="1"/>'
        for leg in LEGS
    )
    texts = {
        "nod": nodes + "</nodes>",
        "edg": f"<edges>{edges}</edges>",
        "con": f"<connections>{ways}</connections>",
    }
    for name, text in texts.items():
        (folder / f"x.{name}.xml").write_text(text)
    net = folder / "x.net.xml"
    command = [BIN / "netconvert", "-n", folder / "x.nod.xml", "-e", folder / "x.edg.xml", "-x", folder / "x.con.xml",
               "-o", net, "--no-turnarounds", "true", "--no-internal-links", "false"]  # fmt: skip
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    return net


def links_of(net: Path) -> dict[int, list[int]]:
    """Link indices by phase."""
    links: dict[int, list[int]] = {}
    for one in ET.parse(net).getroot().iter("connection"):
        if one.get("tl"):
            leg = (one.get("from") or "")[0]
            phase = (LEFT if one.get("fromLane") == "1" else THROUGH)[leg]
            links.setdefault(phase, []).append(int(one.get("linkIndex") or 0))
    return links


def write_program(folder: Path, links: dict[int, list[int]], settings: dict[str, Any]) -> Path:
    """Detectors over the last metres of each lane and the NEMA program that reads them."""
    root = ET.Element("additional")
    for leg in LEGS:
        for lane, phase in ((0, THROUGH[leg]), (1, LEFT[leg])):
            place = {"lane": f"{leg}c_{lane}", "endPos": "-0.1", "length": f"{STOP_M:g}"}
            ET.SubElement(
                root, "laneAreaDetector", id=f"d{phase}", period="100000", file="/dev/null", attrib=place
            )
    logic = ET.SubElement(root, "tlLogic", id="c", type="NEMA", programID="n", offset="0")
    params = {
        "total-cycle-length": "150", "ring1": "1,2,3,4", "ring2": "5,6,7,8", "barrierPhases": "4,8",
        "barrier2Phases": "2,6", "coordinate-mode": "false", "whetherOutputState": "false", "ignore-errors": "true",
        **settings["params"],
    }  # fmt: skip
    for leg in LEGS:
        for lane, phase in ((0, THROUGH[leg]), (1, LEFT[leg])):
            params[f"{leg}c_{lane}"] = f"d{phase}"
    for key, value in params.items():
        ET.SubElement(logic, "param", key=key, value=value)
    size = sum(map(len, links.values()))
    for phase in range(1, 9):
        state = "".join("G" if k in links[phase] else "r" for k in range(size))
        one = settings["phases"][str(phase)]
        ET.SubElement(logic, "phase", duration="99", minDur=str(one["min"]), maxDur=str(one["max"]),
                      vehext=str(one["ext"]), yellow="3", red="2", name=str(phase), state=state)  # fmt: skip
    path = folder / "x.add.xml"
    ET.ElementTree(root).write(path)
    return path


def write_demand(folder: Path, settings: dict[str, Any]) -> Path:
    """Random arrivals; vehicles an hour by phase."""
    root = ET.Element("routes")
    for leg in LEGS:
        for to, phase in ((ACROSS[leg], THROUGH[leg]), (LEFT_OF[leg], LEFT[leg])):
            rate = settings["flows"][str(phase)] / 3600.0
            if rate:
                way = {"from": f"{leg}c", "to": f"c{to}", "departLane": "best", "departSpeed": "max"}
                times = {"begin": "0", "end": "100000", "period": f"exp({rate:.5f})"}
                ET.SubElement(root, "flow", id=f"f{phase}", attrib={**times, **way})
    path = folder / "x.rou.xml"
    ET.ElementTree(root).write(path)
    return path


def main(folder: Path, settings: dict[str, Any]) -> None:
    """Run it and write what was seen."""
    import libsumo

    net = write_net(folder)
    links = links_of(net)
    program, demand = write_program(folder, links, settings), write_demand(folder, settings)
    libsumo.start(
        [
            "sumo",
            "-n",
            str(net),
            "-a",
            str(program),
            "-r",
            str(demand),
            "--seed",
            str(settings["seed"]),
            "--no-step-log",
            "true",
            "--time-to-teleport",
            "-1",
            "--step-length",
            str(settings["step"]),
            "--no-warnings",
            "true",
        ]
    )
    libsumo.trafficlight.setProgram("c", "n")
    rows = []
    for _ in range(settings["steps"]):
        libsumo.simulationStep()
        state = libsumo.trafficlight.getRedYellowGreenState("c")
        shown = {phase: {state[k] for k in own} for phase, own in links.items()}
        rows.append(
            [
                [p for p in range(1, 9) if libsumo.lanearea.getLastStepVehicleNumber(f"d{p}")],
                sorted(p for p, letters in shown.items() if "G" in letters),
                sorted(p for p, letters in shown.items() if "y" in letters),
            ]
        )
    libsumo.close()
    (folder / "seen.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
