"""Which scenarios to run: by file, by folder, by name; each read once, so that a bad one is refused first."""

import os
from collections.abc import Sequence
from pathlib import Path

from vigie_protocols.errors import input_error
from vigie_sim.bench.traffic.generated import GENERATED, generated
from vigie_sim.bench.traffic.runs import TIMES
from vigie_sim.traffic.derive import derive
from vigie_sim.traffic.network import read_network
from vigie_sim.traffic.sumoconfig import read_run

OPTION = "--scenarios"


def shared_folder() -> Path:
    """The shared scenarios beside the repository, or those in the folder ``VIGIE_SCENARIOS`` names."""
    beside = Path(__file__).resolve().parents[5] / "shared" / "scenarios"
    return Path(os.environ.get("VIGIE_SCENARIOS", str(beside))) / "traffic"


def scenarios(given: Sequence[str] = ()) -> dict[str, Path]:
    """Name -> configuration. given: files, folders, names of generated ones; none: all there are.

    Raises InputError for what is not there or cannot be controlled.
    """
    words = list(given)
    if not words:
        words = [str(shared_folder())] if shared_folder().is_dir() else []
        words += GENERATED
    found: dict[str, Path] = {}
    for word in words:
        for path in (one.resolve() for one in _configurations(word)):
            if path in found.values():
                continue
            run = read_run(path)
            derive(read_network(run.net), TIMES)
            if not run.routes:
                reason = "the scenario has no demand"
                raise input_error(str(path), "route-files", None, reason, "Name its routes under <input>")
            found[_name(path, found)] = path
    return found


def _name(path: Path, taken: dict[str, Path]) -> str:
    """The file's name, with as much of its folders as tells it from the others."""
    name = path.name.removesuffix(".sumocfg")
    for folder in path.parents:
        if name not in taken:
            break
        name = f"{folder.name}/{name}"
    return name


def _configurations(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        files = sorted(path.rglob("*.sumocfg"))
        if not files:
            reason = "there is no .sumocfg in this folder"
            raise input_error("command line", OPTION, word, reason, "Name one with SUMO configurations")
        return files
    if path.is_file():
        return [path]
    if word in GENERATED:
        return [generated(word)]
    remedy = f"Name a .sumocfg, a folder of them, or {' or '.join(GENERATED)}"
    raise input_error("command line", OPTION, word, "is neither a folder nor a file", remedy)
