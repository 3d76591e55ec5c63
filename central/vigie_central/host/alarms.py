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
    "detector-failed": ("detector-back", "low"),
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
        self.changed = False

    def active(self) -> list[ActiveAlarm]:
        """Active alarms, newest first."""
        return sorted(self._active.values(), key=lambda alarm: (-alarm.since_ms, alarm.gateway, alarm.key))

    def take(self, events: Iterable[StoredEvent]) -> None:
        """Follow events in the order in which they happened."""
        for event in events:
            if event.kind == "alarm":
                key = _key(event.body)
                if _is_active(event.body):
                    self._raise(
                        event.gateway,
                        key,
                        str(event.body.get("severity", "medium")),
                        event.utc_ms,
                        event.body,
                    )
                else:
                    self._clear(event.gateway, key)
            elif event.what in PAIRS:
                self._raise(event.gateway, _key(event.body), PAIRS[event.what][1], event.utc_ms, event.body)
            elif event.what in _CLEARS:
                self._clear(event.gateway, _key({**event.body, "what": _CLEARS[event.what]}))

    def offline(self, gateway: str, utc_ms: int) -> None:
        """A gateway died."""
        body = {"kind": "alarm", "what": OFFLINE, "reason": "The gateway's session with the broker ended."}
        self._raise(gateway, OFFLINE, "high", utc_ms, body)

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


def _key(body: dict[str, Any]) -> str:
    if "key" in body:
        return str(body["key"])
    return "/".join(str(body[word]) for word in ("subject", "what") if body.get(word)) or "alarm"


def _is_active(body: dict[str, Any]) -> bool:
    active = body.get("active")
    if isinstance(active, bool):
        return active
    return str(body.get("state", "raised")).lower() not in CLEARED
