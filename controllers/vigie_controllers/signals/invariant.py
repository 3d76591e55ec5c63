"""The last look at the lamps: stateless, a few lines, knows nothing of phases."""

from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Lamp

MOVING = frozenset({int(Lamp.YELLOW), int(Lamp.GREEN), int(Lamp.FLASH_YELLOW), int(Lamp.FLASH_GREEN)})
"""What lets somebody into the junction, or clears him out of it."""


class Invariant:
    """Checks channel states against the site's conflict matrix."""

    def __init__(self, site: SignalSite) -> None:
        place = {channel.id: number for number, channel in enumerate(site.channels)}
        self._names = tuple(place)
        self._pairs = tuple((place[one], place[other]) for one, other in site.conflicts)
        self._lawful: tuple[int, ...] | None = None

    def unlawful(self, lamps: tuple[int, ...]) -> str | None:
        """Why these lamps may never be shown, or None."""
        if lamps is self._lawful:  # the very same tuple was looked at before
            return None
        if len(lamps) != len(self._names):
            return f"{len(lamps)} lamp states for {len(self._names)} channels"
        for name, lamp in zip(self._names, lamps, strict=True):
            if not 0 <= lamp <= 6:
                return f"channel {name}: {lamp} is no lamp state"
        for one, other in self._pairs:
            if lamps[one] in MOVING and lamps[other] in MOVING:
                return (
                    f"channels {self._names[one]} and {self._names[other]} conflict but show "
                    f"{Lamp(lamps[one]).name.lower()} and {Lamp(lamps[other]).name.lower()}"
                )
        self._lawful = lamps
        return None


def flash_lamps(site: SignalSite) -> tuple[int, ...]:
    """What each channel shows in flash."""
    shown = {"red": Lamp.FLASH_RED, "yellow": Lamp.FLASH_YELLOW, "dark": Lamp.DARK}
    default = {"vehicle": "red", "bicycle": "red", "pedestrian": "dark"}
    return tuple(int(shown[channel.flash or default[channel.kind]]) for channel in site.channels)
