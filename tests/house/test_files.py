"""What the repository's files may and may not say."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|npmmirror|"
    r"--(?:extra-)?index-url|--find-links|\bregistry\s*=\s*http|\"resolved\"\s*:",
    re.IGNORECASE,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
BINARY = {".png", ".jpg", ".svg", ".gz", ".mo"}


def tracked() -> list[Path]:
    """Files of the repository as git knows them, else everything that is not made."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        names = [name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = {".venv", "node_modules", "static", "dist", "build", "out", "__pycache__"}
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [str(path) for path in found if not made.intersection(path.parts) and path.parts[0] != ".git"]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def text_files() -> list[Path]:
    return [path for path in tracked() if path.suffix not in BINARY]


def test_no_file_names_a_package_registry() -> None:
    breaches = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in text_files()
        if path != Path(__file__)
        for match in REGISTRIES.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert breaches == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-edge.lock"])
def test_locks_are_hashed_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^\s+--hash=\S+", "", text, flags=re.MULTILINE), re.MULTILINE)
    packages = re.findall(r"^([a-z0-9._-]+)==\S+", text, re.MULTILINE)
    assert text.count("--hash=sha256:") >= len(packages) > 20
    assert "hatchling" in packages, "the project is built with what the lock names, without isolation"


def test_the_edge_lock_is_a_part_of_the_whole_one() -> None:
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements-edge.lock", "requirements.lock")
    ]
    assert {name: pins[1].get(name) for name in pins[0]} == pins[0]


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[\s\[<>=~!;]", one)[0].lower().replace("_", "-") for one in asked} - {"vigie"}
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert names - locked == set()


def test_links_between_documents_resolve() -> None:
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            if not (path.parent / target.split("#")[0]).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_tests_named_in_documents_exist() -> None:
    named = {
        (file, name)
        for path in tracked()
        if path.suffix == ".md"
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    absent = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert absent == []


def test_every_document_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    queue = [ROOT / "docs" / "README.md"]
    while queue:
        page = queue.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if "://" not in target:
                queue.append((page.parent / target.split("#")[0]).resolve())
    unreached = {
        path for path in tracked() if path.suffix == ".md" and path.is_relative_to(ROOT / "docs")
    } - reached
    assert sorted(str(path.relative_to(ROOT)) for path in unreached) == []


def test_sources_stay_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked()
        if path.suffix in {".py", ".ts", ".svelte"}
        if not path.name.endswith("_pb2.py") and path.relative_to(ROOT).parts[0] != "tests"
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 500
    }
    assert long == {}


def test_pages_in_french_have_the_sections_of_the_english_ones() -> None:
    def sections(page: Path) -> int:
        return sum(line.startswith("## ") for line in page.read_text().splitlines())

    pages = [path for path in tracked() if path.name.endswith(".fr.md")]
    assert len(pages) >= 3
    twins = {page: page.with_name(page.name.replace(".fr.md", ".md")) for page in pages}
    assert [page.name for page, twin in twins.items() if sections(page) != sections(twin)] == []
