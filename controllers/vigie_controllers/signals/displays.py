"""What people see on a head: tables from the channel's state to what is shown. Data of the site, no code per city.

Guard, invariant check and conflict monitor judge the channel's state; a table only names what the head shows for
it, and may let a green flash (flashing green: priority to turn left), which no monitor takes for another colour.
"""

from collections.abc import Sequence

from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.site import DisplayRow
from vigie_controllers.signals.words import Lamp


class Displays:
    """The tables of one site, ready to use."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        tables = plan.site.displays
        self._rows = tuple(
            {
                int(lamp): tuple(
                    (plan.mask(row.phases), row)
                    for row in tables.get(channel.display or "", ())
                    if row.state == lamp_name(lamp)
                )
                for lamp in Lamp
            }
            for channel in plan.site.channels
        )
        self.changes = any(row.write for rows in tables.values() for row in rows)
        """Whether any table writes something else than the channel's state."""

    def lamps(self, lamps: Sequence[int], on: int) -> tuple[int, ...]:
        """What to write for the channels' states while the phases of mask ``on`` are green."""
        shown = list(lamps)
        for c, lamp in enumerate(lamps):
            row = self._row(c, lamp, on)
            if row is not None and row.write is not None:
                shown[c] = int(Lamp.FLASH_GREEN)
        return tuple(shown)

    def names(self, lamps: Sequence[int], on: int) -> dict[str, str]:
        """What each head shows, by channel, for people."""
        named: dict[str, str] = {}
        for c, (channel, lamp) in enumerate(zip(self._plan.site.channels, lamps, strict=True)):
            row = self._row(c, lamp, on)
            named[channel.id] = lamp_name(Lamp(lamp)) if row is None else row.shows
        return named

    def _row(self, c: int, lamp: int, on: int) -> DisplayRow | None:
        return next((row for mask, row in self._rows[c][lamp] if not mask or mask & on), None)


def lamp_name(lamp: Lamp) -> str:
    """``Lamp`` as the tables write it."""
    return lamp.name.lower().replace("_", "-")
