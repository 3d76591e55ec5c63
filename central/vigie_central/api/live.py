"""``/api/v1/live``: what changes, to every open page, at most ten times a second.

Messages are JSON objects. After the connection one ``{"type": "snapshot", "gateways": [GatewayState, ...],
"values": [[gateway, "device/point", value, quality, utc], ...], "alarms": [Alarm, ...],
"events": [Event, ...], "run": {...} | null}`` (events: the latest 100, newest first), then as things change:

* ``{"type": "values", "values": [[gateway, "device/point", value, quality, utc], ...]}``: the newest value of
  each point that changed since the last tick;
* ``{"type": "gateway", "gateway": GatewayState}``: online, devices, desired or reported changed;
* ``{"type": "event", "event": Event}``;
* ``{"type": "alarms", "alarms": [Alarm, ...]}``: the whole list of active alarms;
* ``{"type": "run", "run": {...}}``: the simulator's progress.

What clients send is ignored. A client that does not keep up is closed with code 1013 and may come back.
"""
