"""When an uplink gives up a connection that acknowledges nothing, as a table of instants."""

from vigie_edge.silence import MAX_S, Silence


def test_a_connection_that_acknowledges_nothing_is_given_up_each_time_later() -> None:
    silence = Silence(first_s=30.0)
    silence.connected(100.0)
    table = [
        (129.9, 5, False),
        (130.0, 5, True),
        (130.1, 5, False),  # the new connection has its time
        (189.9, 5, False),
        (190.0, 5, True),
        (309.9, 5, False),
        (310.0, 5, True),
    ]
    assert [(now, waiting, silence.too_long(now, waiting)) for now, waiting, _ in table] == table


def test_an_acknowledgement_or_nothing_to_acknowledge_begins_anew() -> None:
    silence = Silence(first_s=30.0)
    silence.connected(0.0)
    assert not silence.unheard
    assert silence.too_long(30.0, 1)
    assert silence.unheard
    silence.heard(50.0)
    assert not silence.unheard
    assert not silence.too_long(79.9, 1)
    assert not silence.too_long(200.0, 0)  # nothing is owed
    assert not silence.too_long(229.9, 1)
    assert silence.too_long(230.0, 1)
    assert silence.unheard
    assert not silence.too_long(231.0, 0)
    assert not silence.unheard


def test_a_coordinator_that_is_away_for_days_costs_an_hourly_connection() -> None:
    silence = Silence()
    silence.connected(0.0)
    tries = [now for now in range(3 * 86_400) if silence.too_long(float(now), 1)]
    assert len(tries) < 3 * 24 + 8
    assert tries[-1] - tries[-2] == MAX_S
