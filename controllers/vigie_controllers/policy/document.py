"""The policy document and the bundle of one gateway: their form, before anybody decides about them.

Signatures are checked before these models see a byte (``vigie_protocols.envelope``).
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from vigie_controllers.loops import ControllerKind, Strict

MAX_BYTES = 32 * 1024
"""Largest document, as compact JSON."""
MAX_DOCUMENTS = 64
"""Most documents in a bundle."""
LOCAL_DEFAULT = "local-default"
CITY = "city"
"""The name in a scope of level ``city``: one installation is one city."""
WEEK_S = 604_800.0

Code = Literal[
    "bad-signature",
    "older-generation",
    "wrong-audience",
    "outside-envelope",
    "unknown-kind",
    "expired",
    "clock-untrusted",
    "bad-document",
    "precondition",
]
"""Why something was refused: stable words, for machines and translations."""


class PolicyRefused(ValueError):
    """A bundle or a document was understood and refused; ``reason`` is for people."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code: Code = code
        self.reason = reason


class Scope(Strict):
    """Where a document applies: the whole city, a district, or one site (a gateway id)."""

    level: Literal["city", "district", "site"]
    name: str = Field(min_length=1, max_length=63)


class Place(Strict):
    """Where a gateway stands, in the words of scopes."""

    gateway: str
    district: str
    city: str

    def within(self, scope: Scope) -> bool:
        """True when a document of this scope applies here."""
        name = {"city": self.city, "district": self.district, "site": self.gateway}[scope.level]
        return scope.name == name


class Precondition(Strict):
    """What must be true of the gateway: it has a loop of that name, or a controller of that kind."""

    need: Literal["loop", "kind"]
    name: str = Field(min_length=1, max_length=63)


class Evidence(Strict):
    """A rehearsal in the simulator that this document passed. sha256: of its report, in hex."""

    scenario: str = Field(min_length=1, max_length=127)
    seed: int
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class PolicyDocument(Strict):
    """A versioned document that configures controllers over a scope. Times are UTC seconds since 1970.

    kind: the controller kind whose parameters it sets. params: any of them; the rest stays as it is.
    loops: names of the loops it concerns; empty: every loop of that kind. priority: higher wins within
    one level of scope. max_age_s: it ends so long after it came into force, on the monotonic clock.
    fallback: what follows when it has ended: ``local-default`` (whatever else applies, then the gateway's
    own parameters) or the id of another document, which applies only from then on.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=63)
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    version: int = Field(ge=1, lt=2**63)
    scope: Scope
    priority: int = Field(default=0, ge=-100, le=100)
    valid_from: float = Field(ge=0)
    not_after: float = Field(gt=0)
    max_age_s: float = Field(default=WEEK_S, gt=0, le=366 * 86_400.0)
    fallback: str = Field(default=LOCAL_DEFAULT, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    preconditions: tuple[Precondition, ...] = Field(default=(), max_length=16)
    loops: tuple[str, ...] = Field(default=(), max_length=64)
    params: dict[str, Any]
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=16)
    title: dict[Literal["fr", "en"], str] = Field(default_factory=dict)
    """What people read, by language."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.valid_from >= self.not_after:
            raise ValueError("not_after is not later than valid_from")
        if self.fallback == self.id:
            raise ValueError("fallback names the document itself")
        return self

    @property
    def key(self) -> str:
        """``id@version``: names this very document."""
        return f"{self.id}@{self.version}"

    def concerns(self, loop: str, kinds: tuple[str, ...]) -> bool:
        """True when it sets parameters of ``loop``, whose controllers are of ``kinds``."""
        return self.kind in kinds and (not self.loops or loop in self.loops)


class Bundle(Strict):
    """All documents that apply to one gateway. audience: the gateway's id.

    (root_epoch, generation) only ever rises; a document absent from a newer bundle is withdrawn.
    """

    audience: str = Field(min_length=1, max_length=63)
    root_epoch: int = Field(ge=0, lt=2**63)
    generation: int = Field(ge=1, lt=2**63)
    issued_at: float = Field(default=0.0, ge=0)
    documents: tuple[dict[str, Any], ...] = Field(max_length=MAX_DOCUMENTS)


def parse_bundle(raw: Mapping[str, Any]) -> Bundle:
    """A bundle from a verified payload; raises PolicyRefused with ``bad-document``."""
    try:
        return Bundle.model_validate(raw)
    except ValidationError as error:
        raise PolicyRefused("bad-document", f"bundle: {_first(error)}") from error


def parse_document(raw: Mapping[str, Any], kinds: Mapping[str, ControllerKind]) -> PolicyDocument:
    """A document whose parameters fit its kind; raises PolicyRefused (bad-document, unknown-kind)."""
    try:
        size = len(json.dumps(raw, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise PolicyRefused("bad-document", f"not plain JSON: {error}") from error
    if size > MAX_BYTES:
        raise PolicyRefused("bad-document", f"{size} bytes; at most {MAX_BYTES} are allowed")
    try:
        document = PolicyDocument.model_validate(raw)
    except ValidationError as error:
        raise PolicyRefused("bad-document", _first(error)) from error
    kind = kinds.get(document.kind)
    if kind is None:
        raise PolicyRefused(
            "unknown-kind", f"no controller kind {document.kind!r}; known: {', '.join(sorted(kinds))}"
        )
    check_params(kind, document.params)
    return document


def check_params(kind: ControllerKind, params: Mapping[str, Any]) -> None:
    """Check each parameter by itself; raises PolicyRefused with ``bad-document`` naming the field.

    A policy gives a part of the parameters, so what must hold between them is checked where all are
    known: on the gateway, over its local default.
    """
    fields = kind.config.model_fields
    for name, value in params.items():
        if name not in fields:
            raise PolicyRefused(
                "bad-document", f"params.{name}: unknown; {kind.name} has {', '.join(sorted(fields))}"
            )
        try:
            _adapter(kind.config, name).validate_json(json.dumps(value, allow_nan=False), strict=True)
        except ValidationError as error:
            raise PolicyRefused("bad-document", f"params.{name}: {_first(error)}") from error
        except ValueError as error:
            raise PolicyRefused("bad-document", f"params.{name}: {error}") from error


@lru_cache(maxsize=1024)
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return TypeAdapter(annotation)


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    where = ".".join(map(str, one["loc"]))
    return f"{where}: {one['msg']}" if where else one["msg"]
