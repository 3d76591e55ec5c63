"""The contract every controller and guard keeps (design, section 3).

``now`` is always seconds on the monotonic clock; nothing here reads a clock. Snapshots are plain JSON
values, so that a journal segment can carry them and any machine can restore them.
"""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

State = dict[str, Any]
"""A snapshot: plain JSON values only (dict, list, str, int, float, bool, None)."""

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
T = TypeVar("T")


class Controller(Protocol[I_contra, O_co]):
    """Pure control: the same steps from the same snapshot give the same outputs, bit for bit."""

    def step(self, now: float, inputs: I_contra) -> O_co:
        """What this controller wants at ``now``. Called once per scan of its loop."""
        ...

    def snapshot(self) -> State:
        """All that ``restore`` needs to go on as if nothing had happened."""
        ...

    def restore(self, state: State) -> None:
        """Take up a snapshot; raises ValueError or KeyError when it is not one of this controller's."""
        ...


@dataclass(frozen=True, slots=True)
class Intervention:
    """A guard gave something other than what was wanted.

    rule: a stable word such as ``"min-green"``; subject: what it concerns, such as ``"phase 4"``;
    reason: a sentence a person can read.
    """

    rule: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    """What a guard permits, and where it differs from what was wanted."""

    outputs: T
    interventions: tuple[Intervention, ...] = ()


class Guard(Protocol[I_contra, T]):
    """Turns wanted outputs into permitted ones; fails closed on missing or bad input.

    ``wanted`` is None when no controller could say anything: the guard then gives its fail-safe service.
    """

    def permit(self, now: float, wanted: T | None, inputs: I_contra) -> Verdict[T]:
        """The permitted outputs at ``now``."""
        ...

    def snapshot(self) -> State:
        """All that ``restore`` needs."""
        ...

    def restore(self, state: State) -> None:
        """Take up a snapshot after a restart."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """Why something was done: kept in the journal and shown to people.

    source: the controller or guard that decided; subject: what it concerns; what: a stable word;
    reason: a sentence a person can read, in plain English.
    """

    source: str
    subject: str
    what: str
    reason: str
