"""What the orchestrator asks of every rig: a plant's equipment served as a field device.

A rig has two faces on the same equipment: sockets (``start``, ``refresh``, ``stop``), and plain calls
(``read_values``, ``apply``) which both the sockets and the in-process runner use.
"""

from collections.abc import Mapping
from typing import Protocol

from vigie_protocols.points import Value


class Rig(Protocol):
    """One simulated device.

    device: its name, the first part of its points' names. profile: name of its device profile.
    commands_seen: command messages taken since the last ``refresh`` (writes of a request count as one).
    """

    device: str
    profile: str
    commands_seen: int

    async def start(self) -> str:
        """Serve on a free loopback port; returns the endpoint as a gateway file writes it."""
        ...

    def begin(self, now: float, utc: float) -> None:
        """A new tick in a run without sockets (``refresh`` does the same and serves it)."""
        ...

    async def refresh(self, now: float, utc: float) -> None:
        """Serve the plant's state of this tick (simulated seconds since start, and UTC seconds)."""
        ...

    async def wait_commands(self, count: int) -> None:
        """Return once ``count`` command messages arrived since the last ``refresh``.

        Where a write is answered (Modbus, OPC UA) it is in force before the agent reports its tick
        done, so such a rig returns at once; an MQTT rig waits, and raises TransientError after a wall limit.
        """
        ...

    async def stop(self) -> None:
        """Close every socket; may be called twice."""
        ...

    def read_values(self) -> dict[str, Value]:
        """Every readable point of the profile by its name within the device, as the wire would give it."""
        ...

    def apply(self, instant: float, values: Mapping[str, Value]) -> None:
        """Take written points at ``instant`` (simulated seconds); raises DeviceRefused for a wrong one."""
        ...
