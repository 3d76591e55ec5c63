"""Running a replay journal again: the same controllers and guards on the recorded images and messages.

Every scan must give the recorded decisions, interventions, alarms and outputs bit for bit; what does not
is reported. A replay begins at any snapshot and goes on over segments as long as no scan is missing.
"""

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vigie_controllers.image import Image
from vigie_controllers.scan import ScanEngine, ScanOutcome
from vigie_edge import records
from vigie_edge.commands import CommandDesk
from vigie_edge.config import Plan, code_hash
from vigie_edge.journal.journal import committed_in, list_segments
from vigie_edge.journal.salvage import examine
from vigie_edge.journal.segment import MAGIC, Kind, Record, scan_records
from vigie_edge.memory.image import ImageCodec, blinded
from vigie_protocols.errors import InputError, Problem
from vigie_protocols.points import ClockTrust, Value


@dataclass(frozen=True)
class Difference:
    """One scan that came out otherwise.

    what: decisions, interventions, outputs, alarms, events, figures or state.
    """

    scan: int
    utc: float
    what: str
    recorded: Any
    replayed: Any


@dataclass
class Report:
    """What a replay found.

    skipped: scans that no snapshot before them, or another configuration, let run. missing: scans between others
    that the journal does not hold. notes: of each hole, of damage, of other code; in order.
    """

    scans: int = 0
    skipped: int = 0
    missing: int = 0
    snapshots: int = 0
    segments: int = 0
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


class _NoShelf:
    """Stands where the policy shelf stands in a running agent; a replay is given its offers by the record."""

    confirmed = False

    def look(self) -> None:
        """Nothing to look at."""


class Replay:
    """One journal's replay. limit: differences kept."""

    def __init__(self, plan: Plan, limit: int = 100) -> None:
        self.report = Report()
        self._plan = plan
        self._limit = limit
        self._codec = ImageCodec(plan.table)
        self._engine: ScanEngine | None = None
        self._desk: CommandDesk | None = None
        self._body = b""
        self._frame = 0
        self._image: Image = plan.table.empty()
        self._values: tuple[Value, ...] | None = None
        self._scan = -1
        self._foreign = False
        self._code = code_hash()

    def run(self, directory: Path) -> Report:
        """Replay every segment below ``directory``; raises InputError when there is none."""
        folder = directory / "replay" if (directory / "replay").is_dir() else directory
        segments = list_segments(folder)
        if not segments:
            reason, remedy = "no replay segments there", "Name a journal's directory."
            raise InputError([Problem(str(directory), "journal", "", reason, remedy)])
        for _, first, path in segments:
            self.report.segments += 1
            data = path.read_bytes()
            self._preamble(path, data)
            if examine(data, first).damaged:
                self.report.notes.append(
                    f"{path.name}: damaged; what follows the bad place in it is not run again"
                )
            for record in committed_in(data, len(MAGIC))[1] if data.startswith(MAGIC) else ():
                self._take(record)
        for path in sorted(folder.glob("*.corrupt")):
            self.report.notes.append(f"{path.name}: was damaged and set aside")
        return self.report

    def _preamble(self, path: Path, data: bytes) -> None:
        """A segment of another configuration cannot be run under this one."""
        told: dict[str, Any] = {}
        for _, record in scan_records(data):
            if record.kind is Kind.PREAMBLE:
                told = msgspec.json.decode(record.payload)
            break
        if told.get("code") != self._code:
            self.report.notes.append(f"{path.name}: recorded by other controllers or guards than these")
        self._foreign = told.get("configuration") != self._plan.configuration_hash
        if self._foreign:
            self._engine = None
            self.report.notes.append(f"{path.name}: recorded under another configuration or version; skipped")

    def _take(self, record: Record) -> None:
        if record.kind is Kind.SNAPSHOT:
            taken = records.decode_control(record.payload)
            if isinstance(taken, records.Snapshot) and not self._foreign:
                self._begin(taken)
        elif record.kind is Kind.SCAN:
            taken = records.decode_control(record.payload)
            if isinstance(taken, records.Scan):
                self._one(taken)

    # -- snapshots -----------------------------------------------------------------------------------

    def _begin(self, snapshot: records.Snapshot) -> None:
        report = self.report
        report.snapshots += 1
        self._hole(snapshot.scan + 1)
        if self._engine is not None and not snapshot.start and snapshot.scan == self._scan:
            mine = _plain(self._engine.snapshot())
            if msgspec.msgpack.encode(mine) != msgspec.msgpack.encode(snapshot.state):
                for place, recorded, replayed in _deep(snapshot.state, mine, "state"):
                    self._differ(snapshot.scan, snapshot.utc, place, recorded, replayed)
        engine = self._plan.engine()
        try:
            engine.resume(snapshot.state, snapshot.now, snapshot.utc)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            report.notes.append(f"scan {snapshot.scan}: its snapshot cannot be taken up: {reason}")
            self._engine = None
            return
        self._engine = engine
        self._desk = CommandDesk(engine, _NoShelf())  # type: ignore[arg-type]
        self._scan = snapshot.scan
        self._values = tuple(snapshot.outputs) if snapshot.outputs else None
        self._body = b""
        if snapshot.start:
            self._image = self._plan.table.empty()

    def _hole(self, found: int) -> None:
        """Scan ``found`` comes next: tell those before it that are not there."""
        first, last = self._scan + 1, found - 1
        if 0 < first <= last:
            self.report.missing += last - first + 1
            self.report.notes.append(f"scans {first} to {last} are missing")

    # -- scans ---------------------------------------------------------------------------------------

    def _one(self, scan: records.Scan) -> None:
        if scan.scan != self._scan + 1:
            self._hole(scan.scan)
            self._engine = None
        self._scan = scan.scan
        engine = self._engine
        if engine is None or self._desk is None:
            self.report.skipped += 1
            return
        if scan.body is not None:  # only now: what differs from an image that is missing is no image
            self._image = self._picture(scan.body, scan.blind)
        trust = ClockTrust(scan.trust)
        for message in scan.messages:
            heard = records.decode_heard(message)
            if heard is not None:
                self._hear(*heard)
                continue
            offer = records.decode_offer(message)
            if offer is None:
                self._desk.handle(message, scan.now, scan.utc, trust)
            elif offer.code:
                engine.policies.refuse(offer.code, offer.reason)  # type: ignore[arg-type]
            else:
                when = (offer.now, offer.utc, ClockTrust(offer.trust))
                engine.policies.offer(*when, offer.bundle, confirmed=offer.confirmed)
        outcome = engine.scan(scan.now, scan.utc, trust, self._image, scan.overrun)
        self.report.scans += 1
        self._compare(scan, outcome)

    def _hear(self, neighbour: str, message: dict[str, Any]) -> None:
        assert self._engine is not None
        with contextlib.suppress(ValueError):  # refused then as now
            self._engine.hear(neighbour, message)

    def _picture(self, body: bytes, blind: bool) -> Image:
        raw = zlib.decompress(body[1:])
        if body[:1] == b"d":
            mixed = int.from_bytes(self._body, "little") ^ int.from_bytes(raw, "little")
            raw = mixed.to_bytes(len(raw), "little")
        self._body = raw
        self._frame += 1
        if not raw:  # field had not spoken yet
            return blinded(self._plan.table.empty())
        image = self._codec.unpack(self._frame, raw)
        return blinded(image) if blind else image

    def _compare(self, scan: records.Scan, outcome: ScanOutcome) -> None:
        before, self._values = self._values, outcome.values
        pairs = enumerate(outcome.values)
        told: list[tuple[str, Any, Any]] = [
            (
                "decisions",
                scan.decisions[scan.notes :],
                [(one.source, one.subject, one.what, one.reason) for one in outcome.decisions],
            ),
            (
                "interventions",
                scan.interventions,
                [(one.rule, one.subject, one.reason) for one in outcome.interventions],
            ),
            (
                "outputs",
                scan.outputs,
                [(place, value) for place, value in pairs if before is None or before[place] != value],
            ),
            (
                "alarms",
                scan.alarms,
                [(one.point, one.active, one.severity, one.reason) for one in outcome.alarms],
            ),
            ("events", scan.events, outcome.events),
            ("figures", scan.figures, outcome.figures),
        ]
        for what, recorded, replayed in told:
            if msgspec.msgpack.encode(recorded) != msgspec.msgpack.encode(replayed):
                self._differ(scan.scan, scan.utc, what, recorded, replayed)

    def _differ(self, scan: int, utc: float, what: str, recorded: Any, replayed: Any) -> None:
        if len(self.report.differences) < self._limit:
            self.report.differences.append(Difference(scan, utc, what, recorded, replayed))
        elif len(self.report.differences) == self._limit:
            self.report.notes.append(f"more than {self._limit} differences: the rest is not kept")
            self._limit = -1


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a journal."""
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
    return plain


def _deep(first: Any, second: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two plain values differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys(), key=str):
            yield from _deep(first.get(key), second.get(key), f"{place}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _deep(one, other, f"{place}.{number}")
    elif msgspec.msgpack.encode(first) != msgspec.msgpack.encode(second):
        yield place, first, second
