"""``vigie-sim scaffold device``: a profile, a simulated twin and a conformance test for a new field device."""

from pathlib import Path

from vigie_protocols.errors import InputError, input_error
from vigie_protocols.profile import Protocol
from vigie_sim.profiles import builtin_profile
from vigie_sim.scaffold.writing import check_name, class_of, module_of, title_of, write_all

_PROFILE = """\
# {title}: say here what it is, who makes it, and which manual the addresses are from.
# Every field: docs/reference/profiles.md. `vigie-edge check {name}.yaml` tells what is wrong with it.
profile: {name}
title: {{fr: {title}, en: {title}}}
protocol: {protocol}
domain: general
# The device falls back to its safe state when this point stands still for so long.
watchdog: {{point: heartbeat, timeout_s: 10}}
{limits}points:
  - name: level
    title: {{fr: Niveau, en: Level}}
    type: float
    unit: "%"
    range: [0, 100]
    publish: {{deadband: 0.5, max_interval_s: 60}}
    alarm: {{above: 90, deadband: 5, delay_s: 5, severity: medium, title: {{fr: Niveau haut, en: High level}}}}
    {level}
  - name: running
    title: {{fr: En marche, en: Running}}
    type: bool
    {running}
  - name: mode
    title: {{fr: Sélecteur, en: Selector}}
    type: enum
    labels:
      0: {{fr: Arrêt, en: "Off"}}
      1: {{fr: Manuel, en: Hand}}
      2: {{fr: Automatique, en: Auto}}
    {mode}
  - name: setpoint
    title: {{fr: Consigne, en: Setpoint}}
    type: float
    unit: "%"
    range: [0, 100]
    writable: true
    safe: 0
    {setpoint}
  - name: heartbeat
    title: {{fr: Signe de vie de la passerelle, en: Gateway heartbeat}}
    type: uint
    range: [0, 65535]
    writable: true
    safe: 0
    publish: false
    {heartbeat}
"""
_ADDRESSES: dict[Protocol, dict[str, str]] = {
    "modbus": {
        "limits": "limits: {max_registers: 64, max_gap: 16}\n",
        "level": "modbus: {table: input, address: 0, encoding: f32}",
        "running": "modbus: {table: discrete, address: 0}",
        "mode": "modbus: {table: input, address: 2, mask: 0x0003}",
        "setpoint": "modbus: {table: holding, address: 0, scale: 0.1}",
        "heartbeat": "modbus: {table: holding, address: 1}",
    },
    "opcua": {
        "limits": "",
        "level": "opcua: {node: Level}",
        "running": "opcua: {node: Running}",
        "mode": "opcua: {node: Mode}",
        "setpoint": "opcua: {node: Setpoint}",
        "heartbeat": "opcua: {node: Heartbeat, variant: UInt16}",
    },
    "mqtt": {
        "limits": "mqtt: {qos: 1, liveness: {topic: status}}\n",
        "level": "mqtt: {topic: state, path: level}",
        "running": "mqtt: {topic: state, path: running}",
        "mode": "mqtt: {topic: state, path: mode}",
        "setpoint": "mqtt: {topic: state, path: setpoint, command_topic: set, command_path: setpoint}",
        "heartbeat": "mqtt: {topic: state, path: heartbeat, command_topic: set, command_path: heartbeat}",
    },
}

_TWIN = '''\
"""{title}, simulated: what its profile declares, with physics of its own.

By hand, ``python {module}_twin.py`` serves it until Ctrl-C, with a gateway file for a real agent.
"""

from pathlib import Path

from vigie_protocols.profile import Profile, load_profile
from vigie_sim.twin import Twin, serve

PROFILE = Path(__file__).with_name("{name}.yaml")
_TRAVEL_PCT_PER_S = 5.0
_OFF, _AUTO = 0, 2


class {kind}(Twin):
    """The level follows the setpoint while the selector stands on automatic."""

    def __init__(self, profile: Profile | None = None) -> None:
        super().__init__(load_profile(PROFILE) if profile is None else profile)
        self.state["mode"] = _AUTO

    def step(self, now: float, seconds: float) -> None:
        """Let ``seconds`` pass, up to ``now``; without a heartbeat the setpoint is safe again."""
        super().step(now, seconds)
        level = float(self.state["level"])
        wanted = float(self.state["setpoint"]) if self.state["mode"] == _AUTO else level
        travel = _TRAVEL_PCT_PER_S * seconds
        self.state["level"] = level + min(max(wanted - level, -travel), travel)
        self.state["running"] = self.state["mode"] != _OFF and wanted > 0.0


if __name__ == "__main__":
    serve(PROFILE, {kind}(), Path.cwd() / "{name}-run", "{name}")
'''

_TEST = '''\
"""{title}: its profile and its twin conform, through the gateway's own driver; then what it alone does."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vigie_sim.conformance import CHECKS, Bench, all_good

sys.path.insert(0, str(Path(__file__).parent))
from {module}_twin import PROFILE, {kind}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The twin on a real server, behind the driver that a gateway would use."""
    with Bench(PROFILE, {kind}(), tmp_path) as bench:
        yield bench


def test_it_conforms(bench: Bench) -> None:
    for check in CHECKS:
        check(bench)


def test_the_level_follows_the_setpoint_while_the_gateway_lives(bench: Bench) -> None:
    for beat in range(1, 11):
        bench.command({{"setpoint": 40.0, "heartbeat": beat}})
        bench.step()
    assert bench.read_until(all_good)["level"].value == pytest.approx(40.0)
    for _ in range(12):
        bench.step()
    assert bench.read_until(all_good)["setpoint"].value == 0.0  # nobody beats: the device is safe by itself
'''


def scaffold_device(name: str, protocol: Protocol, folder: Path | None) -> list[Path]:
    """Write profile, twin and test of device ``name`` to ``folder`` (default: ``./NAME``); raises InputError."""
    check_name(name)
    _check_free(name)
    words = {
        "name": name,
        "module": module_of(name),
        "kind": class_of(name) + "Twin",
        "title": title_of(name),
    }
    files = {
        f"{name}.yaml": _PROFILE.format(protocol=protocol, **words, **_ADDRESSES[protocol]),
        f"{module_of(name)}_twin.py": _TWIN.format(**words),
        f"test_{module_of(name)}.py": _TEST.format(**words),
    }
    return write_all(Path(name) if folder is None else folder, files)


def _check_free(name: str) -> None:
    try:
        builtin_profile(name)
    except InputError:
        return
    reason = "est le nom d'un profil livré / is the name of a built-in profile"
    raise input_error("vigie-sim scaffold", "NAME", name, reason, "Prendre un autre nom / Take another name.")
