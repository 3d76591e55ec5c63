"""vigie-sim scaffold controller: an installed package whose kind a gateway runs as its own, behind our guard."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vigie_protocols.errors import InputError
from vigie_sim.cli import app

ROOT = Path(__file__).parents[2]


def scaffold(*arguments):
    return CliRunner().invoke(app, ["scaffold", "controller", *map(str, arguments)])


def run(folder, *command, target=None):
    environment = {**os.environ, "VIGIE_LANG": "en", "COLUMNS": "200"}
    if target is not None:
        environment["PYTHONPATH"] = str(target)
    return subprocess.run(
        [str(one) for one in command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def edge(folder, target, *arguments):
    return run(folder, sys.executable, "-m", "vigie_edge.cli", *arguments, target=target)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One package per domain, installed with pip into a folder of its own, as a user would."""
    home = tmp_path_factory.mktemp("packages")
    target = home / "site"
    for domain in ("signal", "water", "lighting"):
        told = scaffold(f"my-{domain}", "--domain", domain, "--folder", home / domain)
        assert told.exit_code == 0, told.output
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    sources = [home / domain for domain in ("signal", "water", "lighting")]
    done = run(home, *pip, "--no-deps", "--no-build-isolation", "--target", target, *sources)
    assert done.returncode == 0, done.stderr
    return home, target


@pytest.mark.parametrize("domain", ["signal", "water", "lighting"])
def test_what_is_written_passes_as_it_is(house, domain):
    home, target = house
    tests = run(home / domain, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", target=target)
    assert tests.returncode == 0 and "4 passed" in tests.stdout, tests.stdout
    for command in (["check", "--select", "E,F,I,B,UP"], ["format", "--check"]):
        style = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "110", "."]
        assert run(home / domain, *style).returncode == 0


def test_a_gateway_runs_what_its_file_names_and_only_that(house, tmp_path):
    home, target = house
    told = edge(home, target, "packages").stdout
    line = next(row for row in told.splitlines() if "vigie-my-water" in row)
    source = (ROOT / "firmware-config" / "gateways" / "gw-pompage.yaml").read_text()
    kinds = "- kind: water.level\n"
    assert kinds in source
    file = tmp_path / "gw.yaml"
    named = source.replace(kinds, "- {kind: water.my-water, params: {}}\n      - kind: water.level\n", 1)
    file.write_text(named)
    refused = edge(home, target, "check", file)
    assert refused.returncode == 2 and "unknown kind 'water.my-water'" in refused.stderr
    file.write_text(f"{named}\npackages:\n  {line}\n")
    good = edge(home, target, "check", file)
    assert good.returncode == 0, good.stderr
    code = next((target / "vigie_my_water").glob("controller.py"))
    before = code.read_text()
    try:
        code.write_text(before + "# changed after the review\n")
        changed = edge(home, target, "check", file)
        assert changed.returncode == 2 and "packages.0.sha256" in changed.stderr
        assert f"{file}:{len(file.read_text().splitlines())}" in changed.stderr
        assert "Review that code" in changed.stderr and "unknown kind" not in changed.stderr
    finally:
        code.write_text(before)


@pytest.mark.parametrize("name", ["Level", "a b", "", "x" * 41])
def test_a_bad_name_is_refused(tmp_path, name):
    told = scaffold(name, "--folder", tmp_path)
    assert isinstance(told.exception, InputError) and "not a possible name" in str(told.exception)
    assert not list(tmp_path.iterdir())


def test_what_is_taken_or_unknown_is_refused(tmp_path):
    assert "built-in kind" in str(scaffold("level", "--domain", "water", "--folder", tmp_path).exception)
    assert "Take one of signal, water, lighting" in str(
        scaffold("level", "--domain", "gas", "--folder", tmp_path).exception
    )
    assert scaffold("dim", "--folder", tmp_path / "one").exit_code == 0
    again = scaffold("dim", "--folder", tmp_path / "one")
    assert "is there already" in str(again.exception)
