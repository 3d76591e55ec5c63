"""One child process of the supervisor: forked, or taken over from a supervisor that died; watched by a handle.

A pidfd says when any process ends, one's own child or not, and signals no other that was given its number.
"""

import contextlib
import os
import select
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vigie_edge import clock
from vigie_edge.log import Log
from vigie_edge.processes.alone import Papers, alone, left_in_order, papers_of, retire
from vigie_protocols.errors import VigieError

FIRST_BACKOFF_S = 0.02
MAX_BACKOFF_S = 1.0
STABLE_S = 10.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class Child:
    """One child process. pid: 0 while it is not running. adopted: another supervisor had started it."""

    name: str
    main: Callable[[], None]
    runtime: Path
    terms: str
    log: Log
    pid: int = 0
    handle: int = -1
    adopted: bool = False
    started: float = 0.0
    restarts: int = 0
    next_start: float = 0.0
    backoff: float = FIRST_BACKOFF_S
    last_exit: str = ""

    def adopt(self) -> bool:
        """Take over who holds this child's lock, if it was started on our terms."""
        papers = papers_of(self.runtime, self.name)
        if papers is None or papers.terms != self.terms:
            return False
        try:
            handle = os.pidfd_open(papers.pid)
        except ProcessLookupError:
            return False
        if papers_of(self.runtime, self.name) != papers:  # it ended meanwhile, and its number is another's
            os.close(handle)
            return False
        self._runs(papers.pid, handle, papers.started, adopted=True)
        self.restarts = papers.restarts
        return True

    def start(self, before: Callable[[], None]) -> bool:
        """Fork; True when somebody left over had to be ended first. before: what the new process does first."""
        left_over = retire(self.runtime, self.name)
        now = clock.monotonic()
        # A signal that comes before the child has its own handlers waits until it has them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._live(now, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        self._runs(pid, os.pidfd_open(pid), now, adopted=False)
        return left_over

    def _runs(self, pid: int, handle: int, started: float, adopted: bool) -> None:
        self.pid, self.handle, self.started, self.adopted = pid, handle, started, adopted

    def _live(self, now: float, before: Callable[[], None]) -> None:
        """The child's whole life; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            before()
            _name_process(f"vigie:{self.name}")
            with alone(self.runtime, self.name, Papers(os.getpid(), self.terms, now, self.restarts)):
                self.main()
            code = 0
        except VigieError as error:
            self.log.error(str(error))
        except BaseException as error:  # noqa: BLE001 - the child's last word, then it is gone
            self.log.error(f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        finally:
            os._exit(code)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to nobody else."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def gone(self) -> bool:
        """True when it has ended."""
        return bool(select.select([self.handle], [], [], 0)[0])

    def bury(self) -> bool:
        """Take note of its end; True when it ended in order, because it was done."""
        orderly = left_in_order(self.runtime, self.name)
        self.last_exit = "ended in order" if orderly else "killed or failed"
        if not self.adopted:  # of another's child nobody tells us the exit status
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.last_exit = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            orderly = code == 0
        os.close(self.handle)
        if clock.monotonic() - self.started > STABLE_S:
            self.backoff = FIRST_BACKOFF_S
        self.pid, self.handle = 0, -1
        return orderly

    def wait_to_start(self) -> None:
        """Let it be started again after a while that doubles each time it does not last."""
        self.next_start = clock.monotonic() + self.backoff
        self.backoff = min(MAX_BACKOFF_S, self.backoff * 2)
        self.restarts += 1

    def status(self) -> dict[str, object]:
        """What local people are shown."""
        return {
            "pid": self.pid,
            "restarts": self.restarts,
            "adopted": self.adopted,
            "last_exit": self.last_exit,
            "up_s": round(clock.monotonic() - self.started, 1) if self.pid else 0.0,
        }


def _name_process(name: str) -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name[:15])
