"""Places to write to, and scenarios that are not ours."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.stack import SHARED


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, which sockets need."""
    with tempfile.TemporaryDirectory(prefix="vigie-e2e-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """The same for what the tests of one file share."""
    with tempfile.TemporaryDirectory(prefix="vigie-e2e-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def cologne3() -> Path:
    """A real network that is not ours; beside the repository, or the test is skipped."""
    found = SHARED / "traffic" / "cologne3" / "cologne3.sumocfg"
    if not found.is_file():
        pytest.skip(f"no shared scenarios beside the repository: {found} is not there")
    return found
