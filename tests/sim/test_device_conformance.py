"""Every built-in profile, on a real server of its protocol, through the gateway's own driver."""

from pathlib import Path

import pytest

from vigie_protocols.profile import load_profile
from vigie_sim.conformance import (
    CHECKS,
    Bench,
    every_point_is_read_at_its_place,
    every_write_arrives_and_alone,
    nothing_unlawful_leaves_the_gateway,
)
from vigie_sim.twin import Twin

PROFILES = sorted((Path(__file__).parents[2] / "firmware-config" / "profiles").glob("*.yaml"))
SOUND = (every_point_is_read_at_its_place, every_write_arrives_and_alone, nothing_unlawful_leaves_the_gateway)
FAULTS = [check for check in CHECKS if check not in SOUND]
# The faults of a link concern the driver: one kind of device for each.
LINKS = [file for file in PROFILES if file.stem in ("vfd", "dali-bridge", "bare-lamps-intersection")]


def bench_of(file, folder):
    return Bench(file, Twin(load_profile(file)), folder)


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_each_kind_of_device_is_read_and_written_as_its_profile_says(file, tmp_path):
    with bench_of(file, tmp_path) as bench:
        for check in SOUND:
            check(bench)


@pytest.mark.parametrize("check", FAULTS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("file", LINKS, ids=lambda file: file.stem)
def test_a_device_that_goes_away_comes_back(file, check, tmp_path):
    with bench_of(file, tmp_path) as bench:
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
