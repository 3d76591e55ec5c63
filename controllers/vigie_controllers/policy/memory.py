"""What a gateway keeps of its policies, and how that survives a restart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vigie_controllers.contract import State
from vigie_controllers.loops import ControllerKind
from vigie_controllers.policy.document import Code, PolicyDocument, PolicyRefused, parse_document


@dataclass(slots=True)
class Held:
    """A document as the gateway holds it."""

    document: PolicyDocument
    raw: dict[str, Any]
    began: float | None = None
    ended: str = ""
    refused: tuple[Code, str] | None = None
    confirmed: bool = False


@dataclass(slots=True)
class Floor:
    """What the newest accepted bundle was: nothing older is taken."""

    root_epoch: int = -1
    generation: int = 0
    digest: str = ""


@dataclass(slots=True)
class Row:
    """A refused document that is not held, for the report."""

    id: str
    version: int
    code: Code
    reason: str


@dataclass(slots=True)
class Memory:
    """Everything; ``last`` is the monotonic instant all others are to be read against."""

    floor: Floor = field(default_factory=Floor)
    held: dict[str, Held] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    refused: dict[str, Any] | None = None
    in_force: frozenset[str] = frozenset()
    last: float | None = None

    def snapshot(self) -> State:
        """All of it, plain JSON."""
        return {
            "root_epoch": self.floor.root_epoch,
            "generation": self.floor.generation,
            "digest": self.floor.digest,
            "held": [
                {
                    "raw": one.raw,
                    "began": one.began,
                    "ended": one.ended,
                    "refused": None if one.refused is None else list(one.refused),
                    "confirmed": one.confirmed,
                }
                for one in self.held.values()
            ],
            "rows": [[row.id, row.version, row.code, row.reason] for row in self.rows],
            "refused": self.refused,
            "in_force": sorted(self.in_force),
            "last": self.last,
        }

    @classmethod
    def from_snapshot(cls, state: State, kinds: Mapping[str, ControllerKind]) -> "Memory":
        """What ``snapshot`` gave; a document that is no longer understood becomes a refused row."""
        memory = cls(Floor(state["root_epoch"], state["generation"], state["digest"]))
        memory.rows = [Row(*row) for row in state["rows"]]
        memory.refused, memory.last = state["refused"], state["last"]
        for row in state["held"]:
            raw = row["raw"]
            try:
                document = parse_document(raw, kinds)
            except PolicyRefused as error:
                memory.rows.append(
                    Row(str(raw.get("id", "")), raw.get("version", 0), error.code, error.reason)
                )
                continue
            refused = None if row["refused"] is None else (row["refused"][0], row["refused"][1])
            memory.held[document.key] = Held(
                document, raw, row["began"], row["ended"], refused, row["confirmed"]
            )
        memory.in_force = frozenset(key for key in state["in_force"] if key in memory.held)
        return memory
