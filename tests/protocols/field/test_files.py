"""Profiles and gateway files: what is wrong is said at once, each with file, line, value and remedy."""

import json
from pathlib import Path

import pytest

from vigie_protocols.addresses import ModbusAddress, OpcUaAddress
from vigie_protocols.errors import InputError
from vigie_protocols.gateway import Gateway, load_gateway
from vigie_protocols.profile import Profile, load_profile
from vigie_protocols.schemas import SCHEMAS, write_schemas
from vigie_protocols.yamlfile import parse_yaml, validate

PROFILES = Path(__file__).parents[3] / "firmware-config" / "profiles"

PROFILE = """\
profile: pump
title: {fr: Pompe, en: Pump}
protocol: modbus
domain: water
watchdog: {point: heartbeat, timeout_s: 10}
points:
  - {name: level, type: float, unit: m, range: [0, 8], modbus: {table: input, address: 0, encoding: f32}}
  - {name: "pump.{i}.run", type: bool, edges: true, repeat: 2, modbus: {table: discrete, address: 4}}
  - {name: "pump.{i}.start", type: bool, writable: true, safe: false, repeat: 2,
     read_back: "pump.{i}.run", modbus: {table: coil, address: 0}}
  - {name: heartbeat, type: uint, writable: true, safe: 0, modbus: {address: 9}}
"""
GATEWAY = """\
gateway: gw-1
site: {name: {fr: Usine, en: Plant}, lat: 45.5, lon: -73.6}
links:
  plc: {protocol: modbus, host: 127.0.0.1, port: 1502}
devices:
  - {name: st-a, profile: pump, link: plc}
  - {name: st-b, profile: pump, link: plc, unit: 2}
"""


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "gateway.yaml"


def problems(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    return caught.value.problems


def test_a_gateway_with_its_points(tmp_path):
    configuration = load_gateway(write(tmp_path, gateway=GATEWAY, pump=PROFILE))
    names = [decl.name for decl in configuration.points]
    assert names[:8] == [
        "st-a/level", "st-a/pump.1.run", "st-a/pump.2.run", "st-a/pump.1.start", "st-a/pump.2.start",
        "st-a/heartbeat", "st-a/pump.1.run.edges", "st-a/pump.2.run.edges",
    ]  # fmt: skip
    assert names[8] == "st-b/level"
    start = configuration.points[4]
    assert start.read_back == "st-a/pump.2.run"
    assert start.address == ModbusAddress(table="coil", address=1)
    assert configuration.points[7].counts == "st-a/pump.2.run"
    assert configuration.gateway.journal.directory == tmp_path / "journal"
    assert configuration.gateway.runtime_dir == tmp_path / "run"


def test_edges_follow_the_devices_own_counter(tmp_path):
    counted = PROFILE.replace("edges: true", 'edges: true, counter: "pump.{i}.starts"')
    counted += '  - {name: "pump.{i}.starts", type: uint, repeat: 2, modbus: {table: input, address: 8}}\n'
    configuration = load_gateway(write(tmp_path, gateway=GATEWAY, pump=counted))
    edges = [decl for decl in configuration.points if decl.point.endswith(".edges")]
    assert [(one.name, one.counts) for one in edges[:2]] == [
        ("st-a/pump.1.run.edges", "st-a/pump.1.starts"),
        ("st-a/pump.2.run.edges", "st-a/pump.2.starts"),
    ]


def test_each_point_of_a_row_needs_its_own_counter(tmp_path):
    counted = PROFILE.replace("edges: true", 'edges: true, counter: "pump.{i}.starts"')
    counted += '  - {name: "pump.{i}.starts", type: uint, repeat: 1, modbus: {table: input, address: 8}}\n'
    write(tmp_path, pump=counted)
    (one,) = problems(load_profile, tmp_path / "pump.yaml")
    assert one.field == "points.1.counter" and "'pump.2.starts'" in one.reason


def test_a_wrong_profile_is_told_once_however_many_devices_name_it(tmp_path):
    wrong = PROFILE.replace("safe: false", "safe: 3")
    (one,) = problems(load_gateway, write(tmp_path, gateway=GATEWAY, pump=wrong))
    assert one.field == "points.2.safe"


def test_a_serial_line_carries_one_request_at_a_time(tmp_path):
    line = GATEWAY.replace("host: 127.0.0.1, port: 1502", "serial: {port: /dev/ttyS0}, in_flight: 2")
    (one,) = problems(load_gateway, write(tmp_path, gateway=line, pump=PROFILE))
    assert one.field == "links.plc.in_flight" and "one request at a time" in one.reason


def test_every_error_at_once_with_its_line(tmp_path):
    bad = GATEWAY.replace("lat: 45.5", "lat: 95").replace("port: 1502", "prot: 1502").replace("gw-1", "GW 1")
    found = problems(load_gateway, write(tmp_path, gateway=bad, pump=PROFILE))
    assert [(one.line, one.field) for one in found] == [
        (1, "gateway"),
        (2, "site.lat"),
        (4, "links.plc.prot"),
    ]
    assert found[1].value == "95"
    assert found[2].remedy == "Did you mean 'port'?"
    assert all(one.file.endswith("gateway.yaml") for one in found)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "says"),
    [
        ("safe: 0, modbus", "modbus", 11, "points.3.safe", "without a safe value"),
        ("safe: false", "safe: 3", 9, "points.2.safe", "not true or false"),
        ("point: heartbeat", "point: level", 5, "watchdog.point", "not a writable"),
        ("timeout_s: 10}", "timeout_s: 10, period_s: 6}", 5, "watchdog.period_s", "fewer than two beats"),
        ("watchdog: {point: heartbeat, timeout_s: 10}\n", "", 1, "watchdog", "missing although"),
        ("{table: coil, address: 0}", "{table: input, address: 0}", 10, "points.2.modbus", "input table"),
        ("range: [0, 8]", "range: [8, 0]", 7, "points.0.range", "above the high end"),
        ("name: heartbeat", "name: level", 11, "points.3.name", "declared twice"),
        ("encoding: f32", "encoding: f33", 7, "points.0.modbus.encoding", "Input should be"),
        ('read_back: "pump.{i}.run"', "read_back: pump", 10, "points.2.read_back", "no point"),
        ("protocol: modbus", "protocol: mqtt", 7, "points.0", "no mqtt address"),
        ("type: float", "type: string", 7, "points.0.modbus", "does not carry"),
        ("repeat: 2, modbus", "modbus", 8, "points.1.name", "{i}"),
        ("edges: true", "counter: level, edges: true", 8, "points.1.counter", "no uint point"),
        ("edges: true", "counter: heartbeat", 8, "points.1.counter", "without edges"),
        ("edges: true", "counter: heartbeat, edges: true", 8, "points.1.counter", "followed twice"),
        ("safe: false, repeat: 2", "safe: false, repeat: 3", 10, "points.2.read_back", "'pump.3.run'"),
    ],
)
def test_profile_errors(tmp_path, old, new, line, field, says):
    assert old in PROFILE
    (tmp_path / "pump.yaml").write_text(PROFILE.replace(old, new, 1))
    found = problems(load_profile, tmp_path / "pump.yaml")
    assert any(one.field == field and says in one.reason and one.line == line for one in found), found
    assert all(one.remedy for one in found)


def test_yaml_traps():
    document = parse_yaml("a: off\nb: 12:30\nc: 1e3\nd: 010\ne: 0x10\nf: true\ng: 2026-07-01\nh: ~\n", "x")
    assert document.data == {
        "a": "off", "b": "12:30", "c": 1000.0, "d": "010", "e": 16, "f": True, "g": "2026-07-01", "h": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "given twice"),
        ("a: [1, 2\n", "expected"),
        ("a: !!python/object:os.system {}\n", "is not allowed"),
        ("a: &x [*x]\n", "too many or too deep"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
        ), "too many or too deep"),
        ("[" * 200_000, "too many or too deep"),
        ("- " * 100_000, "too many or too deep"),
        ("", "empty"),
        ("- 1\n", "must be a mapping"),
        ("? [1]\n: 2\n", "plain text"),
    ],
)  # fmt: skip
def test_hostile_and_broken_yaml_is_refused(text, says):
    found = problems(lambda: validate(parse_yaml(text, "x.yaml"), Gateway))
    assert says in found[0].reason


def test_missing_files_and_profiles(tmp_path):
    assert "no such file" in problems(load_gateway, tmp_path / "none.yaml")[0].reason
    found = problems(load_gateway, write(tmp_path, gateway=GATEWAY))
    assert found[0].field == "devices.0.profile" and "no pump.yaml" in found[0].reason


def test_a_profile_of_another_protocol_is_refused(tmp_path):
    text = GATEWAY.replace(
        "{protocol: modbus, host: 127.0.0.1, port: 1502}", "{protocol: mqtt, host: localhost}"
    )
    found = problems(load_gateway, write(tmp_path, gateway=text, pump=PROFILE))
    assert "speaks modbus" in found[0].reason


def test_profiles_are_found_beside_in_the_named_folder_and_built_in(tmp_path):
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "pump.yaml").write_text(PROFILE)
    named = load_gateway(write(tmp_path, gateway="profiles: kinds\n" + GATEWAY))
    assert "pump" in named.profiles
    text = GATEWAY.replace("profile: pump", "profile: retention-basin")
    assert "retention-basin" in load_gateway(write(tmp_path, gateway=text)).profiles


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_profiles_are_sound(path):
    profile = load_profile(path)
    assert profile.profile == path.stem
    for decl in profile.expand("d"):
        assert decl.writable <= (decl.safe is not None)
        assert decl.title is None or decl.title.fr
    assert profile.watchdog is not None or not any(decl.writable for decl in profile.expand("d"))


def test_bits_carry_into_the_next_register():
    text = PROFILE.replace("- {name: level", '- {name: "x.{i}", type: bool, repeat: 20, '
                           "modbus: {address: 30, bit: 14, bit_stride: 1}}\n  - {name: level")  # fmt: skip
    profile = validate(parse_yaml(text, "x"), Profile)
    places = [
        (one.address.address, one.address.bit) for one in profile.expand() if one.point.startswith("x.")
    ]
    assert places[:4] == [(30, 14), (30, 15), (31, 0), (31, 1)]


def test_array_elements_follow_the_row():
    text = (
        PROFILE.replace("protocol: modbus", "protocol: opcua")
        .split("points:")[0]
        .replace("{point: heartbeat, timeout_s: 10}", '{none: "test"}')
        + 'points:\n  - {name: "a.{i}", type: int, repeat: 3, first: 5, opcua: {node: "n.{i}", index: 2, stride: 2}}\n'
    )
    profile = validate(parse_yaml(text, "x"), Profile)
    assert [one.address for one in profile.expand()] == [
        OpcUaAddress(node=f"n.{5 + n}", index=2 + 2 * n, stride=2) for n in range(3)
    ]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_for_editors_are_up_to_date(name, tmp_path):
    write_schemas(tmp_path)
    kept = (PROFILES.parent / "schema" / f"{name}.json").read_text()
    assert kept == (tmp_path / f"{name}.json").read_text(), "run: python -m vigie_protocols.schemas"
    assert json.loads(kept)["additionalProperties"] is False


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("forbidden: [{table: input, first: 1, last: 3}]", "forbidden range 1 to 3 of the input table"),
        ("forbidden: [{table: discrete, first: 5, last: 5}]", "forbidden range 5 to 5"),
        ("max_registers: 1", "takes 2 registers, limits allow 1"),
    ],
)
def test_a_point_that_the_limits_rule_out_is_named(tmp_path, limits, says):
    head = f"limits: {{{limits}}}\npoints:"
    (tmp_path / "pump.yaml").write_text(PROFILE.replace("points:", head))
    found = problems(load_profile, tmp_path / "pump.yaml")
    assert len(found) == 1 and says in found[0].reason
    fine = (
        head.replace("first: 1", "first: 2").replace("5", "7").replace("max_registers: 1", "max_registers: 2")
    )
    (tmp_path / "pump.yaml").write_text(PROFILE.replace("points:", fine))
    load_profile(tmp_path / "pump.yaml")


def test_a_device_without_the_function_code_is_named(tmp_path):
    (tmp_path / "pump.yaml").write_text(
        PROFILE.replace("points:", "limits: {functions: [1, 2, 3, 4, 5]}\npoints:")
    )
    (found,) = problems(load_profile, tmp_path / "pump.yaml")
    assert "functions [6, 16]" in found.reason and found.field == "points.3.modbus"
