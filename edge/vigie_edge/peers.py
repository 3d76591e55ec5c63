"""Neighbours' messages on their way between uplink and control.

They are plain data from other gateways, kept apart from commands: they come from topics that the broker lets
only that neighbour write, are bounded and checked, and reach nothing but the loops' ``hear``. In wall-clock
time one that does not come is missing. In lock-step a message of tick k is used in tick k+1, and one that has
not come by then is an error.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from vigie_controllers.scan import ScanEngine
from vigie_edge.wiring import Wiring
from vigie_protocols import channel
from vigie_protocols.channel import MAX_SAID, PeerWords
from vigie_protocols.errors import TransientError

if TYPE_CHECKING:  # control has no use for an MQTT client, and its memory is counted
    from vigie_protocols.mqttlink import MqttLink

PATIENCE_S = 30.0
"""Wall seconds that a tick waits for its neighbours."""

Heard = tuple[str, Mapping[str, Any]]
"""(the neighbour's gateway, one message)."""


class PeerMail(msgspec.Struct, array_like=True, frozen=True):
    """What one gateway has to say to another. gateway: the other one; tick: 0 in wall-clock time."""

    gateway: str
    tick: int
    said: list[dict[str, Any]]


_decoder: msgspec.msgpack.Decoder[PeerMail] = msgspec.msgpack.Decoder(PeerMail)


def encode_mail(gateway: str, words: PeerWords) -> bytes:
    """As it lies in a ring."""
    return msgspec.msgpack.encode(PeerMail(gateway, words.tick, list(words.said)))


def decode_mail(payload: bytes) -> PeerMail:
    """What lies in a ring."""
    return _decoder.decode(payload)


class PeerLate(TransientError):
    """A neighbour's message of a tick did not come within the wall limit of lock-step."""


class Peers:
    """Control's end."""

    def __init__(self, wiring: Wiring, engine: ScanEngine) -> None:
        self._engine = engine
        self._paced = wiring.paced
        spoken = wiring.plan.gateway.uplink is not None
        self._sources = wiring.plan.upstream if spoken else ()
        self._audience = wiring.plan.downstream if spoken else ()
        self._own = wiring.plan.gateway.gateway
        self._in = wiring.peers_in() if self._sources else None
        self._out = wiring.peers_out() if self._audience else None
        self._bell = wiring.bells.uplink
        self._heard: dict[tuple[int, str], list[dict[str, Any]]] = {}
        self._words: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self._audience}
        self._awaited: float | None = None
        self._begun = 0

    # -- hearing -------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Take what has come."""
        if self._in is None or not self._in.backlog:
            return
        for payload in self._in.drain():
            mail = decode_mail(payload)
            if not self._paced:
                self._heard.setdefault((0, mail.gateway), []).extend(mail.said)
            else:
                self._heard.setdefault((mail.tick, mail.gateway), mail.said)

    def ready(self, tick: int, now: float) -> bool:
        """Lock-step: whether all neighbours' messages of the tick before have come; raises PeerLate in the end.

        The first tick after a start waits for nobody: what was said before may have been heard before.
        """
        if not self._sources:
            return True
        self.collect()
        self._begun = self._begun or tick
        missing = [name for name in self._sources if (tick - 1, name) not in self._heard]
        if tick == self._begun or not missing:
            self._awaited = None
            return True
        self._awaited = now if self._awaited is None else self._awaited
        if now - self._awaited > PATIENCE_S:
            raise PeerLate(f"no word of tick {tick - 1} from {', '.join(missing)} in {PATIENCE_S:.0f} s")
        return False

    def due(self, tick: int) -> Iterator[Heard]:
        """What the scan that comes next shall hear, in an order that does not depend on the wire."""
        if not self._heard:
            return
        before = tick - 1 if self._paced else 0
        for name in self._sources:
            for message in self._heard.pop((before, name), ()):
                yield name, message
        self._heard = {key: said for key, said in self._heard.items() if before < key[0] <= before + 2}

    # -- saying --------------------------------------------------------------------------------------

    def say(self, said: tuple[tuple[str, Mapping[str, Any]], ...]) -> None:
        """What a scan's loops said; in wall-clock time it leaves at once, in lock-step with its tick."""
        if self._out is None:
            return
        for loop, message in said:
            for name in self._engine.audience(loop):
                if name != self._own:  # the newest word of a loop is all that counts
                    self._words[name].pop(loop, None)
                    self._words[name][loop] = dict(message)
        if not self._paced and said:
            self.send(0)

    def send(self, tick: int) -> None:
        """Give the uplink what is to be said; in lock-step an empty word too, so that nobody waits for more."""
        if self._out is None:
            return
        for name, words in self._words.items():
            if words or self._paced:
                said = tuple(words.values())[-MAX_SAID:]
                self._out.push(encode_mail(name, PeerWords(tick, said)))
                self._words[name] = {}
        self._bell.ring()


class PeerPost:
    """The uplink's end. subscriptions: topics of the neighbours that are listened to."""

    def __init__(self, wiring: Wiring) -> None:
        self._gateway = wiring.plan.gateway.gateway
        self._sources = wiring.plan.upstream
        self._paced = wiring.paced
        self._in, self._out = wiring.peers_in(), wiring.peers_out()
        self._bell = wiring.bells.control
        self._unsent: list[bytes] = []
        self.subscriptions = [channel.topic(name, channel.PEER, self._gateway) for name in self._sources]

    def receive(self, speaker: str, payload: bytes) -> None:
        """A neighbour's word, for control; raises FrameError for what is none."""
        words = channel.decode_peer(payload)
        if speaker in self._sources and self._in.push(encode_mail(speaker, words)) and self._paced:
            self._bell.ring()  # in wall-clock time a bell would call a scan before its time

    def send(self, link: "MqttLink") -> None:
        """What neighbours shall hear.

        In lock-step no word may be missed: it is retained, and kept until there is a connection. Elsewhere a
        forecast that does not leave now is worth nothing later.
        """
        self._unsent += self._out.drain()
        while self._unsent:
            mail = decode_mail(self._unsent[0])
            words = channel.encode(channel.PeerWords(mail.tick, tuple(mail.said)))
            try:
                link.publish(channel.topic(self._gateway, channel.PEER, mail.gateway), words, 1, self._paced)
            except TransientError:
                if self._paced:
                    return
            self._unsent.pop(0)
