"""An MQTT broker as a child process: mosquitto where it is installed, else amqtt (not for duty).

Used for the city (coordinator), for the field bus of the simulator's MQTT devices, and by tests. By hand:
``python -m vigie_protocols.broker --port 1883 --directory DIR [--amqtt]``, until SIGTERM or Ctrl-C.

It listens on loopback, without a password: a broker that others can reach needs certificates and an access
list of its own, which ``extra`` can carry.
"""

import argparse
import asyncio
import json
import logging
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn

from vigie_protocols.errors import LinkDown, PermanentError

Kind = Literal["mosquitto", "amqtt"]

WARNING = (
    "mosquitto is not installed: amqtt serves instead (MQTT 3.1.1 only, a few thousand messages a second, "
    "nothing kept over a restart). Good for a trial, not for duty: install mosquitto."
)
MAX_PACKET = 8 << 20
_MOSQUITTO = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")
# A 3.1.1 CONNECT with a clean session and no client id, and a DISCONNECT.
_HELLO = bytes((0x10, 12, 0, 4)) + b"MQTT" + bytes((4, 2, 0, 10, 0, 0))
_BYE = bytes((0xE0, 0))
_log = logging.getLogger(__name__)


def find_mosquitto() -> str | None:
    """The path of mosquitto, None when it is not installed.

    VIGIE_MOSQUITTO in the environment names one that stands elsewhere; empty, it means that there is none.
    """
    named = os.environ.get("VIGIE_MOSQUITTO")
    if named is not None:
        return shutil.which(named) if named else None
    return next((found for name in _MOSQUITTO if (found := shutil.which(name))), None)


class Broker:
    """A broker from ``start`` to ``stop``; also a context manager.

    directory: its own, for configuration, persistence and log. port: 0 takes a free one, which is then
    kept. kind: None takes mosquitto when it is installed. extra: further lines for mosquitto's
    configuration. A broker that a killed predecessor left running in the same directory is taken over.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        kind: Kind | None = None,
        host: str = "127.0.0.1",
        extra: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.port = port
        self.host = host
        self.kind: Kind = kind or ("mosquitto" if find_mosquitto() else "amqtt")
        self._extra = tuple(extra)
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._pid: int | None = None

    # -- life ----------------------------------------------------------------------------------------

    def start(self, timeout: float = 20.0) -> None:
        """Start and wait until it answers an MQTT CONNECT; raises LinkDown with the end of its log."""
        if self.alive:
            return
        if self.kind == "amqtt":
            _log.warning(WARNING)
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._adopt():
            return
        chosen = self.port
        for attempt in range(5):
            self.port = chosen or _free_port(self.host)
            try:
                self._spawn(timeout)
                return
            except LinkDown:
                # Another process may have taken the free port in between.
                if chosen or attempt == 4:
                    raise

    def stop(self, timeout: float = 5.0) -> None:
        """Ask it to leave (SIGTERM), make it after ``timeout`` seconds; waits until it is gone."""
        if self._signal(signal.SIGTERM) and not self._wait(timeout):
            self.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL, as a power cut would: for fault tests. ``start`` brings it back on the same port."""
        if self._signal(signal.SIGKILL):
            self._wait(10.0)
        self._forget()

    @property
    def protocols(self) -> tuple[int, ...]:
        """The MQTT versions it speaks, for ``LinkConfig.protocols``: amqtt knows 3.1.1 (4) alone.

        Links that are not told find out by themselves, but each of them loses some seconds over it.
        """
        return (5, 4) if self.kind == "mosquitto" else (4,)

    def join(self) -> None:
        """Wait until the broker ends by itself."""
        self._wait(None)

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._pidfd is not None and not self._wait(0.0)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._pid if self.alive else None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- inside --------------------------------------------------------------------------------------

    def _spawn(self, timeout: float) -> None:
        log = self.directory / "broker.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Its own session: a Ctrl-C at the terminal is for us, who then stop it in order.
                start_new_session=True,
            )
        self._hold(self._process.pid)
        ready = False
        try:
            ready = self._ready(time.monotonic() + timeout)
        finally:
            # Also when a signal's exception comes in between: no broker may be left behind unowned.
            if not ready:
                self.kill()
        if not ready:
            raise LinkDown(f"the broker {self.kind} did not start on port {self.port}: {_tail(log)}")
        note = {"pid": self._pid, "port": self.port, "kind": self.kind, "born": _birth(self._process.pid)}
        self._note.write_text(json.dumps(note))

    def _ready(self, deadline: float) -> bool:
        while not _answers(self.host, self.port):
            if self._wait(0.05) or time.monotonic() > deadline:
                return False
        return True

    @property
    def _note(self) -> Path:
        return self.directory / "broker.json"

    def _command(self) -> list[str]:
        if self.kind == "amqtt":
            where = ["--port", str(self.port), "--host", self.host, "--directory", str(self.directory)]
            return [sys.executable, "-m", "vigie_protocols.broker", "--amqtt", *where]
        program = find_mosquitto()
        if program is None:
            raise PermanentError("mosquitto is not installed")
        path = self.directory / "mosquitto.conf"
        path.write_text("\n".join([*self._settings(), *self._extra, ""]))
        return [program, "-c", str(path)]

    def _settings(self) -> list[str]:
        return [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            # Started by root it would change to a user that may not write here.
            f"user {pwd.getpwuid(os.geteuid()).pw_name}",
            "persistence true",
            f"persistence_location {self.directory.resolve()}/",
            "autosave_interval 10",
            f"max_packet_size {MAX_PACKET}",
            # The defaults (20 in flight, 1000 queued) drop telemetry as soon as a reader is slow.
            "max_inflight_messages 1000",
            "max_queued_messages 100000",
            "max_queued_bytes 268435456",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "connection_messages false",
        ]

    def _adopt(self) -> bool:
        try:
            note = json.loads(self._note.read_text())
            pid, port, born = int(note["pid"]), int(note["port"]), note["born"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if note.get("kind") != self.kind or self.port not in (0, port) or _birth(pid) != born:
            return False
        self._hold(pid)
        self.port = port
        if self._pidfd is not None and _answers(self.host, port):
            return True
        self.kill()
        return False

    def _hold(self, pid: int) -> None:
        try:
            self._pidfd = os.pidfd_open(pid)
            self._pid = pid
        except ProcessLookupError:
            self._pidfd = self._pid = None

    def _signal(self, number: signal.Signals) -> bool:
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def _wait(self, timeout: float | None) -> bool:
        """True when the process has ended within ``timeout`` seconds (None: however long it takes)."""
        if self._pidfd is None:
            return True
        ended = bool(select.select([self._pidfd], [], [], timeout)[0])
        if ended and self._process is not None:
            self._process.wait()
        return ended

    def _forget(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._pidfd = self._pid = self._process = None
        self._note.unlink(missing_ok=True)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _answers(host: str, port: int) -> bool:
    """True when an MQTT broker on ``port`` takes a CONNECT."""
    try:
        with socket.create_connection((host, port), timeout=2.0) as link:
            link.sendall(_HELLO)
            answer = link.recv(4)
            link.sendall(_BYE)
            return answer[:1] == b"\x20"
    except OSError:
        return False


def _birth(pid: int) -> str | None:
    """When a process began, in clock ticks since boot: tells it from a later one with the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "it said nothing"


def _run_amqtt(host: str, port: int) -> None:
    from amqtt.broker import Broker as Amqtt

    async def serve() -> None:
        settings: dict[str, Any] = {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 0}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        server = Amqtt(settings)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await server.start()
        await stop.wait()
        await server.shutdown()

    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m vigie_protocols.broker", description=__doc__)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--amqtt", action="store_true", help="serve with amqtt, in this process")
    given = parser.parse_args(arguments)
    if given.amqtt:
        _run_amqtt(given.host, given.port)
        return 0
    # Not by blocking the signals: the child would inherit that and never hear SIGTERM.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    with Broker(given.directory, given.port, host=given.host) as broker:
        sys.stdout.write(f"{broker.kind} listens on {broker.host}:{broker.port}\n")
        sys.stdout.flush()
        broker.join()
    return 1


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
