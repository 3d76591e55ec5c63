"""vigie-edge plan: what will be asked and what will be written, of each protocol, in both languages."""

import json

import pytest
from typer.testing import CliRunner

from vigie_edge.cli import app

PROFILES = {
    "plc": """
protocol: modbus
limits: {functions: [1, 2, 3, 4, 6, 15, 16]}
points:
  - {name: level, type: float, rate_s: 1, modbus: {table: input, address: 0, encoding: f32}}
  - {name: "run.{i}", type: bool, repeat: 3, writable: true, safe: false, modbus: {table: coil, address: 4}}
  - {name: "aim.{i}", type: uint, repeat: 2, writable: true, safe: 0, rate_s: 5, modbus: {address: 7}}
  - {name: bit, type: bool, writable: true, safe: false, rate_s: 5, modbus: {address: 9, bit: 2}}
""",
    "cab": """
protocol: opcua
points:
  - {name: level, type: float, opcua: {node: Level}}
  - {name: "lamp.{i}", type: uint, repeat: 8, writable: true, safe: 1, opcua: {node: Lamps, index: 0}}
  - {name: aim, type: float, writable: true, safe: 0, opcua: {node: Aim}}
""",
    "dali": """
protocol: mqtt
points:
  - {name: level, type: float, mqtt: {topic: state, path: level}}
  - {name: "lamp.{i}", type: float, repeat: 4, writable: true, safe: 100,
     mqtt: {topic: state, path: "lamps.{k}", command_topic: set, command_path: "lamps.{k}"}}
""",
}
LINKS = {
    "plc": "protocol: modbus, host: 192.0.2.1",
    "cab": 'protocol: opcua, url: "opc.tcp://192.0.2.2:4840"',
    "dali": "protocol: mqtt, host: 192.0.2.3",
}


@pytest.fixture
def file(tmp_path):
    for name, text in PROFILES.items():
        head = f"profile: {name}\ntitle: x\ndomain: general\nwatchdog: {{none: a test device}}\n"
        (tmp_path / f"{name}.yaml").write_text(head + text)
    links = "".join(f"  {name}: {{{text}}}\n" for name, text in LINKS.items())
    devices = "".join(f"  - {{name: {name}, profile: {name}, link: {name}, prefix: f}}\n" for name in LINKS)
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text(f"gateway: g\nsite: {{name: x, lat: 0, lon: 0}}\nlinks:\n{links}devices:\n{devices}")
    return gateway


def ask(file, *more, language="en"):
    told = CliRunner().invoke(app, ["plan", *more, str(file)], env={"VIGIE_LANG": language, "COLUMNS": "160"})
    assert told.exit_code == 0, told.output
    return told.output


def test_the_whole_plan(file):
    rows = json.loads(ask(file, "--json"))
    assert [
        (row["device"], row["request"], row["points"], row["every_s"], row["writes"]) for row in rows
    ] == [
        ("plc", "function 1, coil 4 to 6", 3, 1.0, False),
        ("plc", "function 4, input 0 to 1", 1, 1.0, False),
        ("plc", "function 3, holding 7 to 9", 3, 5.0, False),
        ("plc", "function 15, coil 4 to 6", 3, 0.0, True),
        ("plc", "function 16, holding 7 to 8", 2, 0.0, True),
        ("plc", "functions 3 and 6, holding 9: read, changed, written", 1, 0.0, True),
        ("cab", "monitored Level", 1, 1.0, False),
        ("cab", "monitored Lamps", 8, 1.0, False),
        ("cab", "monitored Aim", 1, 1.0, False),
        ("cab", "one Write of 2 nodes", 9, 0.0, True),
        ("dali", "subscribed f/state", 5, 0.0, False),
        ("dali", "published f/set", 4, 0.0, True),
    ]


def test_people_read_it_in_their_language(file):
    english, french = ask(file), ask(file, language="fr")
    assert "writes: function 15, coil 4 to 6" in english and "when changed" in english
    assert "7 requests, 5.2 a second, 22 points" in english
    assert "écrit: fonction 15, coil 4 à 6" in french and "au besoin" in french and "par seconde" in french
