"""Every built-in profile, on a real server of its protocol, through the gateway's own driver."""

from pathlib import Path

import pytest

from vigie_protocols.profile import load_profile
from vigie_sim.conformance import (
    Bench,
    every_point_is_read_at_its_place,
    every_write_arrives_and_alone,
    nothing_unlawful_leaves_the_gateway,
)
from vigie_sim.twin import Twin

PROFILES = sorted((Path(__file__).parents[2] / "firmware-config" / "profiles").glob("*.yaml"))
# The faults of a link concern the driver: the scaffold's test runs those for each protocol.
SOUND = (every_point_is_read_at_its_place, every_write_arrives_and_alone, nothing_unlawful_leaves_the_gateway)


def bench_of(file, folder):
    return Bench(file, Twin(load_profile(file)), folder)


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_each_kind_of_device_is_read_and_written_as_its_profile_says(file, tmp_path):
    with bench_of(file, tmp_path) as bench:
        for check in SOUND:
            check(bench)


PROFILE = """
profile: crossed
title: Essai
protocol: modbus
domain: general
watchdog: {none: a test device}
points:
  - {name: low, type: uint, range: [0, 200], modbus: {table: input, address: 0, mask: 0x00FF}}
  - {name: high, type: uint, range: [0, 200], modbus: {table: input, address: 0, mask: 0xFF00}}
  - {name: want, type: uint, range: [0, 200], writable: true, safe: 0, modbus: {address: 0}}
  - {name: more, type: uint, range: [0, 200], writable: true, safe: 0, modbus: {address: 1}}
"""


ODD = {
    "opcua": """
  - {name: "flag.{i}", type: bool, repeat: 2, writable: true, safe: false, opcua: {node: "Flags.{i}"}}
  - {name: low, type: bool, writable: true, safe: true, opcua: {node: Word, bit: 0, variant: UInt16}}
  - {name: high, type: bool, writable: true, safe: false, opcua: {node: Word, bit: 15, variant: UInt16}}
  - {name: "in.{i}", type: float, range: [0, 50], repeat: 3, opcua: {node: Row, index: 1, variant: Float}}
  - {name: "out.{i}", type: int, range: [-9, 9], repeat: 2, writable: true, safe: 0,
     opcua: {node: Out, index: 0, stride: 2, variant: SByte}}
  - {name: name, type: string, opcua: {node: Name}}
""",
    "modbus": """
  - {name: "flag.{i}", type: bool, repeat: 3, writable: true, safe: false, modbus: {address: 3, bit: 14, bit_stride: 1}}
  - {name: part, type: uint, range: [0, 7], writable: true, safe: 0,
     modbus: {address: 9, mask: 0x0700, byte_order: little}}
  - {name: cdab, type: int, writable: true, safe: 0, modbus: {address: 12, encoding: i32, word_order: little}}
  - {name: badc, type: float, writable: true, safe: 0, modbus: {address: 14, encoding: f64, byte_order: little}}
  - {name: wide, type: uint, modbus: {table: input, address: 0, encoding: u64, word_order: little}}
  - {name: name, type: string, modbus: {table: input, address: 8, encoding: string, length: 4, byte_order: little}}
  - {name: state, type: enum, labels: {0: a, 3: b}, modbus: {table: input, address: 20, mask: 0x0030}}
""",
    "mqtt": """
  - {name: bare, type: float, writable: true, safe: 0, mqtt: {topic: bare, command_topic: bare/set}}
  - {name: deep, type: bool, mqtt: {topic: state, path: a.0.b}}
  - {name: "lamp.{i}", type: float, range: [0, 100], repeat: 3, writable: true, safe: 100,
     mqtt: {topic: state, path: "lamps.{k}", command_topic: set, command_path: "lamps.{k}"}}
  - {name: name, type: string, mqtt: {topic: state, path: name}}
""",
}


@pytest.mark.parametrize(
    ("protocol", "more"),
    [("modbus", ""), ("opcua", ""), *(("mqtt", f"mqtt: {{qos: {qos}, stamp: t}}\n") for qos in (0, 1, 2))],
)
def test_bits_rows_orders_and_texts_are_read_and_written(protocol, more, tmp_path):
    file = tmp_path / "odd.yaml"
    head = f"profile: odd\ntitle: x\nprotocol: {protocol}\n{more}domain: general\n"
    file.write_text(f"{head}watchdog: {{none: a test device}}\npoints:{ODD[protocol]}")
    with bench_of(file, tmp_path) as bench:
        for check in SOUND:
            check(bench)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("mask: 0xFF00", "mask: 0x00FF", every_point_is_read_at_its_place),
        ("modbus: {address: 1}", "modbus: {address: 0}", every_write_arrives_and_alone),
    ],
)
def test_two_points_on_one_place_are_found_out(old, new, check, tmp_path):
    file = tmp_path / "crossed.yaml"
    file.write_text(PROFILE)
    with bench_of(file, tmp_path) as bench:
        check(bench)
    file.write_text(PROFILE.replace(old, new))
    with bench_of(file, tmp_path) as bench, pytest.raises(AssertionError):
        check(bench)


def test_a_device_that_takes_what_it_must_not_is_found_out(tmp_path):
    file = tmp_path / "crossed.yaml"
    file.write_text(PROFILE)

    class Stubborn(Twin):
        def command(self, instant, point, value):
            """Takes nothing."""

    with Bench(file, Stubborn(load_profile(file)), tmp_path) as bench, pytest.raises(AssertionError):
        every_write_arrives_and_alone(bench)
