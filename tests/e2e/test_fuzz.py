"""Devices that talk nonsense by the thousand cost their gateway nothing: no wrong value, no scan, no neighbour.

One gateway, wall clock: the pumping station and its basin are honest; three more devices, one per protocol,
are real servers behind a proxy that spoils what they say. What was taken for true is read in the journal.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.fuzz import PROTOCOLS, Liars, Told
from tests.edge.wallclock import ROOT, Agent, WaterSite, until, water_gateway
from tests.protocols.field.rigs import VALUES

from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.records import Readings, decode_field
from vigie_edge.wiring import Bells, Wiring
from vigie_protocols.broker import find_mosquitto
from vigie_protocols.points import Quality

SEED = 303
FRAMES = 1000
HONEST = ("pump-station", "basin")
LATER = {"level": 3.5, "count": 12, "flag": False}
MEMORY_MIB = 16
"""What field may grow by while it is lied to; a frame of 4 GiB or a message without an end would show."""

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")


@dataclass
class Run:
    """What was sent, what became of the gateway meanwhile, and every reading it took."""

    told: dict[str, Told]
    before: dict[str, Any]
    after: dict[str, Any]
    grown_mib: float
    readings: dict[str, Counter[tuple[object, int]]]
    """By point: how often each (value, quality) came."""
    exit_code: int


@pytest.fixture(scope="module")
def run(shelf: Path) -> Iterator[Run]:
    liars = Liars(SEED)
    try:
        with WaterSite() as site:
            agent = Agent(_gateway_file(shelf, site, liars))
            try:
                yield _lied_to(agent, liars)
            finally:
                agent.end()
    finally:
        liars.close()


def _lied_to(agent: Agent, liars: Liars) -> Run:
    agent.start()
    until(lambda: _shown(agent, VALUES), why="for all devices")
    before, rss = until(lambda: _all_up(agent), why="for all links"), _peak_kib(agent)
    begun = time.monotonic()
    liars.lie(True)
    until(
        lambda: agent.alive() and all(one.told.malformed >= FRAMES for one in liars.liars.values()),
        why=f"for {FRAMES} malformed frames of each",
    )
    seconds = time.monotonic() - begun
    liars.lie(False)
    liars.show(**LATER)
    until(lambda: _shown(agent, LATER), why="for the devices to heal")
    grown = (_peak_kib(agent) - rss) / 1024
    after = until(lambda: _all_up(agent), why="for all links")
    code = agent.stop()
    told = {name: one.told for name, one in liars.liars.items()}
    for name, one in told.items():
        print(f"seed {SEED}, {name}: {one}")
    print(f"{seconds:.1f} s; field grew by {grown:.1f} MiB; scans {after['counters']['control.scans']}")
    return Run(told, before, after, grown, _readings(agent), code)


def _gateway_file(folder: Path, site: WaterSite, liars: Liars) -> Path:
    file = water_gateway(folder, site)
    data = yaml.safe_load(file.read_text())
    # Slow enough for the most crowded machine: what is missed here was missed because of the liars.
    data |= {"scan_s": 1.0, "safety": {"expiry_scans": 10, "max_s": 10.0}}
    data["loops"][0]["period_s"] = 1.0
    for link in data["links"].values():
        link["timeout_s"] = 10.0
    for name in ("pump-station-duplex", "retention-basin"):
        profile = yaml.safe_load((ROOT / "firmware-config" / "profiles" / f"{name}.yaml").read_text())
        for point in profile["points"]:
            point["stale_s"] = 30.0
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(profile))
    for name, liar in liars.liars.items():
        profile = f"probe-{name}"
        (folder / f"{profile}.yaml").write_text(
            liar.device.profile.replace("profile: probe", f"profile: {profile}", 1).replace(
                "rate_s: 0.05", "rate_s: 0.005"
            )
        )
        data["links"][profile] = yaml.safe_load(liar.device.link(liar.port)) | {
            "timeout_s": 0.03 if name == "modbus" else 0.5,
            "retry": {"first_s": 0.002, "max_s": 0.01},
        }
        data["devices"].append(
            {
                "name": profile,
                "profile": profile,
                "link": profile,
                "prefix": "cab" if name == "mqtt" else "",
                "namespace": "urn:vigie:test",
            }
        )
    file.write_text(yaml.safe_dump(data))
    return file


def _all_up(agent: Agent) -> dict[str, Any] | None:
    """The agent's status once it calls every device up."""
    agent.alive()
    status = agent.status()
    devices = [row for link in status["links"].values() for row in link["devices"].values()]
    return status if devices and all(row["up"] for row in devices) else None


def _shown(agent: Agent, values: dict[str, object]) -> bool:
    """Every device of ours is up and gives these values as good."""
    agent.alive()
    found = _image(agent)
    return all(
        found[f"probe-{name}/{point}"] == (value, Quality.GOOD)
        for name in PROTOCOLS
        for point, value in values.items()
        if point not in ("target", "locked")
    )


def _image(agent: Agent) -> dict[str, tuple[object, int]]:
    """Value and quality of every point, as control reads them."""
    plan = load_plan(agent.file)
    wiring = Wiring(plan, agent.runtime, Bells())
    frame = wiring.inputs().read()
    if frame is None:
        return {}
    readings = wiring.image_codec.unpack(*frame).readings
    return {
        name: (reading.value, reading.quality)
        for name, reading in zip(plan.table.names, readings, strict=True)
    }


def _peak_kib(agent: Agent) -> int:
    status = Path(f"/proc/{agent.pid('field')}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _readings(agent: Agent) -> dict[str, Counter[tuple[object, int]]]:
    names = load_plan(agent.file).table.names
    found: dict[str, Counter[tuple[object, int]]] = {name: Counter() for name in names}
    for _, _, path in list_segments(agent.journal / "replay"):
        for record in read_committed(path)[1]:
            if record.kind is Kind.READINGS:
                readings = decode_field(record.payload)
                if isinstance(readings, Readings):
                    for places, values, quality, _, _ in readings.runs:
                        for place, value in zip(places, values, strict=True):
                            found[names[place]][value, quality] += 1
    return found


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_no_wrong_value_was_taken_for_true(run: Run, protocol: str) -> None:
    assert run.told[protocol].malformed >= FRAMES
    for point, value in VALUES.items():
        if point in ("target", "locked"):
            continue
        good = {
            value for (value, quality) in run.readings[f"probe-{protocol}/{point}"] if quality == Quality.GOOD
        }
        assert good <= {value, LATER.get(point, value)}, f"{point} took {good}"


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_the_liar_was_noticed(run: Run, protocol: str) -> None:
    taken = run.readings[f"probe-{protocol}/level"]
    assert sum(count for (_, quality), count in taken.items() if quality == Quality.BAD) > 0


def test_the_honest_devices_went_on(run: Run) -> None:
    for name, taken in run.readings.items():
        if name.startswith(HONEST):
            assert {quality for _, quality in taken} == {Quality.GOOD}, name
    for name in ("station", "basin"):
        before, after = (one["links"][name]["counters"] for one in (run.before, run.after))
        assert after["readings"] > before["readings"]
        assert [after[row] for row in ("timeouts", "malformed", "late")] == [0, 0, 0]


def test_nothing_broke(run: Run) -> None:
    assert run.exit_code == 0
    for name, process in run.after["processes"].items():
        assert process["restarts"] == 0, name
    before, after = run.before["counters"], run.after["counters"]
    assert after["control.scans"] > before["control.scans"]
    for name in ("control.missed", "field.safe_writes", "field.readings_lost", "recorder.dropped"):
        assert after[name] == before[name], name
    assert run.grown_mib < MEMORY_MIB
