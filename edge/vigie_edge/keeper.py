"""The main process of a service unit: keeps the supervisor running, and does nothing that could fail.

When a unit's main process dies, systemd ends all its other processes with SIGKILL (KillMode=mixed). So the main
process is not the supervisor but this: when the supervisor dies, control goes on, and the next supervisor takes
it over within a second. It passes signals down and the supervisor's notifications up, and imports nothing of ours.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

_FIRST_BACKOFF_S = 0.05
_MAX_BACKOFF_S = 1.0
_STABLE_S = 10.0
_LONGEST = 4096


class Keeper:
    """Runs ``command`` again and again until told to stop, or until it ends before it was ever ready."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._manager = environment.get("NOTIFY_SOCKET", "")
        self._relay: socket.socket | None = None
        self._ready = False
        self._asked = False
        self._pid = 0
        directory = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        if self._manager and directory:
            self._relay = self._listen(f"{directory}/notify")

    def _listen(self, path: str) -> socket.socket:
        """A notification socket of our own, for the supervisor: the manager listens to its main process alone."""
        relay = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            relay.bind(path)
        finally:
            os.umask(mask)
        self._environment["NOTIFY_SOCKET"] = path
        return relay

    def run(self) -> int:
        """Serve; the exit code of the supervisor that ended in order, or could not begin."""
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        backoff = _FIRST_BACKOFF_S
        while True:
            begun = time.monotonic()
            code = self._once(wake_r)
            lasted = time.monotonic() - begun > _STABLE_S
            if self._told_to_stop() or code == 0 or not (self._ready or lasted):
                return max(0, code)
            told = f"signal {-code}" if code < 0 else f"exit code {code}"
            with contextlib.suppress(OSError):
                sys.stderr.write(f"the supervisor ended ({told}); its children go on; started again\n")
                sys.stderr.flush()
            if lasted:
                backoff = _FIRST_BACKOFF_S
            select.select([wake_r], [], [], backoff)
            backoff = min(_MAX_BACKOFF_S, 2 * backoff)
            if self._told_to_stop():
                return 0

    def _once(self, wake: int) -> int:
        """One supervisor's life: its exit code, or minus the signal that ended it."""
        self._pid = os.posix_spawnp(self._command[0], self._command, self._environment)
        if self._told_to_stop():  # it came while there was nobody to tell
            os.kill(self._pid, signal.SIGTERM)
        while True:
            waited: list[int | socket.socket] = [wake]
            if self._relay is not None:
                waited.append(self._relay)
            select.select(waited, [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
            self._pass_on()
            code = self._reap()
            if code is not None:
                return code

    def _reap(self) -> int | None:
        """The supervisor's exit code once it has ended; orphans that fell to us are buried on the way."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == self._pid:
                self._pid = 0
                self._pass_on()
                return os.waitstatus_to_exitcode(status)
            if pid == 0:
                return None

    def _pass_on(self) -> None:
        """The supervisor's notifications to whoever manages us."""
        if self._relay is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self._relay.recv(_LONGEST)
                self._ready = self._ready or b"READY=1" in said
                address = f"\0{self._manager[1:]}" if self._manager[0] == "@" else self._manager
                with (
                    contextlib.suppress(OSError),
                    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as up,
                ):
                    up.sendto(said, address)

    def _told_to_stop(self) -> bool:
        return self._asked

    def _ask_stop(self, _number: int, _frame: object) -> None:
        self._asked = True
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.stderr.write(
            "python -m vigie_edge.keeper COMMAND...: keeps COMMAND running; for a service unit\n"
        )
        sys.exit(2)
    sys.exit(Keeper(sys.argv[1:], dict(os.environ)).run())
