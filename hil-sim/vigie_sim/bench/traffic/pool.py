"""Runs side by side: one process each, since libsumo holds one simulation per process."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from vigie_sim.bench.traffic.jobs import Job, Outcome
from vigie_sim.bench.traffic.runs import measure

Progress = Callable[[Job, float], None]
"""Takes a job and the share of it that is done."""


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    answers: Connection


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def run_all(jobs: Sequence[Job], workers: int, progress: Progress) -> Generator[Outcome, None, None]:
    """Every job's outcome as it comes; closing the iterator ends what still runs."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(jobs))
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                answers, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, theirs), daemon=True)
                with _uninterrupted():
                    process.start()
                    running[answers] = _Running(job, process, answers)
                theirs.close()
                progress(job, 0.0)
            for ready in wait(list(running)):
                one = running[ready]  # type: ignore[index]
                outcome = _answer(one, progress)
                if outcome is not None:
                    del running[one.answers]
                    one.answers.close()
                    one.process.join()
                    yield outcome
    finally:
        for one in running.values():
            one.process.terminate()
        for one in running.values():
            one.process.join()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A worker is born with Ctrl-C blocked, since we end it ourselves, and wholly: one that comes meanwhile counts
    afterwards. The mask alone does not do: any other thread may take the signal, and Python raises it in this."""
    noted: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if noted:
        raise KeyboardInterrupt


def _answer(one: _Running, progress: Progress) -> Outcome | None:
    try:
        said = one.answers.recv()
    except EOFError:
        one.process.join()
        return Outcome(one.job, {}, failure=f"its process ended with code {one.process.exitcode}")
    if isinstance(said, Outcome):
        return said
    progress(one.job, float(said))
    return None


def _work(job: Job, answers: Connection) -> None:
    # Ctrl-C reaches the whole group: the parent decides what ends, and keeps what is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        answers.send(measure(job, answers.send))
