"""YAML files read strictly: every error at once, each with its line.

YAML 1.1 has traps that cost people nights: ``off`` is a boolean, ``12:30`` a number, a key given twice
silently wins. Here only ``true`` and ``false`` are booleans, clock times stay text, a key given twice is
refused, and size and depth are bounded so that a hostile file cannot eat the memory of a gateway.
"""

import difflib
import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vigie_protocols.errors import InputError, Problem

MAX_BYTES: Final = 4_000_000
MAX_VALUES: Final = 200_000
MAX_DEPTH: Final = 40
_HARMLESS_DEPTH: Final = 2000

_COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top of the file."""


# The loader in C takes a tenth of the time: on a gateway that is seconds of every start.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc] # which of the two it is, is known at run time alone
    """SafeLoader without the surprises of YAML 1.1."""


_Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if not row[0].endswith((":bool", ":int", ":float", ":timestamp"))]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: plain values, and the line of each."""

    file: str
    data: Any
    lines: Mapping[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """The line of a value, or of the nearest value around it."""
        while place not in self.lines:
            if not place:
                return None
            place = place[:-1]
        return self.lines[place]


def wrong(reason: str, remedy: str, *place: str | int) -> PydanticCustomError:
    """An error to raise in a model's validator: ``place`` says where below the validated value it sits."""
    context = {"reason": reason, "remedy": remedy, "place": list(place)}
    return PydanticCustomError("vigie", "{reason}", context)


def read_yaml(path: Path) -> Document:
    """Parse one file; raises InputError when it cannot be read or is not plain YAML."""
    name = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError([Problem(name, "file", "", f"larger than {MAX_BYTES} bytes", "Split it.")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError([Problem(name, "file", "", "there is no such file", "Check the path.")]) from None
    except UnicodeDecodeError as error:
        raise InputError(
            [Problem(name, "file", "", f"not UTF-8: {error.reason}", "Save it as UTF-8.")]
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError([Problem(name, "file", "", reason, "Check its owner and mode.")]) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text; ``name`` stands for the file in messages."""
    if len(text) > MAX_BYTES:
        raise InputError([Problem(name, "file", "", f"larger than {MAX_BYTES} bytes", "Split it.")])
    loader = _Loader(text)
    try:
        _refuse_depth(text)
        node = loader.get_single_node()
        builder = _Builder(name, loader)
        data = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        reason = (error.problem or "not YAML").replace("\n", " ")
        line = None if mark is None else mark.line + 1
        raise InputError([Problem(name, "file", "", reason, "Correct the YAML.", line)]) from None
    except yaml.YAMLError as error:
        raise InputError(
            [Problem(name, "file", "", str(error).split("\n")[0], "Correct the YAML.")]
        ) from None
    finally:
        loader.dispose()
    if builder.problems:
        raise InputError(builder.problems)
    return Document(name, data, builder.lines)


def _refuse_depth(text: str) -> None:
    """Refuse what is nested so deep that the loader in C, which recurses, would break the process."""
    lines = text.splitlines()
    bound = text.count("[") + text.count("{") + 2 * max(map(len, lines), default=0)
    if bound < _HARMLESS_DEPTH:
        return  # no file of that shape can be deeper: each level takes a bracket or a column
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too many or too deep values", problem_mark=event.start_mark)


class _Builder:
    """Turns YAML nodes into plain values, noting lines and refusing doubled keys."""

    def __init__(self, name: str, loader: _Loader) -> None:
        self.name = name
        self.loader = loader
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        if len(self.lines) >= MAX_VALUES or len(place) > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too many or too deep values", problem_mark=node.start_mark)
        self.lines[place] = line
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {node.tag} is not allowed", problem_mark=node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*place, index)) for index, child in enumerate(node.value)]
        try:
            return self.loader.construct_object(node, deep=True)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or not isinstance(key, str | int | float):
                raise yaml.MarkedYAMLError(
                    problem="a key must be plain text", problem_mark=key_node.start_mark
                )
            here: Place = (*place, key if isinstance(key, int) else str(key))
            if key in result:
                dotted = ".".join(map(str, here))
                self.problems.append(
                    Problem(self.name, dotted, "", "given twice", "Keep one of the two.", line)
                )
            result[key] = self.build(value_node, here)
            self.lines[here] = line
        return result


def load_model(path: Path, model: type[Model], context: Mapping[str, Any] | None = None) -> Model:
    """Read a YAML file as ``model``; raises InputError with every problem found.

    Validators see ``{"base": folder of the file, **context}`` as their context.
    """
    return validate(read_yaml(path), model, {"base": path.resolve().parent, **(context or {})})


def validate(document: Document, model: type[Model], context: Mapping[str, Any] | None = None) -> Model:
    """``document`` as ``model``; raises InputError with every problem found."""
    if not isinstance(document.data, dict):
        reason = "empty" if document.data is None else "must be a mapping of fields to values"
        raise InputError([Problem(document.file, "file", "", reason, "See the example files.", 1)])
    try:
        return model.model_validate(document.data, context=dict(context or {}))
    except ValidationError as error:
        raise InputError(problems_of(error, document, model)) from None


_REMEDIES: Final = {
    "missing": "Add it.",
    "extra_forbidden": "Remove it or correct its spelling.",
    "enum": "Take one of the listed words.",
    "literal_error": "Take one of the listed words.",
    "string_pattern_mismatch": "Follow the pattern.",
    "int_from_float": "Write a whole number.",
    "bool_type": "Write true or false.",
    "bool_parsing": "Write true or false.",
}


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """pydantic's errors as Problems, with line, value and remedy, in the order of the file."""
    known = _field_names(model)
    problems = []
    for row in error.errors(include_url=False):
        context = row.get("ctx", {})
        place: Place = tuple(part for part in row["loc"] if (part in _path_keys(document, row["loc"])))
        place = (*place, *context.get("place", ()))
        kind = row["type"]
        remedy = context.get("remedy") or _REMEDIES.get(kind) or "Correct the value."
        reason = context.get("reason") or row["msg"]
        if kind == "extra_forbidden":
            reason = "unknown field"
            close = difflib.get_close_matches(str(row["loc"][-1]), known, n=1)
            if close:
                remedy = f"Did you mean {close[0]!r}?"
        elif kind == "missing":
            reason, place = "missing", tuple(row["loc"])
        value = "" if kind == "missing" or row["input"] is None else _shown(_at(document.data, place))
        dotted = ".".join(map(str, place)) or "file"
        problems.append(Problem(document.file, dotted, value, reason, remedy, document.line(place)))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _path_keys(document: Document, loc: tuple[str | int, ...]) -> set[str | int]:
    """The parts of ``loc`` that are keys of the file; pydantic adds tags of unions and functions."""
    found: set[str | int] = set()
    data = document.data
    for part in loc:
        if _has(data, part):
            data = data[part]
            found.add(part)
    return found


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data)


def _at(data: Any, place: Place) -> Any:
    for part in place:
        if not _has(data, part):
            return None
        data = data[part]
    return data


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, dict | list) and len(value) > 6):
        return ""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _field_names(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    names = set(schema.get("properties", ()))
    for part in schema.get("$defs", {}).values():
        names.update(part.get("properties", ()))
    return sorted(names)


def json_schema(model: type[BaseModel], title: str) -> str:
    """The JSON Schema of ``model`` for editors, as text with sorted keys."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema = {"$schema": dialect, **model.model_json_schema(), "title": title}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
