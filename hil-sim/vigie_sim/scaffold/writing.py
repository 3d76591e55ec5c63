"""Names and files of a scaffold: a bad name is refused, nothing is overwritten, all is written or nothing."""

import re
from collections.abc import Mapping
from pathlib import Path

from vigie_protocols.errors import InputError, Problem, input_error

NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
LONGEST = 40


def check_name(name: str) -> str:
    """``name`` if a device or a controller may have it; raises InputError."""
    if len(name) > LONGEST or not re.fullmatch(NAME, name):
        reason = f"n'est pas un nom possible / not a possible name (1-{LONGEST})"
        remedy = "Minuscules, chiffres et tirets / Take small letters, digits and dashes: flow-meter."
        raise input_error("vigie-sim scaffold", "NAME", name, reason, remedy)
    return name


def module_of(name: str) -> str:
    """``flow-meter`` as the name of a module: ``flow_meter``."""
    return name.replace("-", "_")


def class_of(name: str) -> str:
    """``flow-meter`` as the name of a class: ``FlowMeter``."""
    return "".join(word.capitalize() for word in name.split("-"))


def title_of(name: str) -> str:
    """``flow-meter`` as people read it: ``Flow meter``."""
    return name.replace("-", " ").capitalize()


def write_all(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write new files below ``folder``; raises InputError, and leaves nothing, when one of them is there."""
    paths = [folder / name for name in files]
    there = [path for path in paths if path.exists()]
    if there:
        reason = "existe déjà / is there already"
        remedy = "Prendre un autre nom ou --folder / Take another name, or --folder."
        raise InputError([Problem("vigie-sim scaffold", "NAME", str(path), reason, remedy) for path in there])
    written: list[Path] = []
    try:
        for path, text in zip(paths, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as out:
                written.append(path)
                out.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        reason = f"impossible à écrire / cannot be written: {error.strerror}"
        remedy = "Nommer un autre dossier / Name another folder."
        raise input_error("vigie-sim scaffold", "--folder", str(folder), reason, remedy) from error
    return written
