"""The board: a page of counters per process, written by its owner, read by the supervisor.

Every counter is one aligned 8-byte number, so a reader never sees half of one.
"""

import struct
from pathlib import Path

from vigie_edge.memory.mapped import map_file

COUNTERS = (
    # field
    "field.beat",
    "field.frames",
    "field.readings",
    "field.writes",
    "field.write_failures",
    "field.safe_writes",
    "field.links_down",
    "field.readings_lost",
    "field.step_us",
    # control
    "control.scans",
    "control.missed",
    "control.late_us_max",
    "control.late_us_sum",
    "control.overruns",
    "control.interventions",
    "control.torn_frames",
    "control.scans_lost",
    "control.snapshots_lost",
    "control.restarts",
    "control.kept_changes",
    "control.fifo",
    # recorder
    "recorder.turns",
    "recorder.records",
    "recorder.samples",
    "recorder.events",
    "recorder.commits",
    "recorder.epoch",
    "recorder.last_index",
    "recorder.dropped",
    "recorder.quarantined",
    "recorder.write_failures",
    "recorder.backlog",
    "recorder.telemetry_bytes",
    "recorder.replay_bytes",
    "recorder.snapshots_wanted",
    # uplink
    "uplink.beat",
    "uplink.connected",
    "uplink.published",
    "uplink.acked_through",
    "uplink.acked_epoch",
    "uplink.unacked",
    "uplink.resent",
    "uplink.reconnects",
    "uplink.denied",
    "uplink.denied_now",
    "uplink.bundles",
    "uplink.refused",
)
_PLACE = {name: 8 * place for place, name in enumerate(COUNTERS)}
_I64 = struct.Struct("<q")


class Board:
    """Named counters in a mapped file; each name has one writer."""

    def __init__(self, path: Path) -> None:
        self._map = map_file(path, 8 * len(COUNTERS))

    def get(self, name: str) -> int:
        """The number now."""
        value: int = _I64.unpack_from(self._map, _PLACE[name])[0]
        return value

    def set(self, name: str, value: int) -> None:
        """Set the number."""
        _I64.pack_into(self._map, _PLACE[name], value)

    def add(self, name: str, more: int = 1) -> None:
        """Add to the number (its owner only)."""
        self.set(name, self.get(name) + more)

    def all(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: self.get(name) for name in COUNTERS}
