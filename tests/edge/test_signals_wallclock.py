"""A junction with bare lamps in wall-clock time: control killed in mid-phase never trips the conflict monitor."""

import asyncio
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.edge.wallclock import LIMIT_S, Agent, until

from vigie_controllers.loops import ControllerSpec
from vigie_controllers.signals.site import Startup
from vigie_sim.traffic.cabinet import LampCabinet, program_card
from vigie_sim.traffic.derive import Clearances, Junction, derive
from vigie_sim.traffic.district import district_run
from vigie_sim.traffic.documents import profile_of, write_gateway
from vigie_sim.traffic.monitor import Monitor
from vigie_sim.traffic.network import read_network
from vigie_sim.traffic.rig import IntersectionRig, Sensors

GREEN, YELLOW = 3, 2


class Corner:
    """One bare-lamps junction on a socket, a vehicle before every stop line, stepped in real time."""

    def __init__(self, junction: Junction) -> None:
        self.cabinet = LampCabinet(junction.site, Monitor(program_card(junction.site)))
        zones, exits, crossings = len(junction.zones), len(junction.exits), len(junction.crossings)
        sensors = Sensors((0, zones), (zones, zones + exits), (0, crossings))
        sensors.take([1] * (zones + exits), [1] * zones + [0] * exits, [0] * crossings)
        self.rig = IntersectionRig(junction.device, profile_of(junction), self.cabinet, sensors)
        self.seen: list[tuple[int, ...]] = []
        self.url = ""
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self.url = await self.rig.start()
        begun = time.monotonic()
        try:
            while not self._stop.is_set():
                now = time.monotonic() - begun
                lamps = self.cabinet.advance(now)
                if not self.seen or self.seen[-1] != lamps:
                    self.seen.append(lamps)
                await self.rig.refresh(now, time.time())
                self._ready.set()
                await asyncio.sleep(0.05)
        finally:
            await self.rig.stop()

    def green(self) -> bool:
        return GREEN in self.cabinet.lamps

    def __enter__(self) -> "Corner":
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)


def test_control_killed_in_mid_phase_ends_the_movement_lawfully(tmp_path: Path) -> None:
    times = Clearances(yellow_s=3.0, red_s=1.0, min_green_s=5.0)
    junction = next(
        one for one in derive(read_network(district_run().net), times) if one.site.actuation == "lamps"
    )
    site = junction.site.model_copy(update={"startup": Startup(flash_s=1.0, all_red_s=1.0)})
    junction = replace(junction, site=site)
    with Corner(junction) as corner:
        more = {
            "runtime_dir": str(tmp_path / "run"),
            "state_dir": str(tmp_path / "state"),
            "journal": {"directory": str(tmp_path / "journal")},
            "safety": {"expiry_scans": 10},
        }
        kind = ControllerSpec(kind="signal.actuated")
        file = write_gateway(
            tmp_path, "gw-coin", [junction], {junction.name: corner.url}, {junction.name: [kind]}, more
        )
        agent = Agent(file)
        trips = corner.cabinet.monitor.trips
        try:
            agent.start()
            until(corner.green, why="for a first green")
            for _ in range(1):
                old = agent.kill("control")
                begun = len(corner.seen)
                until(lambda old=old: agent.pid("control") != old, why="for the next control")
                until(
                    lambda begun=begun: any(YELLOW in lamps for lamps in corner.seen[begun:]),
                    why="for a yellow",
                )
                until(corner.green, why="for green again")
                assert trips == [], [trip.reason for trip in trips]
            told = json.loads(agent.cli("measures", "--config", str(file), "--json").stdout)[junction.name]
            assert told["so_far"]["1/green_s"] >= 0.0
            view = json.loads(agent.cli("spat", "--config", str(file)).stdout)[junction.name]
            assert view["status"] == ["trafficDependentOperation"]
            assert len(view["states"]) == len(junction.site.channels)
            assert agent.stop() == 0
            assert trips == [], [trip.reason for trip in trips]
            ran = agent.cli("replay", str(agent.journal), "--config", str(file))
            assert ran.returncode == 0, ran.stdout + ran.stderr
        finally:
            agent.end()
