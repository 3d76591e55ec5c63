"""A real coordinator as a process, and its API."""

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vigie_protocols.errors import PermanentError, Refused, TransientError
from vigie_sim.agents import command

_START_S = 60.0


@dataclass
class Coordinator:
    """``vigie-central`` with its own state directory.

    http: its address once started. It keeps that and its broker's port when it is started again, so that
    a page and the gateways find it after a crash.
    """

    state: Path
    log: Path
    broker: str = "start"
    listen: str = "127.0.0.1:0"
    http: str = ""
    broker_address: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def initialise(self) -> None:
        """Make keys and token, once."""
        if not (self.state / "operator.token").exists():
            self._run("init")

    def enrol(self, gateways: Sequence[str], district: str, folder: Path) -> None:
        """Write each gateway's key ring as ``folder/GATEWAY.json``. Only while the coordinator is not running."""
        out = folder if len(gateways) > 1 else folder / f"{gateways[0]}.json"
        self._run("enrol", *gateways, "--district", district, "--out", str(out))

    def _run(self, *arguments: str) -> None:
        line = [*command("vigie-central"), *arguments, "--state", str(self.state)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermanentError(
                f"vigie-central {arguments[0]} failed: {(done.stderr or done.stdout).strip()}"
            )

    async def start(self) -> None:
        """Start it and wait until its API answers."""
        ready = self.state / "ready.json"
        ready.unlink(missing_ok=True)
        line = [*command("vigie-central"), "run", "--state", str(self.state), "--http", self.listen]
        line += ["--broker", self.broker, "--ready-file", str(ready), "--log-level", "warning"]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.to_thread(
                subprocess.Popen, line, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            async with asyncio.timeout(_START_S):
                while not ready.exists():
                    if self.process.poll() is not None:
                        tail = self.log.read_text(errors="replace")[-2000:]
                        raise PermanentError(f"the coordinator ended with {self.process.returncode}:\n{tail}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TransientError(f"the coordinator was not ready in {_START_S:.0f} s") from None
        told = json.loads(ready.read_text())
        self.http, self.broker_address = told["http"], told["broker"]
        self.listen = self.http.removeprefix("http://")

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, limit_s: float = 20.0) -> None:
        """SIGTERM and wait; SIGKILL at the limit."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()

    # -- API -----------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request with the operator's token; raises Refused with what the API says."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.http}/api/v1/{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {(self.state / 'operator.token').read_text().strip()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(f"http-{error.code}", error.read().decode(errors="replace")[:2000]) from error
        except OSError as error:
            raise TransientError(f"the coordinator does not answer: {error}") from error
        return json.loads(raw) if raw else None

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """``call`` off the loop."""
        return await asyncio.to_thread(self.call, method, path, body)
