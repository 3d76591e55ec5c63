"""Controllers of other packages: what installed distributions offer in the entry point group ``vigie.controllers``.

Nothing is imported but what a gateway file names, by distribution and by the SHA-256 of its code: what was
reviewed is what runs, and a package that happens to be installed does nothing.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from vigie_protocols.strict import Strict

GROUP = "vigie.controllers"
HASH = r"^[0-9a-f]{64}$"
IMPURE = frozenset(
    {
        "asyncio",
        "datetime",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
)
"""Clock, chance, files and network: what looks at them cannot be replayed, and may hold a scan up."""


class Package(Strict):
    """A distribution whose controllers a gateway may use.

    sha256: of its code, as ``vigie-edge packages`` prints it.
    """

    distribution: str = Field(min_length=1)
    sha256: str = Field(pattern=HASH)


@dataclass(frozen=True, slots=True)
class Offer:
    """One loaded entry point. place: of its package among those that were asked for; name: the kind's."""

    place: int
    distribution: str
    name: str
    thing: object


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a named package cannot be used. field: ``distribution`` or ``sha256``."""

    place: int
    field: str
    reason: str
    remedy: str


def offers(packages: Sequence[Package]) -> tuple[list[Offer], list[Flaw]]:
    """What the named packages offer, and what is wrong with them; one with a flaw is not imported."""
    found: list[Offer] = []
    flaws: list[Flaw] = []
    for place, package in enumerate(packages):
        try:
            whole = distribution(package.distribution)
        except PackageNotFoundError:
            remedy = "Install it beside the agent, or correct the name."
            flaws.append(Flaw(place, "distribution", "is not installed", remedy))
            continue
        points = entry_points(whole)
        if not points:
            reason, remedy = f"offers nothing in the group {GROUP}", "See docs/adding.md."
            flaws.append(Flaw(place, "distribution", reason, remedy))
            continue
        code = digest(points)
        if code != package.sha256:
            reason = f"what is installed is {code or 'not to be found'}"
            remedy = "Review that code, then write its hash, or install the version that was reviewed."
            flaws.append(Flaw(place, "sha256", reason, remedy))
            continue
        for point in points:
            try:
                thing = point.load()
            except Exception as error:  # noqa: BLE001 - whatever a foreign module raises, the file's reader is told
                reason = f"{point.name}: {point.value} cannot be imported: {type(error).__name__}: {error}"
                flaws.append(Flaw(place, "distribution", reason, "Correct the package."))
                continue
            found.append(Offer(place, package.distribution, point.name, thing))
    return found, flaws


def installed() -> Iterator[tuple[Distribution, list[EntryPoint]]]:
    """Every installed distribution that offers controllers, by name; nothing is imported."""
    rows = {one.name: (one, entry_points(one)) for one in distributions()}
    return (row for _, row in sorted(rows.items()) if row[1])


def entry_points(whole: Distribution) -> list[EntryPoint]:
    """What a distribution offers in our group, by name."""
    return sorted(
        (one for one in whole.entry_points if one.group == GROUP), key=lambda one: (one.name, one.value)
    )


def digest(points: Sequence[EntryPoint]) -> str:
    """SHA-256 of every file of the top-level modules behind the entry points, by path and content.

    Empty when one of them cannot be found. Compiled bytecode does not count: it is made from the rest.
    """
    whole = hashlib.sha256()
    for top in sorted({point.module.partition(".")[0] for point in points}):
        files = _files(top)
        if not files:
            return ""
        for name, path in files:
            data = path.read_bytes()
            whole.update(f"{name}\0{len(data)}\0".encode() + data)
    return whole.hexdigest()


def impure(packages: Sequence[Package]) -> Iterator[tuple[str, str]]:
    """(distribution, module) for each import in a named package that a pure controller has no use for."""
    for package in packages:
        tops = {point.module.partition(".")[0] for point in entry_points(distribution(package.distribution))}
        seen: set[str] = set()
        for _, path in (row for top in sorted(tops) for row in _files(top) if row[0].endswith(".py")):
            try:
                tree = ast.parse(path.read_bytes())
            except SyntaxError:  # a file that nothing could import: it was not
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    seen.update(one.name.partition(".")[0] for one in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    seen.add(node.module.partition(".")[0])
        yield from ((package.distribution, name) for name in sorted(seen & IMPURE))


def _files(top: str) -> list[tuple[str, Path]]:
    """(name below the import path, file) of one top-level module; finding it imports nothing."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [] if spec.origin is None else [(Path(spec.origin).name, Path(spec.origin))]
    return sorted(
        (f"{top}/{path.relative_to(folder).as_posix()}", path)
        for folder in map(Path, spec.submodule_search_locations)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
