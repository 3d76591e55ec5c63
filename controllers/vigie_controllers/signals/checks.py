"""What must be true across the fields of a signal site; checked once, when the loop is built.

Every text starts with the field's name and a colon, as ``registry.build_loop`` expects.
"""

from collections import Counter
from collections.abc import Iterable

from vigie_controllers.signals.localtime import Zone
from vigie_controllers.signals.preemption import check_preemptions
from vigie_controllers.signals.site import Channel, Phase, SignalSite


def compatible(one: Phase, other: Phase) -> bool:
    """Whether the rings permit both phases to be on together."""
    return one.id == other.id or (one.barrier == other.barrier and one.ring != other.ring)


def check_site(site: SignalSite) -> None:
    """Raise ValueError naming the first field that contradicts another one."""
    _unique("site.phases", (str(phase.id) for phase in site.phases))
    _unique("site.channels", (channel.id for channel in site.channels))
    _unique("site.detectors", (detector.id for detector in site.detectors))
    _unique("site.lanes", (lane.id for lane in site.lanes))
    phases = {phase.id: phase for phase in site.phases}
    channels = {channel.id: channel for channel in site.channels}
    for channel in site.channels:
        _check_channel(channel, phases)
        _check_display(channel, site)
    for name, rows in site.displays.items():
        for row in rows:
            if row.write is not None and row.state != "green":
                raise ValueError(f"site.displays: table {name!r}: only a green may be written as {row.write}")
            for number in row.phases:
                if number not in phases:
                    raise ValueError(f"site.displays: table {name!r}: phase {number} is not declared")
    for phase in site.phases:
        if not any(phase.id in channel.phases for channel in site.channels):
            raise ValueError(f"site.channels: no channel belongs to phase {phase.id}")
        if (phase.walk_s > 0) != (phase.ped_clear_s > 0):
            raise ValueError(f"site.phases: phase {phase.id}: walk_s and ped_clear_s go together")
        if phase.lead_walk_s > phase.walk_s:
            raise ValueError(
                f"site.phases: phase {phase.id}: lead_walk_s of {phase.lead_walk_s:g} s is longer than the walk it "
                f"leads with, {phase.walk_s:g} s; shorten it"
            )
        if phase.rest_in_walk and not phase.walk_s:
            raise ValueError(f"site.phases: phase {phase.id}: rest_in_walk needs a walk; give it walk_s")
        if phase.rest_in_walk and site.actuation == "cabinet":
            raise ValueError(
                f"site.phases: phase {phase.id}: rest_in_walk is a setting of the cabinet itself; set it there"
            )
        if phase.lead_walk_s and site.actuation == "cabinet":
            raise ValueError(
                f"site.phases: phase {phase.id}: lead_walk_s is timed by the cabinet itself; set it there, 0 here"
            )
    _check_conflicts(site, phases, channels)
    _check_detectors(site, phases, channels)
    _check_movements(site, channels)
    _check_startup(site, phases)
    _check_priority(site, phases)
    _check_neighbours(site)
    try:
        Zone(site.time_zone)
    except ValueError as error:
        raise ValueError(f"site.time_zone: {error}") from None
    check_preemptions(
        site.preemptions,
        {phase.id: (phase.ring, phase.barrier, phase.walk_s > 0) for phase in site.phases},
        site.actuation == "cabinet",
    )


def _check_neighbours(site: SignalSite) -> None:
    kinds = {lane.id: lane.kind for lane in site.lanes}
    _unique("site.upstream", (f"{one.neighbour}/{one.loop}/{one.exit}" for one in site.upstream))
    _unique("site.downstream", (one.neighbour for one in site.downstream))
    for field, kind, rows in (
        ("site.upstream", "approach", [(one.neighbour, one.lanes) for one in site.upstream]),
        ("site.downstream", "exit", [(one.neighbour, one.exits) for one in site.downstream]),
    ):
        for neighbour, lanes in rows:
            for lane in lanes:
                if kinds.get(lane) != kind:
                    raise ValueError(
                        f"{field}: neighbour {neighbour!r}: {lane!r} is no {kind} lane of this site"
                    )


def _unique(field: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{field}: {twice[0]!r} is declared twice")


def _check_channel(channel: Channel, phases: dict[int, Phase]) -> None:
    where = f"site.channels: channel {channel.id!r}"
    for number in channel.phases:
        if number not in phases:
            raise ValueError(f"{where}: phase {number} is not declared")
        if channel.kind == "pedestrian" and phases[number].walk_s == 0:
            raise ValueError(f"{where}: phase {number} has no walk_s and ped_clear_s")
    for number in channel.permissive:
        if number not in channel.phases:
            raise ValueError(f"{where}: permissive in phase {number}, which is not one of its phases")
    _unique(f"{where}: phases", map(str, channel.phases))


def _check_display(channel: Channel, site: SignalSite) -> None:
    where = f"site.channels: channel {channel.id!r}"
    if channel.min_green_s is not None and channel.kind != "bicycle":
        raise ValueError(
            f"{where}: min_green_s is for bicycles; the minimum green of others is their phases'"
        )
    if channel.display is None:
        return
    if channel.display not in site.displays:
        known = ", ".join(sorted(site.displays)) or "none"
        raise ValueError(f"{where}: no display {channel.display!r}; name one of displays: {known}")
    if channel.kind == "pedestrian" and any(row.write for row in site.displays[channel.display]):
        raise ValueError(
            f"{where}: to pedestrians a flashing green means clearance; take the table without write"
        )


def _check_conflicts(site: SignalSite, phases: dict[int, Phase], channels: dict[str, Channel]) -> None:
    for one, other in site.conflicts:
        for name in (one, other):
            if name not in channels:
                raise ValueError(f"site.conflicts: channel {name!r} is not declared")
        if one == other:
            raise ValueError(f"site.conflicts: channel {one!r} conflicts with itself")
        for p in channels[one].phases:
            for q in channels[other].phases:
                if compatible(phases[p], phases[q]):
                    how = f"both belong to phase {p}" if p == q else f"phases {p} and {q} may be on together"
                    raise ValueError(f"site.conflicts: channels {one!r} and {other!r} conflict, yet {how}")
        if channels[one].flash == "yellow" == channels[other].flash:
            raise ValueError(f"site.conflicts: channels {one!r} and {other!r} conflict, both flash yellow")


def unopposed(site: SignalSite) -> list[tuple[int, int]]:
    """Pairs of phases that the rings never let on together though no conflict is declared between their channels.

    The rings alone keep such phases apart then, and the check behind the guard would not see them together.
    """
    opposed = {
        (p, q)
        for one, other in site.conflicts
        for a in (channel for channel in site.channels if channel.id == one)
        for b in (channel for channel in site.channels if channel.id == other)
        for p in a.phases
        for q in b.phases
    }
    return [
        (one.id, other.id)
        for k, one in enumerate(site.phases)
        for other in site.phases[k + 1 :]
        if not compatible(one, other) and not {(one.id, other.id), (other.id, one.id)} & opposed
    ]


def _check_detectors(site: SignalSite, phases: dict[int, Phase], channels: dict[str, Channel]) -> None:
    lanes = {lane.id for lane in site.lanes}
    for detector in site.detectors:
        where = f"site.detectors: detector {detector.id!r}"
        for number in detector.phases:
            if number not in phases:
                raise ValueError(f"{where}: phase {number} is not declared")
            if detector.kind == "button" and phases[number].walk_s == 0:
                raise ValueError(f"{where}: phase {number} has no pedestrian service")
        if detector.kind == "button" and not detector.phases:
            raise ValueError(f"{where}: a button must name its phases")
        if detector.channel is not None and detector.channel not in channels:
            raise ValueError(f"{where}: channel {detector.channel!r} is not declared")
        for lane in detector.lanes:
            if lane not in lanes:
                raise ValueError(f"{where}: lane {lane!r} is not declared")
        if detector.kind in ("count", "halting", "exit") and detector.to_m <= detector.from_m:
            raise ValueError(f"{where}: to_m must be greater than from_m")


def _check_movements(site: SignalSite, channels: dict[str, Channel]) -> None:
    lanes = {lane.id: lane.kind for lane in site.lanes}
    for place, movement in enumerate(site.movements):
        where = f"site.movements: number {place}"
        for name in (movement.channel, *movement.yields_to):
            if name not in channels:
                raise ValueError(f"{where}: channel {name!r} is not declared")
        if lanes.get(movement.lane) != "approach":
            raise ValueError(f"{where}: {movement.lane!r} is not a declared approach lane")
        if movement.to is not None and lanes.get(movement.to) != "exit":
            raise ValueError(f"{where}: {movement.to!r} is not a declared exit lane")


def _check_priority(site: SignalSite, phases: dict[int, Phase]) -> None:
    _unique("site.priority", (one.id for one in site.priority))
    for one in site.priority:
        where = f"site.priority: input {one.id!r}"
        for place, number in enumerate(one.phases):
            if number not in phases:
                raise ValueError(f"{where}: phase {number} is not declared; name one of {_numbers(phases)}")
            for other in one.phases[:place]:
                if number == other or not compatible(phases[number], phases[other]):
                    raise ValueError(f"{where}: phases {other} and {number} may not be on together; name one")


def _numbers(phases: dict[int, Phase]) -> str:
    return ", ".join(map(str, phases))


def _check_startup(site: SignalSite, phases: dict[int, Phase]) -> None:
    chosen = []
    for number in site.startup.phases:
        if number not in phases:
            raise ValueError(f"site.startup: phase {number} is not declared")
        chosen.append(phases[number])
    for place, one in enumerate(chosen):
        for other in chosen[place + 1 :]:
            if one.id == other.id or not compatible(one, other):
                raise ValueError(f"site.startup: phases {one.id} and {other.id} may not be on together")
    longest = max((channel.red_clear_s or 0.0 for channel in site.channels), default=0.0)
    longest = max(longest, *(phase.red_clear_s for phase in site.phases))
    if site.startup.all_red_s < longest:
        raise ValueError(f"site.startup: all_red_s is shorter than the longest red clearance, {longest:g} s")


def start_phases(site: SignalSite) -> tuple[int, ...]:
    """The phases that begin after all red: as declared, else the first of each ring in the first barrier."""
    if site.startup.phases:
        return site.startup.phases
    barrier = min(phase.barrier for phase in site.phases)
    first: dict[int, int] = {}
    for phase in site.phases:
        if phase.barrier == barrier:
            first.setdefault(phase.ring, phase.id)
    return tuple(first.values())
