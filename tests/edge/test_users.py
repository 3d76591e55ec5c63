"""Field and uplink as users of their own: what they may still do, and what they may not. Needs root, as CI has it.

Numbers stand for users, so that none need be made on the machine.
"""

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.edge.wallclock import Agent, WaterSite, until, water_gateway

FIELD, UPLINK = 64_123, 64_124
WORDS = ("--field-user", f"{FIELD}:{FIELD}", "--uplink-user", f"{UPLINK}:{UPLINK}")
ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may pass through, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="vigie-users-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def status_of(pid: int) -> dict[str, str]:
    rows = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in rows}


def maps_of(pid: int) -> dict[str, str]:
    """File name -> protection, of what a process has mapped shared."""
    rows = (line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    return {Path(row[-1]).name: row[1] for row in rows if row[1].endswith("s")}


def as_user(uid: int, what: Callable[[], object]) -> str:
    """What comes of ``what`` done by another user: the name of its error, or nothing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([uid])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            what()
        except OSError as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as told:
        return told.read().decode()


@ROOT_ALONE
def test_field_and_uplink_are_users_who_may_do_no_more_than_their_work(folder: Path) -> None:
    uplink = {"host": "127.0.0.1", "port": 9}
    with WaterSite() as site:
        agent = Agent(water_gateway(folder, site, uplink=uplink))
        try:
            agent.start(*WORDS)
            pids = {name: agent.pid(name) for name in ("control", "field", "recorder", "uplink")}
            for name, uid in (("field", FIELD), ("uplink", UPLINK)):
                told = until(lambda name=name: settled(pids[name]), why=f"for {name} to be its own user")
                assert told["Uid"].split() == told["Gid"].split() == [str(uid)] * 4
                assert told["Groups"] == str(uid)
            for name in ("field", "uplink", "recorder"):
                assert int(status_of(pids[name])["CapPrm"], 16) == 0, name
            nice_and_lock = 1 << 23 | 1 << 14
            assert int(status_of(pids["control"])["CapPrm"], 16) & ~nice_and_lock == 0

            # Frames have one writer each, and a mapping that was made to read stays so.
            kinds = {name: maps_of(pid) for name, pid in pids.items()}
            assert kinds["field"]["inputs"] == kinds["control"]["outputs"] == "rw-s"
            assert (
                kinds["field"]["outputs"] == kinds["control"]["inputs"] == kinds["uplink"]["inputs"] == "r--s"
            )
            assert not {"outputs", "snapshot", "scans", "readings", "mailbox-supervisor"} & set(
                kinds["uplink"]
            )
            assert "mailbox-supervisor" not in kinds["field"]
            assert {name for name, kind in kinds["uplink"].items() if kind == "rw-s" and "board" in name} == {
                "board-uplink"
            }

            # Neither opens anything of the others any more.
            state = folder / "state"
            for uid in (FIELD, UPLINK):
                for file in (
                    "outputs",
                    "inputs",
                    "board-control",
                    "mailbox-supervisor",
                    "control.bell",
                    "command",
                ):
                    assert as_user(uid, lambda file=file: os.open(agent.runtime / file, os.O_RDWR)) != "", (
                        file
                    )
                new = state / "policies" / "forged.json"
                assert as_user(uid, new.touch) == "PermissionError"
                assert as_user(uid, (agent.journal / "telemetry" / "x.seg").touch) == "PermissionError"
            assert as_user(FIELD, (state / "policies" / "incoming" / "x").touch) == "PermissionError"
            assert as_user(UPLINK, (state / "policies" / "incoming" / "x").touch) == ""

            # And the agent works: values, a lease, links told by field, the journal read by the uplink.
            until(lambda: agent.status()["links"], why="for what field tells of its links")
            given = agent.ask("lease.take", forces={"basin/gate.command": 96.0}, reason="test", ttl_s=600)
            assert given["ok"]
            until(lambda: float(site.values()["basin/gate.command"]) == 96.0, why="for the lease")
            until(lambda: agent.counters()["uplink.beat"] > 8)
            assert {row["restarts"] for row in agent.status()["processes"].values()} == {0}
            segment = next((agent.journal / "telemetry").glob("*.seg"))
            assert as_user(UPLINK, segment.read_bytes) == "" and as_user(FIELD, segment.read_bytes) != ""
            reported = state / "policies" / "reported.json"
            until(reported.exists)
            assert as_user(UPLINK, lambda: json.loads(reported.read_bytes())) == ""

            # A new supervisor keeps them, and can still end them.
            agent.status()
            assert agent.process is not None
            agent.process.send_signal(signal.SIGKILL)
            agent.process.wait()
            agent.start(*WORDS)
            assert {name: agent.pid(name) for name in pids} == pids
            assert agent.stop() == 0
            assert agent.left_over() == []
        finally:
            agent.end()


def settled(pid: int) -> dict[str, str]:
    told = status_of(pid)
    return told if told["Uid"].split()[0] != "0" else {}


def test_users_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with WaterSite() as site:
        agent = Agent(water_gateway(tmp_path, site))
        for words, told in (
            (("--field-user", "no-such-user"), "no such user"),
            (("--field-user", "root"), "root is no user of its own"),
            (("--uplink-user", "0:0"), "no such user"),
        ):
            done = agent.cli("run", "--config", str(agent.file), *words)
            assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
