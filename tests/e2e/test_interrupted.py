"""Told to end in the middle of its work, the simulator takes everything along that it has started."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.e2e.stack import WAIT_S, until_true

from vigie_sim.agents import command


def left_behind(folder: Path) -> list[str]:
    """Command lines of processes that work in ``folder``."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_nothing_is_left_of_an_interrupted_demonstration(folder: Path, number: signal.Signals) -> None:
    words = ["demo", "--headless", "--folder", str(folder / "demo")]
    with subprocess.Popen([*command("vigie-sim"), *words], stdout=subprocess.DEVNULL) as demo:
        # SIGTERM meets it with agents, brokers, coordinator and database up, SIGINT before most of them are.
        sign = "log/gw-mixte.log" if number is signal.SIGTERM else "bus/broker.log"
        try:
            until_true(lambda: (folder / "demo" / sign).exists() or demo.poll() is not None, sign)
            assert demo.poll() is None
            assert left_behind(folder)
            demo.send_signal(number)
            assert demo.wait(WAIT_S) == 130
        finally:
            demo.kill()
    assert left_behind(folder) == []
