"""The supervisor: starts the children, starts them again, watches them, answers local people.

It does no disk I/O and no control. Children are forked after the common imports, so that they share them.
If it dies the children go on, and a new supervisor takes them over with their memory and files: those that it
would itself start on the same terms; what is dead or of other terms is started anew. A lock per process sees to
it that no two of a kind ever run on one runtime directory.
"""

import contextlib
import ctypes
import functools
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

from vigie_edge import clock
from vigie_edge.local import LocalDesk
from vigie_edge.memory.board import Board
from vigie_edge.memory.ring import Ring
from vigie_edge.metrics import MetricsPort
from vigie_edge.processes.alone import retire
from vigie_edge.processes.child import Child
from vigie_edge.processes.stop import leave_in_order, let_signals_in
from vigie_edge.processes.watchdog import Watchdog
from vigie_edge.wiring import LINKS_FILE, TROUBLE_FILE, UPLINK_FOLDER, Wiring

_STOP_S = 10.0
_TURN_S = 0.25
_M_MMAP_THRESHOLD = -3
_MMAP_BYTES = 128 << 10
"""glibc's own first value: named, it stays, and what a large block took goes back when it is freed."""
KINDS = ("control", "field", "recorder", "uplink")


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


def share_memory(wiring: Wiring) -> None:
    """Before the first fork: what several children import is imported once, and nothing lies about half used.

    Reading the files leaves holes all over the heap; pages given back now are not kept once per process.
    """
    if wiring.plan.gateway.uplink is not None:
        import vigie_protocols.envelope  # noqa: F401 - control and uplink check signatures
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        library.malloc_trim(0)
    gc.freeze()


@dataclass(repr=False)
class Supervisor:
    """One agent's supervisor.

    Without a repr: ``signal.signal`` asks each handler for its own in every child that sets another, and this one
    would tell all points of the gateway, seconds long, and make a private copy of every page they stand on.
    """

    wiring: Wiring
    children: dict[str, Child] = field(default_factory=dict)
    stopping: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.log = self.wiring.log("supervisor")
        # Control first: it must be scanning before anything else takes its time.
        mains = {"control": _control, "field": _field, "recorder": _recorder}
        if self.wiring.plan.gateway.uplink is not None:
            mains["uplink"] = _uplink
        runtime, terms = self.wiring.runtime, self.wiring.terms()
        self.children = {
            name: Child(name, functools.partial(main, self.wiring), runtime, terms, self.wiring.log(name))
            for name, main in mains.items()
        }
        self._adopt()
        # Only now: what other code or another file has mapped may not be made another size under its feet.
        self.board: Board = self.wiring.board("supervisor")
        self._notify = _NotifySocket()
        self._inherited: Callable[[], list[socket.socket | Ring | Board]] = list
        self._watchdog = Watchdog(clock.monotonic())
        self._ready = False

    def _adopt(self) -> None:
        """Keep those of a dead supervisor's children that we would start just so; end the others."""
        for name in KINDS:
            child = self.children.get(name)
            if child is not None and child.adopt():
                self.log.info("taken over from a supervisor that died", child=name, pid=child.pid)
            elif retire(self.wiring.runtime, name):
                self.log.warning("left over from another start and ended", child=name)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the simulator ends a lock-step run. Returns the exit code.

        When this fails, the children go on, and the next supervisor takes them over.
        """
        wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_stop)
        desk = LocalDesk(self.wiring, self.status)
        metrics = MetricsPort(self.wiring, self.status)
        self._inherited = lambda: [*desk.sockets(), *metrics.sockets(), *desk.mapped(), self.board]
        answered = self.wiring.bells.supervisor
        share_memory(self.wiring)
        self._start_due()
        try:
            while not self.stopping:
                handles = [child.handle for child in self.children.values() if child.pid]
                waited: list[int | socket.socket] = [wake_r, answered.fd, *handles]
                waited += [*desk.sockets(), *metrics.sockets()]
                ready, _, _ = select.select(waited, [], [], self._rest())
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_r, 512)
                answered.answer()
                self._reap()
                self._start_due()
                desk.serve(ready)
                metrics.serve(ready)
                self._watch()
                self.log.settle()
            self._notify.send("STOPPING=1")
            self._stop_children()
        finally:
            desk.close()
            metrics.close()
            leave_in_order()
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
            due = not child.pid and now >= child.next_start and not self.stopping
            if due and child.start(self._leave_inherited):
                self.log.warning("left over and ended", child=child.name)

    def _leave_inherited(self) -> None:
        """In a new child: or somebody would go on waiting there for an answer when we are gone.

        Nor may it write what is ours alone, such as requests from the command socket.
        """
        for inherited in self._inherited():  # sockets and maps
            inherited.close()

    def _reap(self) -> None:
        for child in self.children.values():
            if child.pid and child.gone():
                self._ended(child, child.bury())

    def _ended(self, child: Child, orderly: bool) -> None:
        if child.name == "field" and orderly and self.wiring.paced:
            self.stopping = self.ended = True  # the simulator has ended the run
            return
        child.wait_to_start()
        if child.name == "control":
            self.board.set("control.restarts", child.restarts)
        if not self.stopping:
            self.log.error(
                "ended and started again", f"ended {child.name}", child=child.name, how=child.last_exit
            )

    def _stop_children(self) -> None:
        """Field and control first, the recorder after what they still had to say, the uplink after that."""
        deadline = clock.monotonic() + _STOP_S
        for names in (("field", "control"), ("recorder",), ("uplink",)):
            running = [
                self.children[name] for name in names if name in self.children and self.children[name].pid
            ]
            for child in running:
                child.signal(signal.SIGTERM)
            for child in running:
                self._await_end(child, deadline)

    def _await_end(self, child: Child, deadline: float) -> None:
        ready, _, _ = select.select([child.handle], [], [], max(0.0, deadline - clock.monotonic()))
        if not ready:
            child.signal(signal.SIGKILL)
            select.select([child.handle], [], [], _STOP_S)
        if child.gone():
            child.bury()

    # -- watching ------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Feed the system's watchdog only while control's scans and field's heartbeat both go on."""
        signs: dict[str, tuple[int, float | None]] = {
            name: (self.board.get(counter), child.started if (child := self.children[name]).pid else None)
            for name, counter in (("control", "control.scans"), ("field", "field.beat"))
        }
        goes_on, hung = self._watchdog.look(clock.monotonic(), signs)
        if goes_on or self.wiring.paced:
            if not self._ready:
                self._ready = True
                self._notify.send("READY=1")
            self._notify.send("WATCHDOG=1")
        for name in () if self.wiring.paced else hung:
            self.log.error("no progress: killed and started again", child=name)
            self.children[name].signal(signal.SIGKILL)

    def status(self) -> dict[str, object]:
        """What local people are shown."""
        processes = {child.name: child.status() for child in self.children.values()}
        return agent_status(self.wiring, self.board, processes)


def agent_status(wiring: Wiring, board: Board, processes: dict[str, dict[str, object]]) -> dict[str, object]:
    """What local people are shown: processes, counters, and what field last told of its links (not in lock-step)."""
    try:
        links = json.loads((wiring.runtime / LINKS_FILE).read_bytes())
    except (OSError, ValueError):
        links = {}
    gateway = wiring.plan.gateway
    try:
        trouble = (gateway.state_dir / UPLINK_FOLDER / TROUBLE_FILE).read_text(errors="replace")
    except OSError:
        trouble = ""
    return {
        "gateway": gateway.gateway,
        "configuration": wiring.plan.configuration_hash,
        "version": version("vigie"),
        "settings": {
            "scan_s": gateway.scan_s,
            "telemetry_quota_mb": gateway.journal.telemetry_quota_mb,
            "replay_quota_mb": gateway.journal.replay_quota_mb,
        },
        "uplink": "" if gateway.uplink is None else f"{gateway.uplink.host}:{gateway.uplink.port}",
        "uplink_trouble": trouble,
        "supervisor": os.getpid(),
        "processes": processes,
        "counters": board.all(),
        "links": links,
    }


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
