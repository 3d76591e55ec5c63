"""What a junction declares about its pre-emptions: the words of NTCIP 1202, section 2.7 (preempt)."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from vigie_controllers.loops import Strict

KINDS = ("rail", "emergency", "other")
"""In the order of their rank: a railway outranks an ambulance, and that a snow plough."""


class Preemption(Strict):
    """One pre-emption: who calls it, how it is entered, what may run meanwhile, how it ends.

    The call is the point bound to role ``preempt.<id>``, on when it equals ``calls_when``. A rail input that
    cannot be read is a call, since a broken wire must not hide a train; any other is none. Rank: by kind (rail,
    emergency, other), then ``priority`` (1 first); equals do not interrupt each other.

    Times are seconds. delay_s: the call must stand so long; locking: it is kept though its input goes off
    meanwhile. Entry: every phase that is not wanted ends by yellow and red clearance, never shortened; its
    minimum green, walk and pedestrian clearance are ``entry_min_green_s``, ``entry_walk_s`` and
    ``entry_ped_clear_s`` where those are given and shorter than the phase's own. track_phases show green for
    ``track_green_s`` so that the tracks are cleared (rail alone). Then dwell: ``dwell_phases`` show green for
    ``dwell_s`` at least; after that ``cycling_phases`` may be served too, as controllers ask and waiting
    demand needs; ``peds``: those of both with pedestrian service. It ends when the call is over and
    ``min_duration_s`` have passed since entry; ``exit_phases`` show green first of all afterwards.
    max_presence_s: a call longer than this is taken as a stuck input (0: never): ``after_max_presence``
    says what happens until it goes off, ``normal`` service or ``flash``; for rail flash alone.
    link: a pre-emption of higher rank that is called by this one at the end of ``dwell_s``.

    At a junction with a cabinet the cabinet pre-empts by itself: only ``id``, ``kind`` and ``calls_when`` have
    a meaning, and while the input is on nothing at all is asked of the cabinet.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")
    kind: Literal["rail", "emergency", "other"]
    priority: int = Field(default=1, ge=1, le=16)
    calls_when: bool = True
    locking: bool = False
    delay_s: float = Field(default=0.0, ge=0.0, le=600.0)
    min_duration_s: float = Field(default=0.0, ge=0.0, le=600.0)
    entry_min_green_s: float | None = Field(default=None, ge=2.0, le=60.0)
    entry_walk_s: float | None = Field(default=None, ge=0.0, le=60.0)
    entry_ped_clear_s: float | None = Field(default=None, ge=3.0, le=60.0)
    track_phases: tuple[int, ...] = ()
    track_green_s: float = Field(default=0.0, ge=0.0, le=120.0)
    dwell_phases: tuple[int, ...] = ()
    dwell_s: float = Field(default=5.0, ge=5.0, le=600.0)
    cycling_phases: tuple[int, ...] = ()
    peds: tuple[int, ...] = ()
    exit_phases: tuple[int, ...] = ()
    max_presence_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    after_max_presence: Literal["normal", "flash"] | None = None
    """Default: flash for rail, normal for others."""
    link: str | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """The lower, the more important."""
        return KINDS.index(self.kind), self.priority

    @property
    def flashes(self) -> bool:
        """Whether a stuck input ends in flash."""
        return self.after_max_presence == "flash" or (self.kind == "rail" and self.after_max_presence is None)


_OWN = ("id", "kind", "calls_when")


def check_preemptions(
    rows: Sequence[Preemption], groups: Mapping[int, tuple[int, int, bool]], cabinet: bool
) -> None:
    """Raise ValueError naming the first field that contradicts another one.

    groups: phase id -> (ring, barrier, whether it has pedestrian service).
    """
    by_id = {row.id: row for row in rows}
    for row in rows:
        where = f"site.preemptions: preemption {row.id!r}"
        if sum(other.id == row.id for other in rows) > 1:
            raise ValueError(f"{where}: declared twice")
        if cabinet:
            for field in sorted(row.model_fields_set - set(_OWN)):
                raise ValueError(f"{where}: {field}: the cabinet pre-empts by itself; leave it out here")
            continue
        for field in ("track_phases", "dwell_phases", "cycling_phases", "peds", "exit_phases"):
            for number in getattr(row, field):
                if number not in groups:
                    known = ", ".join(map(str, groups))
                    raise ValueError(f"{where}: {field}: phase {number} is not declared; use some of {known}")
        for field in ("track_phases", "dwell_phases", "exit_phases"):
            _check_together(f"{where}: {field}", getattr(row, field), groups)
        if not row.dwell_phases:
            raise ValueError(f"{where}: dwell_phases: missing; name the phases that are green while it lasts")
        _check_times(where, row)
        for number in row.peds:
            if number not in {*row.dwell_phases, *row.cycling_phases}:
                raise ValueError(f"{where}: peds: phase {number} is no dwell or cycling phase; add it there")
            if not groups[number][2]:
                raise ValueError(f"{where}: peds: phase {number} has no pedestrian service; leave it out")
        if row.link is not None:
            linked = by_id.get(row.link)
            if linked is None:
                raise ValueError(f"{where}: link: {row.link!r} is not declared")
            if linked.rank >= row.rank:
                raise ValueError(
                    f"{where}: link: {row.link!r} has no higher rank; link the lower to the higher"
                )


def _check_together(where: str, numbers: Sequence[int], groups: Mapping[int, tuple[int, int, bool]]) -> None:
    for place, one in enumerate(numbers):
        for other in numbers[place + 1 :]:
            if one == other:
                raise ValueError(f"{where}: phase {one} is named twice")
            ring, barrier, _ = groups[one]
            if groups[other][0] == ring or groups[other][1] != barrier:
                raise ValueError(
                    f"{where}: phases {one} and {other} may not be on together; name phases of one barrier, "
                    "one per ring"
                )


def _check_times(where: str, row: Preemption) -> None:
    if row.track_phases and row.kind != "rail":
        raise ValueError(f"{where}: track_phases: only a rail pre-emption clears tracks; leave them out")
    if bool(row.track_phases) != (row.track_green_s > 0):
        raise ValueError(f"{where}: track_green_s: track_phases and track_green_s go together")
    if row.track_phases and row.track_green_s < 5:
        raise ValueError(f"{where}: track_green_s: {row.track_green_s:g} s is too short; 5 s are the least")
    if 0 < row.max_presence_s <= row.delay_s + max(row.min_duration_s, row.track_green_s + row.dwell_s):
        raise ValueError(
            f"{where}: max_presence_s: {row.max_presence_s:g} s is over before delay, track green and dwell are; "
            "make it longer, or 0 for none"
        )
    if row.kind == "rail" and row.after_max_presence == "normal":
        raise ValueError(
            f"{where}: after_max_presence: a rail input that never goes off may be a train; only flash is safe"
        )
    if row.after_max_presence is not None and row.max_presence_s == 0:
        raise ValueError(f"{where}: after_max_presence: nothing without max_presence_s; set that too")
