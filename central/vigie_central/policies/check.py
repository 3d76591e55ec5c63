"""Is this a policy that a gateway could take? The same models as on the gateway, with field and remedy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vigie_central.policies.kinds import policy_kinds
from vigie_central.wording import COMMAND_LINE, NO_SCOPE, SCOPE_REMEDY, WRITE_FIELDS
from vigie_controllers.policy.document import PolicyDocument, PolicyRefused, parse_document
from vigie_protocols.channel import MAX_DOCUMENT
from vigie_protocols.errors import FrameError, InputError, Problem, input_error
from vigie_protocols.strictjson import parse_strict_json

REMEDIES = {
    "unknown-kind": "Nommer un genre connu / Name one of the known kinds.",
    "bad-document": "Corriger / Correct it; docs/reference/policies.md lists the fields.",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that fits its models; ``body`` is what was written."""

    document: PolicyDocument
    body: dict[str, Any]

    @property
    def scope(self) -> str:
        """Its scope in one word: city, district:NAME or site:GATEWAY."""
        return scope_text(self.document.scope.level, self.document.scope.name)


def scope_text(level: str, name: str) -> str:
    """The scope in one word; a coordinator has one city, so that its name is left out."""
    return level if level == "city" else f"{level}:{name}"


def parse_scope(text: str, city: str) -> dict[str, str]:
    """A document's ``scope`` from its one word; raises InputError."""
    level, separator, name = text.partition(":")
    if level == "city" and (not separator or name):
        return {"level": "city", "name": name or city}
    if level in ("district", "site") and name:
        return {"level": level, "name": name}
    raise input_error(COMMAND_LINE, "--scope", text, NO_SCOPE, SCOPE_REMEDY)


def check_document(raw: bytes | Mapping[str, Any], file: str) -> Checked:
    """The document in JSON bytes or as an object; raises InputError naming file, field and remedy."""
    if isinstance(raw, bytes):
        try:
            raw = parse_strict_json(raw, MAX_DOCUMENT)
        except FrameError as why:
            raise input_error(
                file, "document", None, str(why), "Écrire en JSON simple / Write it as plain JSON."
            ) from why
    if not isinstance(raw, Mapping):
        raise input_error(file, "document", raw, "pas un objet / not an object", WRITE_FIELDS)
    try:
        document = parse_document(raw, policy_kinds())
    except PolicyRefused as why:
        field, separator, reason = why.reason.partition(": ")
        if not separator or " " in field:
            field, reason = ("kind" if why.code == "unknown-kind" else "document"), why.reason
        value = _value_at(raw, field)
        shown = "" if value is None else repr(value)[:80]
        remedy = REMEDIES.get(why.code, REMEDIES["bad-document"])
        raise InputError([Problem(file, field, shown, reason, remedy)]) from why
    return Checked(document, dict(raw))


def _value_at(raw: Mapping[str, Any], path: str) -> Any:
    value: Any = raw
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
