"""The demonstration: the whole district under control, with policies, a cut uplink and a report."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vigie_protocols.errors import PermanentError, VigieError
from vigie_sim import report as reports
from vigie_sim.agents import command
from vigie_sim.district import ACTUATED, DISTRICT, DistrictScenario
from vigie_sim.districtmap import inventory
from vigie_sim.faults.proxy import Mode, Proxy
from vigie_sim.traffic.district import folder as traffic_folder
from vigie_sim.wire import WireRun

CUT_GATEWAY = "gw-boulevard"
PUBLISH_S = 0.25
FLEET_S = 1.0


@dataclass(frozen=True)
class Timetable:
    """Simulated seconds at which things happen, as shares of the run for runs shorter than an hour."""

    cut_from: int
    cut_to: int
    push: int
    apply: int

    @classmethod
    def of(cls, duration_s: float) -> "Timetable":
        """For an hour: the uplink is cut from 0:10 to 0:20, policies come at 0:28 and apply at 0:30."""
        scale = min(1.0, duration_s / 3600.0)
        cut_from = round(600 * scale)
        return cls(cut_from, round(1200 * scale), round(1680 * scale), round(1800 * scale))


@dataclass
class Cut:
    """What the cut of an uplink showed. records_backfilled: unacknowledged when the link came back."""

    gateway: str
    from_s: int
    to_s: int
    scans_during: int = 0
    records_backfilled: int = 0
    complete: bool = False


@dataclass
class Progress:
    """What is shown while the demo runs."""

    fields: dict[str, Any] = field(default_factory=dict)
    gateways_online: int = 0
    gateways: int = 0
    alarms: int = 0
    notes: list[str] = field(default_factory=list)


class Demo:
    """One demonstration run. listen: where the page is served; controller: the kind that leads at every signal."""

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        duration_s: float | None = None,
        listen: str = "127.0.0.1:0",
        controller: str = ACTUATED,
    ) -> None:
        self.folder = folder
        self.scenario = DistrictScenario(duration_s, controller)
        self.scenario.open_bus(folder / "bus")
        self.run = WireRun(self.scenario, folder, seed, listen=listen, on_tick=self._on_tick)
        self.run.uplinks = self._proxied
        self.times = Timetable.of(self.scenario.duration_s)
        self.cut = Cut(CUT_GATEWAY, self.times.cut_from, self.times.cut_to)
        self.progress = Progress()
        self.proxies: dict[str, Proxy] = {}
        self.pushed: dict[str, dict[str, int]] = {}
        self.applied: dict[str, list[str]] = {}
        self._scans_at_cut = 0
        self._last_fields: dict[str, Any] | None = None
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Bring everything up; returns the page's address."""
        await self.run.start()
        central = self._central
        await central.ask("PUT", "inventory", inventory(self.scenario))
        self._background = [asyncio.create_task(self._tell()), asyncio.create_task(self._look())]
        return str(central.http)

    @property
    def _central(self) -> Any:
        if self.run.coordinator is None:
            raise PermanentError("the demo needs its coordinator")
        return self.run.coordinator

    async def _proxied(self, gateway: str, broker: str) -> str:
        host, _, port = broker.rpartition(":")
        proxy = self.proxies[gateway] = Proxy(host, int(port))
        return await proxy.start()

    # -- what happens when ---------------------------------------------------------------------------

    async def _on_tick(self, run: WireRun, tick: int) -> None:
        times = self.times
        if tick == times.cut_from:
            self._scans_at_cut = run.agents[CUT_GATEWAY].status()["counters"]["control.scans"]
            self.proxies[CUT_GATEWAY].mode = Mode.BLACKHOLE
            self._note(f"liaison montante de {CUT_GATEWAY} coupée / uplink cut")
        elif tick == times.cut_to:
            counters = run.agents[CUT_GATEWAY].status()["counters"]
            self.cut.scans_during = counters["control.scans"] - self._scans_at_cut
            self.cut.records_backfilled = counters["recorder.last_index"] - counters["uplink.acked_through"]
            self.proxies[CUT_GATEWAY].mode = Mode.PASS
            self._note(f"liaison rétablie après {self.cut.scans_during} cycles / uplink restored")
        elif tick == times.push:
            await self._push("evenement", f"district:{DISTRICT}")
            await self._push("orage", "site:gw-pompage")
        elif tick == times.apply:
            # What crosses a broker takes effect at a stated instant: this tick waits until all have staged.
            wanted: dict[str, int] = {}
            for generations in self.pushed.values():
                wanted.update({name: max(wanted.get(name, 0), one) for name, one in generations.items()})
            await run.server.wait_staged(wanted)
            self._note("politiques en place partout / policies staged everywhere")
        self._gather_fields()

    def _note(self, text: str) -> None:
        minutes, seconds = divmod(round(self.run.now), 60)
        self.progress.notes.append(f"{minutes:02d}:{seconds:02d}  {text}")

    async def _push(self, name: str, scope: str) -> None:
        """Write the policy with its validity and push it with the operator's own command."""
        source = traffic_folder().parent / "policies" / f"{name}.yaml"
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
        epoch = self.run.world.epoch
        document["valid_from"] = epoch + self.times.apply
        document["not_after"] = epoch + self.scenario.duration_s + 86_400
        file = self.folder / "policies" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        line = [*command("vigie"), "policy", "push", str(file), "--scope", scope, "--json"]
        line += ["--state", str(self._central.state)]
        done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermanentError(f"vigie policy push failed: {(done.stderr or done.stdout).strip()}")
        told = json.loads(done.stdout)
        self.pushed[told["id"]] = {gateway: one["generation"] for gateway, one in told["bundles"].items()}
        self._note(f"politique {told['id']} envoyée à {len(told['bundles'])} passerelles / policy pushed")

    # -- what is shown -------------------------------------------------------------------------------

    def _gather_fields(self) -> None:
        scenario, run = self.scenario, self.run
        traffic, water, lighting = scenario.traffic_field, scenario.water_plant, scenario.lighting_plant
        assert traffic is not None and water is not None and lighting is not None
        state = water.state
        spilled = 0.0
        level = 0.0
        if state is not None:
            names = scenario.water
            spilled = state.volumes[names.station_spill] + state.volumes[names.basin_spill]
            level = state.depths[names.basin_node]
        self.progress.fields = {
            "utc": run.utc,
            "t": run.now,
            "duration": scenario.duration_s,
            "speed": round(run.speed, 1),
            "state": "running",
            "scenario": scenario.name,
            "seed": run.seed,
            "vehicles": traffic.plant.vehicles(),
            "queue": traffic.plant.queue(),
            "basin_m": round(level, 3),
            "overflow_m3": round(spilled, 1),
            "lamp_kw": round(sum(sum(cabinet.meter.powers) for cabinet in lighting.cabinets) / 1000, 3),
            "trips": len(traffic.trips),
        }

    async def _tell(self) -> None:
        while True:
            fields = self.progress.fields
            if fields and fields is not self._last_fields:
                self._last_fields = fields
                with contextlib.suppress(VigieError):
                    await self._central.ask("PUT", "run", fields)
            await asyncio.sleep(PUBLISH_S)

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(VigieError):
                rows = (await self._central.ask("GET", "gateways"))["gateways"]
                self.progress.gateways = len(rows)
                self.progress.gateways_online = sum(row["online"] for row in rows)
                self.progress.alarms = len((await self._central.ask("GET", "alarms"))["alarms"])
            await asyncio.sleep(FLEET_S)

    # -- the end -------------------------------------------------------------------------------------

    async def finish(self) -> dict[str, Any]:
        """Drain, ask what was applied, and give the report without its reference."""
        counts = await self.run.finish()
        cut = counts.gateways[CUT_GATEWAY]
        self.cut.complete = cut["uplink.acked_through"] >= cut["recorder.last_index"]
        status = (await self._central.ask("GET", "policies/status"))["gateways"]
        self.applied = _applied(self.pushed, status)
        await self._central.ask("PUT", "run", {**self.progress.fields, "state": "done"})
        complete = [
            name for name, gateways in self.applied.items() if set(gateways) == set(self.pushed[name])
        ]
        run = self.run
        return {
            "scenario": self.scenario.name,
            "seed": run.seed,
            "guard_interventions": counts.guard_interventions,
            "scans": counts.scans,
            "scans_missed": counts.scans_missed,
            "samples_published": counts.samples_published,
            "samples_lost": counts.samples_lost,
            "samples_duplicated": counts.samples_duplicated,
            "policies_applied": len(complete),
            "run": {
                "real_time_factor": run.now / run.wall_s if run.wall_s else 0.0,
                "wall_s": run.wall_s,
                "policies": {
                    name: {"gateways": gateways, "of": sorted(self.pushed[name])}
                    for name, gateways in self.applied.items()
                },
                "cut": vars(self.cut),
                "notes": self.progress.notes,
            },
        }

    async def end_physics(self) -> None:
        """End the world, so that its outcomes are complete; agents and coordinator stay as they are."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self.run.world.stop()

    async def stop(self) -> None:
        """Stop everything; may be called at any point."""
        await self.end_physics()
        await self.run.stop()
        for proxy in self.proxies.values():
            await proxy.close()
        self.scenario.close_bus()

    def outcomes(self) -> dict[str, float]:
        """The outcomes of the controlled hour; after ``end_physics``."""
        return reports.outcomes_of(self.run.world.outcomes())


def _applied(pushed: Mapping[str, Mapping[str, int]], status: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Policy -> gateways that report it, with the bundle's hash that was sent to them."""
    rows = {row["gateway"]: row for row in status}
    found: dict[str, list[str]] = {}
    for policy, generations in pushed.items():
        found[policy] = sorted(
            name
            for name in generations
            if rows[name]["in_step"]
            and rows[name]["reported"]
            and rows[name]["reported"]["state"] == "applied"
        )
    return found


def baseline(seed: int, duration_s: float | None = None) -> dict[str, float]:
    """The same hour under fixed-time signals, stations on their floats and full-night lamps, in process."""
    world = DistrictScenario(duration_s).world(seed, controlled=False)
    world.start()
    try:
        for number in range(1, world.ticks + 1):
            world.step(number * world.step_s)
    finally:
        world.stop()
    return reports.outcomes_of(world.outcomes())


def free_listen(port: int = 8600) -> str:
    """The usual address of the page, or any free port when it is taken."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return "127.0.0.1:0"
    return f"127.0.0.1:{port}"
