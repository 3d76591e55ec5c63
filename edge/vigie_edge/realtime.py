"""What the operating system gives the control process, where it is allowed: FIFO scheduling, locked memory."""

import contextlib
import ctypes
import gc
import os
import resource
from dataclasses import dataclass

PRIORITY = 50
_RTTIME_US = 900_000  # a scan that spins this long loses its real-time class instead of the machine
_MCL_ON_FAULT = 7
"""Current and future pages, each from when it is first touched: locking all that is mapped would bring in
every page of every library, 25 MiB that no scan ever looks at."""
_MCL_CURRENT_AND_FUTURE = 3
_SCHED_RESET_ON_FORK = 0x40000000


@dataclass(frozen=True)
class Granted:
    """What was granted, and why not the rest."""

    fifo: bool
    locked: bool
    why_not: str


def ask(lock_memory: bool = True) -> Granted:
    """Ask for SCHED_FIFO with reset-on-fork, a bound on real-time CPU use, and locked memory."""
    problems: list[str] = []
    fifo = locked = False
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (_RTTIME_US, _RTTIME_US))
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | _SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
        fifo = True
    except (PermissionError, OSError) as error:
        problems.append(f"SCHED_FIFO: {error.strerror}")
    if lock_memory:
        lock = ctypes.CDLL(None, use_errno=True).mlockall
        if lock(_MCL_ON_FAULT) == 0 or lock(_MCL_CURRENT_AND_FUTURE) == 0:
            locked = True
        else:
            problems.append(f"mlockall: {os.strerror(ctypes.get_errno())}")
    return Granted(fifo, locked, "; ".join(problems))


def quiet_collector() -> None:
    """No garbage collection by itself: what exists is frozen, the rest is collected in the slack of scans."""
    gc.collect()
    gc.freeze()
    gc.disable()
