"""What processes cost, as the kernel counts it: CPU seconds and proportional memory. Linux alone."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[str, list[str]] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], tail.split()


def name_of(pid: int) -> str:
    """The kernel's name of a process, at most 15 characters; empty when it is gone."""
    found = _stat(pid)
    return "" if found is None else found[0]


def cpu_s(pid: int) -> float:
    """User and system seconds of a process so far, in steps of 10 ms; 0 when it is gone."""
    found = _stat(pid)
    return 0.0 if found is None else (int(found[1][11]) + int(found[1][12])) * _TICK_S


def descendants(pid: int) -> list[int]:
    """Children and their children, without ``pid`` itself."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := _stat(int(entry))) is not None:
            parents.setdefault(int(found[1][1]), []).append(int(entry))
    todo, seen = [pid], []
    while todo:
        more = parents.get(todo.pop(), [])
        seen += more
        todo += more
    return seen


def memory(pid: int) -> dict[str, int]:
    """Bytes of ``/proc/PID/smaps_rollup``: Pss, Pss_Anon, Pss_File, Pss_Shmem, Rss, Private_Dirty and so on."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            words = rest.split()
            if words and words[-1] == "kB":
                found[key] = int(words[0]) << 10
    return found


def pss(pids: Iterable[int]) -> float:
    """MiB of memory of these processes, each shared page counted in parts."""
    return sum(memory(pid).get("Pss", 0) for pid in pids) / float(1 << 20)


def own(pids: Iterable[int]) -> float:
    """MiB of ``pss`` that is theirs alone: heaps, stacks, and the files they share with one another.

    Without the code of interpreter and libraries: its part of ``pss`` grows when some other program of this
    machine that runs the same code ends.
    """
    return sum(memory(pid).get("Pss_Anon", 0) + _mapped(pid) for pid in pids) / float(1 << 20)


def _mapped(pid: int) -> int:
    """Bytes, counted in parts, of the files that a process maps to share them."""
    found, shared = 0, False
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                shared = words[1].endswith("s")
            elif shared and words[0] == "Pss:":
                found += int(words[1]) << 10
    return found


class CpuMeter:
    """CPU seconds of named groups of processes between ``begin`` and ``spent``."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._begun = {pid: cpu_s(pid) for pids in self._groups.values() for pid in pids}

    def spent(self) -> dict[str, float]:
        """Seconds of each group since this meter was made."""
        return {
            name: sum(max(0.0, cpu_s(pid) - self._begun[pid]) for pid in pids)
            for name, pids in self._groups.items()
        }
