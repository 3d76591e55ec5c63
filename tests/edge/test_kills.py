"""Processes of the agent stopped and killed: outputs fall to safe values, nothing is lost, nobody runs twice."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.edge.wallclock import Agent, WaterSite, events, outputs, until, water_agent

from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.records import Readings, decode_control, decode_field

COMMANDS = ("pump-station/pump.1.command", "pump-station/pump.2.command")


def pumping(site: WaterSite) -> bool:
    return any(site.values()[name] for name in COMMANDS)


def at_safe_values(site: WaterSite) -> bool:
    values = site.values()
    return not pumping(site) and float(values["basin/gate.command"]) == 100.0


def begin_pumping(site: WaterSite) -> None:
    site.level = 2.0
    until(lambda: pumping(site), why="for a pump")


def test_outputs_expire_without_control_and_come_again(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        begin_pumping(site)
        control = agent.kill("control", signal.SIGSTOP)
        until(lambda: at_safe_values(site), why="for the safe values")
        os.kill(control, signal.SIGCONT)
        until(lambda: pumping(site), why="for outputs after the stop")
        assert agent.counters()["field.safe_writes"] > 0
        until(lambda: {"control-silent", "control-back"} <= {one["what"] for one in events(agent)})
        assert agent.pid("control") == control, "it was only asleep"

        # Killed with nobody to start it again: field alone holds the promise.
        assert agent.process is not None
        os.kill(agent.process.pid, signal.SIGSTOP)
        os.kill(control, signal.SIGKILL)
        until(lambda: at_safe_values(site), why="for the safe values again")
        os.kill(agent.process.pid, signal.SIGCONT)
        until(lambda: pumping(site), why="for the next control")
        assert agent.pid("control") != control


def test_a_killed_field_comes_back_and_control_saw_bad_readings(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        begin_pumping(site)
        assert agent.process is not None
        field = agent.pid("field")
        os.kill(agent.process.pid, signal.SIGSTOP)  # so that it is not started again at once
        os.kill(field, signal.SIGKILL)
        until(lambda: not any(outputs(agent)[name] for name in COMMANDS), why="for control to rest the pumps")
        os.kill(agent.process.pid, signal.SIGCONT)
        until(lambda: agent.pid("field") != field)
        until(lambda: any(outputs(agent)[name] for name in COMMANDS), why="for control to see again")
        until(lambda: pumping(site), why="for outputs after field's restart")
        assert agent.counters()["control.restarts"] == 0


def test_a_recorder_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    with water_agent(tmp_path) as (site, agent):
        for turn in range(8):
            site.level = 1.5 + 0.1 * (turn % 10)
            turns = agent.counters()["recorder.turns"]
            least = turns + chance.randrange(4)
            until(lambda least=least: agent.counters()["recorder.turns"] >= least)
            agent.kill("recorder")
            until(lambda ended=turn + 1: agent.status()["processes"]["recorder"]["restarts"] == ended)
        site.level = 1.4
        agent.pid("recorder")
        until(lambda: agent.counters()["recorder.backlog"] == 0)
        assert agent.stop() == 0
        counters = {name: value for name, value in board(agent).items() if name.endswith("_lost")}
        assert set(counters.values()) == {0}, counters
        scans = Counter(record.scan for record in replayed(agent, Kind.SCAN, decode_control))
        assert max(scans.values()) == 1, "a scan stands in the journal twice"
        assert sorted(scans) == list(range(1, max(scans) + 1)), "a scan is missing"
        assert max(scans) == board(agent)["control.scans"]
        readings = replayed(agent, Kind.READINGS, decode_field)
        changes = sum(len(run[0]) for one in readings if isinstance(one, Readings) for run in one.runs)
        assert changes == board(agent)["field.readings"]
        indices: dict[int, list[int]] = {}
        for epoch, _, path in list_segments(agent.journal / "telemetry"):
            indices.setdefault(epoch, []).extend(record.index for record in read_committed(path)[1])
        for rows in indices.values():
            assert rows == list(range(rows[0], rows[0] + len(rows)))


def replayed(agent: Agent, kind: Kind, decode: Callable[[bytes], object]) -> list[object]:
    return [
        decode(record.payload)
        for _, _, path in list_segments(agent.journal / "replay")
        for record in read_committed(path)[1]
        if record.kind is kind
    ]


def board(agent: Agent) -> dict[str, int]:
    from vigie_edge.memory.board import Board

    return Board(agent.runtime).all()


def kill_supervisor(agent: Agent) -> None:
    agent.status()  # so that what is left over is known
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait()


def test_a_new_supervisor_takes_over_living_children_and_no_scan_is_missed(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        begin_pumping(site)
        before = {name: agent.pid(name) for name in ("control", "field", "recorder")}
        safe_writes = agent.counters()["field.safe_writes"]
        kill_supervisor(agent)
        scans = board(agent)["control.scans"]
        until(lambda: board(agent)["control.scans"] > scans + 5, why="for control to go on alone")
        beat = site.values()["basin/heartbeat"]
        until(lambda: site.values()["basin/heartbeat"] != beat and pumping(site))
        agent.start()
        told = agent.status()["processes"]
        assert {name: told[name]["pid"] for name in before} == before
        assert all(told[name]["adopted"] and told[name]["restarts"] == 0 for name in before)
        # The new supervisor rings and is rung: a lease goes to the old control and its answer comes back.
        given = agent.ask("lease.take", forces={"basin/gate.command": 96.0}, reason="test", ttl_s=600)
        assert given["ok"]
        until(lambda: float(site.values()["basin/gate.command"]) == 96.0, why="for the lease at the device")
        # It sees the end of a child that is not its own, and starts another.
        agent.kill("recorder")
        until(lambda: agent.status()["processes"]["recorder"]["restarts"] == 1)
        assert agent.pid("control") == before["control"]
        assert agent.counters()["field.safe_writes"] == safe_writes, "outputs never expired"
        assert agent.stop() == 0
        assert agent.left_over() == []
        records = replayed(agent, Kind.SCAN, decode_control)
        scans_seen = Counter(record.scan for record in records)
        assert sorted(scans_seen) == list(range(1, max(scans_seen) + 1)), "a scan is missing"
        assert max(scans_seen.values()) == 1, "two controls have scanned"
        begun = [one for one in replayed(agent, Kind.SNAPSHOT, decode_control) if one.start]
        assert len(begun) == 1, "control was started once"


def test_a_new_supervisor_starts_what_died_meanwhile_and_keeps_the_rest(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        begin_pumping(site)
        control, field = agent.pid("control"), agent.pid("field")
        kill_supervisor(agent)
        os.kill(field, signal.SIGKILL)
        until(lambda: not any(outputs(agent)[name] for name in COMMANDS), why="for control to rest the pumps")
        agent.start()
        assert agent.pid("control") == control and agent.pid("field") != field
        until(lambda: pumping(site), why="for outputs by the next field")


def test_children_of_another_configuration_are_not_kept(tmp_path: Path) -> None:
    with water_agent(tmp_path) as (site, agent):
        begin_pumping(site)
        before = {name: agent.pid(name) for name in ("control", "field", "recorder")}
        kill_supervisor(agent)
        agent.file.write_text(agent.file.read_text().replace("commit_ms: 50", "commit_ms: 60"))
        agent.start()
        for name, old in before.items():
            assert agent.pid(name) != old
            assert (
                not Path(f"/proc/{old}").exists() or "Z" in Path(f"/proc/{old}/stat").read_text().split()[2]
            )
        until(lambda: pumping(site))
        assert agent.stop() == 0
        assert agent.left_over() == []
        scans_seen = Counter(record.scan for record in replayed(agent, Kind.SCAN, decode_control))
        assert max(scans_seen.values()) == 1, "two controls have scanned"
