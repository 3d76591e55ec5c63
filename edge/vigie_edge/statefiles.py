"""Small files that outlive a process: written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from vigie_edge import clock
from vigie_protocols.errors import FrameError
from vigie_protocols.ranges import IndexSet

_STATE_EVERY_S = 10.0


def write_atomic(path: Path, data: bytes, durable: bool = True) -> None:
    """Write ``data`` to ``path`` by way of a file beside it; afterwards either the old or the new is there."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        written = 0
        while written < len(data):  # a full disk takes a part without an error
            written += os.write(fd, data[written:])
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(beside, path)


class AcknowledgedFile:
    """What the coordinator has acknowledged: written by the uplink, read by the recorder.

    Losing it costs a repetition that the coordinator drops, never a record.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "acknowledged.json"
        self._seen = 0.0

    def load(self) -> dict[int, IndexSet]:
        """Sets by epoch; empty when there is no file or it cannot be read."""
        try:
            data = json.loads(self._path.read_bytes())
            return {int(epoch): IndexSet.from_json(one) for epoch, one in data.items()}
        except (OSError, ValueError, AttributeError, FrameError):
            return {}

    def save(self, sets: dict[int, IndexSet]) -> None:
        """Write all sets."""
        data = {str(epoch): one.to_json() for epoch, one in sets.items()}
        write_atomic(self._path, json.dumps(data).encode(), durable=False)

    def changes(self) -> Iterator[tuple[int, IndexSet]]:
        """All sets if the file is newer than at the last call."""
        try:
            modified = self._path.stat().st_mtime
        except OSError:
            return
        if modified != self._seen:
            self._seen = modified
            yield from self.load().items()


class StateFile:
    """The last snapshot on disk, for a start after a power cut; written at most every ten seconds."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "snapshot.msgpack"
        self._next = 0.0

    def due(self) -> bool:
        """True when the last one is old enough."""
        return clock.monotonic() >= self._next

    def keep(self, payload: bytes) -> None:
        """Write ``payload``; a disk that refuses is counted by the journal, and this is tried again."""
        self._next = clock.monotonic() + _STATE_EVERY_S
        with contextlib.suppress(OSError):
            write_atomic(self._path, payload)

    def load(self) -> bytes | None:
        """The last snapshot, or None."""
        try:
            return self._path.read_bytes()
        except OSError:
            return None
