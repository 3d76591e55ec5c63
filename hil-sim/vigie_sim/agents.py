"""Real agents as processes: started, asked, killed, stopped. The simulator never imports them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigie_protocols.errors import PermanentError, TransientError, VigieError
from vigie_protocols.gateway import load_gateway
from vigie_protocols.localsocket import ask


def command(name: str) -> list[str]:
    """A console command of this same installation, as an argument list."""
    beside = Path(sys.executable).parent / name
    if not beside.exists():
        raise PermanentError(
            f"{name} is not installed beside {sys.executable}; install the package with all extras"
        )
    return [str(beside)]


@dataclass
class Agent:
    """One ``vigie-edge run`` process. log: where its output goes. single: all its parts in that one process."""

    file: Path
    lockstep: str
    log: Path
    single: bool = False
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        gateway = load_gateway(self.file).gateway
        self.name = gateway.gateway
        self.runtime = gateway.runtime_dir

    def start(self) -> None:
        """Start it; its state and journal are where its file says."""
        arguments = [*command("vigie-edge"), "run", "--config", str(self.file)]
        if self.single:
            arguments.append("--single")
        if self.lockstep:
            arguments += ["--lockstep", self.lockstep]
        else:
            arguments.append("--clock-trusted")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def check(self) -> None:
        """Raise PermanentError with the end of its log if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise PermanentError(f"agent {self.name} ended with code {self.process.returncode}:\n{tail}")

    def status(self) -> dict[str, Any]:
        """What its command socket says; raises TransientError while it does not answer."""
        result: dict[str, Any] = ask(self.runtime, "status")["result"]
        return result

    def child_pid(self, name: str) -> int:
        """Process id of one of its children (field, control, recorder, uplink)."""
        return int(self.status()["processes"][name]["pid"])

    def kill_child(self, name: str) -> int:
        """SIGKILL one child; returns the process id that was killed."""
        pid = self.child_pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def drained(self, limit_s: float) -> dict[str, int]:
        """Counters once every record is in the journal and acknowledged; raises TransientError at the limit.

        The recorder's own figures may be older than the last record in its rings: only those of a turn that
        began after this call count.
        """
        since: int | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    with contextlib.suppress(VigieError):
                        counters: dict[str, int] = (await asyncio.to_thread(self.status))["counters"]
                        since = counters["recorder.turns"] if since is None else since
                        if counters["recorder.turns"] >= since + 2 and _is_drained(counters):
                            return counters
                    self.check()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TransientError(f"agent {self.name} did not drain its journal in {limit_s:.0f} s") from None

    def stop(self, limit_s: float = 20.0) -> int:
        """SIGTERM and wait; SIGKILL at the limit. Returns its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise TransientError(f"agent {self.name} did not stop in {limit_s:.0f} s") from None


def _is_drained(counters: dict[str, int]) -> bool:
    done = counters["recorder.backlog"] == 0
    acked = counters["uplink.acked_epoch"] == counters["recorder.epoch"]
    return done and acked and counters["uplink.acked_through"] >= counters["recorder.last_index"]
