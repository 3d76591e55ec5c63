"""A simulation in a process of its own, which nothing was simulated in before.

libsumo holds one simulation per process, and only the first one of a process repeats to the last digit: on some
networks (seen on cologne1 with SUMO 1.28) a later one takes one of two courses for the same seed. So whatever is to
be the same for a seed, or is compared, is simulated first in its process.
"""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[..., T], *arguments: object) -> T:
    """What ``work`` gives in a fresh process; raises what it raises. work: a function of a module, not a local one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        # Born with Ctrl-C blocked: who presses it ends us, and the worker with us, without a word from it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            going = pool.submit(work, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return going.result()
