"""Taking over lamps that somebody else, or we before a restart, left on.

No saved timer is trusted: each movement shown is treated as just begun and is ended with its full minimum
green, yellow, pedestrian clearance and red clearance. What cannot be understood is not taken over.
"""

from collections.abc import Sequence

from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.words import Lamp

STEADY = frozenset({int(Lamp.RED), int(Lamp.YELLOW), int(Lamp.GREEN), int(Lamp.FLASH_GREEN)})
MOVING = STEADY - {int(Lamp.RED)}
EPS = 1e-6

Stage = tuple[int, float]
"""A lamp state and how long it is shown at least, seconds."""


def stages_of(plan: Plan, shown: Sequence[int]) -> list[list[Stage]] | None:
    """What each channel must still show, or None when ``shown`` is no lawful running state."""
    if len(shown) != len(plan.parents) or any(lamp not in STEADY for lamp in shown):
        return None
    if any(shown[one] in MOVING and shown[other] in MOVING for one, other in plan.conflicts):
        return None
    walking = [0.0] * len(plan.ids)
    for c, lamp in enumerate(shown):
        if not plan.vehicle[c]:
            for p in range(len(plan.ids)):
                if plan.parents[c] >> p & 1 and lamp != Lamp.RED:
                    walk = plan.walk[p] if lamp == Lamp.GREEN else 0.0
                    walking[p] = max(walking[p], walk + plan.ped_clear[p])
    rows: list[list[Stage]] = []
    for c, lamp in enumerate(shown):
        own = [p for p in range(len(plan.ids)) if plan.parents[c] >> p & 1]
        row: list[Stage] = []
        if not plan.vehicle[c]:
            if lamp == Lamp.YELLOW:
                return None
            if lamp == Lamp.GREEN:
                row.append((Lamp.GREEN, max(plan.walk[p] for p in own)))
            if lamp != Lamp.RED:
                row.append((Lamp.FLASH_GREEN, max(plan.ped_clear[p] for p in own)))
        else:
            if lamp in (Lamp.GREEN, Lamp.FLASH_GREEN):
                row.append((int(lamp), max(max(plan.min_green[p], walking[p]) for p in own)))
            if lamp != Lamp.RED:
                row.append((Lamp.YELLOW, plan.yellow[c]))
        row.append((Lamp.RED, plan.clear[c]))
        rows.append(row)
    return rows


class Takeover:
    """Runs every channel through its stages; done when all have shown red for their clearance."""

    def __init__(self, rows: list[list[Stage]], since: list[float]) -> None:
        self.rows = rows
        self.since = since

    def step(self, now: float) -> tuple[tuple[int, ...], bool]:
        """The lamps at ``now`` and whether everything is over."""
        for c, row in enumerate(self.rows):
            if len(row) > 1 and now - self.since[c] >= row[0][1] - EPS:
                row.pop(0)
                self.since[c] = now
        over = all(
            len(row) == 1 and now - since >= row[0][1] - EPS
            for row, since in zip(self.rows, self.since, strict=True)
        )
        return tuple(int(row[0][0]) for row in self.rows), over
