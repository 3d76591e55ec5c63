"""The broker of the city when nobody else runs one: started in the state directory, kept alive.

Its port is chosen once and kept, so that gateways find it again after any restart.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path

import structlog

from vigie_central.settings import Endpoint
from vigie_protocols.broker import Broker
from vigie_protocols.errors import LinkDown

log = structlog.get_logger("vigie.broker")


class OwnBroker:
    """A broker from ``start`` to ``stop``; one that dies is started again on the same port."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self._note = directory / "broker.json"
        self._directory = directory
        self._wanted = port
        self._broker: Broker | None = None
        self.restarts = 0

    def start(self) -> Endpoint:
        """Start it; gives where it listens. Blocking; raises LinkDown."""
        self._directory.mkdir(parents=True, exist_ok=True)
        noted = self._read()
        _end_orphan(noted.get("pid"), self._directory)
        port = self._wanted or noted.get("port", 0)
        try:
            broker = Broker(self._directory, port)
            broker.start()
        except LinkDown:
            if self._wanted or not port:
                raise
            log.warning("the broker's port is taken; choosing another", port=port)
            broker = Broker(self._directory, 0)
            broker.start()
        self._broker = broker
        self._write(broker)
        if broker.kind == "amqtt":
            log.warning(
                "AMQTT INSTEAD OF MOSQUITTO: it carries about 4,000 messages a second and is not for duty. "
                "Install mosquitto (apt install mosquitto) and start again."
            )
        log.info("broker started", kind=broker.kind, port=broker.port)
        return Endpoint(broker.host, broker.port)

    async def watch(self) -> None:
        """Start it again whenever it is gone, until cancelled."""
        pause = 0.2
        while True:
            await asyncio.sleep(pause)
            broker = self._broker
            if broker is None or broker.alive:
                pause = 0.2
                continue
            log.error("the broker is gone; starting it again", port=broker.port)
            self.restarts += 1
            try:
                await asyncio.to_thread(broker.start)
                self._write(broker)
            except LinkDown as why:
                pause = min(5.0, pause * 2)
                log.error("the broker does not start", reason=str(why), again_in=pause)

    def stop(self) -> None:
        """Stop it. Blocking."""
        if self._broker is not None:
            self._broker.stop()
            self._note.unlink(missing_ok=True) if not self._broker.port else self._write(self._broker)

    def _read(self) -> dict[str, int]:
        try:
            noted = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return {name: value for name, value in noted.items() if isinstance(value, int)}

    def _write(self, broker: Broker) -> None:
        self._note.write_text(json.dumps({"port": broker.port, "pid": broker.pid}))


def _end_orphan(pid: int | None, directory: Path) -> None:
    """End a broker that a killed coordinator left: the process that runs with this very directory."""
    if pid is None:
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return
    if str(directory).encode() not in command:
        return
    log.warning("ending the broker of a coordinator that was killed", pid=pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5.0
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
