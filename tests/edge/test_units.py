"""The systemd side: units that systemd takes, READY, a watchdog fed by progress alone, STOPPING."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.edge.wallclock import ROOT, Agent, WaterSite, until, water_gateway

from vigie_edge.processes.child import MAX_BACKOFF_S
from vigie_edge.processes.watchdog import STALL_S, START_S

UNITS = ROOT / "firmware-config" / "systemd"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for unit, name in (("vigie-edge@.service", "vigie-edge@gw.service"), ("vigie-central.service",) * 2):
        text = (UNITS / unit).read_text()
        for command in ("vigie-edge", "vigie-central"):
            text = text.replace(f"/opt/vigie/bin/{command}", "/bin/true")
        (tmp_path / name).write_text(text.replace("/opt/vigie/bin/python", "/bin/true"))
        done = subprocess.run(
            [analyze, "verify", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "Unknown" not in done.stderr, done.stderr


def test_systemd_waits_longer_than_the_supervisor() -> None:
    told = re.search(r"^WatchdogSec=(\d+)$", (UNITS / "vigie-edge@.service").read_text(), re.MULTILINE)
    assert told is not None and int(told[1]) > STALL_S + MAX_BACKOFF_S + START_S


def test_the_watchdog_is_fed_by_progress_alone(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, WaterSite() as site:
        notify.bind(address)
        notify.settimeout(30)
        agent = Agent(water_gateway(tmp_path, site))
        try:
            agent.start(NOTIFY_SOCKET=address)
            assert notify.recv(100) == b"READY=1"
            assert notify.recv(100) == b"WATCHDOG=1"
            pid = agent.kill("control", signal.SIGSTOP)
            until(lambda: drained(notify), why="for silence")
            with contextlib.suppress(ProcessLookupError):  # it may have been ended as hung
                os.kill(pid, signal.SIGCONT)
            assert notify.recv(100) == b"WATCHDOG=1"
            assert agent.stop() == 0
            words = [b""]
            while words[-1] != b"STOPPING=1":
                words.append(notify.recv(100))
        finally:
            agent.end()


def test_the_unit_outlives_its_supervisor_and_control_does_not_notice(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, WaterSite() as site:
        notify.bind(address)
        notify.settimeout(60)
        agent = Agent(water_gateway(tmp_path, site))
        agent.runtime.mkdir()
        try:
            agent.start(keeper=True, NOTIFY_SOCKET=address, RUNTIME_DIRECTORY=str(agent.runtime))
            assert notify.recv(100) == b"READY=1"
            told = agent.status()
            os.kill(told["supervisor"], signal.SIGKILL)
            until(lambda: agent.status()["supervisor"] != told["supervisor"], why="for the next supervisor")
            after = agent.status()["processes"]
            assert all(after[name]["pid"] == row["pid"] for name, row in told["processes"].items())
            while notify.recv(100) != b"READY=1":
                pass
            assert notify.recv(100) == b"WATCHDOG=1"
            assert agent.alive()
            assert agent.stop() == 0
            assert agent.left_over() == []
        finally:
            agent.end()


def test_the_keeper_ends_with_a_command_that_never_began(tmp_path: Path) -> None:
    keeper = [sys.executable, "-m", "vigie_edge.keeper"]
    done = subprocess.run(
        [*keeper, sys.executable, "-m", "vigie_edge.cli", "run", "--config", "none.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "none.yaml" in done.stderr
    assert subprocess.run(keeper, capture_output=True, check=False).returncode == 2


def drained(notify: socket.socket) -> bool:
    """True once a second has passed without a word (one may have been on its way)."""
    notify.settimeout(1.0)
    try:
        notify.recv(100)
    except TimeoutError:
        return True
    finally:
        notify.settimeout(30)
    return False
