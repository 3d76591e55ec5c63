"""A bounded ring of records in shared memory: one writer, one reader, no lock.

A record becomes visible when the writer moves ``head`` past it, and its room is free again when the
reader moves ``tail`` past it. Positions count bytes since the ring was made and never wrap, so a record's
position is also its sequence number: a reader that is killed finds its place again, and can tell a record
it has already stored. Each record carries a CRC: one that does not fit is not yet whole and is read later.
"""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from vigie_edge.memory.mapped import Room, map_shared

_HEAD = 0
_TAIL = 8
_LOST = 16
_BIRTH = 24
_START = 64
_RECORD = struct.Struct("<II")
_U64 = struct.Struct("<Q")
_SKIP = 0xFFFFFFFF
_AFRESH = 256 << 10
"""Bytes from its beginning after which an empty ring begins again."""


class Ring:
    """Bytes in, bytes out, in order. ``capacity`` is a multiple of eight."""

    def __init__(self, place: Path | Room, capacity: int) -> None:
        self._capacity = capacity & ~7
        self._map = map_shared(place, _START + self._capacity)
        if self.birth == 0:
            self._set(_BIRTH, int.from_bytes(os.urandom(8), "little") | 1)

    def close(self) -> None:
        """Unmap it: nothing of it may be used any more."""
        self._map.close()

    def _get(self, place: int) -> int:
        value: int = _U64.unpack_from(self._map, place)[0]
        return value

    def _set(self, place: int, value: int) -> None:
        _U64.pack_into(self._map, place, value)

    @property
    def birth(self) -> int:
        """A random number given when the ring was made: positions compare only within one birth."""
        return self._get(_BIRTH)

    @property
    def lost(self) -> int:
        """Records refused because the reader was too far behind."""
        return self._get(_LOST)

    @property
    def backlog(self) -> int:
        """Bytes written and not yet read."""
        return self._get(_HEAD) - self._get(_TAIL)

    def push(self, payload: bytes) -> bool:
        """Append one record; False (and counted as lost) when there is no room."""
        need = (_RECORD.size + len(payload) + 7) & ~7
        head = self._get(_HEAD)
        place = head % self._capacity
        room = self._capacity - place
        tail = self._get(_TAIL)
        # One that is read in time begins again at its first pages, and the others are never touched.
        afresh = head == tail and place > _AFRESH
        skip = room if need > room or afresh else 0
        if need > self._capacity or (not afresh and head + skip + need - tail > self._capacity):
            self._set(_LOST, self.lost + 1)
            return False
        if skip:
            _RECORD.pack_into(self._map, _START + place, _SKIP, 0)
            head += skip
            place = 0
            if afresh:
                # Nothing is skipped but room that was free: it counts as read, or the whole ring would seem full.
                # The reader moves its tail only past records, so that an empty ring's is the writer's to move.
                self._set(_HEAD, head)
                self._set(_TAIL, head)
        start = _START + place
        self._map[start + _RECORD.size : start + _RECORD.size + len(payload)] = payload
        _RECORD.pack_into(self._map, start, len(payload), crc32(payload))
        self._set(_HEAD, head + need)
        return True

    def push_wait(self, payload: bytes, limit_s: float) -> bool:
        """Append, waiting for room up to ``limit_s`` wall seconds. In lock-step only: elsewhere nobody waits."""
        deadline = time.monotonic() + limit_s
        while self.backlog > self._capacity // 2:
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        return self.push(payload)

    def peek(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Records not yet freed, as (position just past the record, payload), from ``after`` on."""
        position = max(self._get(_TAIL), after)
        head = self._get(_HEAD)
        while position < head:
            place = position % self._capacity
            start = _START + place
            length, crc = _RECORD.unpack_from(self._map, start)
            if length == _SKIP:
                position += self._capacity - place
                continue
            if length > self._capacity - place - _RECORD.size:
                return
            payload = self._map[start + _RECORD.size : start + _RECORD.size + length]
            if crc32(payload) != crc:
                return
            position += (_RECORD.size + length + 7) & ~7
            yield position, payload

    def free(self, position: int) -> None:
        """Give back the room of all records up to ``position``, once they are stored elsewhere."""
        if position > self._get(_TAIL):
            self._set(_TAIL, position)

    def drain(self, limit: int = 64) -> list[bytes]:
        """Read and free up to ``limit`` records at once (for readers that store nothing)."""
        taken: list[bytes] = []
        position = 0
        for position, payload in self.peek():
            taken.append(payload)
            if len(taken) >= limit:
                break
        self.free(position)
        return taken
