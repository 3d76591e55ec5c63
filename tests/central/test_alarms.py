"""Alarms out of events, in whatever order they arrive."""

import pytest

from vigie_central.host.alarms import Alarms
from vigie_central.store.history import StoredEvent


def event(utc_ms, gateway="gw", **body):
    return StoredEvent(utc_ms, gateway, utc_ms, body)


def limit(utc_ms, active, **more):
    return event(utc_ms, kind="alarm", subject="station/level", what="limit", active=active, **more)


@pytest.mark.parametrize(
    ("events", "standing"),
    [
        ([limit(1, True)], ["station/level/limit"]),
        ([limit(1, True), limit(2, False)], []),
        ([limit(2, False), limit(1, True)], []),
        ([limit(1, True), limit(3, True), limit(2, False)], ["station/level/limit"]),
        ([limit(1, True), event(2, "other", **limit(2, False).body)], ["station/level/limit"]),
        ([event(1, kind="decision", subject="jct", what="device-down")], ["jct/device-down"]),
        ([event(1, subject="jct", what="device-down"), event(2, subject="jct", what="device-up")], []),
        ([event(1, kind="decision", subject="jct", what="start")], []),
    ],
)
def test_what_stands(events, standing):
    alarms = Alarms()
    alarms.take(events)
    assert [each.key for each in alarms.active()] == standing


def test_an_alarm_keeps_its_beginning_while_it_is_told_again():
    alarms = Alarms()
    alarms.take(
        [limit(5, True, severity="high", reason="3.2 m"), limit(9, True, severity="high", reason="3.4 m")]
    )
    (alarm,) = alarms.active()
    assert (alarm.since_ms, alarm.text, alarm.severity) == (5, "3.4 m", "high")


def test_a_gateway_that_dies_and_comes_back():
    alarms = Alarms()
    alarms.offline("gw", 7, "session ended")
    assert [each.key for each in alarms.active()] == ["gateway-offline"]
    alarms.online("gw")
    assert alarms.active() == []


def test_a_clock_that_jumped_orders_no_alarm_of_one_journal():
    """Raised while UTC was ten years ahead, cleared when it was right again: the journal knows the order."""
    ahead = StoredEvent(1, "gw", 2_100_000_000_000, limit(1, True).body, 5, 10)
    after = StoredEvent(2, "gw", 1_800_000_000_000, limit(1, False).body, 5, 11)
    alarms = Alarms()
    alarms.take([ahead, after])
    assert alarms.active() == []
    alarms.take([StoredEvent(3, "gw", 2_100_000_000_001, limit(1, True).body, 5, 9)])
    assert alarms.active() == [], "it came late, as backfill does"
