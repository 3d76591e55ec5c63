"""The supervisor: starts the children, starts them again, watches them, answers local people.

It does no disk I/O and no control. Children are forked after the common imports, so that they share them.
If it dies the children go on; a new supervisor ends what is left of them, one at a time, and takes over
their memory and files. A lock per process sees to it that no two of a kind ever run on one runtime directory.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vigie_edge import clock
from vigie_edge.local import LocalDesk
from vigie_edge.memory.board import Board
from vigie_edge.metrics import MetricsPort
from vigie_edge.processes.alone import alone, retire
from vigie_edge.processes.stop import let_signals_in
from vigie_edge.wiring import LINKS_FILE, Wiring
from vigie_protocols.errors import VigieError

_FIRST_BACKOFF_S = 0.02
_MAX_BACKOFF_S = 1.0
_STABLE_S = 10.0
_STOP_S = 10.0
_TURN_S = 0.25
WATCHDOG_STALL_S = 5.0
_KINDS = ("control", "field", "recorder", "uplink")


def _field(wiring: Wiring) -> None:
    import asyncio

    import uvloop

    from vigie_edge.processes.field_main import run_field

    loop = uvloop.new_event_loop()
    # Only our own task: the drivers' tasks are still needed to leave the devices in order.
    main = loop.create_task(run_field(wiring))
    loop.add_signal_handler(signal.SIGTERM, main.cancel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    let_signals_in()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(main)


def _control(wiring: Wiring) -> None:
    from vigie_edge.processes.control import run_control

    run_control(wiring)


def _recorder(wiring: Wiring) -> None:
    from vigie_edge.processes.recorder import run_recorder

    run_recorder(wiring)


def _uplink(wiring: Wiring) -> None:
    from vigie_edge.processes.uplink import run_uplink

    run_uplink(wiring)


@dataclass
class Child:
    """One child process. pid: 0 while it is not running."""

    name: str
    main: Callable[[Wiring], None]
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    next_start: float = 0.0
    backoff: float = _FIRST_BACKOFF_S
    last_exit: str = ""


@dataclass
class Supervisor:
    """One agent's supervisor."""

    wiring: Wiring
    children: dict[str, Child] = field(default_factory=dict)
    stopping: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.board: Board = self.wiring.board()
        # Control first: it must be scanning before anything else takes its time.
        mains = {"control": _control, "field": _field, "recorder": _recorder}
        if self.wiring.plan.gateway.uplink is not None:
            mains["uplink"] = _uplink
        self.children = {name: Child(name, main) for name, main in mains.items()}
        self._notify = _NotifySocket()
        self._inherited: Callable[[], list[socket.socket]] = list
        self._progress = (-1, -1)
        self._progress_at = clock.monotonic()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the simulator ends a lock-step run. Returns the exit code."""
        for name in _KINDS:
            retire(self.wiring.runtime, name)
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        desk = LocalDesk(self.wiring, self.status)
        metrics = MetricsPort(self.wiring, self.status)
        self._inherited = lambda: [*desk.sockets(), *metrics.sockets()]
        answered = self.wiring.bells.supervisor
        gc.collect()
        gc.freeze()
        self._start_due()
        self._notify.send("READY=1")
        try:
            while not self.stopping:
                waited: list[int | socket.socket] = [wake_r, answered.fd, *desk.sockets(), *metrics.sockets()]
                ready, _, _ = select.select(waited, [], [], self._rest())
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_r, 512)
                answered.answer()
                self._reap()
                self._start_due()
                desk.serve(ready)
                metrics.serve(ready)
                self._watch()
        finally:
            self._notify.send("STOPPING=1")
            self._stop_children()
            desk.close()
            metrics.close()
        return 0

    def _ask_stop(self, _signal: int, _frame: object) -> None:
        self.stopping = True

    def _rest(self) -> float:
        now = clock.monotonic()
        due = [child.next_start - now for child in self.children.values() if not child.pid]
        return max(0.0, min([_TURN_S, *due]))

    # -- children ------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now = clock.monotonic()
        for child in self.children.values():
            if not child.pid and now >= child.next_start and not self.stopping:
                self._start(child, now)

    def _start(self, child: Child, now: float) -> None:
        if retire(self.wiring.runtime, child.name):
            sys.stderr.write(f"{child.name}: one that was left over is ended\n")
        # A signal that comes before the child has its own handlers waits until it has them.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                for inherited in self._inherited():
                    inherited.close()  # or somebody would go on waiting there for an answer when we are gone
                _name_process(f"vigie:{child.name}")
                with alone(self.wiring.runtime, child.name):
                    child.main(self.wiring)
                code = 0
            except VigieError as error:
                sys.stderr.write(f"{child.name}: {error}\n")
            except BaseException as error:  # noqa: BLE001 - the child's last word, then it is gone
                import traceback

                sys.stderr.write(f"{child.name}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        child.pid = pid
        child.started = now

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self.children.values():
                if child.pid == pid:
                    self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        now = clock.monotonic()
        code = os.waitstatus_to_exitcode(status)
        child.pid = 0
        child.last_exit = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if child.name == "field" and code == 0 and self.wiring.paced:
            self.stopping = self.ended = True  # the simulator has ended the run
            return
        if now - child.started > _STABLE_S:
            child.backoff = _FIRST_BACKOFF_S
        child.next_start = now + child.backoff
        child.backoff = min(_MAX_BACKOFF_S, child.backoff * 2)
        child.restarts += 1
        if child.name == "control":
            self.board.set("control.restarts", child.restarts)
        if not self.stopping:
            sys.stderr.write(f"{child.name} ended ({child.last_exit}); started again\n")

    def _stop_children(self) -> None:
        """Uplink first, control and field last, and the recorder after what they still had to say."""
        deadline = clock.monotonic() + _STOP_S
        for names in (("field", "control"), ("recorder",), ("uplink",)):
            running = [
                self.children[name] for name in names if name in self.children and self.children[name].pid
            ]
            for child in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
            for child in running:
                self._await_end(child, deadline)

    def _await_end(self, child: Child, deadline: float) -> None:
        while child.pid:
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                return
            if clock.monotonic() > deadline:
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(0.005)

    # -- watching ------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Feed the system's watchdog only while control's scans and field's heartbeat both go on."""
        now = clock.monotonic()
        progress = (self.board.get("control.scans"), self.board.get("field.beat"))
        if progress[0] != self._progress[0] and progress[1] != self._progress[1]:
            self._progress, self._progress_at = progress, now
            self._notify.send("WATCHDOG=1")
        elif self.wiring.paced:
            self._notify.send("WATCHDOG=1")
        elif now - self._progress_at > WATCHDOG_STALL_S:
            for name, place in (("control", 0), ("field", 1)):
                child = self.children[name]
                if (
                    progress[place] == self._progress[place]
                    and child.pid
                    and now - child.started > WATCHDOG_STALL_S
                ):
                    sys.stderr.write(f"{name} makes no progress; it is killed and started again\n")
                    os.kill(child.pid, signal.SIGKILL)
            self._progress_at = now

    def status(self) -> dict[str, object]:
        """What local people are shown: processes and counters."""
        return {
            "gateway": self.wiring.plan.gateway.gateway,
            "configuration": self.wiring.plan.configuration_hash,
            "supervisor": os.getpid(),
            "processes": {
                child.name: {
                    "pid": child.pid,
                    "restarts": child.restarts,
                    "last_exit": child.last_exit,
                    "up_s": round(clock.monotonic() - child.started, 1) if child.pid else 0.0,
                }
                for child in self.children.values()
            },
            "counters": self.board.all(),
            "links": self._links(),
        }

    def _links(self) -> object:
        """What field last told of its links; nothing in lock-step."""
        try:
            return json.loads((self.wiring.runtime / LINKS_FILE).read_bytes())
        except (OSError, ValueError):
            return {}


class _NotifySocket:
    """systemd's notification socket, silent where there is none."""

    def __init__(self) -> None:
        self._path = os.environ.get("NOTIFY_SOCKET", "")

    def send(self, text: str) -> None:
        if not self._path:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
            one.sendto(
                text.encode(), self._path.replace("@", "\0", 1) if self._path[0] == "@" else self._path
            )


def _name_process(name: str) -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name[:15])
