"""From an edge node over a real broker into the history, and the acknowledgement back."""

import asyncio

from vigie_protocols.points import ValueType

LEVEL = {"station": {"level": ValueType.FLOAT, "running": ValueType.BOOL, "mode": ValueType.STRING}}
NOON = 1_760_000_000_000


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def counters(central, gateway):
    return central.get("/counters?verify=true")["gateways"].get(gateway)


def test_samples_are_stored_acknowledged_and_read_back(central, make_edge):
    edge = make_edge("gw-store", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        for second in range(100):
            edge.sample(
                "station", NOON + 1000 * second, level=second / 10, running=second % 2 == 0, mode="auto"
            )
        await until(lambda: not edge.journal)
        await edge.stop()

    asyncio.run(script())
    assert edge.acked.through == 100
    end = NOON / 1000 + 100
    rows = central.get(f"/history?gateway=gw-store&point=station/level&from={NOON / 1000}&to={end}")
    assert rows["samples"] == [[NOON / 1000 + second, second / 10, 2] for second in range(100)]
    switched = central.get("/history?gateway=gw-store&point=station/running&limit=3")
    assert [value for _, value, _ in switched["samples"]] == [True, False, True]
    assert switched["more"]
    texts = central.get("/history?gateway=gw-store&point=station/mode&limit=1")
    assert texts["samples"][0][1] == "auto"
    buckets = central.get(
        f"/history?gateway=gw-store&point=station/level&from={NOON / 1000}&to={end}&buckets=10"
    )
    assert [row[5] for row in buckets["buckets"]] == [10] * 10
    assert buckets["buckets"][0][1:5] == [0.0, 0.45, 0.9, 0.9]
    count = counters(central, "gw-store")
    assert (count["samples_stored"], count["records_stored"], count["missing"]) == (300, 100, 0)


def test_what_comes_twice_is_stored_once_and_acknowledged_again(central, make_edge):
    edge = make_edge("gw-twice", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        for second in range(20):
            edge.sample("station", NOON + 1000 * second, level=1.0)
        kept = dict(edge.journal)
        await until(lambda: not edge.journal)
        edge.journal = kept
        edge.resend()
        await until(lambda: not edge.journal)
        await edge.stop()

    asyncio.run(script())
    count = counters(central, "gw-twice")
    assert (count["samples_stored"], count["duplicates_dropped"]) == (20, 20)
    assert central.get("/counters?verify=true")["duplicate_rows"] == 0


def test_a_gap_is_acknowledged_around_and_closed_by_backfill(central, make_edge):
    edge = make_edge("gw-gap", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        for second in range(5):
            edge.sample("station", NOON + 1000 * second, level=1.0)
        edge.next = 11
        for second in range(10, 15):
            edge.sample("station", NOON + 1000 * second, level=3.0)
        await until(lambda: edge.acked.ranges() == [(11, 15)])
        assert edge.acked.through == 5
        assert counters(central, "gw-gap")["missing"] == 5
        edge.next, edge.historical = 6, True
        for second in range(5, 10):
            edge.sample("station", NOON + 1000 * second, level=2.0)
        await until(lambda: edge.acked.through == 15)
        await edge.stop()

    asyncio.run(script())
    assert counters(central, "gw-gap")["missing"] == 0
    rows = central.get("/history?gateway=gw-gap&point=station/level")["samples"]
    assert [value for _, value, _ in rows] == [1.0] * 5 + [2.0] * 5 + [3.0] * 5
    # Backfill is older than what was shown: the last value stays the newest.
    (point,) = central.get("/points?gateway=gw-gap&prefix=station/level")["points"]
    assert point["value"] == 3.0


def test_a_clock_that_jumped_ahead_does_not_freeze_what_is_shown(central, make_edge):
    edge = make_edge("gw-jump", LEVEL)
    ten_years = 10 * 365 * 86_400_000

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        edge.sample("station", NOON + ten_years, level=1.0)
        edge.sample("station", NOON + 1000, level=2.0)
        await until(lambda: not edge.journal)
        await edge.stop()

    asyncio.run(script())
    rows = central.get("/points?gateway=gw-jump&limit=100")["points"]
    (level,) = [row for row in rows if row["point"] == "station/level"]
    assert (level["value"], level["utc"]) == (2.0, NOON / 1000 + 1)


def test_another_epoch_counts_anew(central, make_edge):
    first = make_edge("gw-epoch", LEVEL, epoch=1)
    second = make_edge("gw-epoch", LEVEL, epoch=2)

    async def script():
        for edge in (first, second):
            edge.start()
            await until(lambda edge=edge: edge.edge.born)
            for number in range(10):
                edge.sample("station", NOON + number, level=1.0)
            await until(lambda edge=edge: not edge.journal)
            await edge.stop()

    asyncio.run(script())
    count = counters(central, "gw-epoch")
    assert count["samples_stored"] == 20
    assert [(each["epoch"], each["through"]) for each in count["acked"]] == [(1, 10), (2, 10)]


def test_events_alarms_and_deaths_are_shown(central, make_edge):
    edge = make_edge("gw-event", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        edge.tell(
            {"kind": "decision", "source": "water.level", "what": "start", "reason": "level high"}, NOON
        )
        edge.tell({"kind": "alarm", "subject": "station", "what": "high-level", "state": "raised"}, NOON + 1)
        await until(lambda: not edge.journal)
        found = central.get("/events?gateway=gw-event")["events"]
        assert [(each["kind"], each["utc"]) for each in found] == [
            ("alarm", NOON / 1000 + 0.001),
            ("decision", NOON / 1000),
        ]
        assert found[1]["body"]["reason"] == "level high"
        active = [each for each in central.get("/alarms")["alarms"] if each["gateway"] == "gw-event"]
        assert [each["key"] for each in active] == ["station/high-level"]
        edge.tell({"kind": "alarm", "subject": "station", "what": "high-level", "state": "cleared"}, NOON + 2)
        await until(lambda: not edge.journal)
        assert not [each for each in central.get("/alarms")["alarms"] if each["gateway"] == "gw-event"]
        edge.sample("station", level=1.0)
        await until(lambda: not edge.journal)
        edge.tell({"kind": "decision", "subject": "station", "what": "device-down", "reason": "no answer"})
        await until(lambda: not edge.journal)
        active = [each for each in central.get("/alarms")["alarms"] if each["gateway"] == "gw-event"]
        assert [(each["key"], each["text"]) for each in active] == [("station/device-down", "no answer")]
        edge.tell({"kind": "decision", "subject": "station", "what": "device-up"})
        await until(lambda: not edge.journal)
        edge._do(edge.edge.device_lost("station", NOON))
        await until(lambda: not central.get("/gateways/gw-event")["devices"][0]["online"])
        (point,) = central.get("/points?gateway=gw-event&prefix=station/level")["points"]
        assert point["stale"] is True
        await edge.stop()
        await until(lambda: not central.get("/gateways/gw-event")["online"])

    asyncio.run(script())
    active = [each["key"] for each in central.get("/alarms")["alarms"] if each["gateway"] == "gw-event"]
    assert active == ["gateway-offline"]


def test_records_declared_lost_are_settled_but_not_counted_as_stored(central, make_edge):
    edge = make_edge("gw-lost", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        edge.next = 51
        edge.tell({"kind": "gap", "epoch": 1, "first": 1, "last": 50, "reason": "segment unreadable"})
        edge.tell({"kind": "gap", "epoch": 1, "first": 40, "last": 0, "reason": "nobody knows how much"})
        await until(lambda: edge.acked.through == 52)
        await edge.stop()

    asyncio.run(script())
    count = counters(central, "gw-lost")
    assert (count["lost"], count["missing"], count["records_stored"]) == (50, 0, 2)


def test_messages_that_break_the_rules_change_nothing(central, make_edge):
    edge = make_edge("gw-odd", LEVEL)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        edge.driver.publish("spBv1.0/vigie/DDATA/gw-odd/station", b"\xff\xff\xff")
        edge.driver.publish("spBv1.0/vigie/NDATA/never-born", b"")
        edge.driver.publish("vigie/v1/gw-odd/reported", b'{"generation": NaN}', 1)
        edge.sample("station", 2**62, level=1.0)
        edge.sample("station", NOON, level=float("nan"))
        edge.sample("station", NOON + 1, level=None)
        await until(lambda: not edge.journal)
        await edge.stop()

    asyncio.run(script())
    count = counters(central, "gw-odd")
    # The absurd stamp is refused, its record settled; a NaN and a null are samples without a value.
    assert (count["records_stored"], count["samples_stored"], count["refused_messages"]) == (3, 2, 1)
    rows = central.get("/history?gateway=gw-odd&point=station/level")["samples"]
    assert [(value, quality) for _, value, quality in rows] == [(None, 0), (None, 0)]
