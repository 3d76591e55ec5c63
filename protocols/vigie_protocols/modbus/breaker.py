"""Which devices of a line may be asked: the circuit breakers of one connection, and when they are probed.

A device that leaves two requests in a row unanswered is dead: its points are bad, and it is only probed. While
a neighbour lives, the probes of one dead device take a hundredth of the line's time at most, and a line carries
at most one probe a cycle. On a line where nobody lives a probe disturbs nobody: there only the back-off counts,
so that a converter that has power again is found within seconds; and the first device that answers there calls
for a probe of each of its neighbours.
"""

from collections.abc import Sequence
from typing import Final

from vigie_protocols.modbus.station import Station

BREAK: Final = 2
"""Requests without an answer, in a row, after which a device counts as dead and is only probed."""
SHARE: Final = 0.01
"""Largest share of a line's time that probing one dead device may take while a neighbour lives."""


class Breakers:
    """The breakers of all devices of one line. Instants are monotonic seconds."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self._stations = stations
        self._cycle_s = min((block.rate_s for one in stations for block in one.blocks), default=0.0)
        self._next_probe = float("-inf")

    @property
    def silent(self) -> bool:
        """True when nobody lives on this line."""
        return all(one.open for one in self._stations)

    def may_ask(self, station: Station, now: float) -> bool:
        """True for a device that lives, and for a dead one whose probe is due."""
        return not station.open or (now >= station.probe_at and now >= self._next_probe)

    def asking(self, station: Station, now: float) -> bool:
        """A request goes out to a device that may be asked; True when it is a probe, and so the only one."""
        if station.open:
            self._next_probe = now + self._cycle_s
            station.probe_at = now + station.timeout_s
        return station.open

    def answered(self, station: Station, now: float) -> None:
        """It lives. Where nobody did, the line is back: its neighbours may live too."""
        if self.silent:
            self.back(now)
        station.answered(now)

    def missed(self, station: Station, now: float, why: str) -> bool:
        """No answer; True when the device just became dead."""
        died = station.missed(why, BREAK)
        if not station.open:
            return False
        least = 0.0 if self.silent else station.timeout_s / SHARE
        station.probe_at = now + max(least, station.backoff.delay())
        if died and self.silent:  # whoever died before it need no longer wait for the sake of the living
            for one in self._stations:
                if one is not station:
                    one.probe_at = min(one.probe_at, now + one.backoff.delay())
        return died

    def back(self, now: float) -> None:
        """What carries the line works again: every dead device may be probed."""
        for one in self._stations:
            one.backoff.reset()
            one.probe_at = min(one.probe_at, now)
