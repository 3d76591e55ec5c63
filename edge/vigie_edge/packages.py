"""The kinds of controllers a gateway file may name: ours, and those of the packages it names."""

from collections.abc import Mapping, Sequence

from vigie_controllers.foreign import admit_all
from vigie_controllers.loops import ControllerKind
from vigie_protocols.errors import Problem
from vigie_protocols.gateway import package_problems
from vigie_protocols.packages import Package, offers
from vigie_protocols.yamlfile import Document


def kinds_of(
    document: Document, packages: Sequence[Package]
) -> tuple[Mapping[str, ControllerKind], list[Problem]]:
    """Every kind, and what is wrong with the packages, with its line in the file."""
    found, flaws = offers(packages)
    kinds, refused = admit_all(found)
    return kinds, package_problems(document, flaws, refused)
