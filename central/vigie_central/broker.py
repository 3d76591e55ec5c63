"""The broker of the city when nobody else runs one: started in the state directory, kept alive.

Its port is chosen once and kept, so that gateways find it again after any restart. One that a killed
coordinator left running is taken over.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from vigie_central.settings import Endpoint
from vigie_protocols.broker import WARNING, Broker
from vigie_protocols.errors import LinkDown

log = structlog.get_logger("vigie.broker")


class OwnBroker:
    """A broker from ``start`` to ``stop``; one that dies is started again on the same port."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self._directory = directory
        self._port_file = directory / "port"
        self._wanted = port
        self._broker: Broker | None = None
        self.restarts = 0

    def start(self) -> Endpoint:
        """Start it; gives where it listens. Blocking; raises LinkDown."""
        self._directory.mkdir(parents=True, exist_ok=True)
        port = self._wanted
        if not port:
            with suppress(OSError, ValueError):
                port = int(self._port_file.read_text())
        broker = Broker(self._directory, port)
        if broker.kind == "amqtt":
            log.warning(WARNING.upper())
        broker.start()
        self._port_file.write_text(f"{broker.port}\n")
        self._broker = broker
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
            except LinkDown as why:
                pause = min(5.0, pause * 2)
                log.error("the broker does not start", reason=str(why), again_in=pause)

    def stop(self) -> None:
        """Stop it. Blocking."""
        if self._broker is not None:
            self._broker.stop()
