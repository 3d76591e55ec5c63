"""A bounded ring of records in shared memory: one writer, one reader, no lock.

A record becomes visible when the writer moves the head past it, and its room is free again when the reader
moves the tail past it. Positions count bytes since the ring was made and never wrap, so a record's position
is also its sequence number: a reader that is killed finds its place again, and can tell a record it has
already stored.

Each shared number has one owner and is stored whole: the tail is the reader's, the others are the writer's.
Each record carries a CRC that its position goes into: one that is not yet whole, or that stood there a round
before, does not fit and is read later.
"""

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from vigie_edge.memory.mapped import Room, map_shared, words

_HEAD = 0
_TAIL = 1
_LOST = 2
_BIRTH = 3
_AGAIN = 4
_START = 64
_RECORD = struct.Struct("<II")
_SKIP = 0xFFFFFFFF
_AFRESH = 256 << 10
"""Bytes from its beginning after which an empty ring begins again."""


class Ring:
    """Bytes in, bytes out, in order. ``capacity`` is a multiple of eight."""

    def __init__(self, place: Path | Room, capacity: int) -> None:
        self._capacity = capacity & ~7
        birth = int.from_bytes(os.urandom(8)) | 1
        self._map = map_shared(place, _START + self._capacity, born=struct.pack("=QQQQ", 0, 0, 0, birth))
        self._words = words(self._map, "Q", _START // 8)

    def close(self) -> None:
        """Unmap it: nothing of it may be used any more."""
        self._words.release()
        self._map.close()

    @property
    def birth(self) -> int:
        """A random number given when the ring was made: positions compare only within one birth."""
        return self._words[_BIRTH]

    @property
    def lost(self) -> int:
        """Records refused because the reader was too far behind."""
        return self._words[_LOST]

    # A ring in which nothing stands begins again at its first pages, so that one that is read in time never
    # touches the others. The writer alone says where, in a number of its own that holds for both ends at once:
    # no instant exists at which one end has moved and the other has not.

    @property
    def _head(self) -> int:
        return max(self._words[_HEAD], self._words[_AGAIN])

    @property
    def _tail(self) -> int:
        return max(self._words[_TAIL], self._words[_AGAIN])

    @property
    def backlog(self) -> int:
        """Bytes written and not yet read."""
        head = self._head
        return max(0, head - self._tail)  # the other side goes on between the two

    def push(self, payload: bytes) -> bool:
        """Append one record; False (and counted as lost) when there is no room."""
        need = (_RECORD.size + len(payload) + 7) & ~7
        head, tail = self._head, self._tail
        place = head % self._capacity
        room = self._capacity - place
        if head == tail and (place > _AFRESH or need > room):
            head = tail = head + room
            self._words[_AGAIN] = head
            place, room = 0, self._capacity
        skip = room if need > room else 0
        if head + skip + need - tail > self._capacity:
            self._words[_LOST] += 1
            return False
        if skip:
            self._put(place, _RECORD.pack(_SKIP, _check(b"", head)))
            head += skip
            place = 0
        self._put(place + _RECORD.size, payload)
        self._put(place, _RECORD.pack(len(payload), _check(payload, head)))
        self._words[_HEAD] = head + need
        return True

    def _put(self, place: int, raw: bytes) -> None:
        self._map[_START + place : _START + place + len(raw)] = raw

    def _copy(self, place: int, size: int) -> bytes:
        return self._map[_START + place : _START + place + size]

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
        head = self._head  # before the tail: what stood between the two stays until this reader frees it
        position = max(self._tail, after)
        while position < head:
            place = position % self._capacity
            length, crc = _RECORD.unpack(self._copy(place, _RECORD.size))
            if length == _SKIP:
                if crc != _check(b"", position):
                    return
                position += self._capacity - place
                continue
            if length > self._capacity - place - _RECORD.size:
                return
            payload = self._copy(place + _RECORD.size, length)
            if crc != _check(payload, position):
                return
            position += (_RECORD.size + length + 7) & ~7
            yield position, payload

    def free(self, position: int) -> None:
        """Give back the room of all records up to ``position``, once they are stored elsewhere."""
        if position > self._tail:
            self._words[_TAIL] = position

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


def _check(payload: bytes, position: int) -> int:
    return crc32(payload, position & 0xFFFFFFFF)
