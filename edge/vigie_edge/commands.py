"""What control is asked by its mailbox, from the local socket or from the coordinator, and its answers.

Handled at a scan boundary. Requests from the coordinator come here only after their signature, audience,
expiry and nonce were checked; local ones come from whoever may open the socket.
"""

import json
import math
from typing import Any

from vigie_controllers.contract import Decision
from vigie_controllers.gate import fits
from vigie_controllers.leases import LeaseEvent, LeaseRefused
from vigie_controllers.scan import ScanEngine
from vigie_edge.policies import PolicyShelf
from vigie_protocols.points import ClockTrust


def from_afar(payload: bytes) -> bytes:
    """A request that did not come from the command socket, without its word that it did."""
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    if isinstance(request, dict) and "local" in request:
        del request["local"]
        return json.dumps(request).encode()
    return payload


class CommandDesk:
    """Answers requests; never raises for what a request says."""

    def __init__(self, engine: ScanEngine, shelf: PolicyShelf, notes: list[Decision] | None = None) -> None:
        """notes: where what people did is told, for the journal."""
        self._engine = engine
        self._notes = [] if notes is None else notes
        self._shelf = shelf
        self._writable = {spec.name: spec for spec in engine.outputs}

    def handle(self, payload: bytes, now: float, utc: float, trust: ClockTrust) -> bytes:
        """The answer to one request, as JSON."""
        try:
            request = json.loads(payload)
            nonce = str(request["nonce"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return json.dumps(
                {"nonce": "", "ok": False, "code": "bad-request", "reason": "not a request"}
            ).encode()
        try:
            result = self._do(request, nonce, now, utc, trust)
            answer = {"nonce": nonce, "ok": True, "result": result}
        except LeaseRefused as refused:
            answer = {"nonce": nonce, "ok": False, "code": refused.code, "reason": refused.reason}
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            # A ValueError is a sentence for people; the others say what a request lacked.
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            answer = {"nonce": nonce, "ok": False, "code": "bad-request", "reason": reason[:500]}
        return json.dumps(answer).encode()

    def _do(
        self, request: dict[str, Any], nonce: str, now: float, utc: float, trust: ClockTrust
    ) -> dict[str, Any]:
        action = request.get("action")
        args = dict(request.get("args") or {})
        holder = str(request.get("holder", ""))
        book = self._engine.leases
        if action == "policy.confirm" and request.get("local"):
            self._shelf.confirmed = True
            self._shelf.look()
            return {}
        if action == "lease.take":
            forces = dict(args["forces"])
            for point, value in forces.items():
                self._check_force(point, value)
            origin = "local" if request.get("local") else "emergency"
            event = book.grant(
                now,
                str(args.get("id", nonce)),
                forces,
                holder=holder,
                reason=str(args["reason"]),
                ttl_s=float(args["ttl_s"]),
                origin=origin,  # type: ignore[arg-type]
            )
            return self._told(event, now)
        if action == "lease.renew":
            return self._told(
                book.renew(now, str(args["id"]), holder=holder, ttl_s=float(args["ttl_s"])), now
            )
        if action == "lease.release":
            return self._told(book.release(now, str(args["id"]), holder=holder), now)
        if action == "fault.list":
            return {"faults": [one._asdict() for one in self._engine.faults()]}
        if action == "fault.reset":
            return self._reset(args, holder)
        if action == "lease.list":
            return {"leases": [_lease(LeaseEvent("granted", one), now) for one in book.leases()]}
        if action == "alarm.list":
            active = self._engine.alarms.active()
            return {
                "alarms": [
                    {"point": one.point, "severity": one.severity, "reason": one.reason} for one in active
                ]
            }
        if action == "spat":
            return {"intersections": self._engine.outlook(now, utc, trust)}
        if action == "measures":
            return {"measures": self._engine.measures(now)}
        if action == "drift.list":
            drifting = self._engine.gate.drifting
            return {"drift": [{"point": point, "reason": why} for point, why in drifting.items()]}
        if action == "effective":
            return {"effective": self._engine.effective()}
        if action == "policy.show":
            return self._engine.policies.reported()
        raise ValueError(f"unknown action {action!r}")

    def _check_force(self, point: str, value: Any) -> None:
        """What the point can never be is refused at once, not clamped later; guards may still narrow the rest."""
        spec = self._writable.get(point)
        if spec is None:
            raise LeaseRefused("bad-lease", f"{point} is no writable point of this gateway")
        if not fits(spec.type, value):
            raise LeaseRefused("bad-lease", f"{point}: {repr(value)[:40]} is no {spec.type}")
        low = -math.inf if spec.low is None else spec.low
        high = math.inf if spec.high is None else spec.high
        if isinstance(value, (int, float)) and not low <= value <= high:
            raise LeaseRefused("bad-lease", f"{point}: {value} is outside {low:g} to {high:g}")

    def _told(self, event: LeaseEvent, now: float) -> dict[str, Any]:
        lease = event.lease
        forced = ", ".join(f"{point} = {value}" for point, value in lease.forces.items())
        reason = f"{lease.holder}: {lease.reason}; {lease.until - now:.0f} s to live"
        self._notes.append(Decision("lease", forced, event.what, reason))
        return _lease(event, now)

    def _reset(self, args: dict[str, Any], holder: str) -> dict[str, Any]:
        loop, subject, reason = str(args["loop"]), str(args["subject"]), str(args["reason"])
        if not holder.strip() or not reason.strip():
            raise ValueError("a reset names who does it and why")
        if not self._engine.reset_fault(loop, subject):
            raise ValueError(f"nothing is latched for {subject} of loop {loop}")
        self._notes.append(Decision("fault", f"{loop}: {subject}", "reset", f"{holder}: {reason}"))
        return {"loop": loop, "subject": subject}


def _lease(event: LeaseEvent, now: float) -> dict[str, Any]:
    lease = event.lease
    return {
        "id": lease.id,
        "holder": lease.holder,
        "reason": lease.reason,
        "origin": lease.origin,
        "forces": dict(lease.forces),
        "remaining_s": round(lease.until - now, 1),
    }
