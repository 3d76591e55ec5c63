"""What the engine knows at any instant, and how it is kept: fields, requests, snapshots. No behaviour."""

from typing import NamedTuple

from vigie_controllers.contract import State
from vigie_controllers.signals.invariant import flash_lamps
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.takeover import Takeover
from vigie_controllers.signals.words import PhaseState

EPS = 1e-6
"""Seconds by which a timer may end early, so that sums of 0.1 s count as they were meant."""
NEVER = -1e18
FOREVER = 1e18


class Ask(NamedTuple):
    """A request for phases as masks of places; see ``SignalWants``."""

    call: int = 0
    ped: int = 0
    hold: int = 0
    force_off: int = 0
    omit: int = 0


class Stop(NamedTuple):
    """A reason not to run. at_once: flash without clearance, as a monitor does; dark: lamps off.

    rule: the stable word under which the guard reports it.
    """

    rule: str
    cause: str
    at_once: bool = False
    dark: bool = False


class Order(NamedTuple):
    """What a pre-emption orders: phases that must end and not begin, whatever else is asked.

    min_green, walk, ped_clear: seconds at which these of the ending phases end at the latest; never longer
    than their own, never any yellow or red clearance.
    """

    end: int
    min_green: float = FOREVER
    walk: float = FOREVER
    ped_clear: float = FOREVER


class EngineState:
    """Attributes are read by the guard; only ``Engine.step`` changes them.

    mode: ``start``, ``all-red``, ``run``, ``closing``, ``takeover``, ``flash`` or ``dark``.
    state, since, ready, ped, ped_since: per phase, as ``PhaseStatus``. current, next: phase place per ring
    or -1. leading: mask of greens whose walk leads, since then still to come. lamps: per channel. version:
    counts every change. wake: when time alone can change something.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        phases, channels, rings = len(plan.ids), len(plan.parents), len(plan.rings)
        self._flash = flash_lamps(plan.site)
        self.mode = "start"
        self.mode_since: float | None = None
        self.flash_s = plan.site.startup.flash_s
        self.barrier = 0
        self.state = [int(PhaseState.RED)] * phases
        self.since = [NEVER] * phases
        self.red_at = [NEVER] * phases
        self.ready = [NEVER] * phases
        self.ped = [0] * phases
        self.ped_since = [NEVER] * phases
        self.current = [-1] * rings
        self.next = [-1] * rings
        self.leading = 0
        self.lamp = list(self._flash)
        self.lamp_since = [NEVER] * channels
        self.lamps = self._flash
        self._lit = -1
        self._yellow_over = NEVER
        self.unseen_peds = 0
        self.version = 0
        self.wake = NEVER
        self._ask = Ask()
        self._stop: Stop | None = None
        self._order: Order | None = None
        self._takeover: Takeover | None = None

    @property
    def asked(self) -> Ask:
        """The request of the last step."""
        return self._ask

    def snapshot(self) -> State:
        """The exact state, for replay."""
        rows = {name: list(getattr(self, name)) for name in _LISTS}
        takeover = self._takeover
        return {
            **rows,
            "mode": self.mode,
            "mode_since": self.mode_since,
            "flash_s": self.flash_s,
            "barrier": self.barrier,
            "leading": self.leading,
            "ask": list(self._ask),
            "stop": None if self._stop is None else list(self._stop),
            "order": None if self._order is None else list(self._order),
            "takeover": None if takeover is None else [takeover.rows, takeover.since],
        }

    def resume(self, state: State) -> None:
        """Take up an exact state; only for replay, since its timers are trusted."""
        for name in _LISTS:
            if len(state[name]) != len(getattr(self, name)):
                raise ValueError(f"{name}: the snapshot belongs to another site")
            setattr(self, name, list(state[name]))
        self.mode, self.mode_since = state["mode"], state["mode_since"]
        self.flash_s, self.barrier, self.leading = state["flash_s"], state["barrier"], state["leading"]
        self._ask = Ask(*state["ask"])
        self._stop = None if state["stop"] is None else Stop(*state["stop"])
        self._order = None if state["order"] is None else Order(*state["order"])
        self._takeover = None
        if state["takeover"] is not None:
            rows, since = state["takeover"]
            self._takeover = Takeover([[(s[0], s[1]) for s in row] for row in rows], list(since))
        self.lamps = tuple(self.lamp)
        self.version += 1
        self._lit = -1
        self.wake = NEVER


_LISTS = (
    "state", "since", "red_at", "ready", "ped", "ped_since", "current", "next", "lamp", "lamp_since",
)  # fmt: skip
