"""An hour at the eight-phase junction of ``nema_reference`` under our loop, with buses that ask for priority.

``python priority_run.py FOLDER SETTINGS`` prints JSON: mean time loss of buses and of the others in seconds (depart
delay included), the longest red with demand, how many grants. The receiver knows each bus by its distance.
"""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.controllers.signals.drive import Drive
from tests.sim.traffic.nema_reference import links_of, write_demand, write_net

BARRIER = {1: 1, 2: 1, 5: 1, 6: 1, 3: 2, 4: 2, 7: 2, 8: 2}
LANES = {2: "ec_0", 6: "wc_0", 4: "nc_0", 8: "sc_0", 5: "ec_1", 1: "wc_1", 7: "nc_1", 3: "sc_1"}
LETTERS = {1: "r", 2: "y", 3: "G"}
BUS_PHASE, BUS_EDGE = 8, "sc"
SPEED = 12.0


def site() -> dict[str, Any]:
    """Two rings of four; pedestrians with the through phases."""
    ring = {n: 1 if n <= 4 else 2 for n in BARRIER}
    phases: list[dict[str, Any]] = [
        {"id": n, "ring": ring[n], "barrier": BARRIER[n]} for n in sorted(BARRIER)
    ]
    for phase in phases:
        if phase["id"] % 2 == 0:
            phase.update(walk_s=7, ped_clear_s=10)
    return {
        "phases": phases,
        "channels": [{"id": f"v{n}", "phases": [n]} for n in sorted(BARRIER)],
        "conflicts": [
            [f"v{a}", f"v{b}"]
            for a in BARRIER
            for b in BARRIER
            if a < b and (ring[a] == ring[b] or BARRIER[a] != BARRIER[b])
        ],
        "detectors": [
            *({"id": f"d{n}", "phases": [n], "chatter_per_min": 1000} for n in sorted(BARRIER)),
            *({"id": f"b{n}", "kind": "button", "phases": [n]} for n in (2, 4, 6, 8)),
        ],
        "priority": [{"id": "bus", "phases": [BUS_PHASE], "line": "129"}],
    }


def main(folder: Path, settings: dict[str, Any]) -> None:
    """Run it and print what it cost."""
    import libsumo

    net = write_net(folder)
    links = links_of(net)
    demand = write_demand(folder, settings)
    tree = ET.parse(demand)
    bus = ET.Element("vType", id="bus", vClass="bus", length="12")
    tree.getroot().insert(0, bus)
    times = {"begin": "30", "end": "3600", "period": "exp(0.00555)"}
    ET.SubElement(tree.getroot(), "flow", id="bus", type="bus", attrib={**times, "from": "sc", "to": "cn"})
    tree.write(demand)
    detectors = "".join(
        f'<laneAreaDetector id="d{n}" lane="{lane}" endPos="-0.1" length="40" period="100000" file="/dev/null"/>'
        for n, lane in LANES.items()
    )
    (folder / "d.add.xml").write_text(f"<additional>{detectors}</additional>")
    libsumo.start(
        ["sumo", "-n", str(net), "-a", str(folder / "d.add.xml"), "-r", str(demand), "--seed", str(settings["seed"]),
         "--no-step-log", "true", "--time-to-teleport", "-1", "--no-warnings", "true",
         "--tripinfo-output", str(folder / "trips.xml"), "--tripinfo-output.write-unfinished", "true"]
    )  # fmt: skip
    controllers = [(one, params) for one, params in settings["controllers"]]
    drive = Drive(site(), controllers, step_s=1.0, extra=("priority.bus.lateness",))
    drive.put({"priority.bus.lateness": 200.0})
    size = sum(map(len, links.values()))
    waited = dict.fromkeys(BARRIER, 0)
    longest = 0
    length = libsumo.lane.getLength(LANES[BUS_PHASE])
    for second in range(3600):
        coming = [
            length - libsumo.vehicle.getLanePosition(one)
            for one in libsumo.edge.getLastStepVehicleIDs(BUS_EDGE)
            if libsumo.vehicle.getTypeID(one) == "bus"
        ]
        drive.put({"priority.bus.eta": min(coming) / SPEED if coming else -1.0})
        seen = {n: bool(libsumo.lanearea.getLastStepVehicleNumber(f"d{n}")) for n in LANES}
        drive.put({f"detector.d{n}": on for n, on in seen.items()})
        drive.put({f"detector.b{n}": second % 45 == n for n in (2, 4, 6, 8)})
        drive.scan()
        state = ["r"] * size
        for n, own in links.items():
            lamp = int(drive.written[f"channel.v{n}"])
            waited[n] = waited[n] + 1 if lamp == 1 and seen[n] else 0
            longest = max(longest, waited[n])
            for k in own:
                state[k] = LETTERS.get(lamp, "r")
        libsumo.trafficlight.setRedYellowGreenState("c", "".join(state))
        libsumo.simulationStep()
    libsumo.close()
    losses: dict[bool, list[float]] = {True: [], False: []}
    for trip in ET.parse(folder / "trips.xml").getroot().iter("tripinfo"):
        loss = float(trip.get("timeLoss") or 0) + float(trip.get("departDelay") or 0)
        losses[trip.get("vType") == "bus"].append(loss)
    told = [one.what for _, one in drive.decisions if one.source == "signal.priority"]
    print(
        json.dumps(
            {
                "bus": sum(losses[True]) / len(losses[True]), "buses": len(losses[True]),
                "others": sum(losses[False]) / len(losses[False]), "longest_red": longest,
                "granted": sum(word.startswith("granted") for word in told),
                "interventions": sorted({one.rule for _, one in drive.interventions}),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
