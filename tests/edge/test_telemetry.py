"""What is worth a sample: every change, or only those outside the band, and each point once in a while."""

from pathlib import Path

import pytest

from vigie_edge import records
from vigie_edge.config import FIRST_DEVICE_POINT, load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.memory.image import Columns
from vigie_edge.processes.recorder import Recorder
from vigie_edge.telemetry import Publisher
from vigie_edge.telemetry_records import samples_decoder
from vigie_edge.wiring import Bells, Wiring, prepare_runtime

PROFILE = """
profile: probe
title: {fr: Sonde, en: Probe}
protocol: modbus
domain: general
points:
  - {name: level, type: float, publish: {deadband: 0.5, max_interval_s: 10}, modbus: {address: 0, encoding: f32}}
  - {name: flow, type: float, publish: {percent: 10}, modbus: {address: 2, encoding: f32}}
  - {name: open, type: bool, publish: {deadband: 5}, modbus: {address: 4, bit: 0}}
  - {name: count, type: uint, modbus: {address: 5}}
  - {name: quiet, type: uint, publish: false, modbus: {address: 6}}
"""
GATEWAY = """
gateway: gw-probe
site: {name: {fr: Ici, en: Here}, lat: 45.5, lon: -73.6}
links: {line: {protocol: modbus, host: 127.0.0.1, port: 1502}}
devices: [{name: one, profile: probe, link: line}, {name: two, profile: probe, link: line, unit: 2}]
"""
LEVEL, FLOW, OPEN, COUNT, QUIET = range(FIRST_DEVICE_POINT, FIRST_DEVICE_POINT + 5)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    (tmp_path / "probe.yaml").write_text(PROFILE)
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    return Publisher(load_plan(tmp_path / "gateway.yaml"))


def test_samples_come_by_device_and_only_when_they_matter(publisher: Publisher) -> None:
    first = [
        (LEVEL, 1.0, 2),
        (FLOW, 100.0, 2),
        (OPEN, False, 2),
        (COUNT, 7, 2),
        (QUIET, 1, 2),
        (LEVEL + 5, 2.0, 2),
    ]
    assert publisher.readings(0.0, first) == {"one": first[:4], "two": first[5:]}
    within = [(LEVEL, 1.5, 2), (FLOW, 91.0, 2), (OPEN, False, 2), (COUNT, 7, 2)]
    assert publisher.readings(1.0, within) == {}
    beyond = [(LEVEL, 1.6, 2), (FLOW, 89.0, 2), (OPEN, True, 2), (COUNT, 8, 2)]
    assert publisher.readings(2.0, beyond) == {"one": beyond}


def test_a_change_of_quality_always_matters(publisher: Publisher) -> None:
    publisher.readings(0.0, [(LEVEL, 1.0, 2)])
    assert publisher.readings(1.0, [(LEVEL, 1.0, 0)]) == {"one": [(LEVEL, 1.0, 0)]}
    assert publisher.readings(2.0, [(LEVEL, 1.1, 2)]) == {"one": [(LEVEL, 1.1, 2)]}


def test_what_stays_as_it_is_speaks_once_in_its_longest_interval(publisher: Publisher) -> None:
    publisher.readings(0.0, [(LEVEL, 1.0, 2), (COUNT, 7, 2)])
    publisher.readings(5.0, [(LEVEL, 1.2, 2)])
    assert publisher.quiet(9.0) == {}
    assert publisher.quiet(10.0) == {"one": [(LEVEL, 1.2, 2)]}
    assert publisher.quiet(15.0) == {}
    assert publisher.quiet(20.0) == {"one": [(LEVEL, 1.2, 2)]}


def test_what_stays_as_it_is_speaks_also_after_a_restart_and_a_change_on_its_way_is_one(
    publisher: Publisher,
) -> None:
    publisher.begin(100.0, [(LEVEL, 1.2, 2), (FLOW, 5.0, 0), (QUIET, 1, 2)])
    assert publisher.readings(101.0, [(LEVEL, 1.2, 2)]) == {"one": [(LEVEL, 1.2, 2)]}, (
        "the ring brought it late"
    )
    assert publisher.quiet(105.0) == {}
    assert publisher.quiet(111.0) == {"one": [(LEVEL, 1.2, 2)]}
    assert publisher.quiet(399.0) == {"one": [(LEVEL, 1.2, 2)]}
    assert publisher.quiet(400.0) == {"one": [(FLOW, 5.0, 0)]}


def test_a_gateway_on_which_nothing_changes_speaks_all_the_same(tmp_path: Path) -> None:
    """Field brings nothing then; control's scans are enough."""
    (tmp_path / "probe.yaml").write_text(PROFILE)
    folders = "".join(f"{name}: {tmp_path / name}\n" for name in ("state_dir", "runtime_dir"))
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{GATEWAY}{folders}journal: {{directory: {tmp_path / 'journal'}}}\n")
    plan = load_plan(file)
    wiring = Wiring(plan, prepare_runtime(plan), Bells())
    columns = Columns(plan.table)
    columns.values[LEVEL], columns.quality[LEVEL], columns.arrival[LEVEL] = 1.25, 2, 100.0
    wiring.inputs(write=True).write(wiring.image_codec.pack(1, 100.0, 1.8e9, columns))
    recorder = Recorder(wiring)
    for second in range(25):
        scan = records.Scan(1 + second, 0, 100.0 + second, 1.8e9 + second, 2, False, None, [], [], [], [])
        assert wiring.scans().push(records.encode(scan))
        recorder.turn()
    samples = [
        samples_decoder.decode(record.payload)
        for _, _, path in list_segments(tmp_path / "journal" / "telemetry")
        for record in read_committed(path)[1]
        if record.kind is Kind.SAMPLES
    ]
    assert [(one.device, one.monotonic, list(one.values)) for one in samples] == [
        ("one", 110.0, [1.25]),
        ("one", 120.0, [1.25]),
    ]
