"""The life of policies on a gateway: offered, verified, armed, applied, ended. Pure: no file, no clock.

The caller checks signatures first, offers the verified bundle, calls ``tick`` in every scan, and adopts
what it returns at the scan boundary. What is refused never stops what runs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vigie_controllers.contract import State
from vigie_controllers.loops import ControllerKind, ParamError
from vigie_controllers.policy.document import (
    Bundle,
    Code,
    Place,
    PolicyRefused,
    parse_bundle,
    parse_document,
)
from vigie_controllers.policy.memory import Floor, Held, Memory, Row
from vigie_controllers.policy.resolve import Effective, Resolution, edges, resolve
from vigie_protocols.points import ClockTrust

NEVER = float("inf")
Overrides = dict[str, dict[str, Any]]
Stage = Callable[[str, Overrides], Any]
"""(loop, kind -> parameters) -> something to adopt; raises ParamError outside the guard's envelope."""
DocumentState = Literal["armed", "applied", "idle", "superseded", "ended", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an offered bundle. unchanged: it was in force already."""

    accepted: bool
    code: Code | None = None
    reason: str = ""
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Apply:
    """What to adopt at this scan boundary: ``staged`` is what the stage function gave for the loop."""

    loop: str
    overrides: Overrides
    staged: Any


class PolicyLife:
    """All policies of one gateway.

    place: where it stands. loops: name -> kinds of its controllers. kinds: every known kind.
    stage: see ``Stage``. revision: goes up whenever ``reported`` has changed.
    """

    def __init__(
        self,
        place: Place,
        loops: Mapping[str, tuple[str, ...]],
        kinds: Mapping[str, ControllerKind],
        stage: Stage,
    ) -> None:
        self._place = place
        self._loops = dict(loops)
        self._kinds = kinds
        self._stage = stage
        self._m = Memory()
        self._effective: Effective = {}
        self._overrides: dict[str, Overrides] = {loop: {} for loop in self._loops}
        self._due_now = NEVER
        self._due_utc = NEVER
        self._trust: ClockTrust | None = None
        self._fresh = False
        self._force = False
        self._waiting: Mapping[str, Any] | None = None
        self.revision = 0

    # -- offers ---------------------------------------------------------------------------------------

    def offer(
        self, now: float, utc: float, trust: ClockTrust, raw: Mapping[str, Any], *, confirmed: bool = False
    ) -> Outcome:
        """Verify a bundle whose signature is good and arm its documents; nothing running changes yet.

        utc: seconds since 1970, meaningless while ``trust`` is UNTRUSTED. confirmed: somebody at the local
        socket vouches for it, which alone opens the door while UTC is untrusted. A document that is
        refused leaves its running predecessor in force and the rest of the bundle untouched.
        """
        self._follow_clock(now)
        try:
            bundle = parse_bundle(raw)
            digest = _digest(raw)
            if self._is_current(bundle, digest):
                self._settle_refusal(None)
                return Outcome(True, unchanged=True)
            if trust is ClockTrust.UNTRUSTED and not confirmed:
                self._waiting = dict(raw)
                raise PolicyRefused(
                    "clock-untrusted", "UTC cannot be trusted: no new policy without local consent"
                )
        except PolicyRefused as refused:
            return self.refuse(refused.code, refused.reason)
        self._waiting = None
        self._take(bundle, utc, trust, confirmed)
        self._m.floor = Floor(bundle.root_epoch, bundle.generation, digest)
        self._m.refused = None
        self._fresh = True
        self.revision += 1
        return Outcome(True)

    def refuse(self, code: Code, reason: str) -> Outcome:
        """Note that a bundle was refused, also by the caller (``bad-signature``); what runs goes on."""
        self._settle_refusal({"code": code, "reason": reason})
        return Outcome(False, code, reason)

    def _settle_refusal(self, refusal: dict[str, Any] | None) -> None:
        if self._m.refused != refusal:
            self._m.refused = refusal
            self.revision += 1

    def _is_current(self, bundle: Bundle, digest: str) -> bool:
        """True when it is the bundle in force; raises PolicyRefused when it may not be taken."""
        floor = self._m.floor
        if bundle.audience != self._place.gateway:
            raise PolicyRefused(
                "wrong-audience", f"it is for {bundle.audience}, this is {self._place.gateway}"
            )
        offered, least = (bundle.root_epoch, bundle.generation), (floor.root_epoch, floor.generation)
        if offered == least and digest == floor.digest:
            return True
        if offered <= least:
            raise PolicyRefused("older-generation", f"generation {offered} is not above {least}")
        return False

    def _take(self, bundle: Bundle, utc: float, trust: ClockTrust, confirmed: bool) -> None:
        before, after = self._m.held, {}
        rows: list[Row] = []
        for raw in bundle.documents:
            name, version = str(raw.get("id", ""))[:63], raw.get("version", 0)
            try:
                held = self._verify(raw, before, utc, trust)
                if held.document.key in after:
                    raise PolicyRefused("bad-document", f"{held.document.key} is in the bundle twice")
                held.confirmed = held.confirmed or (confirmed and trust is ClockTrust.UNTRUSTED)
                after[held.document.key] = held
            except PolicyRefused as refused:
                rows.append(
                    Row(name, version if isinstance(version, int) else 0, refused.code, refused.reason)
                )
                # Refused is not withdrawn: what has run under this name goes on.
                after.update(
                    {key: one for key, one in before.items() if one.document.id == name and key not in after}
                )
        self._m.held, self._m.rows = after, rows

    def _verify(self, raw: dict[str, Any], before: Mapping[str, Held], utc: float, trust: ClockTrust) -> Held:
        document = parse_document(raw, self._kinds)
        known = before.get(document.key)
        if known is not None and known.refused is None:
            if known.raw != raw:
                raise PolicyRefused("bad-document", f"{document.key} was known with another content")
            return known
        if not self._place.within(document.scope):
            scope = document.scope
            raise PolicyRefused("wrong-audience", f"it is for {scope.level} {scope.name}")
        if trust is not ClockTrust.UNTRUSTED and utc >= document.not_after:
            raise PolicyRefused("expired", f"it ended {utc - document.not_after:.0f} s ago")
        every_kind = {kind for kinds in self._loops.values() for kind in kinds}
        for one in document.preconditions:
            if one.name not in (self._loops if one.need == "loop" else every_kind):
                raise PolicyRefused("precondition", f"this gateway has no {one.need} {one.name}")
        for loop, kinds in self._loops.items():
            if document.concerns(loop, kinds):
                try:
                    self._stage(loop, {document.kind: document.params})
                except ParamError as error:
                    raise PolicyRefused(
                        "outside-envelope", f"{loop}: {error.field}: {error.reason}"
                    ) from error
        return Held(document, raw)

    # -- every scan -----------------------------------------------------------------------------------

    def tick(self, now: float, utc: float, trust: ClockTrust) -> tuple[Apply, ...]:
        """What to adopt now; nearly always nothing, and then at next to no cost."""
        told = trust is not ClockTrust.UNTRUSTED
        if (
            not self._fresh
            and trust is self._trust
            and now < self._due_now
            and (not told or utc < self._due_utc)
            and self._m.last is not None
            and now >= self._m.last
        ):
            self._m.last = now
            return ()
        self._follow_clock(now)
        self._trust = trust
        if told and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self.offer(now, utc, trust, waiting)
        self._end(now, utc, told)
        applied = self._change(now, utc, trust)
        self._fresh = self._force = False
        self._plan(utc)
        return applied

    def _end(self, now: float, utc: float, told: bool) -> None:
        for one in self._m.held.values():
            if one.ended or one.refused is not None:
                continue
            if one.began is not None and now - one.began >= one.document.max_age_s:
                one.ended = f"in force for {one.document.max_age_s:.0f} s, its greatest age"
                self.revision += 1
            elif told and utc >= one.document.not_after:
                one.ended = "its validity is over"
                self.revision += 1

    def _change(self, now: float, utc: float, trust: ClockTrust) -> tuple[Apply, ...]:
        hopeless: set[str] = set()
        while True:
            new = self._resolve(utc, trust)
            applies, failed = self._stage_all(new, hopeless)
            if failed is None:
                break
            loop, reason = failed
            if not self._exclude(loop, new, reason):
                # No policy is in the way: the loop stays as it is, and the next bundle finds it so.
                hopeless.add(loop)
        if new.in_force != self._m.in_force or new.effective != self._effective:
            self.revision += 1
        for key in new.in_force - self._m.in_force:
            if self._m.held[key].began is None:
                self._m.held[key].began = now
        self._m.in_force, self._effective = new.in_force, new.effective
        for one in applies:
            self._overrides[one.loop] = one.overrides
        return tuple(applies)

    def _resolve(self, utc: float, trust: ClockTrust) -> Resolution:
        held = [one for one in self._m.held.values() if one.refused is None]
        return resolve(
            [one.document for one in held],
            utc,
            trust,
            self._loops,
            running={one.document.key for one in held if one.began is not None or one.confirmed},
            ended={one.document.key for one in held if one.ended},
        )

    def _stage_all(self, new: Resolution, hopeless: set[str]) -> tuple[list[Apply], tuple[str, str] | None]:
        """What every changed loop would adopt, and the first loop that cannot with the reason."""
        applies: list[Apply] = []
        for loop in self._loops:
            overrides = new.overrides(loop)
            if loop in hopeless or (overrides == self._overrides[loop] and not self._force):
                continue
            try:
                applies.append(Apply(loop, overrides, self._stage(loop, overrides)))
            except ParamError as error:
                return [], (loop, f"{loop}: {error.field}: {error.reason}")
        return applies, None

    def _exclude(self, loop: str, new: Resolution, reason: str) -> bool:
        """Each alone was lawful, together they are not: the newcomers go, or else all of this loop.

        True when a document was refused; since none comes back, the caller's search ends.
        """
        kinds = self._loops[loop]
        here = [self._m.held[key] for key in new.in_force if self._m.held[key].document.concerns(loop, kinds)]
        newcomers = [one for one in here if one.document.key not in self._m.in_force]
        for one in newcomers or here:
            one.refused = ("outside-envelope", f"together with the others in force: {reason}")
        return bool(here)

    def _plan(self, utc: float) -> None:
        held = [one for one in self._m.held.values() if one.refused is None and not one.ended]
        ages = [one.began + one.document.max_age_s for one in held if one.began is not None]
        self._due_now = min(ages, default=NEVER)
        self._due_utc = next((edge for edge in edges(one.document for one in held) if edge > utc), NEVER)

    def _follow_clock(self, now: float) -> None:
        last, self._m.last = self._m.last, now
        if last is not None and now < last:
            # The monotonic clock began anew: ages go on from what they were, the pause is not counted.
            for one in self._m.held.values():
                one.began = None if one.began is None else one.began + now - last
            self._fresh = True

    # -- what is told and kept ------------------------------------------------------------------------

    def reported(self) -> dict[str, Any]:
        """What the coordinator is told: plain JSON, changes only with ``revision``."""
        rows = [
            {"id": row.id, "version": row.version, "state": "refused", "code": row.code, "reason": row.reason}
            for row in self._m.rows
        ]
        return {
            "gateway": self._place.gateway,
            "root_epoch": self._m.floor.root_epoch,
            "generation": self._m.floor.generation,
            "refused": self._m.refused,
            "documents": [*(self._row(one) for one in self._m.held.values()), *rows],
            "effective": {
                loop: {
                    kind: {
                        name: {"value": p.value, "id": p.id, "version": p.version}
                        for name, p in params.items()
                    }
                    for kind, params in kinds.items()
                }
                for loop, kinds in self._effective.items()
            },
            "effective_hash": Resolution(self._effective, self._m.in_force).hash,
        }

    def _row(self, one: Held) -> dict[str, Any]:
        document = one.document
        state: DocumentState
        code, reason = one.refused or ("", one.ended)
        if one.refused is not None:
            state = "refused"
        elif one.ended:
            state = "ended"
        elif document.key in self._m.in_force:
            here = any(document.concerns(loop, kinds) for loop, kinds in self._loops.items())
            state = "applied" if here else "idle"
        else:
            state = "armed" if one.began is None else "superseded"
        return {
            "id": document.id,
            "version": document.version,
            "kind": document.kind,
            "state": state,
            "code": code,
            "reason": reason,
        }

    def snapshot(self) -> State:
        """All that must survive a restart; instants are absolute, with the last ``now`` beside them."""
        return self._m.snapshot()

    def between(self) -> State:
        """What lasts between two scans but must not outlive a restart."""
        return {
            "fresh": self._fresh,
            "force": self._force,
            "trust": None if self._trust is None else int(self._trust),
            "waiting": None if self._waiting is None else dict(self._waiting),
        }

    def resume(self, state: State, between: State, now: float, utc: float) -> None:
        """The exact state after a tick at ``now`` and ``utc``: nothing is given anew. For replay."""
        self.restore(state)
        if between["trust"] is not None:
            self.tick(now, utc, ClockTrust(between["trust"]))
        self._waiting = between["waiting"]
        self._fresh, self._force = between["fresh"], between["force"]

    def restore(self, state: State) -> None:
        """Take up a snapshot; the next ``tick`` gives every loop anew.

        A document that this version of the software no longer understands is refused, not fatal.
        """
        self._m = Memory.from_snapshot(state, self._kinds)
        self._effective = {}
        self._overrides = {loop: {} for loop in self._loops}
        self._fresh = self._force = True
        self.revision += 1


def _digest(raw: Mapping[str, Any]) -> str:
    """SHA-256 in hex of a bundle; a bundle that is not plain JSON is refused."""
    try:
        text = json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PolicyRefused("bad-document", f"bundle: not plain JSON: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()
