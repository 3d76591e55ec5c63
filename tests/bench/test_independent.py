"""What others wrote beside ours: what is not there is told with its reason, and the rest goes on."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vigie_protocols.errors import PermanentError
from vigie_sim.bench.edge import peer
from vigie_sim.bench.figures import Figures, table
from vigie_sim.bench.independent import modbus, opcua


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    return Figures("independent", 1, True, tmp_path)


def test_every_layout_has_its_own_place_in_the_servers_tables() -> None:
    taken: set[tuple[str, int]] = set()
    for row in modbus.layouts():
        table_name = row.modbus.get("table", "holding")
        places = {(table_name, row.modbus["address"] + at) for at in range(len(row.raw))}
        assert not places & taken, row.name
        taken |= places
    assert max(at for _, at in taken) < 256
    assert len(modbus.layouts()) == 8 * 4 + 6


def test_a_machine_without_compiler_is_told_what_to_install(
    figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    modbus.modbus(figures)
    assert figures.rows == [] and "apt install gcc libmodbus-dev" in figures.notes[0]
    assert figures.notes[0] in str(table(figures).caption)


def test_a_machine_without_libmodbus_is_told_what_to_install(
    figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "false")
    modbus.modbus(figures)
    assert figures.rows == [] and "apt install libmodbus-dev" in figures.notes[0]


def test_a_machine_without_node_is_told(figures: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    opcua.opcua(figures)
    assert figures.rows == [] and "Node is not there" in figures.notes[0]


def test_a_peer_that_cannot_be_fetched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(line: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, line, stderr="first\nERROR: no such release\n")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(peer.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(PermanentError, match=r"cannot be installed: ERROR: no such release"):
        peer.installed()
    assert not list(tmp_path.rglob("installed")), "it is tried again"
