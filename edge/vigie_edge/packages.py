"""The kinds of controllers a gateway file may name: ours, and those of the packages it names."""

from collections.abc import Mapping, Sequence

from vigie_controllers.foreign import admit_all
from vigie_controllers.loops import ControllerKind
from vigie_protocols.errors import Problem
from vigie_protocols.gateway import problem_at
from vigie_protocols.packages import Flaw, Package, offers
from vigie_protocols.yamlfile import Document


def kinds_of(
    document: Document, packages: Sequence[Package]
) -> tuple[Mapping[str, ControllerKind], list[Problem]]:
    """Every kind, and what is wrong with the packages, with its line in the file."""
    found, flaws = offers(packages)
    kinds, refused = admit_all(found)
    flaws += [
        Flaw(one.place, "distribution", f"{one.name}: {reason}", "Correct the package.")
        for one, reason in refused
    ]
    return kinds, [
        problem_at(document, ("packages", one.place, one.field), one.reason, one.remedy) for one in flaws
    ]
