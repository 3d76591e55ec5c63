"""The kinds that policies may name: the built-in ones, and those of packages that a file of the coordinator names.

``VIGIE_PACKAGES`` holds the path of a YAML file with the rows ``packages:`` of a gateway file, by distribution and
hash: parameters of a package's controllers are then checked by that package's own models, as on the gateways.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vigie_controllers.foreign import admit_all
from vigie_controllers.loops import ControllerKind
from vigie_controllers.registry import KINDS
from vigie_protocols.errors import InputError
from vigie_protocols.gateway import package_problems
from vigie_protocols.packages import Package, offers
from vigie_protocols.strict import Strict
from vigie_protocols.yamlfile import read_yaml, validate

PACKAGES_VARIABLE = "VIGIE_PACKAGES"


class PackagesFile(Strict):
    """What the file says."""

    packages: tuple[Package, ...]


def policy_kinds() -> Mapping[str, ControllerKind]:
    """Every kind that a policy may name; raises InputError for a file or a package that cannot be used."""
    named = os.environ.get(PACKAGES_VARIABLE, "")
    return _kinds(Path(named)) if named else KINDS


@cache
def _kinds(file: Path) -> Mapping[str, ControllerKind]:
    document = read_yaml(file)
    found, flaws = offers(validate(document, PackagesFile).packages)
    kinds, refused = admit_all(found)
    problems = package_problems(document, flaws, refused)
    if problems:
        raise InputError(problems)
    return kinds
