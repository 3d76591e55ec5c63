"""Reasons not to run: the conflict monitor, the panel, lamps that cannot be read or do not follow."""

from vigie_controllers.contract import State
from vigie_controllers.signals.engine import Stop
from vigie_controllers.signals.words import Frame, Lamp, PanelMode
from vigie_protocols.points import Quality

FLASHING = frozenset({int(Lamp.DARK), int(Lamp.FLASH_RED), int(Lamp.FLASH_YELLOW)})
BLIND_S = 3.0
"""No lamp can be read for this long: the device may be gone, and flash by itself when it comes back."""
UNREAD_S = 10.0
"""A monitor or panel that cannot be read for this long no longer vouches for normal service."""
DEAF_S = 3.0
"""Lamps that flash this long while we command otherwise: the device has left us, start anew."""


class StopWatch:
    """Watches the points that outrank us. A fault is kept across restarts until its source says it is over."""

    def __init__(self) -> None:
        self._fault: bool | None = None
        self._panel: int | None = None
        self._deaf_since: float | None = None
        self._blind_since: float | None = None
        self._unread_since: dict[str, float] = {}

    def look(self, now: float, frame: Frame, bare: bool, running: bool) -> Stop | None:
        """Why the junction must not run, or None.

        bare: we make the lamps ourselves. running: we command other lamps than flash.
        """
        if frame.monitor_fault is not None:
            reading = frame.monitor_fault
            if reading.quality is not Quality.BAD:
                self._fault = bool(reading.value)
            if self._unread(now, "monitor", reading.quality) and not self._fault:
                self._fault = None
            if self._fault is None:
                return Stop("monitor-fault", "the conflict monitor cannot be read")
            if self._fault:
                return Stop("monitor-fault", "conflict monitor fault", at_once=True)
        if frame.panel is not None:
            reading = frame.panel
            if reading.quality is not Quality.BAD:
                self._panel = _mode(reading.value)
            if self._unread(now, "panel", reading.quality) and self._panel == PanelMode.AUTO:
                self._panel = None
            if self._panel is None:
                return Stop("panel", "the panel cannot be read")
            if self._panel != PanelMode.AUTO:
                return Stop(
                    "panel",
                    f"panel: {PanelMode(self._panel).name.lower()}",
                    dark=self._panel == PanelMode.OFF,
                )
        return (self._peer(now, frame) if bare else None) or self._listen(now, frame, running)

    def _unread(self, now: float, source: str, quality: Quality) -> bool:
        """True when ``source`` has not been readable for so long that what it last said no longer counts."""
        if quality is not Quality.BAD:
            self._unread_since.pop(source, None)
            return False
        return now - self._unread_since.setdefault(source, now) >= UNREAD_S

    def _peer(self, now: float, frame: Frame) -> Stop | None:
        if not frame.lamps or any(reading.quality is not Quality.BAD for reading in frame.lamps):
            self._blind_since = None
            return None
        if self._blind_since is None:
            self._blind_since = now
        if now - self._blind_since < BLIND_S:
            return None
        return Stop("lamp-feedback", "the lamps cannot be read")

    def _listen(self, now: float, frame: Frame, running: bool) -> Stop | None:
        lamps = frame.lamps
        away = bool(lamps) and all(r.quality is not Quality.BAD and r.value in FLASHING for r in lamps)
        if not (running and away):
            self._deaf_since = None
            return None
        if self._deaf_since is None:
            self._deaf_since = now
        if now - self._deaf_since < DEAF_S:
            return None
        self._deaf_since = None
        return Stop("lamp-feedback", "the lamps flash although they were told otherwise", at_once=True)

    @property
    def listening(self) -> bool:
        """True while lamps that do not follow or cannot be read are being timed: look again at each scan."""
        return self._deaf_since is not None or self._blind_since is not None or bool(self._unread_since)

    @property
    def fault(self) -> bool:
        """True while the conflict monitor is known to have tripped."""
        return self._fault is True

    def snapshot(self) -> State:
        """What is known of monitor and panel."""
        return {
            "fault": self._fault,
            "panel": self._panel,
            "deaf_since": self._deaf_since,
            "blind_since": self._blind_since,
            "unread_since": dict(self._unread_since),
        }

    def restore(self, state: State) -> None:
        """A fault or a panel mode outlives a restart until its point reads otherwise."""
        self._fault, self._panel = state["fault"], state["panel"]

    def resume(self, state: State) -> None:
        """Take up an exact state."""
        self.restore(state)
        self._deaf_since, self._blind_since = state["deaf_since"], state["blind_since"]
        self._unread_since = dict(state["unread_since"])


def _mode(value: object) -> int:
    """The panel's mode; what is no known mode is taken as a hand on the switch."""
    if isinstance(value, (bool, int, float)) and value in set(PanelMode):
        return int(value)
    return int(PanelMode.HAND)
