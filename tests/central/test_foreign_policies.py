"""Policies for controllers of other packages: checked by the package's own models, where the coordinator names it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vigie_central.policies.check import check_document
from vigie_central.policies.kinds import PACKAGES_VARIABLE, policy_kinds
from vigie_controllers.registry import KINDS
from vigie_protocols.errors import InputError
from vigie_protocols.packages import digest, installed

CODE = """
from vigie_controllers.loops import ControllerKind, Strict


class Config(Strict):
    gate: float = 40.0


KIND = ControllerKind("water.mine", "water", Config, lambda config, around: None)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Hash of an installed package with the kind ``water.mine``."""
    folder = tmp_path / "site"
    info = folder / "central_mine-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "central_mine.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: central-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vigie.controllers]\nwater.mine = central_mine:KIND\n")
    monkeypatch.syspath_prepend(folder)
    yield next(digest(points) for whole, points in installed() if whole.name == "central-mine")
    sys.modules.pop("central_mine", None)


def paper(**params: Any) -> dict[str, Any]:
    return {
        "kind": "water.mine",
        "id": "pluie",
        "version": 1,
        "scope": {"level": "city", "name": "mtl"},
        "valid_from": 0,
        "not_after": 4_000_000_000,
        "params": params,
    }


def name(file: Path, code: str, patch: pytest.MonkeyPatch) -> None:
    file.write_text(f"packages:\n  - {{distribution: central-mine, sha256: {code}}}\n")
    patch.setenv(PACKAGES_VARIABLE, str(file))


def test_its_own_models_check(tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="kind"):
        check_document(paper(gate=30.0), "x")
    name(tmp_path / "packages.yaml", code, monkeypatch)
    assert check_document(paper(gate=30.0), "x").document.params == {"gate": 30.0}
    for wrong in ({"gate": "wide"}, {"other": 1}):
        with pytest.raises(InputError, match="params"):
            check_document(paper(**wrong), "x")


def test_other_code_is_refused_with_its_line(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(tmp_path / "packages.yaml", "0" * 64, monkeypatch)
    with pytest.raises(InputError, match="what is installed is") as caught:
        policy_kinds()
    assert caught.value.problems[0].line == 2 and code in str(caught.value)


def test_without_a_file_there_are_the_built_in_kinds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PACKAGES_VARIABLE, raising=False)
    assert policy_kinds() is KINDS
