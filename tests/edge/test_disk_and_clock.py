"""Clock jumps, a full disk, damaged files: control goes on, and what is lost is told."""

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.wallclock import Agent, events, until, water_agent

from vigie_edge.clock import TrustMeter
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.records import Scan, decode_control
from vigie_protocols.points import ClockTrust

NOON = 1_800_000_000.0
HOUR, YEAR, DAY = 3600.0, 365.25 * 86400.0, 86400.0
SYNCED, HOLDOVER, UNTRUSTED = ClockTrust.SYNCED, ClockTrust.HOLDOVER, ClockTrust.UNTRUSTED


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 10 * YEAR, -10 * YEAR])
@pytest.mark.parametrize("vouched", [False, True])
def test_a_jump_takes_the_trust_until_the_next_sync(jump: float, vouched: bool) -> None:
    meter = TrustMeter(vouched)
    assert meter.judge(10.0, NOON, True) is SYNCED
    after = meter.judge(11.0, NOON + 1.0 + jump, False)
    impossible = NOON + jump < 1_767_225_600.0
    if impossible:
        assert after is UNTRUSTED
    else:
        assert after is (HOLDOVER if vouched else UNTRUSTED)
    later = meter.judge(12.0, NOON + 2.0 + jump, False)
    if not vouched:
        assert later is UNTRUSTED
    back = meter.judge(13.0, NOON + 3.0, True)  # set right again by the network: a jump once more
    assert back is HOLDOVER
    assert meter.judge(14.0, NOON + 4.0, True) is SYNCED


def test_without_sync_the_trust_lasts_a_day() -> None:
    meter = TrustMeter()
    assert meter.judge(0.0, NOON, False) is UNTRUSTED
    assert meter.judge(1.0, NOON + 1, True) is SYNCED
    for second in (2.0, HOUR, DAY):
        assert meter.judge(second, NOON + second, False) is HOLDOVER
    assert meter.judge(DAY + 2, NOON + DAY + 2, False) is UNTRUSTED


def test_a_slewed_clock_keeps_its_trust() -> None:
    meter = TrustMeter()
    utc = NOON
    for second in range(600):
        utc += 1.0005
        assert meter.judge(float(second), utc, True) is SYNCED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"no small file system permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_no_scan_and_loses_nothing_once_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    more = {"journal": {"directory": str(small_disk / "journal"), "commit_ms": 50}}
    with water_agent(tmp_path / "gw", **more) as (site, agent):
        until(lambda: agent.counters()["recorder.commits"] > 0)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        until(lambda: agent.counters()["recorder.write_failures"] > 2, why="for the disk to refuse")
        until(lambda: agent.counters()["recorder.disk_refuses"], why="for the board to say so")
        scans = agent.counters()["control.scans"]
        site.level = 2.0
        until(lambda: any(site.values()[f"pump-station/pump.{n}.command"] for n in (1, 2)), why="for control")
        assert agent.counters()["control.scans"] > scans
        filler.unlink()
        failures = agent.counters()["recorder.write_failures"]
        commits = agent.counters()["recorder.commits"]
        until(lambda: agent.counters()["recorder.commits"] > commits, why=f"for room, {failures} failures")
        until(lambda: agent.counters()["recorder.backlog"] == 0)
        until(lambda: not agent.counters()["recorder.disk_refuses"])
        until(lambda: len(disk_alarms(agent)) == 2, why="for the alarm to be told and cleared")
        assert disk_alarms(agent) == [("high", True), ("high", False)]
        said = agent.log.read_text()
        assert "the disk takes nothing of the journal" in said and "No space left on device" in said
        assert agent.status()["processes"]["recorder"]["restarts"] == 0
        assert agent.stop() == 0
        seen: Counter[int] = Counter()
        for _, _, path in list_segments(agent.journal / "replay"):
            for record in read_committed(path)[1]:
                if record.kind is Kind.SCAN:
                    scan = decode_control(record.payload)
                    assert isinstance(scan, Scan)
                    seen[scan.scan] += 1
        assert sorted(seen) == list(range(1, max(seen) + 1)) and max(seen.values()) == 1


def disk_alarms(agent: Agent) -> list[tuple[str, bool]]:
    """(severity, active) of what the recorder said of its disk."""
    return [
        (one["severity"], one["active"])
        for one in events(agent)
        if (one["kind"], one["subject"], one["what"]) == ("alarm", "journal", "not-written")
    ]


def test_damaged_files_are_set_aside_and_told(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        site.level = 2.0
        until(lambda: agent.counters()["recorder.records"] > 4)
        assert agent.stop() == 0
        for name in ("telemetry", "replay"):
            _, _, path = list_segments(agent.journal / name)[-1]
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(bytes(data))
        (agent.journal / "telemetry" / f"{1:020d}-{1:012d}.seg").write_bytes(b"no journal at all")
        (tmp_path / "state" / "snapshot.msgpack").write_bytes(b"\x93\x01\x02\x03")
        for slot in ("snapshot", "inputs", "outputs", "scans", "readings"):
            (agent.runtime / slot).write_bytes(b"\xa5" * 5000)
        epoch = agent_epoch(agent.journal)
        agent.start()
        until(lambda: any(one["what"] == "repaired" for one in events(agent)))
        until(lambda: agent.counters()["recorder.epoch"] > epoch)
        assert agent.counters()["recorder.quarantined"] >= 2
        kinds = [
            record.kind
            for _, _, path in list_segments(agent.journal / "telemetry")
            for record in read_committed(path)[1]
        ]
        assert Kind.GAP in kinds
        assert list((agent.journal / "telemetry").glob("*.corrupt"))
        until(lambda: any(site.values()[f"pump-station/pump.{n}.command"] for n in (1, 2)))
        assert agent.stop() == 0


def agent_epoch(journal: Path) -> int:
    return max(epoch for epoch, _, _ in list_segments(journal / "telemetry"))
