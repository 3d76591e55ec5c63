"""Shared memory: mapped files in the runtime directory, or rooms on the heap of a single process.

Files, not ``multiprocessing.shared_memory``: there, a reader's exit unlinks the segment on Python 3.11.
"""

import fcntl
import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Heap:
    """Stands in for the runtime directory where all parts share one process."""

    rooms: dict[str, mmap.mmap] = field(default_factory=dict)

    def __truediv__(self, name: str) -> "Room":
        return Room(self, name)


@dataclass(frozen=True)
class Room:
    """A place on a heap: whoever maps it gets the same memory."""

    heap: Heap
    name: str


def map_shared(place: Path | Room, size: int, read_only: bool = False, born: bytes = b"") -> mmap.mmap:
    """Map ``place``, making it ``size`` bytes of zeros that begin with ``born`` if it is new or of another size.

    read_only: the mapping can never be written, not even by a process that has gone wrong.
    """
    if isinstance(place, Room):
        found = place.heap.rooms.get(place.name)
        if found is None or len(found) != size:
            found = place.heap.rooms[place.name] = mmap.mmap(-1, size)
            found[: len(born)] = born
        return found
    fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(
            fd, fcntl.LOCK_EX
        )  # or of two processes that start, one would empty what the other has filled
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, 0)
            os.pwrite(fd, born, 0)
            os.ftruncate(fd, size)
        fcntl.flock(fd, fcntl.LOCK_UN)  # a mapping would keep the descriptor, and so the lock
        if not read_only:
            return mmap.mmap(fd, size)
    finally:
        os.close(fd)
    # By a descriptor that cannot write either: the protection of a mapping made by the other could be lifted.
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, size, prot=mmap.PROT_READ)
    finally:
        os.close(fd)


def words(memory: mmap.mmap, kind: Literal["q", "Q"], count: int) -> memoryview:
    """The first ``count`` 8-byte numbers of ``memory`` (``q`` signed, ``Q`` not), each read and written whole.

    Not ``struct.pack_into``: it fills with zeros before it packs, and another process can read those. Release
    the view before the memory is closed.
    """
    return memoryview(memory)[: 8 * count].cast(kind)
