"""What the end-to-end tests have in common: real commands as processes, waits on conditions, killing."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from vigie_sim.agents import command

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY.parent / "shared" / "scenarios"
WAIT_S = 60.0
"""The one wall limit of every wait on a condition."""
RUN_S = 240.0
"""The one wall limit of a run."""

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str


def run_command(name: str, *words: str | Path, limit_s: float = RUN_S, **environment: str) -> Said:
    """One of our console commands as a process of its own, to its end."""
    done = subprocess.run(
        [*command(name), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
        env={**os.environ, "COLUMNS": "300", **environment},
    )
    return Said(done.returncode, done.stdout, done.stderr)


def in_loop(work: Coroutine[Any, Any, T], limit_s: float = RUN_S) -> T:
    """Run one coroutine on the loop that the product uses, within a wall limit."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await work

    return uvloop.run(limited())


async def until(true: Callable[[], object] | Callable[[], Awaitable[object]], what: str) -> None:
    """Wait for a condition; it may be a plain function or a coroutine function."""
    deadline = time.monotonic() + WAIT_S
    while True:
        found = true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.05)


def until_true(true: Callable[[], T], what: str) -> T:
    """What ``true`` gives as soon as it is true; for tests without a loop."""
    deadline = time.monotonic() + WAIT_S
    while not (found := true()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)
    return found


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
