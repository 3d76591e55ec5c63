"""The STATE message of a host application: whether it is there, and since when."""

from dataclasses import dataclass

from vigie_protocols.errors import FrameError
from vigie_protocols.strictjson import dump_json, parse_strict_json

_MAX_BYTES = 1024


@dataclass(frozen=True, slots=True)
class HostState:
    """``timestamp`` in UTC milliseconds: that of the CONNECT which began the session."""

    online: bool
    timestamp: int


def encode_state(state: HostState) -> bytes:
    """The JSON of a STATE message (tck-id-host-topic-phid-birth-payload)."""
    return dump_json({"online": state.online, "timestamp": state.timestamp})


def decode_state(payload: bytes) -> HostState:
    """A STATE message; raises FrameError. Further keys are left unread: later versions may add some."""
    value = parse_strict_json(payload, _MAX_BYTES)
    if not isinstance(value, dict):
        raise FrameError("STATE is not a JSON object")
    online, timestamp = value.get("online"), value.get("timestamp")
    if not isinstance(online, bool) or isinstance(timestamp, bool) or not isinstance(timestamp, int):
        raise FrameError("STATE needs online (boolean) and timestamp (whole number)")
    if timestamp < 0:
        raise FrameError("STATE has a negative timestamp")
    return HostState(online, timestamp)
