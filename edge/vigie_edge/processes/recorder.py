"""The recorder: rings in, journal out. The only process that waits for the disk.

What the rings bring is written at once, so that the uplink sends it while it is fresh, and made durable in
groups: a disk that had to sync every write would be slower than the field, and worn out in a year.

Two journals: ``telemetry`` holds what the coordinator should get (samples by device, events), ``replay``
what it takes to run every scan again. A ring's room is given back only after the group commit, and every
record carries the ring position it came from, so a recorder that is killed stores nothing twice.
"""

import select
import zlib
from collections.abc import Mapping
from itertools import repeat

import msgspec

from vigie_edge import clock, records
from vigie_edge.config import FIRST_DEVICE_POINT, code_hash, measure_metric
from vigie_edge.journal.journal import Journal
from vigie_edge.journal.segment import Kind
from vigie_edge.processes.stop import StopFlag
from vigie_edge.statefiles import AcknowledgedFile, StateFile
from vigie_edge.telemetry import Publisher, Sample
from vigie_edge.telemetry_records import Event, Samples, samples_of
from vigie_edge.wiring import RING_BYTES, UPLINK_FOLDER, Wiring
from vigie_protocols.errors import TransientError
from vigie_protocols.points import NEVER, Value

GATHER_S = 0.005
"""Seconds from one writing to the next at least; in lock-step, where a second passes sooner, a group's time."""
_encode = msgspec.msgpack.Encoder().encode
PENDING_LIMIT = 16 << 20
"""Bytes kept in memory while the disk refuses; beyond it the rings fill, and then count what they lose."""


def _stamps(record: records.Scan, boot: str) -> tuple[float, float, str, int]:
    return record.utc, record.now, boot, record.trust


def point_metric(name: str) -> str:
    """The name of a point's metric: without its device; ``$clock/trust`` is the node's ``clock/trust``."""
    return name[1:] if name.startswith("$") else name.partition("/")[2]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """How far a journal has consumed the rings: birth and position of each; and the samples it took so far.

    Since it is written with the records themselves, a recorder that is killed neither forgets a sample nor
    counts one twice. standing: bits of the agent's own alarms that this journal has raised and not cleared yet,
    so that the next recorder clears them, also after a power cut. lost: records that the rings had no room for, as
    far as they have been told.
    """

    readings_birth: int = 0
    readings: int = 0
    scans_birth: int = 0
    scans: int = 0
    samples: int = 0
    standing: int = 0
    lost: int = 0


_DENIED, _UNWRITTEN = 1, 2
"""Bits of ``Mark.standing``."""


class Recorder:
    """Follows both rings into both journals."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.plan = plan = wiring.plan
        spec = plan.gateway.journal
        self.readings, self.scans = wiring.readings(), wiring.scans()
        self.board = wiring.board("recorder")
        self.boot = clock.boot_id()
        preamble = msgspec.json.encode(
            {
                "gateway": plan.gateway.gateway,
                "configuration": plan.configuration_hash,
                "code": code_hash(),
                "boot": self.boot,
                "points": plan.table.names,
            }
        )
        born = int(clock.utc_now())
        self.telemetry = Journal(
            spec.directory / "telemetry",
            spec.telemetry_quota_mb << 20,
            preamble,
            born,
            min(spec.segment_mb << 20, spec.telemetry_quota_mb << 17),
            self.boot,
        )
        self._segment_bytes = min(spec.segment_mb << 20, spec.replay_quota_mb << 16)
        self.replay = Journal(
            spec.directory / "replay",
            spec.replay_quota_mb << 20,
            preamble,
            born,
            2 * self._segment_bytes,  # it asks for a snapshot in time, so that one begins each segment
            self.boot,
            expendable=True,
        )
        self.commit_s = spec.commit_ms / 1000
        self.gather_s = self.commit_s if wiring.paced else min(GATHER_S, self.commit_s)
        self.commit_at = clock.monotonic()
        self._publisher = Publisher(plan)
        self._begin_publishing()
        self._acked = AcknowledgedFile(plan.gateway.state_dir / UPLINK_FOLDER)
        self._state = StateFile(plan.gateway.state_dir)
        self._snapshot = wiring.snapshot()
        self._titles = {
            decl.name: title.model_dump()
            for decl in plan.points
            if decl.alarm is not None and (title := decl.alarm.title or decl.title) is not None
        }
        self._names = [point_metric(name) for name in plan.table.names]
        self._done = [self._consumed(self.telemetry), self._consumed(self.replay)]
        self._read = Mark(
            self.readings.birth,
            min(mark.readings for mark in self._done),
            self.scans.birth,
            min(mark.scans for mark in self._done),
        )
        self._taken = self._done[0].samples
        self._at = (self._read.readings, self._read.scans)
        self._body = b""
        self._asked = False
        self._kept = 0
        self._lost = self._done[0].lost
        self._standing = self._done[0].standing
        self.log = wiring.log("recorder")
        self._ask_snapshot()
        self._declare_damage()

    def _begin_publishing(self) -> None:
        """After a predecessor: what does not change any more is known from field's image."""
        found = self.wiring.inputs().read()
        if found is not None:
            image = self.wiring.image_codec.unpack(*found)
            rows = [
                (place, one.value, int(one.quality))
                for place, one in enumerate(image.readings)
                if one.arrival > NEVER
            ]
            self._publisher.begin(image.now, rows)

    def _consumed(self, journal: Journal) -> Mark:
        """How far this journal holds what the rings of this runtime brought."""
        mark = msgspec.msgpack.decode(journal.mark, type=Mark) if journal.mark else Mark()
        readings = mark.readings_birth == self.readings.birth
        scans = mark.scans_birth == self.scans.birth
        return Mark(
            self.readings.birth,
            mark.readings if readings else 0,
            self.scans.birth,
            mark.scans if scans else 0,
            mark.samples,
            mark.standing,
            mark.lost if readings and scans else 0,
        )

    def _declare_damage(self) -> None:
        for journal, name in ((self.telemetry, "telemetry"), (self.replay, "replay")):
            if journal.counters.quarantined or journal.counters.tails_cut:
                damaged, cut = journal.counters.quarantined, journal.counters.tails_cut
                reason = f"{damaged} damaged segments set aside, {cut} unfinished groups cut"
                self._event("journal", name, "repaired", reason, clock.monotonic(), clock.utc_now(), 0)
        self.replay.gaps.clear()

    # -- turning -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Follow the rings until told to stop, then commit what is left."""
        stop = StopFlag()
        bell = self.wiring.bells.recorder
        next_turn = clock.monotonic()
        while not stop.asked:
            select.select([bell.fd], [], [], max(0.0, self.commit_at - clock.monotonic()))
            rest = next_turn - clock.monotonic()
            if rest > 0 and not self.pressed:
                select.select([], [], [], rest)  # let a group gather: the ring keeps it meanwhile
            bell.answer()
            next_turn = clock.monotonic() + self.gather_s
            self.turn(clock.monotonic() >= self.commit_at or self.pressed)
        self.close()

    @property
    def pressed(self) -> bool:
        """True when a ring fills: then nobody waits for a group to gather."""
        return max(self.readings.backlog, self.scans.backlog) >= RING_BYTES // 4

    def close(self) -> None:
        """Commit what is left and close both journals."""
        self.turn()
        self.telemetry.close()
        self.replay.close()

    def turn(self, commit: bool = True) -> None:
        """Read both rings and write what is for the coordinator; ``commit`` both journals.

        A ring's room is given back when both journals have what stood there.
        """
        if max(self.telemetry.pending, self.replay.pending) < PENDING_LIMIT:
            readings, scans = self._read.readings, self._read.scans
            for position, payload in self.readings.peek(after=readings):
                self._from_field(position, payload)
                readings = position
                self._at = (readings, scans)
            for position, payload in self.scans.peek(after=scans):
                self._from_control(position, payload)
                scans = position
                self._at = (readings, scans)
            self._watch_losses()
            self._watch_alarms()
            self._watch_damage()
            self._read = self._mark(readings, scans)
        mark = msgspec.msgpack.encode(self._read)
        written = self.telemetry.counters.commits
        if self.telemetry.write(mark):
            self._done[0] = self._read
        if self.telemetry.counters.commits != written:
            self.wiring.bells.uplink.ring()
        if commit:
            self._commit(mark)

    def _mark(self, readings: int, scans: int) -> Mark:
        births = self.readings.birth, self.scans.birth
        return Mark(births[0], readings, births[1], scans, self._taken, self._standing, self._lost)

    def _commit(self, mark: bytes) -> None:
        """Both journals to the disk, and whatever else need not be done at every turn."""
        self.commit_at = clock.monotonic() + self.commit_s
        self.telemetry.sync()
        if self.replay.commit(mark):
            self._done[1] = self._read
        for epoch, ranges in self._acked.changes():
            self.telemetry.acknowledge(epoch, ranges)
        kept = self.board.get("control.kept_changes")
        if (self._state.due() or kept != self._kept) and (found := self._snapshot.read()) is not None:
            self._kept = kept
            self._state.keep(found[1])
        if not self._asked and self.replay.open_bytes > self._segment_bytes:
            self._ask_snapshot()
        self.readings.free(min(one.readings for one in self._done))
        self.scans.free(min(one.scans for one in self._done))
        self.log.settle()
        self._show()

    def _from_field(self, position: int, payload: bytes) -> None:
        if position > self._done[1].readings:
            self.replay.append(Kind.READINGS, payload)
        if position <= self._done[0].readings:
            return
        record = records.decode_field(payload)
        if isinstance(record, records.Note):
            self._event(
                "field", record.subject, record.what, record.reason, record.now, record.utc, record.trust
            )
            return
        for places, values, quality, _, _ in record.runs:
            chosen = self._publisher.readings(record.now, zip(places, values, repeat(quality)))
            self._samples(chosen, record.now, record.utc, record.trust)

    def _from_control(self, position: int, payload: bytes) -> None:
        record = records.decode_control(payload)
        if isinstance(record, records.Snapshot):
            if position > self._done[1].scans:
                self._rotate_at(payload)
            return
        if position > self._done[1].scans:
            self.replay.append(Kind.SCAN, self._thin(record, payload))
        if position <= self._done[0].scans:
            return
        when = (record.now, record.utc, record.trust)
        points = self.plan.output_points
        outputs = [(points[place] + FIRST_DEVICE_POINT, value) for place, value in record.outputs]
        self._samples(self._publisher.outputs(record.now, outputs), *when)
        self._samples(self._publisher.quiet(record.now), *when)
        for loop, figures in record.figures:
            self._figures(loop, figures, *when)
        for source, subject, what, reason in record.decisions:
            self._event(source, subject, what, reason, *when)
        for rule, subject, reason in record.interventions:
            self._event("guard", subject, rule, reason, *when, kind="intervention")
        for point, active, severity, reason in record.alarms:
            source = "raised" if active else "cleared"
            told = f"{point} {reason}"
            stamps, title = _stamps(record, self.boot), self._titles.get(point)
            self._append_event(Event("alarm", source, point, "limit", told, *stamps, severity, active, title))

    def _rotate_at(self, payload: bytes) -> None:
        """A snapshot begins a replay segment, so that each segment can be run again alone."""
        if self.replay.pending:
            # What is committed here is what came before this snapshot, no less: or it would come twice.
            before = self._mark(*self._at)
            if self.replay.commit(msgspec.msgpack.encode(before)):
                self._done[1] = before
        self.replay.begin()
        self._asked = False
        self._body = b""
        self.replay.append(Kind.SNAPSHOT, payload)

    def _ask_snapshot(self) -> None:
        """Control gives one in the slack after a scan, within about a second."""
        self._asked = True
        self.board.add("recorder.snapshots_wanted")

    def _thin(self, record: records.Scan, payload: bytes) -> bytes:
        """A scan's image as what differs from the image before it, compressed; the rest as it came."""
        if record.body is None:
            return payload
        before, self._body = self._body, record.body
        if len(before) == len(record.body):
            mixed = int.from_bytes(before, "little") ^ int.from_bytes(record.body, "little")
            delta = b"d" + zlib.compress(mixed.to_bytes(len(before), "little"), 1)
        else:
            delta = b"w" + zlib.compress(record.body, 1)
        return records.encode(msgspec.structs.replace(record, body=delta))

    def _samples(self, chosen: Mapping[str, list[Sample]], now: float, utc: float, trust: int) -> None:
        for device, samples in chosen.items():
            places, values, qualities = zip(*samples, strict=True)
            names = [self._names[place] for place in places]
            record = Samples(device, utc, now, self.boot, trust, names, values, qualities)
            self.telemetry.append(Kind.SAMPLES, _encode(record))
            self._taken += len(names)

    def _figures(
        self, loop: str, figures: Mapping[str, float | None], now: float, utc: float, trust: int
    ) -> None:
        """A period's figures as the gateway's own metrics; one without a meaning this time is of bad quality."""
        rows: list[tuple[str, Value, int]] = [
            (measure_metric(loop, name), value or 0.0, 0 if value is None else 2)
            for name, value in figures.items()
        ]
        record = samples_of("", utc, now, self.boot, trust, rows)
        self.telemetry.append(Kind.SAMPLES, msgspec.msgpack.encode(record))
        self._taken += len(rows)

    def _event(
        self,
        source: str,
        subject: str,
        what: str,
        reason: str,
        now: float,
        utc: float,
        trust: int,
        kind: str = "decision",
    ) -> None:
        event = Event(kind, source, subject, what, reason, utc, now, self.boot, trust)
        self._append_event(event)

    def _append_event(self, event: Event) -> None:
        self.telemetry.append(Kind.EVENT, msgspec.json.encode(event))
        self.board.add("recorder.events")

    def _watch_losses(self) -> None:
        lost = self.readings.lost + self.scans.lost
        if lost > self._lost:
            reason = f"{lost - self._lost} ring records had no room: the disk was too slow or full"
            self._lost = lost
            self._event("recorder", "rings", "lost", reason, clock.monotonic(), clock.utc_now(), 0, "gap")

    def _watch_damage(self) -> None:
        """The uplink met a bad place in a segment that it was reading: put it right and declare what is gone."""
        damaged = self.board.get("uplink.damaged")
        if damaged == self.board.get("recorder.mended"):
            return
        self.telemetry.mend(self.board.get("uplink.damaged_epoch"), self.board.get("uplink.damaged_first"))
        self.board.set("recorder.mended", damaged)
        reason = "a damaged segment was set aside and what is whole of it kept"
        self._event("journal", "telemetry", "repaired", reason, clock.monotonic(), clock.utc_now(), 0)

    def _watch_alarms(self) -> None:
        """Alarms of the agent itself: raised when their condition begins, cleared when it ends."""
        denied = bool(self.board.get("uplink.denied_now"))
        self._stands(
            _DENIED,
            denied,
            "broker",
            "denied",
            "the broker denies what this gateway publishes" if denied else "the broker takes it again",
        )
        # Nobody upstream can be told while it lasts: what is not written is not sent. The log tells it at once.
        why = self.telemetry.refusal or self.replay.refusal
        if self._stands(
            _UNWRITTEN,
            bool(why),
            "journal",
            "not-written",
            f"the disk takes nothing of the journal: {why}" if why else "the disk takes the journal again",
        ):
            where = self.plan.gateway.journal.directory
            if why:
                self.log.error("the disk takes nothing of the journal", directory=where, reason=why)
            else:
                self.log.info("the disk takes the journal again", directory=where)

    def _stands(self, bit: int, active: bool, subject: str, what: str, reason: str) -> bool:
        """Tell it when it is another than it was; True when it is."""
        if active is bool(self._standing & bit):
            return False
        self._standing ^= bit
        when = (clock.utc_now(), clock.monotonic(), self.boot, 0)
        word = "raised" if active else "cleared"
        self._append_event(Event("alarm", word, subject, what, reason, *when, "high", active))
        return True

    def _show(self) -> None:
        board, telemetry, replay = self.board, self.telemetry, self.replay
        board.set("recorder.samples", self._done[0].samples)
        board.set("recorder.records", telemetry.counters.records)
        board.set("recorder.commits", telemetry.counters.commits)
        board.set("recorder.epoch", telemetry.epoch)
        board.set("recorder.last_index", telemetry.next_index - 1)
        board.set("recorder.dropped", telemetry.counters.dropped_unacknowledged)
        board.set("recorder.quarantined", telemetry.counters.quarantined + replay.counters.quarantined)
        board.set(
            "recorder.write_failures", telemetry.counters.write_failures + replay.counters.write_failures
        )
        board.set("recorder.disk_refuses", bool(telemetry.refusal or replay.refusal))
        board.set("recorder.backlog", self.readings.backlog + self.scans.backlog)
        board.set("recorder.telemetry_bytes", telemetry.size)
        board.set("recorder.replay_bytes", replay.size)
        board.add("recorder.turns")


def run_recorder(wiring: Wiring) -> None:
    """The recorder process's whole life."""
    wiring.settle("recorder", None)
    try:
        recorder = Recorder(wiring)
    except OSError as error:
        where = wiring.plan.gateway.journal.directory
        raise TransientError(f"the journal in {where} cannot be opened: {error.strerror}") from error
    recorder.run()
