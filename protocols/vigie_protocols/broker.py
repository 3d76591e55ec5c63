"""An MQTT broker as a child process: mosquitto where installed, else amqtt (not for duty).

Used for the city (coordinator), for the field bus of the simulator's MQTT devices, and by tests. By hand:
``python -m vigie_protocols.broker --port 1883 --directory DIR [--amqtt]``.
"""

from pathlib import Path
from types import TracebackType


class Broker:
    """A broker that runs on loopback from ``start`` to ``stop``; also a context manager.

    kind: "mosquitto" or "amqtt"; None takes mosquitto when it is installed.
    port: 0 takes a free one. directory: its own, for configuration, persistence and log.
    """

    def __init__(self, directory: Path, port: int = 0, kind: str | None = None, host: str = "127.0.0.1") -> None:
        self.directory = directory
        self.port = port
        self.host = host
        self.kind = kind

    def start(self, timeout: float = 20.0) -> None:
        """Start and wait until it accepts MQTT connections; raises LinkDown with the log's end."""
        ...

    def stop(self, timeout: float = 5.0) -> None:
        """Ask it to leave (SIGTERM), then make it; waits until it is gone. Idempotent."""
        ...

    def kill(self) -> None:
        """SIGKILL, as a power cut would: for fault tests. ``start`` brings it back on the same port."""
        ...

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        ...

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
