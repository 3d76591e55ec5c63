"""A signal site compiled for the engine and the guard: places instead of ids, bit masks instead of sets."""

from collections.abc import Iterable

from vigie_controllers.signals.checks import compatible, start_phases
from vigie_controllers.signals.site import Channel, Phase, SignalSite

PED_PAUSE_S = 2.0
"""Steady don't walk between a pedestrian clearance and the next walk of the same head."""


class Plan:
    """Immutable after construction. Phases and channels are known by their place in the site's lists.

    rings: places of the phases of each ring in their order of service; barrier, ring: of each phase;
    barriers: mask of the phases of each barrier, in rising order of the barrier's number.
    rivals: mask of the phases of other rings that may not be on with a phase; company: of those that may,
    itself among them. channels, foes: of each phase,
    its channels and every channel in conflict with one of them. parents: mask of phases per channel.
    yellow, clear, red: seconds per channel: yellow, red before a conflicting green, red between its own
    yellow and green, the longest of its phases' red reverts (pedestrians: no yellow, red before a new walk).
    """

    def __init__(self, site: SignalSite) -> None:
        self.site = site
        phases = site.phases
        self.ids = tuple(phase.id for phase in phases)
        self.place = {number: place for place, number in enumerate(self.ids)}
        self.all = (1 << len(phases)) - 1
        numbers = sorted({phase.barrier for phase in phases})
        self.barrier = tuple(numbers.index(phase.barrier) for phase in phases)
        self.barriers = tuple(
            sum(1 << p for p, own in enumerate(self.barrier) if own == b) for b in range(len(numbers))
        )
        rings = sorted({phase.ring for phase in phases})
        self.ring = tuple(rings.index(phase.ring) for phase in phases)
        self.rings = tuple(
            tuple(sorted((p for p in range(len(phases)) if self.ring[p] == r), key=lambda p: self.barrier[p]))
            for r in range(len(rings))
        )
        self.rivals = tuple(
            self.mask(q.id for q in phases if q.ring != p.ring and not compatible(p, q)) for p in phases
        )
        self.company = tuple(self.mask(q.id for q in phases if compatible(p, q)) for p in phases)
        bicycles = [
            [one for one in site.channels if one.kind == "bicycle" and phase.id in one.phases]
            for phase in phases
        ]
        self.min_green = tuple(
            max([phase.min_green_s, *(one.min_green_s or 0.0 for one in own)])
            for phase, own in zip(phases, bicycles, strict=True)
        )
        self.phase_yellow = tuple(phase.yellow_s for phase in phases)
        self.phase_clear = tuple(
            max([phase.red_clear_s, *(_away(one, phase) - phase.yellow_s for one in own)])
            for phase, own in zip(phases, bicycles, strict=True)
        )
        self.lead = tuple(phase.lead_walk_s for phase in phases)
        self.walk_rest = sum(1 << p for p, phase in enumerate(phases) if phase.rest_in_walk)
        self.revert = tuple(phase.red_revert_s for phase in phases)
        self.walk = tuple(phase.walk_s for phase in phases)
        self.ped_clear = tuple(phase.ped_clear_s for phase in phases)
        self.max_red = tuple(phase.max_red_s for phase in phases)
        self.peds = sum(1 << p for p, phase in enumerate(phases) if phase.walk_s > 0)
        self.start = tuple(self.place[number] for number in start_phases(site))
        self._channels(site)

    def _channels(self, site: SignalSite) -> None:
        place = {channel.id: c for c, channel in enumerate(site.channels)}
        self.parents = tuple(self.mask(channel.phases) for channel in site.channels)
        self.vehicle = tuple(channel.kind != "pedestrian" for channel in site.channels)
        yellow, clear, red = [], [], []
        for channel in site.channels:
            own = [site.phases[self.place[number]] for number in channel.phases]
            if channel.kind == "pedestrian":
                yellow.append(0.0)
                red.append(PED_PAUSE_S)
                clear.append(channel.red_clear_s or 0.0)
                continue
            yellow.append(channel.yellow_s or max(phase.yellow_s for phase in own))
            red.append(max(phase.red_revert_s for phase in own))
            longest = max(phase.red_clear_s for phase in own)
            clear.append(longest if channel.red_clear_s is None else channel.red_clear_s)
        self.yellow, self.clear, self.red = tuple(yellow), tuple(clear), tuple(red)
        against: list[set[int]] = [set() for _ in site.channels]
        for one, other in site.conflicts:
            against[place[one]].add(place[other])
            against[place[other]].add(place[one])
        self.channels = tuple(
            tuple(c for c, mask in enumerate(self.parents) if mask >> p & 1) for p in range(len(self.ids))
        )
        self.foes = tuple(
            tuple(sorted(set().union(*(against[c] for c in own)) - set(own))) for own in self.channels
        )
        self._lights = tuple(
            tuple(self.parents[c] for c in own if self.vehicle[c]) or (1 << p,)
            for p, own in enumerate(self.channels)
        )
        self.conflicts = tuple((place[one], place[other]) for one, other in site.conflicts)

    def lit(self, green: int) -> int:
        """The phases whose vehicle channels all show green while ``green`` phases do, themselves or others.

        A protected turn whose channel is also green in the through phase, giving way, is not on red there.
        """
        return sum(
            1 << p
            for p, parents in enumerate(self._lights)
            if green >> p & 1 or all(m & green for m in parents)
        )

    def mask(self, numbers: Iterable[int]) -> int:
        """Phase ids as a mask; ids the site does not know are left out."""
        place = self.place
        bits = 0
        for number in numbers:
            where = place.get(number)
            if where is not None:
                bits |= 1 << where
        return bits

    def names(self, mask: int) -> tuple[int, ...]:
        """The phase ids of a mask, in the site's order."""
        return tuple(number for place, number in enumerate(self.ids) if mask >> place & 1)


def _away(channel: Channel, phase: Phase) -> float:
    """Seconds of a channel's own yellow and red clearance after a phase's green."""
    yellow = phase.yellow_s if channel.yellow_s is None else channel.yellow_s
    return yellow + (phase.red_clear_s if channel.red_clear_s is None else channel.red_clear_s)
