"""Who may import whom: the contracts hold, and a breach is caught."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ["protocols", "controllers", "edge", "central", "hil-sim"]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    # The tree comes first on the path, so that its packages and not the installed ones are read.
    paths = [str(tree / component) for component in COMPONENTS]
    code = f"import sys; sys.path[:0] = {paths!r}; from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(tree / "pyproject.toml"), "--no-cache"],
        cwd=tree, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for component in COMPONENTS:
        shutil.copytree(
            ROOT / component, tmp_path / component,
            ignore=shutil.ignore_patterns("__pycache__", "node_modules", "static", "web", "scenarios"),
        )  # fmt: skip
    return tmp_path


def test_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("edge/vigie_edge/__init__.py", "import vigie_central", "floors"),
        ("hil-sim/vigie_sim/__init__.py", "import vigie_edge", "floors"),
        ("protocols/vigie_protocols/points.py", "import vigie_controllers.contract", "floors"),
        ("controllers/vigie_controllers/contract.py", "import time", "pure"),
        ("controllers/vigie_controllers/contract.py", "import vigie_protocols.errors", "pure"),
    ],
)
def test_a_breach_is_caught(copy: Path, module: str, line: str, contract: str) -> None:
    file = copy / module
    file.write_text(file.read_text() + f"\n{line}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if row.rstrip().endswith("BROKEN")]
    assert len(broken) == 1 and contract in broken[0].lower(), result.stdout
