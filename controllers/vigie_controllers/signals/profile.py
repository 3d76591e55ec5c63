"""The historic profile: how many vehicles each detector saw, by hour of the week, learnt on the gateway.

It tells when silence is no longer believable, and it stands in for a detector that has failed. Memory is
bounded: 168 whole numbers per detector. Hours are those of the clock on the wall, as traffic follows it.
Without a trusted clock nothing is learnt and nothing is expected.
"""

from vigie_controllers.contract import State
from vigie_controllers.signals.localtime import Zone
from vigie_protocols.points import Reading

HOURS = 168
HOUR_S = 3600.0
UNKNOWN = 0xFFFF
MEMORY = 4
"""A new week moves the expected volume by one part in so many."""
LOOK_AHEAD = 48
"""Hours over which a silence is weighed; a detector that sees next to nothing in two days is never silent."""
_CLOCK_S = 60.0
"""How often an untrusted clock is asked again."""
NEVER = -1e18
FOREVER = 1e18


class Profile:
    """Expected volumes of ``count`` detectors. due: when ``turn`` wants to be called (monotonic seconds)."""

    def __init__(self, count: int, zone: Zone) -> None:
        self._zone = zone
        self._shift = 0
        self._rows = [[UNKNOWN] * HOURS for _ in range(count)]
        self._texts = [""] * count
        self._seen = [0] * count
        self._spoilt = [False] * count
        self._hour = -1  # since 1970, UTC
        self._whole = False
        self._ahead = 0.0
        self.due = NEVER

    def turn(self, now: float, clock: Reading[float]) -> None:
        """Follow the clock: at the end of an hour that was watched from its beginning, learn it."""
        if not clock.usable or not 0.0 <= clock.value < 1e11:
            self._hour, self._whole, self.due = -1, False, now + _CLOCK_S
            return
        hour = int(clock.value // HOUR_S)
        self._ahead = clock.value - now
        self.due = now + (hour + 1) * HOUR_S - clock.value
        if hour == self._hour:
            return
        follows = hour == self._hour + 1
        if follows and self._whole:
            self._learn(self._place(self._hour))
        self._shift = self._zone.offset(clock.value) // 3600
        # The first hour is met in its middle; only what comes right after an hour is seen from its beginning.
        self._whole = follows
        self._hour = hour
        self._seen = [0] * len(self._seen)
        self._spoilt = [False] * len(self._spoilt)

    def _place(self, hour: int) -> int:
        """An hour's place in the week."""
        return (hour + self._shift) % HOURS

    def _learn(self, place: int) -> None:
        for k, row in enumerate(self._rows):
            if self._spoilt[k]:
                continue
            seen, old = min(self._seen[k], UNKNOWN - 1), row[place]
            row[place] = seen if old == UNKNOWN else old + round((seen - old) / MEMORY)
            self._texts[k] = "".join(f"{one:04x}" for one in row)

    def saw(self, k: int, vehicles: int) -> None:
        """A detector saw so many vehicles."""
        self._seen[k] += vehicles

    def spoil(self, k: int) -> None:
        """A detector failed: what it tells of this hour is not learnt."""
        self._spoilt[k] = True

    def expected(self, k: int) -> float | None:
        """Vehicles per hour to expect now; None when this hour of the week, or the hour itself, is unknown."""
        if self._hour < 0:
            return None
        row = self._rows[k][self._place(self._hour)]
        return None if row == UNKNOWN else float(row)

    def silence_ends(self, k: int, since: float, vehicles: float) -> float:
        """When so many vehicles should have come since ``since``; FOREVER where that cannot be told.

        An hour that is unknown expects nobody.
        """
        if self._hour < 0:
            return FOREVER
        at = since + self._ahead
        hour = int(at // HOUR_S)
        left = vehicles
        for number in range(hour, hour + LOOK_AHEAD):
            row = self._rows[k][self._place(number)]
            until = (number + 1) * HOUR_S
            if row not in (0, UNKNOWN):
                took = left / row * HOUR_S
                if at + took <= until:
                    return at + took - self._ahead
                left -= row * (until - at) / HOUR_S
            at = until
        return FOREVER

    def snapshot(self) -> State:
        """The exact state; volumes as hexadecimal text, four digits an hour, empty where nothing is known."""
        return {
            "rows": list(self._texts),
            "seen": list(self._seen),
            "spoilt": list(self._spoilt),
            "hour": self._hour,
            "whole": self._whole,
            "shift": self._shift,
            "ahead": self._ahead,
            "due": self.due,
        }

    def restore(self, state: State) -> None:
        """After a restart: what was learnt is kept, the hour under way is not learnt."""
        if len(state["rows"]) != len(self._rows) or any(
            len(text) not in (0, 4 * HOURS) for text in state["rows"]
        ):
            raise ValueError("detectors: the profile belongs to another site")
        self._texts = list(state["rows"])
        self._rows = [
            [int(text[at : at + 4], 16) for at in range(0, 4 * HOURS, 4)] if text else [UNKNOWN] * HOURS
            for text in self._texts
        ]

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        self.restore(state)
        self._seen, self._spoilt = list(state["seen"]), list(state["spoilt"])
        self._hour, self._whole, self._shift = state["hour"], state["whole"], state["shift"]
        self._ahead, self.due = state["ahead"], state["due"]


class StandIn:
    """A queue that is only expected, in the place of a failed detector: it grows by the profile's volume and
    leaves, while its phase is green, at the saturation flow. A vehicle waits from the moment one whole vehicle
    is expected until the queue is empty.
    """

    LEAVING = 0.5
    """Vehicles per second that leave in green."""

    def __init__(self, least: float) -> None:
        """least: vehicles per second that are expected whatever the profile says."""
        self._least = least
        self._queue = 0.0
        self._at: float | None = None
        self._rate = 0.0
        self._on = False

    def step(self, now: float, per_hour: float, green: bool) -> tuple[bool, float]:
        """Whether a vehicle waits, and when that changes by time alone."""
        if self._at is not None:
            self._queue = min(100.0, max(0.0, self._queue + self._rate * max(0.0, now - self._at)))
        self._at = now
        self._rate = max(self._least, per_hour / HOUR_S) - (self.LEAVING if green else 0.0)
        if self._queue >= 1.0 - 1e-9:
            self._on = True
        elif self._queue <= 1e-9:
            self._on = False
        if self._on:
            return True, FOREVER if self._rate >= 0 else now + self._queue / -self._rate
        return False, FOREVER if self._rate <= 0 else now + (1.0 - self._queue) / self._rate

    def snapshot(self) -> list[float | bool | None]:
        """The exact state."""
        return [self._queue, self._at, self._rate, self._on]

    def resume(self, state: list[float]) -> None:
        """Take up an exact state."""
        self._queue, self._at, self._rate, self._on = state[0], state[1], state[2], bool(state[3])
