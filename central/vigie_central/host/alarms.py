"""Active alarms, derived from the events of the gateways (ISA-18.2: raised, until back to normal).

An event is about an alarm when its ``kind`` is ``alarm``. ``subject`` (with ``what``) names the alarm;
``active`` true or false, or ``state`` raised or cleared, says which way it went. Some words come in pairs
(PAIRS) and make an alarm whatever their kind. A death of a gateway is no event of its own telling, so the
coordinator raises and clears ``gateway-offline`` itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vigie_central.store.history import StoredEvent

CLEARED = frozenset(("cleared", "clear", "normal", "inactive", "off", "returned"))
OFFLINE = "gateway-offline"
PAIRS = {
    "device-down": ("device-up", "high"),
    "control-silent": ("control-back", "critical"),
}
"""What raises an alarm about its subject -> what clears it, and how severe it is."""
_CLEARS = {end: start for start, (end, _) in PAIRS.items()}
ALARM_WORDS = (*PAIRS, *_CLEARS)


@dataclass(frozen=True, slots=True)
class ActiveAlarm:
    """An alarm that stands. ``since_ms``: milliseconds since 1970."""

    gateway: str
    key: str
    severity: str
    since_ms: int
    text: str
    body: dict[str, Any]


class Alarms:
    """Which alarms stand now."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], ActiveAlarm] = {}
        self._told: dict[tuple[str, str], StoredEvent] = {}
        self.changed = False

    def active(self) -> list[ActiveAlarm]:
        """Active alarms, newest first."""
        return sorted(self._active.values(), key=lambda alarm: (-alarm.since_ms, alarm.gateway, alarm.key))

    def take(self, events: Iterable[StoredEvent]) -> None:
        """Follow events as they arrive; an older one that comes late (backfill) changes nothing."""
        for event in events:
            body, active, severity = event.body, False, ""
            if event.kind == "alarm":
                active, severity = _is_active(body), str(body.get("severity") or "medium")
            elif event.what in PAIRS:
                active, severity = True, PAIRS[event.what][1]
            elif event.what in _CLEARS:
                body = {**body, "what": _CLEARS[event.what]}
            else:
                continue
            name = (event.gateway, _key(body))
            last = self._told.get(name)
            if last is not None and _before(event, last):
                continue
            self._told[name] = event
            if active:
                self._raise(*name, severity, event.utc_ms, body)
            else:
                self._clear(*name)

    def offline(self, gateway: str, utc_ms: int, reason: str) -> None:
        """A gateway died, or never came."""
        self._raise(gateway, OFFLINE, "high", utc_ms, {"kind": "alarm", "what": OFFLINE, "reason": reason})

    def online(self, gateway: str) -> None:
        """A gateway was born."""
        self._clear(gateway, OFFLINE)

    def _raise(self, gateway: str, key: str, severity: str, utc_ms: int, body: dict[str, Any]) -> None:
        standing = self._active.get((gateway, key))
        since = standing.since_ms if standing else utc_ms
        text = str(body.get("reason") or body.get("text") or key)
        self._active[gateway, key] = ActiveAlarm(gateway, key, severity, since, text, body)
        self.changed = True

    def _clear(self, gateway: str, key: str) -> None:
        if self._active.pop((gateway, key), None) is not None:
            self.changed = True


def _before(event: StoredEvent, other: StoredEvent) -> bool:
    """Which of two events of a gateway came first: by its journal where one holds both, as its clock may jump."""
    if event.index and event.epoch == other.epoch:
        return event.index < other.index
    return event.utc_ms < other.utc_ms


def _key(body: dict[str, Any]) -> str:
    if "key" in body:
        return str(body["key"])
    return "/".join(str(body[word]) for word in ("subject", "what") if body.get(word)) or "alarm"


def _is_active(body: dict[str, Any]) -> bool:
    active = body.get("active")
    if isinstance(active, bool):
        return active
    return str(body.get("state", "raised")).lower() not in CLEARED
