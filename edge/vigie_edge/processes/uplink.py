"""The uplink: follows the telemetry journal, speaks Sparkplug and Vigie's own channel to the coordinator.

One thread, one select loop. Killing it disturbs no scan; starting it again loses nothing, since all it
knows is in the journal, in what was acknowledged, and in the files control writes.
"""

import contextlib
import json
import math
import os
import random
import select
from typing import Any

import msgspec

from vigie_edge import clock
from vigie_edge.births import Births
from vigie_edge.brokerlink import link_config
from vigie_edge.intake import CommandIntake
from vigie_edge.messages import Messages
from vigie_edge.peers import PeerPost
from vigie_edge.processes.stop import StopFlag
from vigie_edge.sending import Sender
from vigie_edge.silence import FIRST_S, Silence
from vigie_edge.statefiles import AcknowledgedFile, write_atomic
from vigie_edge.wiring import TROUBLE_FILE, UPLINK_FOLDER, Wiring
from vigie_protocols import channel
from vigie_protocols.envelope import load_key_ring
from vigie_protocols.errors import FrameError, InputError, LinkDown, Refused, SignatureError, TransientError
from vigie_protocols.gateway import Retry
from vigie_protocols.keys import KeyRing
from vigie_protocols.mqttevents import (
    Acked,
    Connected,
    Denied,
    Disconnected,
    LinkEvent,
    Received,
    Will,
)
from vigie_protocols.mqttlink import MqttLink
from vigie_protocols.points import CLOCK_TRUST, ClockTrust, Value
from vigie_protocols.sparkplug.actions import (
    BIRTH,
    CommandReceived,
    Disconnect,
    EdgeAction,
    Problem,
    Publish,
    Subscribe,
)
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode

BATCH = 200
FIRST_IMAGE_S = 2.0
QUEUED_LIMIT = 1 << 20
_SAVE_S = 0.5
_DENIED_S = 60.0
"""Seconds after which what a broker denied is tried again: an access list may have been put right."""
_PACED_SILENCE_S = 12.0


def _delays(retry: Retry) -> dict[str, float]:
    return {"first_delay": retry.first_s, "min_delay": retry.first_s, "max_delay": retry.max_s}


class Uplink:
    """Everything between the journal and the broker."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.plan = plan = wiring.plan
        spec = plan.gateway.uplink
        assert spec is not None
        self.gateway = plan.gateway.gateway
        self.board = wiring.board("uplink")
        self.log = wiring.log("uplink")
        self._patience = clock.monotonic() + FIRST_IMAGE_S
        self._inputs = wiring.inputs()
        folder = plan.gateway.state_dir / UPLINK_FOLDER
        self._trouble_file = folder / TROUBLE_FILE
        self._trouble: str | None = None
        self._acked_file = AcknowledgedFile(folder)
        directory = plan.gateway.journal.directory / "telemetry"
        self.sender = Sender(directory, spec.live_share, self._acked_file.load())
        self._mailbox = wiring.mailbox("uplink")
        self._peers = PeerPost(wiring)
        self._answers = wiring.answers("uplink")
        self._policies = plan.gateway.state_dir / "policies"
        keyring: KeyRing | None = None
        if spec.keyring is not None:
            try:
                keyring = load_key_ring(spec.keyring, self.gateway)
            except InputError as error:
                # Telemetry needs no keys; control says by itself that it refuses every policy.
                self.log.warning("no command will be taken", reason=error)
        self._intake = CommandIntake(self.gateway, keyring, folder / "nonces.json")
        self._reported = b""
        self._report_file = self._policies / "reported.json"
        self._report_version = (0, 0)
        self._report_id = -1
        self._report_again = math.inf
        self._dirty_acks = False
        self._save_at = 0.0
        self._births = Births(wiring, self._inputs)
        devices = {device.name for device in plan.gateway.devices}
        self._messages = Messages(self._births, devices, clock.boot_id(), wiring.paced)
        self._trusted, self._trust_again = ClockTrust.UNTRUSTED, 0.0
        self._trust_place = plan.table.index[CLOCK_TRUST]
        self._config = EdgeConfig(plan.gateway.group, self.gateway)
        self.node = EdgeNode(self._config, [], {})
        self._broker = f"{spec.host}:{spec.port}"
        link = link_config(spec, self.gateway, wiring.paced)
        self.link = MqttLink(link, clock.monotonic, random.random, self._will)
        self._silence = Silence(_PACED_SILENCE_S if wiring.paced else FIRST_S)

    def _subscriptions(self) -> tuple[tuple[str, int], ...]:
        own = [channel.topic(self.gateway, what) for what in (channel.DESIRED, channel.CMD, channel.ACK)]
        return tuple((topic, 1) for topic in (*own, *self._peers.subscriptions))

    def _will(self) -> Will | None:
        """Asked before each CONNECT: a new session, whose births show what field reads now."""
        self.node = EdgeNode(
            self._config,
            self._births.node(self._trust()),
            self._births.devices(),
            first_bdseq=self.node.next_bdseq,
        )
        death = self.node.will(self._utc_ms())
        return Will(death.topic, death.payload, death.qos, death.retain)

    # -- time ----------------------------------------------------------------------------------------

    def _image_utc(self) -> float | None:
        image = self._inputs.read()
        return None if image is None else self.wiring.image_codec.utc(image[1])

    def _utc_ms(self) -> int:
        """UTC milliseconds: simulated in lock-step, as every stamp there."""
        utc = self._image_utc() if self.wiring.paced else None
        return round((clock.utc_now() if utc is None else utc) * 1000)

    # -- loop ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop."""
        stop = StopFlag()
        bell = self.wiring.bells.uplink
        while not stop.asked and not self.ready():
            select.select([bell.fd], [], [], 0.05)
            bell.answer()
        self.link.start()
        while not stop.asked:
            self.turn(bell.fd)
            bell.answer()
        self.last_words()

    def ready(self) -> bool:
        """Births show what field reads: true once it has, or had a moment; in lock-step time itself begins there."""
        patient = self.wiring.paced or clock.monotonic() < self._patience
        return self._inputs.read() is not None or not patient

    def turn(self, bell: int, rest: float = 0.25) -> None:
        """Wait ``rest`` seconds at most for socket, journal or deadline, and do what is due."""
        link = self.link
        socket = link.fileno()
        readers = [bell] if socket is None else [bell, socket]
        writers = [socket] if socket is not None and link.want_write() else []
        deadline = link.deadline()
        if deadline is not None:
            rest = min(rest, max(0.0, deadline - clock.monotonic()))
        readable, writable, _ = select.select(readers, writers, [], rest)
        events: list[LinkEvent] = []
        if socket is not None and socket in readable:
            events += link.on_readable()
        if socket is not None and socket in writable and link.fileno() == socket:
            events += link.on_writable()
        events += link.housekeeping()
        for event in events:
            self._on_event(event)
        if link.connected and self.node.born:
            self._send_some()
            self._report()
            if self._silence.too_long(clock.monotonic(), self.sender.waiting):
                self.log.warning("nothing is acknowledged: connecting anew", waiting=self.sender.waiting)
                self._act([Disconnect("nothing is acknowledged")])
        self._send_answers()
        self._peers.send(self.link)
        if link.want_write() and link.fileno() == socket:  # at once: it is nearly always writable
            for event in link.on_writable():
                self._on_event(event)
        self._save_acks()
        self.board.add("uplink.beat")
        self.log.settle()
        self.board.set("uplink.unacked", self.sender.waiting)
        self.board.set("uplink.unheard", self._silence.unheard)
        self.board.set("uplink.resent", self.sender.resent)

    def _on_event(self, event: LinkEvent) -> None:
        match event:
            case Connected():
                self.board.set("uplink.connected", 1)
                self.board.add("uplink.reconnects")
                self._reported = b""
                self._silence.connected(clock.monotonic())
                self._tell_link("")
                self.sender.begin()
                self._act([Subscribe(self._subscriptions()), *self.node.connected(self._utc_ms())])
            case Disconnected(reason):
                self.board.set("uplink.connected", 0)
                self.node.disconnected()
                self._tell_link(reason)
            case Acked(number):
                if number == self._report_id:
                    self.board.set("uplink.denied_now", 0)
            case Denied():
                self.board.add("uplink.denied")
                self.board.set("uplink.denied_now", 1)
                self._report_again = clock.monotonic() + _DENIED_S
                self.log.error("the broker denied a publish", topic=event.topic, code=f"{event.code:#x}")
            case Received(topic, payload):
                self._received(topic, payload)
            case _:
                pass

    def _tell_link(self, trouble: str) -> None:
        """Say why there is no link, once for each reason: in the log, and for ``status`` in a file of ours."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self.log.warning("no link to the broker", broker=self._broker, reason=trouble)
        else:
            self.log.info("linked to the broker", broker=self._broker)
        with contextlib.suppress(OSError):  # a full disk: the log has it
            write_atomic(self._trouble_file, trouble[:300].encode(), durable=False)

    def _act(self, actions: list[EdgeAction]) -> None:
        for action in actions:
            try:
                match action:
                    case Publish():
                        self.link.publish(action.topic, action.payload, action.qos, action.retain)
                    case Subscribe():
                        self.link.subscribe(action.filters)
                    case Disconnect():
                        for event in self.link.reconnect(action.reason, with_will=True):
                            self._on_event(event)
                    case CommandReceived() | Problem():
                        self.board.add("uplink.refused")
            except TransientError:
                return  # not connected any more, or too much waits: the journal keeps it

    # -- sending -------------------------------------------------------------------------------------

    def _send_some(self) -> None:
        if self.link.queued[1] > QUEUED_LIMIT:
            return
        now, trust, sent = self._utc_ms(), self._trust_now(), 0
        for epoch, record, old in self.sender.batch(clock.monotonic(), BATCH):
            try:
                self._act(self._messages.of(self.node, epoch, record, old, now, trust))
            except LinkDown:
                break
            sent += 1
        self.board.add("uplink.published", sent)
        if self.board.get("recorder.mended") == self.board.get("uplink.damaged"):
            self._tell_damage(self.sender.take_damaged())

    def _tell_damage(self, segment: tuple[int, int] | None) -> None:
        """The recorder puts right what its reader has found; one segment after the other."""
        if segment is not None:
            self.board.set("uplink.damaged_epoch", segment[0])
            self.board.set("uplink.damaged_first", segment[1])
            self.board.add("uplink.damaged")

    def _report(self) -> None:
        """What runs here, retained, whenever control has written something new."""
        try:
            stat = os.stat(self._report_file)
            version = stat.st_ino, stat.st_mtime_ns
            if version == self._report_version and self._reported and clock.monotonic() < self._report_again:
                return
            reported = self._report_file.read_bytes()
        except OSError:
            return
        self._report_version = version
        if reported != self._reported or clock.monotonic() >= self._report_again:
            topic = channel.topic(self.gateway, channel.REPORTED)
            try:
                self._report_id = self.link.publish(topic, reported, 1, True)
            except TransientError:
                return
            self._reported, self._report_again = reported, math.inf

    def _send_answers(self) -> None:
        for payload in self._answers.drain():
            answer = json.loads(payload)
            if not self._intake.knows(answer["nonce"]):
                continue  # not a command's: a bundle is answered by what is reported
            response = channel.Response(
                answer["nonce"],
                answer["ok"],
                answer.get("code", ""),
                answer.get("reason", ""),
                answer.get("result", {}),
            )
            self._respond(response)

    def _respond(self, response: channel.Response) -> None:
        try:
            self.link.publish(channel.topic(self.gateway, channel.RESP), channel.encode(response), 1)
        except TransientError:
            return  # whoever asked sees a time-out and asks again

    def _save_acks(self) -> None:
        if self._dirty_acks and clock.monotonic() >= self._save_at:
            self._dirty_acks = False
            self._save_at = clock.monotonic() + _SAVE_S
            self.sender.forget_epochs()
            self._keep_acks()

    def _keep_acks(self) -> None:
        try:
            self._acked_file.save(self.sender.acknowledged)
        except OSError:
            self._dirty_acks = True  # the disk refuses: tried again, for only what is kept there makes room

    # -- receiving -----------------------------------------------------------------------------------

    def _received(self, topic: str, payload: bytes) -> None:
        if not topic.startswith(channel.ROOT + "/"):
            actions = self.node.received(topic, payload, self._utc_ms())
            if any(isinstance(one, Publish) and one.kind == BIRTH for one in actions):
                self.sender.begin()  # who asks for births missed what came before them
            self._act(actions)
            return
        try:
            speaker, what, _ = channel.parse_topic(topic)
            if what == channel.PEER:
                self._peers.receive(speaker, payload)
            elif what == channel.ACK:
                self._acknowledged(channel.decode_ack(payload))
            elif what == channel.DESIRED:
                self._desired(payload)
            elif what == channel.CMD:
                self._command(payload)
        except (FrameError, SignatureError, Refused) as error:
            self.board.add("uplink.refused")
            self.log.warning("refused", f"refused {topic}", topic=topic, reason=error)

    def _acknowledged(self, ack: channel.Ack) -> None:
        self._silence.heard(clock.monotonic())
        if not self.sender.acknowledge(ack.epoch, ack.through, ack.ranges):
            return
        self._dirty_acks = True
        if ack.epoch == self.board.get("recorder.epoch"):
            self.board.set("uplink.acked_epoch", ack.epoch)
            self.board.set("uplink.acked_through", self.sender.acknowledged[ack.epoch].through)

    def _desired(self, payload: bytes) -> None:
        """Put the bundle where control looks for it. Control alone judges it, so that every refusal is reported."""
        if not payload or len(payload) > channel.MAX_BUNDLE:
            return
        try:
            write_atomic(self._policies / "incoming" / "desired.json", payload)
        except OSError as error:  # the coordinator sees that it is not applied; telemetry goes on
            self.board.add("uplink.refused")
            self.log.error("a bundle cannot be kept", reason=error.strerror)
            return
        self.board.add("uplink.bundles")
        self.wiring.bells.control.ring()

    def _command(self, payload: bytes) -> None:
        taken = self._intake.take(payload, self._utc_ms() / 1000, self._trust())
        if isinstance(taken, channel.Response):
            self._respond(taken)
        else:
            self._mail(taken)

    def _trust(self) -> ClockTrust:
        image = self._inputs.read()
        if image is None:
            return ClockTrust.UNTRUSTED
        value: Value = self.wiring.image_codec.unpack(*image).readings[self._trust_place].value
        return ClockTrust(int(value))

    def _trust_now(self) -> ClockTrust:
        """The same, read once a second: an image is too much to unpack for each record."""
        now = clock.monotonic()
        if now >= self._trust_again:
            self._trusted, self._trust_again = self._trust(), now + 1.0
        return self._trusted

    def _mail(self, message: dict[str, Any]) -> None:
        if self._mailbox.push(msgspec.json.encode(message)):
            self.wiring.bells.control.ring()
        else:
            self.board.add("uplink.refused")

    def last_words(self) -> None:
        """Leave on purpose: what the journal still has goes out first, then the death certificate."""
        until = clock.monotonic() + 2.0
        while self.link.connected and self.node.born and clock.monotonic() < until:
            self.turn(self.wiring.bells.uplink.fd)
            if not self.sender.waiting:
                break
        self._act(self.node.stop(self._utc_ms()))
        self.link.close(with_will=True)
        self._keep_acks()


def run_uplink(wiring: Wiring) -> None:
    """The uplink process's whole life: it maps and reads what it needs, then becomes its own user."""
    uplink = Uplink(wiring)
    wiring.settle("uplink", wiring.users.uplink)
    uplink.run()
