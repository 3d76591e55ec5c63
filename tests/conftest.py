"""What every test shares: how hypothesis searches.

In CI (``CI=true``) it is derandomised: the same examples each time, so that a red run says something about the
change. Elsewhere it keeps looking for new ones. Both print the blob that repeats a failure, and neither sets a
deadline: no test here asserts a time.
"""

import os

import pytest
import structlog
from hypothesis import settings

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

settings.register_profile("vigie", deadline=None, print_blob=True)
settings.register_profile("vigie-ci", deadline=None, print_blob=True, derandomize=True, database=None)
settings.load_profile("vigie-ci" if IN_CI else "vigie")


def pytest_report_header(config: pytest.Config) -> str:
    """Which of the two, and the seed if one was given."""
    seed = config.getoption("hypothesis_seed", default=None)
    words = "derandomised (CI)" if IN_CI else "random"
    return f"hypothesis: {words}, seed {'of its own' if seed is None else seed}, failures print their blob"


def pytest_runtest_teardown() -> None:
    """A command run in this process logs to that test's streams, which are closed after it."""
    structlog.reset_defaults()
