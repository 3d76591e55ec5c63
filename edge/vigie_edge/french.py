"""The French of what is said of files, command lines and plans in plain English.

The catalogue is ``sentences.fr.json``: English template to French template, by subject. ``{0}`` takes anything,
``{0s}`` another sentence of the catalogue where there is one. What no template knows stays English: the words of
operating systems and libraries, and of other packages.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vigie_edge.language import language
from vigie_protocols.errors import InputError, Problem, VigieError

CATALOGUE = Path(__file__).with_name("sentences.fr.json")
_PLACE = re.compile(r"\{(\d)(s?)\}")
_FIELD = re.compile(r"([\w.-]+: )(.+)", re.DOTALL)
_DEEPEST = 4


class Template(NamedTuple):
    """pattern: takes the English; nested: places that are sentences themselves; french: with ``{0}``."""

    pattern: re.Pattern[str]
    nested: frozenset[int]
    french: str


@cache
def _catalogue() -> tuple[dict[str, str], tuple[Template, ...]]:
    """Whole sentences, and templates: first those that begin with words of their own and say most by themselves."""
    groups = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    rows = [row for group in groups.values() for row in group.items()]
    whole = {english: french for english, french in rows if not _PLACE.search(english)}
    made = sorted(
        (row for row in rows if row[0] not in whole),
        key=lambda row: (row[0].startswith("{"), -len(_PLACE.sub("", row[0]))),
    )
    return whole, tuple(_template(english, french) for english, french in made)


def _template(english: str, french: str) -> Template:
    pattern, at, nested = "", 0, set[int]()
    for place in _PLACE.finditer(english):
        number = int(place[1])
        pattern += re.escape(english[at : place.start()]) + f"(?P<p{number}>.+?)"
        at = place.end()
        if place[2]:
            nested.add(number)
    return Template(re.compile(pattern + re.escape(english[at:]), re.DOTALL), frozenset(nested), french)


def french(said: str, depth: int = 0) -> str:
    """The French of a sentence, itself where it is not known; a field before it stays."""
    whole, templates = _catalogue()
    if said in whole or depth > _DEEPEST:
        return whole.get(said, said)
    for pattern, nested, target in templates:
        found = pattern.fullmatch(said)
        if found:
            parts = {
                number: french(text, depth + 1) if number in nested else text
                for number, text in ((int(name[1:]), text) for name, text in found.groupdict().items())
            }
            return _PLACE.sub(lambda place, parts=parts: parts[int(place[1])], target)  # type: ignore[misc]
    field = _FIELD.fullmatch(said)
    return said if field is None else field[1] + french(field[2], depth + 1)


def told(said: str) -> str:
    """A sentence in the language that is wanted."""
    return said if language() == "en" else french(said)


def told_problem(problem: Problem) -> Problem:
    """A problem with its reason and remedy in the language that is wanted."""
    file = problem.file.replace("command line", "ligne de commande") if language() != "en" else problem.file
    reason, remedy = told(problem.reason), told(problem.remedy)
    return Problem(file, problem.field, problem.value, reason, remedy, problem.line)


def told_error(error: VigieError) -> str:
    """What went wrong, for people: every problem of an input on a line of its own."""
    if isinstance(error, InputError):
        return "\n".join(str(told_problem(one)) for one in error.problems)
    return told(str(error))
