"""Every problem of a gateway file at once, also those that another one hides.

A file is read in stages: its own fields, then the profiles it names, then its loops on the devices' points. What is
wrong in an early stage ends the reading; for people the later ones are looked at all the same, as far as they can be.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vigie_controllers.image import PointTable
from vigie_controllers.loops import ControllerKind
from vigie_controllers.registry import KINDS
from vigie_edge.loopcheck import LoopCheck
from vigie_edge.packages import kinds_of
from vigie_protocols.errors import InputError, Problem
from vigie_protocols.gateway import problem_at, profile_folders, take_profile
from vigie_protocols.packages import Package
from vigie_protocols.profile import PointDecl, Profile
from vigie_protocols.yamlfile import Document, read_yaml


def every_problem(file: Path, found: Sequence[Problem]) -> list[Problem]:
    """``found`` with what else is wrong in ``file``, in the order of its lines; profiles' own problems follow."""
    try:
        document = read_yaml(file)
    except InputError:
        return list(found)
    problems = list(found)
    known = {(one.file, one.field) for one in found}
    for one in _hidden(document, file):
        if (one.file, one.field) not in known:
            known.add((one.file, one.field))
            problems.append(one)
    return sorted(problems, key=lambda one: (one.file != str(file), one.file, one.line or 0))


def _hidden(document: Document, file: Path) -> Iterator[Problem]:
    data = document.data if isinstance(document.data, dict) else {}
    links = data.get("links")
    links = links if isinstance(links, dict) else {}
    further = data.get("profiles")
    folders = profile_folders(file.resolve().parent / further if isinstance(further, str) else None, file)
    profiles: dict[str, Profile | None] = {}
    points: list[PointDecl] = []
    whole: set[str] = set()
    for place, device in enumerate(_rows(data.get("devices"))):
        link, name, kind = device.get("link"), device.get("name"), device.get("profile")
        if isinstance(link, str) and link not in links:
            known = ", ".join(map(str, links))
            reason = f"no such link; known: {known}"
            yield problem_at(document, ("devices", place, "link"), reason, "Name one of links.")
        if isinstance(kind, str):
            yield from take_profile(document, place, kind, folders, profiles)
            profile = profiles.get(kind)
            if profile is not None and isinstance(name, str) and name not in whole:
                whole.add(name)
                points += profile.expand(name)
    kinds, flaws = _packages(document, data.get("packages"))
    yield from flaws or ()
    for one in _loops(document, _rows(data.get("loops")), points, whole, kinds):
        if flaws == [] or not one.reason.startswith("unknown kind"):  # that package may have brought it
            yield one


def _packages(document: Document, value: Any) -> tuple[Mapping[str, ControllerKind], list[Problem] | None]:
    """The kinds that the packages of a file bring and what is wrong with them; None: its rows cannot be read."""
    try:
        packages = [Package.model_validate(row) for row in _rows(value)]
    except ValidationError:  # told already: these are the file's own fields
        return KINDS, None
    return kinds_of(document, packages)


def _loops(
    document: Document,
    loops: list[dict[str, Any]],
    points: list[PointDecl],
    whole: set[str],
    kinds: Mapping[str, ControllerKind],
) -> Iterator[Problem]:
    """whole: the devices whose points are known; of the others nothing can be said."""
    try:
        table = PointTable.of((decl.name, decl.type) for decl in points)
    except ValueError:  # a device's name makes two points one: that is told of the name
        return
    for one in LoopCheck(document, table, points, kinds).run(loops)[0]:
        device = one.value.strip("'").partition("/")[0]
        row = loops[int(one.field.split(".")[1])]
        if row and (one.reason != "no such point" or device in whole or "/" not in one.value):
            yield one


def _rows(value: Any) -> list[dict[str, Any]]:
    """The rows of a list as mappings; an empty one where a row is something else, so that numbers stay right."""
    return [row if isinstance(row, dict) else {} for row in value] if isinstance(value, list) else []
