"""What is published of a journal record: records from before the clock was set get the stamp they should have had."""

import time
from pathlib import Path

import msgspec
import pytest
from tests.edge.station import station

from vigie_edge import clock
from vigie_edge.births import Births
from vigie_edge.journal.segment import Kind, Record
from vigie_edge.messages import Messages
from vigie_edge.telemetry_records import Event, samples_of
from vigie_protocols.points import ClockTrust
from vigie_protocols.sparkplug.actions import Publish
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode

SYNCED, UNTRUSTED = ClockTrust.SYNCED, ClockTrust.UNTRUSTED
AT_BOOT = 60.0
"""UTC of a machine without a clock of its own, a minute after it was started."""


class Bench:
    def __init__(self, folder: Path) -> None:
        wiring = station(folder)
        plan = wiring.plan
        births = Births(wiring, wiring.inputs())
        devices = {device.name for device in plan.gateway.devices}
        self.messages = Messages(births, devices, clock.boot_id(), paced=False)
        self.node = EdgeNode(EdgeConfig("vigie", "gw"), births.node(SYNCED), births.devices())
        self.node.will(0)
        self.node.connected(0)

    def stamps(self, record: Record, trust: ClockTrust) -> set[float]:
        """UTC seconds of every metric that the record is published with."""
        (action,) = self.messages.of(self.node, 1, record, True, 0, trust)
        assert isinstance(action, Publish)
        metrics = SparkplugB().decode(action.payload).metrics
        return {one.timestamp / 1000 for one in metrics if one.timestamp is not None}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def samples(trust: ClockTrust, boot: str, ago: float) -> Record:
    rows = [("level", 1.0, 2)]
    made = samples_of("basin", AT_BOOT, time.monotonic() - ago, boot, int(trust), rows)
    return Record(Kind.SAMPLES, 1, msgspec.msgpack.encode(made))


def event(trust: ClockTrust, boot: str, ago: float) -> Record:
    then = time.monotonic() - ago
    made = Event("decision", "water.level", "pump 1", "start", "", AT_BOOT, then, boot, int(trust))
    return Record(Kind.EVENT, 1, msgspec.json.encode(made))


@pytest.mark.parametrize("make", [samples, event])
def test_a_record_from_before_the_time_was_known_is_stamped_by_its_monotonic_time(bench: Bench, make) -> None:  # type: ignore[no-untyped-def]
    (stamp,) = bench.stamps(make(UNTRUSTED, clock.boot_id(), 1000.0), SYNCED)
    assert abs(stamp - (time.time() - 1000.0)) < 60.0


@pytest.mark.parametrize("make", [samples, event])
@pytest.mark.parametrize(
    ("recorded", "boot", "now", "why"),
    [
        (SYNCED, "", SYNCED, "its stamp was good"),
        (UNTRUSTED, "another-boot", SYNCED, "its monotonic time means nothing here"),
        (UNTRUSTED, "", UNTRUSTED, "nobody knows the time yet"),
    ],
)
def test_a_stamp_stays_where_nothing_better_is_known(  # type: ignore[no-untyped-def]
    bench: Bench, make, recorded: ClockTrust, boot: str, now: ClockTrust, why: str
) -> None:
    assert bench.stamps(make(recorded, boot or clock.boot_id(), 1000.0), now) == {AT_BOOT}, why
