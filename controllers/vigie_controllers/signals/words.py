"""The words of the signal domain: lamps, panel modes, what controllers see and what they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from vigie_controllers.contract import Decision
from vigie_controllers.signals.neighbours import Forecast
from vigie_protocols.points import Reading, Value


class Lamp(IntEnum):
    """What one channel shows. Pedestrian heads: RED don't walk, GREEN walk, FLASH_GREEN clearance."""

    DARK = 0
    RED = 1
    YELLOW = 2
    GREEN = 3
    FLASH_RED = 4
    FLASH_YELLOW = 5
    FLASH_GREEN = 6


class PanelMode(IntEnum):
    """The switch on the cabinet's panel, role ``mode``. Everything but AUTO outranks us."""

    AUTO = 0
    HAND = 1
    OFF = 2
    FLASH = 3
    POLICE = 4


class PhaseState(IntEnum):
    """The state of one phase, in the order a service runs through."""

    RED = 0
    """Red, its red clearance is over."""
    GREEN = 1
    YELLOW = 2
    RED_CLEAR = 3


class Ped(IntEnum):
    """The pedestrian service of one phase."""

    DONT_WALK = 0
    WALK = 1
    CLEARANCE = 2


NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SignalWants:
    """What a controller asks of the phases, and what the guard made of it.

    hold: phases to keep green, and in walk where ``ped_call`` is asked too and the site lets them rest in it;
    force_off: phases to end as soon as it is legal and another phase is called, or nobody at all while
    they are omitted, too (red rest); omit: phases not to begin; call, ped_call: phases to serve, vehicles and
    pedestrians (not remembered by the engine: ask in each step for as long as the service is wanted).
    complete: this speaks for the whole junction, controllers further down the list are not merged in.
    lamps: one ``Lamp`` number per channel in the site's order, filled by the guard for bare lamps.
    heartbeat: counter for a device's watchdog, filled by the guard.
    forecast: what will leave the junction if this is served, for its neighbours.
    """

    hold: frozenset[int] = NONE
    force_off: frozenset[int] = NONE
    omit: frozenset[int] = NONE
    call: frozenset[int] = NONE
    ped_call: frozenset[int] = NONE
    complete: bool = True
    lamps: tuple[int, ...] = ()
    heartbeat: int = 0
    decisions: tuple[Decision, ...] = ()
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """One phase as the engine runs it, or as a cabinet reports it.

    since: monotonic seconds at which ``state`` began; ped_since: the same for ``ped``.
    ready: monotonic seconds from which the green may legally end (minimum green, pedestrian clearance);
    meaningless unless green. waiting, ped_waiting: since when vehicles or
    pedestrians have waited, or None.
    """

    id: int
    state: PhaseState = PhaseState.RED
    since: float = 0.0
    ped: Ped = Ped.DONT_WALK
    ped_since: float = 0.0
    ready: float = 0.0
    waiting: float | None = None
    ped_waiting: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The junction at the end of the previous scan. A new object whenever anything in it changed.

    mode: ``start``, ``all-red``, ``run``, ``closing`` (clearing on the way to flash), ``flash``, ``dark`` or
    ``unknown`` (a cabinet that cannot be read). cause: why it is not in ``run``.
    phases: in the site's order. next: phases already committed to begin after a clearance.
    failed: ids of detectors whose readings may not be used. overdue: the guard serves these by itself.
    stand_in: those failed detectors that the historic profile stands in for, and whether a vehicle is expected
    on them now.
    preemption: id of the pre-emption that holds the junction, or empty; preempt_stage: ``entry``, ``track``,
    ``dwell`` or ``exit``.
    """

    mode: str
    cause: str
    phases: tuple[PhaseStatus, ...]
    next: tuple[int, ...] = ()
    failed: frozenset[str] = frozenset()
    overdue: tuple[int, ...] = ()
    stand_in: Mapping[str, bool] = field(default_factory=dict)
    preemption: str = ""
    preempt_stage: str = ""


@dataclass(frozen=True, slots=True)
class PriorityReadings:
    """One priority input: see ``site.PriorityInput``. None where no point is bound."""

    eta: Reading[Value]
    lateness: Reading[Value] | None = None
    occupancy: Reading[Value] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """The readings of one image, by role. The same object for as long as the image stands.

    detectors: in the site's order. lamps: read-back in the channels' order, empty when none is bound.
    cabinet, cabinet_ped: phase states in the phases' order as ``Lamp`` numbers (cabinet actuation only).
    priority: in the site's order.
    preempts: the calls of the pre-emptions, in the site's order.
    """

    detectors: tuple[Reading[Value], ...]
    lamps: tuple[Reading[Value], ...] = ()
    cabinet: tuple[Reading[Value], ...] = ()
    cabinet_ped: tuple[Reading[Value] | None, ...] = ()
    cabinet_flash: Reading[Value] | None = None
    monitor_fault: Reading[Value] | None = None
    panel: Reading[Value] | None = None
    priority: tuple[PriorityReadings, ...] = ()
    preempts: tuple[Reading[Value], ...] = ()


@dataclass(frozen=True, slots=True)
class SignalInputs:
    """What controllers and guard see in one scan.

    clock: UTC seconds with the clock's trust; overrun: the previous scan ran late; status: the junction as
    the previous scan left it. heard: forecasts that neighbours sent since the previous scan, with the name of
    the gateway that sent them; each is shown once.
    """

    clock: Reading[float]
    overrun: bool
    frame: Frame
    status: Status
    heard: tuple[tuple[str, Forecast], ...] = ()
