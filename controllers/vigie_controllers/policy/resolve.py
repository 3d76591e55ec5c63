"""Resolution: which parameters are in force, and which document each comes from.

One pure function, used by the coordinator to foresee and by the gateway to apply: total, idempotent, and
independent of the order of documents. Precedence per parameter: site over district over city, then the
higher priority, then the newer version, then the id, so that there is never a tie.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vigie_controllers.policy.document import PolicyDocument
from vigie_protocols.points import ClockTrust

_RANK = {"city": 0, "district": 1, "site": 2}


@dataclass(frozen=True, slots=True)
class Sourced:
    """A parameter's value and where it comes from.

    id, version: of the document; level, scope: of its scope.
    """

    value: Any
    id: str
    version: int
    level: str
    scope: str


Effective = dict[str, dict[str, dict[str, Sourced]]]
"""loop -> controller kind -> parameter -> value with its source; only what policies set, never empty rows."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What policies make of a gateway at one instant. in_force: keys ``id@version`` that take part."""

    effective: Effective
    in_force: frozenset[str]

    def overrides(self, loop: str) -> dict[str, dict[str, Any]]:
        """Kind -> parameters of ``loop``, as ``GuardedLoop.stage`` takes them."""
        return {
            kind: {name: one.value for name, one in params.items()}
            for kind, params in self.effective.get(loop, {}).items()
        }

    @property
    def hash(self) -> str:
        """SHA-256 in hex of all that is effective, provenance included."""
        return effective_hash(self.effective)


def resolve(
    documents: Iterable[PolicyDocument],
    now_utc: float,
    trust: ClockTrust,
    loops: Mapping[str, tuple[str, ...]],
    *,
    running: Collection[str] = (),
    ended: Collection[str] = (),
) -> Resolution:
    """Resolve ``documents``, which all apply to this gateway, over its ``loops`` (name -> kinds).

    A document begins at ``valid_from`` and supersedes older versions of its id for good. With untrusted
    UTC only those in ``running`` are in force. running: keys that have begun here, so that a small step
    back of UTC does not stop them. ended: keys that have ended here, by ``max_age_s`` or ``not_after``.
    """
    told = trust is not ClockTrust.UNTRUSTED
    every = list(documents)
    newest: dict[str, PolicyDocument] = {}
    for one in every:
        begun = one.key in running or one.key in ended or (told and one.valid_from <= now_utc)
        known = newest.get(one.id)
        if begun and (known is None or _newer(one, known)):
            newest[one.id] = one
    # Who waits to follow another waits from the start, also before that one begins.
    reserve = {one.fallback for one in every if one.id not in newest or not _newer(newest[one.id], one)}
    alive: dict[str, PolicyDocument] = {}
    for first in newest.values():
        tried: set[str] = set()
        turn = None if first.id in reserve else first
        while turn is not None and turn.id not in tried:
            tried.add(turn.id)
            if turn.key not in ended and not (told and now_utc >= turn.not_after):
                alive[turn.id] = turn
                break
            turn = newest.get(turn.fallback)
    effective: Effective = {}
    for one in sorted(alive.values(), key=_precedence):
        source = (one.id, one.version, one.scope.level, one.scope.name)
        for loop, kinds in loops.items():
            if one.params and one.concerns(loop, kinds):
                row = effective.setdefault(loop, {}).setdefault(one.kind, {})
                row.update({name: Sourced(value, *source) for name, value in one.params.items()})
    return Resolution(effective, frozenset(one.key for one in alive.values()))


def _newer(one: PolicyDocument, other: PolicyDocument) -> bool:
    """Two documents may share id and version only by mistake; then their text decides, not their order."""
    if one.version != other.version:
        return one.version > other.version
    return one != other and one.model_dump_json() > other.model_dump_json()


def _precedence(one: PolicyDocument) -> tuple[int, int, int, str]:
    return _RANK[one.scope.level], one.priority, one.version, one.id


def edges(documents: Iterable[PolicyDocument]) -> tuple[float, ...]:
    """The UTC instants at which a resolution of ``documents`` may change, in order."""
    return tuple(sorted({instant for one in documents for instant in (one.valid_from, one.not_after)}))


def effective_hash(effective: Effective) -> str:
    """SHA-256 in hex over a canonical dump: sorted keys, no spaces, no NaN."""
    plain = {
        loop: {
            kind: {name: [one.value, one.id, one.version] for name, one in params.items()}
            for kind, params in kinds.items()
        }
        for loop, kinds in effective.items()
    }
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
