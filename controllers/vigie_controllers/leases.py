"""Leases: manual and emergency overrides that end by themselves.

A lease forces points to values for a holder with a reason, and runs out on the monotonic clock. Nothing
here is permanent: somebody who forgets a lease gives the point back. Guards still come after it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vigie_controllers.contract import State
from vigie_protocols.points import Value

Origin = Literal["emergency", "local"]
"""``local`` (at the gateway itself) outranks ``emergency`` (from the operations centre)."""
MAX_TTL_S: Mapping[Origin, float] = {"emergency": 4 * 3600.0, "local": 12 * 3600.0}
"""The longest time to live one grant or renewal may ask for, in seconds."""
MAX_LEASES = 64

LeaseCode = Literal["bad-lease", "held", "unknown-lease", "not-holder", "too-many"]


class LeaseRefused(ValueError):
    """A request about a lease was understood and refused; ``reason`` is for people."""

    def __init__(self, code: LeaseCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code: LeaseCode = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Lease:
    """id: chosen by the caller (the command's nonce). forces: point name -> value. until: monotonic."""

    id: str
    holder: str
    reason: str
    origin: Origin
    forces: Mapping[str, Value]
    until: float


@dataclass(frozen=True, slots=True)
class LeaseEvent:
    """what: granted, renewed, released or expired."""

    what: Literal["granted", "renewed", "released", "expired"]
    lease: Lease


class LeaseBook:
    """All leases of a gateway. At most one lease per point and origin.

    revision: goes up whenever the leases change.
    """

    def __init__(self, max_ttl_s: Mapping[Origin, float] = MAX_TTL_S) -> None:
        self._max = dict(max_ttl_s)
        self._leases: dict[str, Lease] = {}
        self._forces: dict[str, Value] = {}
        self._next = float("inf")
        self._last: float | None = None
        self.revision = 0

    @property
    def forces(self) -> Mapping[str, Value]:
        """Point name -> forced value now in force; the same object until something changes."""
        return self._forces

    def leases(self) -> tuple[Lease, ...]:
        """Every lease, in the order they were granted."""
        return tuple(self._leases.values())

    def tick(self, now: float) -> tuple[LeaseEvent, ...]:
        """Let run out what has run out; call it in every scan, before ``forces`` is used."""
        last, self._last = self._last, now
        if last is not None and now < last:
            # The monotonic clock began anew: each lease keeps the time it had left, never more.
            self._leases = {
                one.id: replace(one, until=one.until + now - last) for one in self._leases.values()
            }
            self._rebuild()
        if now < self._next:
            return ()
        over = [one for one in self._leases.values() if now >= one.until]
        for one in over:
            del self._leases[one.id]
        self._rebuild()
        return tuple(LeaseEvent("expired", one) for one in over)

    def grant(
        self,
        now: float,
        lease_id: str,
        forces: Mapping[str, Value],
        *,
        holder: str,
        reason: str,
        ttl_s: float,
        origin: Origin,
    ) -> LeaseEvent:
        """Force ``forces`` for ``ttl_s`` seconds.

        Granting the same lease again (a repeated command) changes nothing. Raises LeaseRefused: bad-lease
        for a wrong request, held when a point is under another lease of this origin, too-many.
        """
        self.tick(now)
        if not lease_id or not holder.strip() or not reason.strip() or not forces:
            raise LeaseRefused(
                "bad-lease", "a lease names its id, its holder, a reason and at least one point"
            )
        for point, value in forces.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise LeaseRefused("bad-lease", f"{point}: {value} is no value")
        until = now + self._checked(ttl_s, origin)
        known = self._leases.get(lease_id)
        if known is not None:
            if (known.holder, known.origin, dict(known.forces)) != (holder, origin, dict(forces)):
                raise LeaseRefused("held", f"lease {lease_id} is {known.holder}'s, for something else")
            return LeaseEvent("granted", known)
        for one in self._leases.values():
            shared = sorted(set(one.forces) & set(forces))
            if one.origin == origin and shared:
                left = one.until - now
                raise LeaseRefused(
                    "held", f"{shared[0]} is held by {one.holder} for {left:.0f} s more: {one.reason}"
                )
        if len(self._leases) >= MAX_LEASES:
            raise LeaseRefused("too-many", f"{MAX_LEASES} leases are in force already")
        lease = Lease(lease_id, holder, reason, origin, dict(forces), until)
        self._leases[lease_id] = lease
        self._rebuild()
        return LeaseEvent("granted", lease)

    def renew(self, now: float, lease_id: str, *, holder: str, ttl_s: float) -> LeaseEvent:
        """Let it run ``ttl_s`` seconds from now; raises LeaseRefused (unknown-lease, not-holder, bad-lease)."""
        self.tick(now)
        lease = self._of(lease_id, holder)
        lease = replace(lease, until=now + self._checked(ttl_s, lease.origin))
        self._leases[lease_id] = lease
        self._rebuild()
        return LeaseEvent("renewed", lease)

    def release(self, now: float, lease_id: str, *, holder: str) -> LeaseEvent:
        """Give it back early; raises LeaseRefused (unknown-lease, not-holder)."""
        self.tick(now)
        lease = self._of(lease_id, holder)
        del self._leases[lease_id]
        self._rebuild()
        return LeaseEvent("released", lease)

    def _of(self, lease_id: str, holder: str) -> Lease:
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseRefused("unknown-lease", f"there is no lease {lease_id}; it may have run out")
        if lease.holder != holder:
            raise LeaseRefused("not-holder", f"lease {lease_id} is {lease.holder}'s")
        return lease

    def _checked(self, ttl_s: float, origin: Origin) -> float:
        longest = self._max[origin]
        if not 0.0 < ttl_s <= longest:
            raise LeaseRefused(
                "bad-lease", f"a time to live of {ttl_s} s is not between 0 and {longest:.0f} s"
            )
        return ttl_s

    def _rebuild(self) -> None:
        self.revision += 1
        self._next = min((one.until for one in self._leases.values()), default=float("inf"))
        forces: dict[str, Value] = {}
        for origin in ("emergency", "local"):
            for one in self._leases.values():
                if one.origin == origin:
                    forces.update(one.forces)
        self._forces = forces

    def snapshot(self) -> State:
        """All leases, with the last ``now`` that their ends are to be read against."""
        return {
            "last": self._last,
            "leases": [
                {
                    "id": one.id,
                    "holder": one.holder,
                    "reason": one.reason,
                    "origin": one.origin,
                    "forces": dict(one.forces),
                    "until": one.until,
                }
                for one in self._leases.values()
            ],
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot; each lease has at most the time it had left."""
        leases = [Lease(**row) for row in state["leases"]]
        self._last = state["last"]
        self._leases = {one.id: one for one in leases}
        self._rebuild()
