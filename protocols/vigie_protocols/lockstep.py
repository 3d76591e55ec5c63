"""Lock-step: the messages by which a simulator paces real agents (design, section 4).

The simulator listens on loopback. Each agent's field process connects, says hello, and then gets one
``Grant`` per tick. It reads its devices, lets control run the scans of that tick, writes, and answers
``Done``. The physics steps when every agent is done. Simulated time is carried by the grants alone.
"""

import msgspec

from vigie_protocols.errors import FrameError
from vigie_protocols.framing import frame


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """First message of an agent. layout: hash of its points, so that a wrong rig is found at once."""

    gateway: str
    layout: int
    pid: int


class Grant(msgspec.Struct, tag="grant", frozen=True):
    """One tick. now: simulated monotonic seconds; utc: simulated UTC seconds; step_s: physics step."""

    tick: int
    now: float
    utc: float
    step_s: float


class Done(msgspec.Struct, tag="done", frozen=True):
    """The tick is over for this agent.

    scans: scans run in the tick; missed: scans that should have run and did not, since start;
    commands: device -> messages sent to devices behind a broker, which the rig must see before it steps;
    staged, applied: generations of the policy bundles staged and in force.
    """

    tick: int
    scans: int
    missed: int
    interventions: int
    commands: dict[str, int]
    staged: int
    applied: int


class Staged(msgspec.Struct, tag="staged", frozen=True):
    """Sent between ticks: a bundle is staged; the simulator may be holding back a tick for it."""

    generation: int


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """The simulator ends the run: no further tick will come."""

    reason: str


Message = Hello | Grant | Done | Staged | Stop

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as a frame ready to send."""
    return frame(_encoder.encode(message))


def decode(payload: bytes) -> Message:
    """One message from a frame's payload; raises FrameError when it is none."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise FrameError(f"not a lock-step message: {error}") from error
