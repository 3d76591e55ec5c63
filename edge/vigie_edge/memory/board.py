"""The board: a page of counters per process, written by its owner alone, read by everybody.

Every counter is one aligned 8-byte number, so a reader never sees half of one. Pages are apart, so that no
process can make another seem to go on.
"""

import mmap
from pathlib import Path

from vigie_edge.memory.mapped import Heap, map_shared, words

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
    "control.late_over_1ms",
    "control.late_over_10ms",
    "control.overruns",
    "control.interventions",
    "control.torn_frames",
    "control.scans_lost",
    "control.snapshots_lost",
    "control.restarts",
    "control.kept_changes",
    "control.fifo",
    "control.locked",
    "control.trust",
    "control.leases",
    "control.alarms",
    "control.faults",
    "control.drifts",
    "control.peers_heard",
    "control.peers_refused",
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
    "recorder.mended",
    "recorder.write_failures",
    "recorder.disk_refuses",
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
    "uplink.unheard",
    "uplink.resent",
    "uplink.reconnects",
    "uplink.denied",
    "uplink.denied_now",
    "uplink.bundles",
    "uplink.damaged",
    "uplink.damaged_epoch",
    "uplink.damaged_first",
    "uplink.refused",
)
OWNERS = ("field", "control", "recorder", "uplink", "supervisor")
_OWNER = {name: name.partition(".")[0] for name in COUNTERS} | {"control.restarts": "supervisor"}


class Board:
    """Named counters in shared memory, a page for each process.

    directory: where the pages are. owner: whose page may be written; everything may be read.
    """

    def __init__(self, directory: Path | Heap, owner: str = "") -> None:
        self._places: dict[str, tuple[memoryview, int]] = {}
        self._maps: list[mmap.mmap] = []
        for page in OWNERS:
            names = [name for name in COUNTERS if _OWNER[name] == page]
            mapped = map_shared(directory / f"board-{page}", 8 * len(names), read_only=page != owner)
            self._maps.append(mapped)
            numbers = words(mapped, "q", len(names))
            self._places |= {name: (numbers, place) for place, name in enumerate(names)}

    def close(self) -> None:
        """Unmap it: nothing of it may be used any more."""
        for page, _ in self._places.values():
            page.release()
        for mapped in self._maps:
            mapped.close()

    def get(self, name: str) -> int:
        """The number now."""
        page, place = self._places[name]
        return page[place]

    def set(self, name: str, value: int) -> None:
        """Set the number (its owner only; raises TypeError for others)."""
        page, place = self._places[name]
        page[place] = value

    def add(self, name: str, more: int = 1) -> None:
        """Add to the number (its owner only)."""
        self.set(name, self.get(name) + more)

    def all(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: self.get(name) for name in COUNTERS}
