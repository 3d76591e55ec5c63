"""The agent in wall-clock time on real sockets: it reads, decides, writes, answers, stops, and starts again."""

import json
import socket
import urllib.request
from pathlib import Path

import yaml
from tests.edge.wallclock import Agent, WaterSite, outputs, until, water_agent, water_gateway


def test_it_reads_decides_writes_and_beats(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        until(lambda: agent.counters()["field.readings"] > 20)
        site.level = 2.0  # above the lead pump's start level, below the relay's lead float
        until(
            lambda: (
                site.values()["pump-station/pump.1.command"] or site.values()["pump-station/pump.2.command"]
            )
        )
        until(lambda: not site.station.fallback and not site.basin.fallback, why="for both heartbeats")
        first = site.values()["basin/heartbeat"]
        until(lambda: site.values()["basin/heartbeat"] > first)
        site.level = 0.9  # below the stop level; the guard keeps it running for its least time first
        begun = agent.counters()
        assert begun["field.write_failures"] == 0 and begun["field.safe_writes"] == 0
        until(lambda: agent.counters()["control.scans"] >= begun["control.scans"] + 10)
        later = agent.counters()
        assert later["control.torn_frames"] == 0 and later["recorder.samples"] > 0
        assert later["field.readings_lost"] == later["control.scans_lost"] == 0


def test_its_commands_and_metrics_answer(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        until(
            lambda: (
                [
                    device["up"]
                    for link in agent.status()["links"].values()
                    for device in link["devices"].values()
                ]
                == [True] * 2
            )
        )
        shown = agent.cli("status", "--config", str(agent.file))
        assert shown.returncode == 0, shown.stderr
        for word in (
            "pump-station",
            "basin",
            "generation 0; local defaults",
            "gw-pompage",
            "control",
            "field",
            "recorder",
            "every 100 ms",
            "2 of 2 answer",
        ):
            assert word in shown.stdout
        point = "basin/gate.command"
        taken = agent.cli(
            *("lease", "take", "--config", str(agent.file), point, "40"),
            *("--reason", "essai", "--holder", "A. Tremblay", "--ttl", "60"),
        )
        assert taken.returncode == 0, taken.stderr
        lease = json.loads(taken.stdout)
        assert lease["forces"] == {point: 40} and 0 < lease["remaining_s"] <= 60
        until(lambda: float(site.values()[point]) < 100.0, why="for the gate to be told")
        listed = agent.ask("lease.list")["result"]["leases"]
        assert [(one["id"], one["holder"]) for one in listed] == [(lease["id"], "A. Tremblay")]
        assert "essai" in agent.cli("status", "--config", str(agent.file)).stdout
        french = agent.cli("status", "--config", str(agent.file), language="fr").stdout
        assert "toutes les 100 ms" in french and "essai" in french and "answer" not in french
        other = agent.cli("lease", "release", "--config", str(agent.file), lease["id"], "--holder", "B. Roy")
        assert other.returncode == 1 and "not-holder" in other.stderr
        given = agent.cli(
            "lease", "release", "--config", str(agent.file), lease["id"], "--holder", "A. Tremblay"
        )
        assert given.returncode == 0, given.stderr
        assert agent.ask("lease.list")["result"]["leases"] == []
        until(lambda: float(site.values()[point]) == 100.0, why="for the gate to be given back")
        bad = agent.ask("lease.take", forces={"basin/level": 1.0}, reason="x", ttl_s=5)
        assert not bad["ok"] and bad["code"] == "bad-lease"
        assert agent.ask("no-such-thing")["code"] == "bad-request"
        port = (agent.runtime / "metrics-port").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        assert 'vigie_edge_process_up{gateway="gw-pompage",process="control"} 1' in text
        assert "vigie_edge_control_scans_total" in text
        samples = {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line[0] != "#"
        }
        assert samples['vigie_edge_device_up{gateway="gw-pompage",link="basin",device="basin"}'] == 1
        assert samples['vigie_edge_control_leases{gateway="gw-pompage"}'] in (0, 1)
        kinds = [line for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(kinds) == len({line.split()[2] for line in kinds}), "each metric is declared once"


def test_whoever_dawdles_at_the_metrics_port_holds_nobody_up(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (_, agent):
        port = int((agent.runtime / "metrics-port").read_text())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as dawdler:
            dawdler.sendall(b"GET /met")  # and no more
            begun = agent.counters()["control.scans"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                assert answer.status == 200
            until(lambda: agent.counters()["control.scans"] > begun)
            assert dawdler.recv(1) == b"", "it is left in the end"


def test_metrics_that_cannot_be_served_do_not_stop_the_agent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, WaterSite() as site:
        agent = Agent(water_gateway(tmp_path, site, metrics_port=taken.getsockname()[1]))
        try:
            agent.start()
            assert "no metrics" in agent.log.read_text()
        finally:
            agent.end()


def test_it_stops_cleanly_and_finds_its_journal_again(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        site.level = 2.0
        command = "pump-station/pump.1.command"
        until(lambda: site.values()[command] or site.values()["pump-station/pump.2.command"])
        until(lambda: agent.counters()["recorder.records"] > 3)
        until(lambda: agent.counters()["recorder.backlog"] == 0)
        last = agent.counters()["recorder.last_index"]
        assert agent.stop() == 0
        assert agent.left_over() == []
        assert not (agent.runtime / "command").exists()
        shown = site.values()
        assert not shown[command] and not shown["pump-station/pump.2.command"], "left at their safe values"
        segments = sorted((agent.journal / "telemetry").glob("*.seg"))
        assert segments
        epoch = segments[0].name.split("-")[0]
        agent.start()
        until(lambda: agent.counters()["recorder.last_index"] > last)
        counters = agent.counters()
        assert str(counters["recorder.epoch"]) == epoch.lstrip("0")
        assert counters["recorder.quarantined"] == 0


def test_a_second_agent_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (_, agent):
        pids = {name: row["pid"] for name, row in agent.status()["processes"].items()}
        second = agent.cli("run", "--config", str(agent.file))
        assert second.returncode == 1 and "runs already" in second.stderr and "Traceback" not in second.stderr
        assert {name: row["pid"] for name, row in agent.status()["processes"].items()} == pids


def test_it_starts_without_its_devices(tmp_path: Path) -> None:
    with WaterSite() as site:
        file = water_gateway(tmp_path, site)
    agent = Agent(file)  # the devices are gone by now
    try:
        agent.start()
        until(lambda: agent.counters()["field.links_down"] == 2)
        scans = agent.counters()["control.scans"]
        until(lambda: agent.counters()["control.scans"] > scans + 5)
        assert agent.counters()["field.beat"] > 0
        assert agent.stop() == 0
    finally:
        agent.end()


def test_a_write_that_was_cut_short_by_the_stop_is_made_good(tmp_path: Path) -> None:
    gate = "basin/gate.command"
    with WaterSite() as site:
        file = water_gateway(tmp_path, site)
        data = yaml.safe_load(file.read_text())
        for link in data["links"].values():
            link["timeout_s"] = 10.0
        file.write_text(yaml.safe_dump(data))
        agent = Agent(file)
        try:
            agent.start()
            until(lambda: float(site.values()[gate]) == 100.0)
            # One write is under way and is not answered; the next one, of the very safe value, waits for it.
            site.stalled = True
            given = agent.ask("lease.take", forces={gate: 99.5}, reason="test", ttl_s=600)
            assert given["ok"], given
            until(lambda: float(outputs(agent)[gate]) == 99.5)
            freed = agent.ask("lease.release", id=given["result"]["id"])
            assert freed["ok"], freed
            until(lambda: float(outputs(agent)[gate]) == 100.0)
            begun = agent.counters()["field.beat"]
            until(lambda: agent.counters()["field.beat"] > begun + 2)
            assert agent.process is not None
            agent.process.terminate()
            site.stalled = False
            assert agent.process.wait(60) == 0
            until(lambda: float(site.values()[gate]) == 100.0)
        finally:
            site.stalled = False
            agent.end()
