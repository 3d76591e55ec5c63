"""The loops of a gateway file: checked against the points of its devices, every problem with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from vigie_controllers.image import PointTable
from vigie_controllers.loops import ControllerKind, LoopSpec, ParamError
from vigie_controllers.registry import KINDS, build_loop
from vigie_controllers.signals.bounds import preemption_bounds
from vigie_controllers.signals.site import SignalSite
from vigie_edge.language import say
from vigie_protocols.errors import Problem
from vigie_protocols.profile import PointDecl
from vigie_protocols.yamlfile import Document, Place, problems_of

_REMEDIES = (
    ("unknown domain", "Take one of the known domains."),
    ("unknown kind", "Take one of the known kinds."),
    ("unknown role", "Take one of the known roles, or remove it."),
    ("must be bound", "Bind it to DEVICE/POINT."),
    ("Extra inputs", "Remove it or correct its spelling."),
    ("Field required", "Add it."),
)


def bounds_of(spec: LoopSpec) -> tuple[str, ...]:
    """What a good loop promises, for whoever checks its file: how soon pre-emptions come."""
    if spec.domain != "signal":
        return ()
    return tuple(
        say(
            f"préemption {one.id}: les phases {one.phases} sont au vert au plus {one.seconds:.1f} s après son appel",
            f"pre-emption {one.id}: phases {one.phases} are green within {one.seconds:.1f} s of its call",
        )
        for one in preemption_bounds(SignalSite.model_validate(spec.site), spec.period_s)
    )


@dataclass(frozen=True)
class LoopCheck:
    """Checks the loops of one document."""

    document: Document
    table: PointTable
    points: Sequence[PointDecl]
    kinds: Mapping[str, ControllerKind] = field(default_factory=lambda: KINDS)

    def run(self, loops: Sequence[dict[str, Any]]) -> tuple[list[Problem], tuple[LoopSpec, ...]]:
        """Every problem, and the loops that have none."""
        problems: list[Problem] = []
        specs: list[LoopSpec] = []
        for number, raw in enumerate(loops):
            try:
                spec = LoopSpec.model_validate(raw)
            except ValidationError as error:
                problems += self._invalid(number, raw, error)
                continue
            found = self._one(number, spec, {one.name for one in specs})
            problems += found
            if not found:
                specs.append(spec)
        return problems, tuple(specs)

    def _one(self, number: int, spec: LoopSpec, names: set[str]) -> list[Problem]:
        found = []
        if spec.name in names:
            reason = "there is another loop of this name"
            found.append(self._problem((number, "name"), reason, "Rename one.", spec.name))
        for role, name in spec.points.items():
            if name not in self.table.index:
                place = (number, "points", role)
                found.append(self._problem(place, "no such point", "Name one as DEVICE/POINT.", name))
        if found:
            return found
        try:
            loop = build_loop(spec, self.kinds)
        except ParamError as error:
            return [self.wrong(spec, number, error)]
        writable = {decl.name for decl in self.points if decl.writable}
        for role, name in spec.points.items():
            if name in loop.domain.writes and name not in writable:
                reason = "the loop writes it, its profile says read-only"
                found.append(self._problem((number, "points", role), reason, "Bind a writable point.", name))
        return found

    def wrong(self, spec: LoopSpec, number: int, error: ParamError) -> Problem:
        """A wrong part of a loop or of one of its controllers' parameters."""
        place: Place = tuple(error.field.split("."))
        holders = [index for index, one in enumerate(spec.controllers) if one.kind == error.kind]
        if holders and error.kind != spec.name and place[0] != "site":
            best = next(
                (index for index in holders if place[0] in spec.controllers[index].params), holders[0]
            )
            place = ("controllers", best, "params", *place)
        reason, _, advice = error.reason.partition("; ")
        remedy = next((words for sign, words in _REMEDIES if sign in error.reason), "")
        if remedy:
            reason = "unknown field" if error.reason.startswith("Extra inputs") else error.reason
        else:  # what the controllers' own checks advise stands behind their reason
            remedy = f"{advice[:1].upper()}{advice[1:]}." if advice else "Correct the value."
        return self._problem((number, *_numbered(place)), reason, remedy)

    def _invalid(self, number: int, raw: dict[str, Any], error: ValidationError) -> list[Problem]:
        """pydantic's errors of one loop, told as places in the whole file."""
        top: Place = ("loops", number)
        lines = {place[2:]: line for place, line in self.document.lines.items() if place[:2] == top}
        part = Document(self.document.file, raw, lines)
        return [
            Problem(one.file, f"loops.{number}.{one.field}", one.value, one.reason, one.remedy, one.line)
            for one in problems_of(error, part, LoopSpec)
        ]

    def _problem(self, place: Place, reason: str, remedy: str, value: Any = None) -> Problem:
        whole: Place = ("loops", *place)
        shown = self._value(whole) if value is None else value
        text = "" if shown is None or isinstance(shown, dict | list) else repr(shown)[:80]
        line = self.document.line(whole)
        return Problem(self.document.file, ".".join(map(str, whole)), text, reason, remedy, line)

    def _value(self, place: Place) -> Any:
        value = self.document.data
        for part in place:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


def _numbered(place: Place) -> Place:
    """Positions in lists as numbers, as the lines of a document name them."""
    return tuple(int(part) if isinstance(part, str) and part.isdigit() else part for part in place)
