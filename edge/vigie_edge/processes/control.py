"""The control process: one thread, no event loop, absolute deadlines.

A scan freezes image and mailbox, steps the engine and publishes an output frame. It opens no socket and no
file. What needs files (staging a policy bundle, the snapshot for a restart) is done in the slack after a
scan, one bounded step at a time.
"""

import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from vigie_controllers.contract import Decision
from vigie_controllers.image import Image
from vigie_edge import clock, identity, realtime
from vigie_edge.commands import CommandDesk, from_afar
from vigie_edge.memory.image import OutputFrame, blinded
from vigie_edge.peers import Peers
from vigie_edge.policies import PolicyShelf
from vigie_edge.processes.stop import StopFlag
from vigie_edge.records import Scan, Snapshot, encode, encode_heard, encode_offer
from vigie_edge.wiring import RING_WAIT_S, SNAPSHOT_BYTES, Wiring
from vigie_protocols.points import CLOCK_TRUST, NEVER, ClockTrust, Value

SNAPSHOT_S = 1.0
REPLAY_SNAPSHOT_S = 300.0
STALE_IMAGE_S = 1.0
FIRST_IMAGE_S = 2.0
"""A cold start waits at most so long for field's first image; then it scans on what there is."""
HOLD_S = 3.0
"""A restarted control repeats its predecessor's last frame at most so long while the devices' answers to it
are still on their way; then it begins as if nothing could be read."""
MAILBOXES = ("supervisor", "uplink")
LONG_S, EARLY_S = 0.005, 0.0005
"""After a long sleep control wakes a little before its deadline: what the last step needs is then at hand."""


class Control:
    """The engine with its memory: everything but the waiting."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.plan = wiring.plan
        self.engine = self.plan.engine()
        self.inputs = wiring.inputs()
        self.outputs = wiring.outputs(write=True)
        self.ring = wiring.scans()
        self.board = wiring.board("control")
        self._slot = wiring.snapshot(write=True)
        self._mail = [(name, wiring.mailbox(name), wiring.answers(name)) for name in MAILBOXES]
        self.peers = Peers(wiring, self.engine)
        self.shelf = PolicyShelf(self.plan, self.engine)
        self.notes: list[Decision] = []
        self.desk = CommandDesk(self.engine, self.shelf, self.notes)
        self._bundles = self.board.get("uplink.bundles")
        self._kept: tuple[object, ...] = ()
        self.image: Image = self.plan.table.empty()
        self._recorded_frame = 0
        self._values: tuple[Value, ...] | None = None
        self._trust_place = self.plan.table.index[CLOCK_TRUST]
        self._next_snapshot = -math.inf
        self._next_replay_snapshot = -math.inf
        self._snapshots_given = self.board.get("recorder.snapshots_wanted")
        self._scans = self.board.get("control.scans")

    def resume(self, now: float) -> None:
        """Take up where a killed predecessor stood: its last snapshot, policies and leases included."""
        found = self._slot.read()
        state = self.shelf.stored_snapshot() if found is None else msgspec.msgpack.decode(found[1])
        if state is not None:
            self.notes += self.engine.restore(state)
        # A replay begins here: with what a restart keeps, before anything is decided.
        self._record(encode(Snapshot(self._scans, now, clock.utc_now(), [], self.engine.snapshot(), True)))

    def freeze(self) -> Image:
        """The newest whole image; the one before when there is none whole."""
        found = self.inputs.read()
        if found is None:
            self.board.set("control.torn_frames", self.inputs.torn)
        elif found[0] != self.image.frame:
            self.image = self.wiring.image_codec.unpack(found[0], found[1])
            self._body = found[1]
        return self.image

    _body: bytes = b""

    def trust(self, image: Image) -> ClockTrust:
        """The clock's trust as field reads it."""
        reading = image.readings[self._trust_place]
        return ClockTrust(int(reading.value)) if reading.usable else ClockTrust.UNTRUSTED

    def scan(self, now: float, utc: float, image: Image, trust: ClockTrust, overrun: bool) -> OutputFrame:
        """One scan, recorded; the frame still has to be published."""
        messages = [encode_offer(one) for one in self.shelf.offers]
        self.shelf.offers.clear()
        mail = False
        for name, box, answers in self._mail:
            for payload in box.drain(4):
                if name != "supervisor":
                    payload = from_afar(payload)
                messages.append(payload)
                mail = True
                answers.push(self.desk.handle(payload, now, utc, trust))
        if mail:
            self.wiring.bells.supervisor.ring()
            self.wiring.bells.uplink.ring()
        messages += self._hear(image.tick)
        outcome = self.engine.scan(now, utc, trust, image, overrun)
        self.peers.say(outcome.said)
        self._scans += 1
        self.board.set("control.scans", self._scans)
        if outcome.interventions:
            self.board.add("control.interventions", len(outcome.interventions))
        decisions = [*self.notes, *outcome.decisions]
        noted = len(self.notes)
        self.notes.clear()
        before = self._values
        if before is None:
            changed = list(enumerate(outcome.values))
        else:
            changed = [(place, value) for place, value in enumerate(outcome.values) if before[place] != value]
        self._values = outcome.values
        body = None
        if image.frame != self._recorded_frame:
            self._recorded_frame = image.frame
            body = self._body
        record = Scan(
            self._scans,
            image.tick,
            now,
            utc,
            int(trust),
            overrun,
            body,
            messages,
            [(one.source, one.subject, one.what, one.reason) for one in decisions],
            [(one.rule, one.subject, one.reason) for one in outcome.interventions],
            changed,
            [(one.point, one.active, one.severity, one.reason) for one in outcome.alarms],
            noted,
            image.frame < 0,
            list(outcome.events),
            list(outcome.figures),
        )
        self._record(encode(record))
        if decisions or outcome.interventions or changed or outcome.alarms:
            self.wiring.bells.recorder.ring()
        return OutputFrame(
            self._scans,
            image.tick,
            now,
            now + self.plan.expiry_s,
            self.board.get("control.missed"),
            self.board.get("control.interventions"),
            self.shelf.staged_generation,
            self.shelf.applied_generation,
            outcome.values,
        )

    def _hear(self, tick: int) -> Iterator[bytes]:
        """Pass on what neighbours said, and give it to be recorded; what makes no sense is counted and left."""
        self.peers.collect()
        for neighbour, message in self.peers.due(tick):
            try:
                self.engine.hear(neighbour, message)
            except ValueError:
                self.board.add("control.peers_refused")
            else:
                self.board.add("control.peers_heard")
            yield encode_heard(neighbour, message)

    def _record(self, payload: bytes) -> None:
        pushed = self.ring.push_wait(payload, RING_WAIT_S) if self.wiring.paced else self.ring.push(payload)
        if not pushed:
            self.board.add("control.scans_lost")

    def _show(self, trust: ClockTrust) -> None:
        board, engine = self.board, self.engine
        board.set("control.trust", int(trust))
        board.set("control.leases", len(engine.leases.leases()))
        board.set("control.alarms", len(engine.alarms.active()))
        board.set("control.faults", len(engine.faults()))
        board.set("control.drifts", len(engine.gate.drifting))

    def slack(self, now: float, utc: float, trust: ClockTrust) -> bool:
        """At most one bounded step of what needs files; True when a bundle was staged, refused or changed.

        A bundle is noticed here and not by a scan's mail: in lock-step a tick may be withheld until it is staged.
        """
        bundles = self.board.get("uplink.bundles")
        if bundles != self._bundles:
            self._bundles = bundles
            self.shelf.look()
        changed = self.shelf.step(now, utc, trust, self.notes)
        if changed:
            self.wiring.bells.uplink.ring()
        kept = (self.engine.faults(), self.engine.leases.revision, self.engine.policies.revision)
        # What latched, what people did and which policies were taken is kept at once, not at the next turn.
        if now >= self._next_snapshot or kept != self._kept:
            self._next_snapshot = now + SNAPSHOT_S
            self._show(trust)
            state = self.engine.snapshot()
            packed = msgspec.msgpack.encode(state)
            if len(packed) <= SNAPSHOT_BYTES:
                self._slot.write(packed)
            else:  # a restart would go back to the last one that fitted
                self.board.add("control.snapshots_lost")
            if kept != self._kept:
                self._kept = kept
                self.board.add("control.kept_changes")
            wanted = self.board.get("recorder.snapshots_wanted")
            if now >= self._next_replay_snapshot or wanted != self._snapshots_given:
                self._snapshots_given = wanted
                self._next_replay_snapshot = now + REPLAY_SNAPSHOT_S
                self._record(encode(Snapshot(self._scans, now, utc, list(self._values or ()), state)))
                self._recorded_frame = 0  # a replay segment begins here, so its first scan carries the image
            gc.collect(0)
        return changed


@dataclass
class Hold:
    """A predecessor's last frame, repeated until the devices' read-backs are newer than the restart.

    Guards take over what lamps show; a read-back from before the last command would mislead them.
    """

    frame: OutputFrame
    began: float
    expiry_s: float
    places: tuple[int, ...]

    @classmethod
    def of(cls, wiring: Wiring, found: tuple[int, bytes] | None, now: float) -> "Hold | None":
        """A hold where a predecessor has just been here and read-backs exist."""
        index = wiring.plan.table.index
        places = tuple(index[one.read_back] for one in wiring.plan.outputs if one.read_back is not None)
        if found is None or not places:
            return None
        frame = wiring.output_codec.unpack(found[1])
        if not 0.0 <= now - frame.now <= HOLD_S:
            return None
        return cls(frame, now, wiring.plan.expiry_s, places)

    def over(self, now: float, image: Image) -> bool:
        """True when every read-back that can be read is newer than the restart, or the patience is over."""
        readings = (image.readings[place] for place in self.places)
        return self.late(now) or all(not one.usable or one.arrival > self.began for one in readings)

    def late(self, now: float) -> bool:
        """True when the patience is over."""
        return now - self.began > HOLD_S

    def again(self, now: float) -> OutputFrame:
        """The frame once more, alive for another expiry."""
        return replace(self.frame, now=now, expiry=now + self.expiry_s)


class WallControl:
    """Control in wall-clock time: a grid of absolute deadlines, woken early only by urgent points."""

    def __init__(self, wiring: Wiring) -> None:
        self.control = Control(wiring)
        self.wiring = wiring
        self.base_s = wiring.plan.gateway.scan_s
        self._hold: Hold | None = None
        self._first_by = 0.0
        self._number: int | None = None
        """The grid's next scan; None until the first image or the end of the patience with it."""
        self._overrun = False

    def run(self) -> None:
        """Scan until the supervisor is told to stop. Goes on when the supervisor dies."""
        granted = realtime.ask()
        self.control.board.set("control.fifo", int(granted.fifo))
        self.control.board.set("control.locked", int(granted.locked))
        if granted.why_not:
            self.wiring.log("control").warning("not all of real time is granted", why=granted.why_not)
        realtime.quiet_collector()
        stopped = StopFlag()
        self.begin()
        while not stopped.asked:
            self.turn(self.wiring.bells.control.wait(self.rest()))

    def begin(self) -> None:
        """Take up a predecessor's state."""
        self.control.resume(clock.monotonic())
        self._first_by = clock.monotonic() + FIRST_IMAGE_S

    def rest(self) -> float:
        """Seconds until the next turn, unless the bell rings."""
        if self._number is None:
            return 0.02
        rest = self._number * self.base_s - clock.monotonic()
        return rest - EARLY_S if rest > LONG_S else rest

    def turn(self, urgent: bool) -> None:
        """One scan, if the grid or an urgent point wants one now."""
        board = self.control.board
        now = clock.monotonic()
        if self._number is None:
            self._look_for_image(now)
            return
        deadline = self._number * self.base_s
        if now < deadline and not urgent:
            return
        if now >= deadline:
            late = round((now - deadline) * 1e6)
            board.add("control.late_us_sum", late)
            if late > board.get("control.late_us_max"):
                board.set("control.late_us_max", late)
            if late > 1000:
                board.add("control.late_over_1ms")
                if late > 10_000:
                    board.add("control.late_over_10ms")
        self._one(now, self._overrun)
        if now >= deadline:
            self._number += 1
        behind = math.floor(clock.monotonic() / self.base_s) + 1 - self._number
        self._overrun = behind > 0
        if self._overrun:
            board.add("control.overruns")
            board.add("control.missed", behind)
            self._number += behind

    def _look_for_image(self, now: float) -> None:
        """At a cold start field needs a moment; without it the first scans would find everything bad."""
        if now >= self._first_by or self._fresh(self.control.freeze(), now):
            self._hold = Hold.of(self.wiring, self.control.outputs.read(), now)
            self._number = math.floor(now / self.base_s) + 1

    def _fresh(self, image: Image, now: float) -> bool:
        """False for an image of a field that has fallen silent, or from before the machine started anew."""
        return -STALE_IMAGE_S <= now - image.now <= max(STALE_IMAGE_S, 3 * self.base_s)

    def _one(self, now: float, overrun: bool) -> None:
        control = self.control
        image = control.freeze()
        trust = control.trust(image)
        if not self._fresh(image, now):
            image = blinded(image)
        utc = clock.utc_now()
        if self._hold is not None:
            if not self._hold.over(now, image):
                control.outputs.write(self.wiring.output_codec.pack(self._hold.again(now)))
                self.wiring.bells.field.ring()
                return
            if self._hold.late(now):
                image = blinded(image)
            self._hold = None
        frame = control.scan(now, utc, image, trust, overrun)
        control.outputs.write(self.wiring.output_codec.pack(frame))
        self.wiring.bells.field.ring()
        control.slack(now, utc, trust)


class PacedControl:
    """Control in lock-step: all scans of a tick on the image of that tick."""

    def __init__(self, wiring: Wiring) -> None:
        self.control = Control(wiring)
        self.wiring = wiring
        self.base_s = wiring.plan.gateway.scan_s
        self.sequence = wiring.output_sequence()
        self._last = self._told = 0
        self._frame: OutputFrame | None = None
        self._scanned = (0.0, 0.0)
        """Time and UTC of the last scan, where a snapshot stands; later than the tick's own where it has several."""

    def run(self) -> None:
        """Scan tick by tick until told to stop."""
        realtime.quiet_collector()
        stopped = StopFlag()
        self.begin()
        while not stopped.asked:
            self.wiring.bells.control.wait(self.rest())
            self.turn()

    def begin(self) -> None:
        """Take up a predecessor's state."""
        control = self.control
        found = control.outputs.read()
        self._last = self.wiring.output_codec.unpack(found[1]).tick if found is not None else 0
        control.resume(NEVER if found is None else self.wiring.output_codec.unpack(found[1]).now)

    def rest(self) -> float:
        """Seconds until the next turn, unless the bell rings."""
        return 0.5 if self._frame is None else 0.05

    def turn(self) -> None:
        """The scans of a new tick; between ticks a step of what else is to do."""
        control, last = self.control, self._last
        image = control.freeze()
        if image.tick > last:
            if image.tick > self._told:  # everybody has ended the tick before, so everybody listens
                self._told = image.tick
                control.peers.send(image.tick - 1)
            if not control.peers.ready(image.tick, clock.monotonic()):
                return
            if last and image.tick > last + 1:
                control.board.add("control.missed", (image.tick - last - 1) * self._per_tick())
            self._last = image.tick
            self._frame = self._tick(image)
        elif self._frame is not None and control.slack(*self._scanned, ClockTrust.SYNCED):
            self._publish_staged(self._frame)

    def _per_tick(self) -> int:
        return max(1, round(self.control.board.get("field.step_us") / 1e6 / self.base_s))

    def _tick(self, image: Image) -> OutputFrame:
        control = self.control
        trust = control.trust(image)
        frame: OutputFrame | None = None
        packed = b""
        for turn in range(self._per_tick()):
            self._scanned = image.now + turn * self.base_s, image.utc + turn * self.base_s
            frame = control.scan(*self._scanned, image, trust, False)
            packed = self.wiring.output_codec.pack(frame)
            self.sequence.push_wait(packed, RING_WAIT_S)
        assert frame is not None
        control.outputs.write(packed)
        self.wiring.bells.field.ring()
        control.slack(*self._scanned, trust)
        return frame

    def _publish_staged(self, frame: OutputFrame) -> None:
        shelf = self.control.shelf
        newer = replace(frame, staged=shelf.staged_generation, applied=shelf.applied_generation)
        self.control.outputs.write(self.wiring.output_codec.pack(newer))
        self.wiring.bells.field.ring()


def run_control(wiring: Wiring) -> None:
    """The control process's whole life."""
    control = (PacedControl if wiring.paced else WallControl)(wiring)
    wiring.settle("control", None, (identity.CAP_SYS_NICE, identity.CAP_IPC_LOCK))
    control.run()
