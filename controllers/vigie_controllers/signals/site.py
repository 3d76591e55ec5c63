"""The physical facts of a signalised junction and the limits of its guard.

This is the ``site`` mapping of a loop with ``domain: signal`` in a gateway file. No policy can touch it.
All times are seconds, all lengths metres. ``checks.check_site`` proves the facts that span several fields.
"""

from typing import Literal

from pydantic import Field

from vigie_controllers.loops import Strict
from vigie_controllers.signals.neighbours import Downstream, Upstream
from vigie_controllers.signals.preemption import Preemption

Name = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:#-]{0,63}$")


class Phase(Strict):
    """A phase: the unit of right of way that controllers ask for (NEMA).

    At most one phase per ring is on; phases that are on together belong to one barrier. The order of the
    list is the order of service within a ring and barrier. walk_s, ped_clear_s: both 0 without pedestrians.
    red_revert_s: least red between a yellow and the next green of the same lamps, which no clearance of
    others ensures when a phase follows itself or joins an overlap that is just closing (NTCIP 1202
    phaseRedRevert). max_red_s: longest red with demand before the guard serves the phase by itself.
    lead_walk_s: leading pedestrian interval: a walk begins so long before the vehicles' green of the same phase,
    whose minimum counts from that green. rest_in_walk: a walk goes on for as long as a controller holds the
    green for walkers, and is cleared in full as soon as it no longer does.
    """

    id: int = Field(ge=1, le=16)
    ring: int = Field(default=1, ge=1, le=4)
    barrier: int = Field(default=1, ge=1, le=8)
    min_green_s: float = Field(default=5.0, ge=5.0, le=60.0)
    yellow_s: float = Field(default=3.0, ge=3.0, le=6.0)
    red_clear_s: float = Field(default=2.0, ge=0.0, le=6.0)
    red_revert_s: float = Field(default=2.0, ge=1.0, le=10.0)
    walk_s: float = Field(default=0.0, ge=0.0, le=60.0)
    ped_clear_s: float = Field(default=0.0, ge=0.0, le=60.0)
    lead_walk_s: float = Field(default=0.0, ge=0.0, le=15.0)
    rest_in_walk: bool = False
    max_red_s: float = Field(default=120.0, ge=20.0, le=600.0)


LampName = Literal["dark", "red", "yellow", "green", "flash-red", "flash-yellow", "flash-green"]


class DisplayRow(Strict):
    """One row of a display table: what a head shows for a channel's state.

    phases: the row holds only while one of them is green; empty: always. The first row that holds counts.
    shows: name of what the head shows. write: the lamp state to write instead of ``green``: only
    ``flash-green``, and only to vehicles.
    """

    state: LampName
    phases: tuple[int, ...] = ()
    shows: str = Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")
    write: Literal["flash-green"] | None = None


class Channel(Strict):
    """A lamp output: a signal group that shows one thing.

    phases: parents; a vehicle channel is green while any parent is green and stays green when the next
    phase is a parent too (NEMA overlap); a pedestrian channel walks with its parents' pedestrian service.
    permissive: those parents in which its traffic must give way (SUMO's ``g``). yellow_s, red_clear_s:
    default to the longest of the parents. flash: what it shows in flash. A bicycle channel works as a vehicle
    channel with times of its own: min_green_s lengthens the minimum green of its phases, its yellow and red
    clearance the time after them. display: its table among the site's ``displays``.
    """

    id: str = Name
    kind: Literal["vehicle", "pedestrian", "bicycle"] = "vehicle"
    phases: tuple[int, ...] = Field(min_length=1)
    permissive: tuple[int, ...] = ()
    yellow_s: float | None = Field(default=None, ge=3.0, le=6.0)
    red_clear_s: float | None = Field(default=None, ge=0.0, le=6.0)
    flash: Literal["red", "yellow", "dark"] | None = None
    """Default: red for vehicles and bicycles, dark for pedestrians."""
    min_green_s: float | None = Field(default=None, ge=3.0, le=60.0)
    display: str | None = None


class Lane(Strict):
    """A lane that enters or leaves the junction, for controllers that predict.

    length_m: storage upstream of the stop line (approach) or downstream of the junction (exit), continued
    over short lanes as far as the detectors see. speed_mps: the limit.
    """

    id: str = Name
    kind: Literal["approach", "exit"] = "approach"
    length_m: float = Field(gt=0)
    speed_mps: float = Field(default=13.9, gt=0, le=60)


class Movement(Strict):
    """Traffic from an approach lane under one channel into an exit lane.

    yields_to: channels it gives way to in the channel's permissive phases.
    """

    channel: str
    lane: str
    to: str | None = None
    turn: Literal["left", "straight", "right", "u-turn"] = "straight"
    yields_to: tuple[str, ...] = ()


class Detector(Strict):
    """A detector; its reading is the point bound to role ``detector.<id>``.

    kind ``presence``: bool, a vehicle is on it; ``count``: whole number of vehicles now in its zone;
    ``halting``: those of them that stand; ``button``: bool, a pedestrian asks; ``exit``: standing vehicles
    in its zone of an exit lane. phases: called by it. lanes: the lane whose approach it lies on, then others
    that its traffic may yet choose (a zone upstream of where the road widens). from_m, to_m: its zone, metres
    upstream of the stop line (``exit``: downstream of the lane's beginning). locking: a call is kept until
    its phase is served.
    A detector counts as failed when its reading is bad or absurd (negative, above ``max_value``, a count that
    is no whole number); on without any change for ``stuck_on_s``; off while its neighbours on the same lane
    each saw ``stuck_off_after`` vehicles pass; without any change for ``no_activity_s``, or for as long as the
    hour of the week should bring ``quiet_vehicles`` (0: never, for these three); when presence or a button
    changes more often than ``chatter_per_min``; when a count leaps as no traffic can. ``signals.diagnosis``
    has the rules. How old a reading may grow is declared with its point.
    fallback: what stands in for it then: ``recall``, its phases are always called; ``profile``, they are called
    as the volume learnt for this hour of the week would, and at least once per ``max_red_s`` (recall while
    nothing is learnt yet). A failed button is always on recall.
    """

    id: str = Name
    kind: Literal["presence", "count", "halting", "button", "exit"] = "presence"
    phases: tuple[int, ...] = ()
    channel: str | None = None
    lanes: tuple[str, ...] = ()
    from_m: float = Field(default=0.0, ge=0.0)
    to_m: float = Field(default=0.0, ge=0.0)
    locking: bool | None = None
    """Default: true for buttons alone."""
    fallback: Literal["recall", "profile"] = "recall"
    stuck_on_s: float = Field(default=900.0, gt=0)
    stuck_off_after: int = Field(default=200, ge=0)
    quiet_vehicles: float = Field(default=15.0, ge=0)
    no_activity_s: float = Field(default=0.0, ge=0)
    chatter_per_min: int = Field(default=120, ge=1)
    max_value: int = Field(default=1000, ge=1)

    @property
    def locks(self) -> bool:
        """Whether a call is kept until served."""
        return self.kind == "button" if self.locking is None else self.locking


class PriorityInput(Strict):
    """Where transit vehicles ask for priority, one per line and direction (an SRM of SAE J2735, as points).

    Role ``priority.<id>.eta``: seconds until the vehicle is at the stop line; negative or bad: nobody asks.
    Optional ``priority.<id>.lateness`` (seconds behind the timetable) and ``priority.<id>.occupancy`` (people
    aboard). phases: those that serve it, on together. line, direction: as people know them.
    """

    id: str = Name
    phases: tuple[int, ...] = Field(min_length=1, max_length=4)
    line: str = Field(default="", max_length=32)
    direction: str = Field(default="", max_length=32)


class Startup(Strict):
    """What happens after power-up and after flash: flash, then all red, then the start phases in green.

    phases: one per ring at most, of one barrier; default: the first of each ring in the first barrier.
    """

    flash_s: float = Field(default=5.0, ge=0.0, le=60.0)
    all_red_s: float = Field(default=6.0, ge=0.0, le=60.0)
    phases: tuple[int, ...] = ()


class SignalSite(Strict):
    """A junction. Lists keep their order: roles, values and statuses follow it.

    actuation ``lamps``: the guard's engine makes the lamp states, written to roles ``channel.<id>``;
    ``cabinet``: a controller cabinet takes ``phase.<n>.hold|force_off|omit|call`` and optional
    ``phase.<n>.ped_call``, and makes lamps itself.
    conflicts: pairs of channel ids that may never show green, yellow, walk or pedestrian clearance
    together. preemptions: what may take the junction from every controller, see ``Preemption``.
    fallback_green_s: green of each phase when no controller can speak. time_zone: of the times of day
    in schedules, a name known to ``localtime`` or a POSIX rule. measures_s: length of the periods over which
    measures are counted. upstream, downstream: neighbours that tell us what is coming, and whom we tell.
    """

    actuation: Literal["lamps", "cabinet"] = "lamps"
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=16)
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=64)
    conflicts: tuple[tuple[str, str], ...] = ()
    detectors: tuple[Detector, ...] = ()
    lanes: tuple[Lane, ...] = ()
    movements: tuple[Movement, ...] = ()
    displays: dict[str, tuple[DisplayRow, ...]] = Field(default_factory=dict, max_length=32)
    priority: tuple[PriorityInput, ...] = Field(default=(), max_length=32)
    upstream: tuple[Upstream, ...] = Field(default=(), max_length=64)
    downstream: tuple[Downstream, ...] = Field(default=(), max_length=16)
    startup: Startup = Startup()
    preemptions: tuple[Preemption, ...] = Field(default=(), max_length=16)
    fallback_green_s: float = Field(default=20.0, ge=5.0, le=120.0)
    time_zone: str = Field(default="America/Toronto", max_length=64)
    measures_s: float = Field(default=900.0, ge=60.0, le=3600.0)
