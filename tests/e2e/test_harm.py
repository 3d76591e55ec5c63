"""What must not go unseen: control killed at its work, a second master on a device, field gone.

One run of the district. A monitor that cannot trip proves nothing, so a plain OPC UA client shows two movements
green that conflict, beside a gateway that is in charge.
"""

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncua import Client, ua
from tests.e2e.stack import in_loop, run_command, until

from vigie_sim.district import DistrictScenario
from vigie_sim.pacing import AgentLost
from vigie_sim.traffic.documents import NAMESPACE
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.rig import IntersectionRig
from vigie_sim.wire import Counts, WireRun

TICKS = 90
SCANS_PER_TICK = {"gw-boulevard": 10, "gw-mixte": 10, "gw-pompage": 1, "gw-eclairage": 1}
DEVICE, ITS_GATEWAY = "jct-passerelle", "gw-mixte"
PUMPS = "gw-pompage"
SCENARIO = Path(__file__).parents[2] / "hil-sim" / "scenarios" / "district"


@dataclass
class Seen:
    """What the run showed."""

    counts: Counts
    restarts: list[int]
    trips_before: list[str]
    trips_after: list[str]
    lamps_after: tuple[int, ...]
    alarm: dict[str, Any]
    lost: str
    staged: list[int]


async def write_conflict(run: WireRun, rig: IntersectionRig) -> None:
    """Two conflicting channels green, as any client on the device's network could ask for."""
    site = rig.cabinet.site
    green = set(site.conflicts[0])
    lamps = [int(Lamp.GREEN if channel.id in green else Lamp.RED) for channel in site.channels]
    async with Client(run.endpoints[DEVICE], timeout=20) as client:
        index = await client.get_namespace_index(NAMESPACE)
        value = ua.Variant(lamps, ua.VariantType.Byte, is_array=True)
        stamp = datetime.fromtimestamp(run.utc, UTC)
        node = client.get_node(ua.NodeId("Lamps", index))
        await node.write_value(ua.DataValue(value, StatusCode=None, SourceTimestamp=stamp))


async def staged_within_a_tick(run: WireRun) -> int:
    """Push a policy while this tick is withheld, and wait until its gateway has staged it; gives its generation."""
    assert run.coordinator is not None
    document = yaml.safe_load((SCENARIO / "policies" / "orage.yaml").read_text(encoding="utf-8"))
    document.update(valid_from=run.utc + 5.0, not_after=run.utc + 3600.0)
    file = run.folder / "orage.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    words = ("policy", "push", file, "--scope", f"site:{PUMPS}", "--json", "--state", run.coordinator.state)
    said = await asyncio.to_thread(run_command, "vigie", *words)
    assert said.code == 0, said.err
    generation = int(json.loads(said.out)["bundles"][PUMPS]["generation"])
    await run.server.wait_staged({PUMPS: generation})
    return generation


async def harmed(folder: Path) -> Seen:
    scenario = DistrictScenario()
    scenario.open_bus(folder / "bus")

    staged: list[int] = []

    async def on_tick(run: WireRun, tick: int) -> None:
        if tick == 30:
            for agent in run.agents.values():
                agent.kill_child("control")
        elif tick == 45:
            staged.append(await staged_within_a_tick(run))
        elif tick == 60:
            # The grant goes out next; what follows meets control at its scans, or just before or after them.
            for place, agent in enumerate(run.agents.values()):
                pid = agent.child_pid("control")
                asyncio.get_running_loop().call_later(0.004 * (place + 1), os.kill, pid, signal.SIGKILL)

    run = WireRun(scenario, folder, 1, on_tick=on_tick)
    try:
        await run.start()
        rig = next(one for one in run.world.rigs if one.device == DEVICE)
        assert isinstance(rig, IntersectionRig)
        assert run.coordinator is not None
        await run.run(TICKS)
        counts = await run.finish()
        before = run.world.trips
        await write_conflict(run, rig)
        await run.run(5)
        after, shown = run.world.trips, rig.cabinet.lamps
        found: list[dict[str, Any]] = []

        async def told() -> bool:
            alarms = (await run.coordinator.ask("GET", "alarms"))["alarms"]
            found[:] = [row for row in alarms if row["gateway"] == ITS_GATEWAY and DEVICE in row["key"]]
            return bool(found)

        await until(told, "the coordinator hears of the trip")
        status = {name: agent.status()["processes"] for name, agent in run.agents.items()}
        run.agents[PUMPS].kill_child("field")
        with pytest.raises(AgentLost) as lost:
            await run.run(1)
    finally:
        await run.stop()
        scenario.close_bus()
    restarts = [row["control"]["restarts"] for row in status.values()]
    return Seen(counts, restarts, before, after, shown, found[0], str(lost.value), staged)


@pytest.fixture(scope="module")
def seen(shelf: Path) -> Seen:
    return in_loop(harmed(shelf))


def test_control_comes_back_within_its_tick(seen: Seen) -> None:
    assert seen.restarts == [2, 2, 2, 2]
    counts = seen.counts
    assert counts.scans_missed == 0
    for name, each in SCANS_PER_TICK.items():
        # A scan that was cut short is done again, so there may be more than its share, never fewer.
        assert counts.gateways[name]["control.scans"] >= TICKS * each
        assert counts.gateways[name]["control.scans_lost"] == 0
    assert (counts.samples_lost, counts.samples_duplicated) == (0, 0)
    assert seen.trips_before == []


def test_a_conflicting_writer_trips_the_monitor_beside_a_gateway_in_charge(seen: Seen) -> None:
    assert len(seen.trips_after) == 1
    assert seen.trips_after[0].startswith(f"{DEVICE} at 90")
    assert Lamp.GREEN not in seen.lamps_after
    assert seen.alarm["severity"] == "critical"


def test_a_policy_is_staged_while_the_tick_is_withheld(seen: Seen) -> None:
    assert seen.staged == [1]


def test_a_gateway_without_field_is_named(seen: Seen) -> None:
    assert "gw-pompage is gone" in seen.lost
