"""Shared memory: mapped files in the runtime directory, or rooms on the heap of a single process.

Files, not ``multiprocessing.shared_memory``: there, a reader's exit unlinks the segment on Python 3.11.
"""

import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path


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


def map_shared(place: Path | Room, size: int, read_only: bool = False) -> mmap.mmap:
    """Map ``place``, making it ``size`` bytes of zeros if it is new or of another size.

    read_only: the mapping can never be written, not even by a process that has gone wrong.
    """
    if isinstance(place, Room):
        found = place.heap.rooms.get(place.name)
        if found is None or len(found) != size:
            found = place.heap.rooms[place.name] = mmap.mmap(-1, size)
        return found
    fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, size)
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
