"""A journal run again gives every decision anew; one changed record is found; faults and leases are in it."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.edge.wallclock import Agent, events, until, water_agent

from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import MAGIC, Kind, Record, encode, scan_records
from vigie_edge.records import Scan, decode_control
from vigie_edge.records import encode as encode_record
from vigie_edge.replay import Replay


def test_a_run_with_kills_and_leases_replays_bit_for_bit(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        site.level = 2.0
        until(
            lambda: (
                site.values()["pump-station/pump.1.command"] or site.values()["pump-station/pump.2.command"]
            )
        )
        lease = agent.ask("lease.take", "A. Roy", forces={"basin/gate.command": 50}, reason="essai", ttl_s=60)
        until(lambda: float(site.values()["basin/gate.command"]) < 100)
        control, recorder = agent.kill("control"), agent.kill("recorder")
        until(lambda: agent.pid("control") != control and agent.pid("recorder") != recorder)
        scans = agent.counters()["control.scans"]
        until(lambda: agent.counters()["control.scans"] > scans + 5)
        assert agent.ask("lease.release", "A. Roy", id=lease["result"]["id"])["ok"]
        field = agent.kill("field", signal.SIGSTOP)  # control goes blind, then sees again
        until(lambda: not agent.process or any(one["what"] == "gate-safe" for one in events(agent)))
        agent.kill("field")
        until(lambda: agent.pid("field") != field)
        site.level = 0.9
        until(lambda: not site.values()["pump-station/pump.1.command"])
        until(
            lambda: (
                {"granted", "released"} <= {one["what"] for one in events(agent) if one["source"] == "lease"}
            )
        )
        assert agent.stop() == 0
        ran = agent.cli("replay", str(agent.journal), "--config", str(agent.file), "--json")
        report = json.loads(ran.stdout)
        assert report["differences"] == [] and report["skipped"] == 0, (report, ran.stderr)
        assert not any("other controllers" in note for note in report["notes"])
        assert ran.returncode == 0
        assert report["scans"] > 20 and report["snapshots"] >= 3

        shown = agent.cli("journal", str(agent.journal))
        assert shown.returncode == 0 and "telemetry: epoch" in shown.stdout and "snapshot" in shown.stdout
        lines = [
            json.loads(row)
            for row in agent.cli("journal", str(agent.journal), "--export").stdout.splitlines()
        ]
        assert {row["kind"] for row in lines} >= {
            "preamble",
            "samples",
            "event",
            "readings",
            "scan",
            "snapshot",
        }
        assert sum(row["kind"] == "scan" for row in lines) == report["scans"]

        segments = [path for _, _, path in list_segments(agent.journal / "replay")]
        alone = 0
        for path in segments:  # each can be run again without the others
            (tmp_path / path.stem).mkdir()
            shutil.copy(path, tmp_path / path.stem / path.name)
            one = Replay(load_plan(agent.file)).run(tmp_path / path.stem)
            assert (one.differences, one.skipped) == ([], 0)
            alone += one.scans
        assert alone == report["scans"]
        first = max(segments[:-1], key=lambda path: len(scan_ends(path.read_bytes())))
        whole = first.read_bytes()
        first.write_bytes(whole[: half_of_the_scans(whole)])  # scans are missing: told, taken up later
        cut = run_again(agent)
        assert cut["differences"] == [] and 0 < cut["scans"] < report["scans"]
        assert cut["skipped"] == 0, "each segment begins with a snapshot"
        assert cut["scans"] + cut["missing"] == report["scans"] + report["missing"]
        assert len([note for note in cut["notes"] if note.endswith("are missing")]) == 1 + len(
            [note for note in report["notes"] if note.endswith("are missing")]
        )
        spoilt = bytearray(whole)
        spoilt[half_of_the_scans(whole) + 10] ^= 8
        first.write_bytes(spoilt)
        assert any(note.startswith(f"{first.name}: damaged") for note in run_again(agent)["notes"])
        first.write_bytes(whole)
        changed = change_one_output(agent.journal / "replay")
        ran = agent.cli("replay", str(agent.journal), "--config", str(agent.file), "--json")
        assert ran.returncode == 1
        found = {(one["scan"], one["what"]) for one in json.loads(ran.stdout)["differences"]}
        assert (changed, "outputs") in found


def run_again(agent: Agent) -> dict[str, Any]:
    """What replay says of a journal in which no decision came out otherwise."""
    ran = agent.cli("replay", str(agent.journal), "--config", str(agent.file), "--json")
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


def scan_ends(data: bytes) -> list[int]:
    """The byte after each scan of a segment."""
    return [end for end, record in scan_records(data) if record.kind is Kind.SCAN]


def half_of_the_scans(data: bytes) -> int:
    """The byte after which half of a segment's scans follow."""
    ends = scan_ends(data)
    assert len(ends) >= 2, "a segment with too few scans to cut"
    return ends[len(ends) // 2 - 1]


def change_one_output(folder: Path) -> int:
    """Write another value into the last scan that changed an output; its number."""
    for _, _, path in reversed(list_segments(folder)):
        rows = [record for _, record in scan_records(path.read_bytes())]
        for place in reversed(range(len(rows))):
            if rows[place].kind is not Kind.SCAN:
                continue
            scan = decode_control(rows[place].payload)
            if isinstance(scan, Scan) and scan.outputs:
                scan.outputs[0] = (scan.outputs[0][0], 12345)
                rows[place] = Record(Kind.SCAN, rows[place].index, encode_record(scan))
                path.write_bytes(MAGIC + b"".join(encode(row) for row in rows))
                return scan.scan
    raise AssertionError("no output changed")


def test_a_latched_fault_outlives_restarts_until_a_named_person_resets_it(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        site.level = 2.0
        until(
            lambda: (
                site.values()["pump-station/pump.1.command"] or site.values()["pump-station/pump.2.command"]
            )
        )
        running = 1 if site.values()["pump-station/pump.1.command"] else 2
        motor = site.station.motors[running - 1]
        motor.fault = "overload"
        until(lambda: agent.ask("fault.list")["result"]["faults"])
        motor.reset(0.0)
        subject = f"pump {running}"
        for number in (signal.SIGKILL, None):
            if number is None:
                assert agent.stop() == 0
                (agent.runtime / "snapshot").unlink()  # as after a power cut: only the disk remembers
                agent.start()
            else:
                control = agent.kill("control", number)
                until(lambda control=control: agent.pid("control") != control)
            faults = until(lambda: agent.ask("fault.list").get("result", {}).get("faults"))
            assert (faults[0]["loop"], faults[0]["subject"]) == ("station", subject)
        words = ("fault", "reset", "--config", str(agent.file), "station")
        nobody = agent.cli(*words, subject, "--holder", " ", "--reason", "x")
        assert nobody.returncode == 1 and "names who" in nobody.stderr
        other = agent.cli(*words, "pump 9", "--holder", "A. Roy", "--reason", "x")
        assert other.returncode == 1 and "nothing is latched" in other.stderr
        done = agent.cli(*words, subject, "--holder", "A. Roy", "--reason", "courroie remplacée")
        assert done.returncode == 0, done.stderr
        assert agent.ask("fault.list")["result"]["faults"] == []
        told = until(lambda: [one for one in events(agent) if one["what"] == "reset"])
        assert (
            told[0]["subject"] == f"station: {subject}" and told[0]["reason"] == "A. Roy: courroie remplacée"
        )


def test_every_committed_record_can_be_read(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (_, agent):
        until(lambda: agent.counters()["recorder.records"] > 3)
        assert agent.stop() == 0
        for name in ("telemetry", "replay"):
            segments = list_segments(agent.journal / name)
            assert segments
            for _, _, path in segments:
                offset, records = read_committed(path)
                assert offset == path.stat().st_size and records
        plan = agent.cli("plan", str(agent.file))
        assert plan.returncode == 0 and "function 4, input 0 to" in plan.stdout
        for what in ("gateway", "profile"):
            assert json.loads(agent.cli("schema", what).stdout)["type"] == "object"
        assert agent.cli("schema", "x").returncode == 2
