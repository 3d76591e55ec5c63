"""vigie-sim scaffold device: what it writes passes as written; nothing is overwritten, bad names are refused."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from vigie_edge.cli import app as edge
from vigie_protocols.errors import InputError
from vigie_sim.cli import app


def command(*arguments):
    return CliRunner().invoke(app, ["scaffold", *map(str, arguments)])


def python(folder, *arguments):
    """A command in a folder outside the house, as a user would give it."""
    environment = {**os.environ, "VIGIE_LANG": "en"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_what_is_written_passes_as_it_is(tmp_path):
    """The three written tests run beside one another: half of their time is waiting for a link that is silent."""
    folders = {protocol: tmp_path / protocol for protocol in ("modbus", "opcua", "mqtt")}
    runs = {protocol: written(protocol, folder) for protocol, folder in folders.items()}
    for protocol, run in runs.items():
        told, _ = run.communicate(timeout=200)
        assert run.returncode == 0 and "2 passed" in told, (protocol, told)


def written(protocol, folder):
    told = command("device", "flow-meter", "--protocol", protocol, "--folder", folder)
    assert told.exit_code == 0, told.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "flow-meter.yaml", "flow_meter_twin.py", "test_flow_meter.py",
    ]  # fmt: skip
    checked = CliRunner().invoke(edge, ["check", str(folder / "flow-meter.yaml")], env={"VIGIE_LANG": "en"})
    assert checked.exit_code == 0 and "profile flow-meter, 5 points: good" in checked.output
    assert "warning" not in checked.output
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_flow_meter.py"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_the_written_test_finds_a_twin_that_differs_from_its_profile(tmp_path):
    assert command("device", "probe", "--folder", tmp_path).exit_code == 0
    twin = tmp_path / "probe_twin.py"
    good = 'self.state["level"] = level + '
    assert good in twin.read_text()
    twin.write_text(twin.read_text().replace(good, 'self.state["level"] = 0.0 * level + '))
    run = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "follows", "test_probe.py")
    assert run.returncode == 1, run.stdout


def test_sources_are_formatted_as_ours(tmp_path):
    assert command("device", "probe", "--folder", tmp_path).exit_code == 0
    for arguments in (["check", "--select", "E,F,I,B,UP"], ["format", "--check"]):
        run = python(tmp_path, "-m", "ruff", *arguments, "--isolated", "--line-length", "110", ".")
        assert run.returncode == 0, run.stdout


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "probe_twin.py").write_text("mine")
    told = command("device", "probe", "--folder", tmp_path)
    assert isinstance(told.exception, InputError)
    assert "is there already" in str(told.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["probe_twin.py"]
    assert (tmp_path / "probe_twin.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["Probe", "9lives", "a b", "../up", "x" * 41, "probe-", "a--b", "né", ""])
def test_a_bad_name_is_refused_and_nothing_written(tmp_path, name):
    told = command("device", name, "--folder", tmp_path)
    assert isinstance(told.exception, InputError)
    assert "not a possible name" in str(told.exception)
    assert not list(tmp_path.iterdir())


def test_what_is_taken_or_unknown_is_refused(tmp_path):
    assert "built-in profile" in str(command("device", "vfd", "--folder", tmp_path).exception)
    assert "Take one of opcua, modbus, mqtt" in str(
        command("device", "probe", "--protocol", "bacnet", "--folder", tmp_path).exception
    )
    (tmp_path / "file").write_text("")
    assert "cannot be written" in str(command("device", "probe", "--folder", tmp_path / "file").exception)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_twin_served_by_hand_gives_a_gateway_file_that_is_good(tmp_path):
    assert command("device", "probe", "--folder", tmp_path).exit_code == 0
    served = subprocess.Popen(
        [sys.executable, "probe_twin.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        lines = [served.stdout.readline(), served.stdout.readline()]
        assert "127.0.0.1:" in lines[0] and "vigie-edge run" in lines[1]
        file = tmp_path / "probe-run" / "gateway.yaml"
        checked = CliRunner().invoke(edge, ["check", str(file)], env={"VIGIE_LANG": "en"})
        assert checked.exit_code == 0 and "1 devices, 5 points" in checked.output
    finally:
        served.terminate()
        assert served.wait(30) == 0
        served.stdout.close()
