"""Controllers of other packages: admitted as kinds of their own, and held to the contract in every scan.

What such a controller says is checked before anything of ours sees it: only its own domain's words, whole and
finite, nothing that is the guard's or a lease's to say. Whatever breaks in it is a fault of that controller
alone, and the next in the list speaks. It sees the site and never the guard.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from vigie_controllers.contract import Controller, State
from vigie_controllers.loops import ControllerKind, Domain, Strict
from vigie_controllers.registry import DOMAINS, KINDS

MOST_WORDS = 4000
"""Characters of all decisions of one scan: what is said goes through a ring of bounded size."""
MOST_STATE = 64 << 10
"""Bytes of a snapshot as JSON: those of all loops share one slot."""
MOST_FAULT = 300
"""Characters of what broke: it is kept in snapshots and said when it begins."""
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a controller of another package is built from: copies of what the guard goes by.

    site: the loop's physical facts and limits, as the domain's model. plan: of a junction, its compiled plan.
    """

    site: Any
    plan: Any = None


def admit(name: str, thing: object, others: Mapping[str, ControllerKind] = KINDS) -> ControllerKind:
    """A kind that an entry point ``name`` brought; raises ValueError with the reason when it may not come in.

    others: the kinds that are there already, none of which it may replace.
    """
    if not isinstance(thing, ControllerKind):
        raise ValueError(f"is a {type(thing).__name__}, not a ControllerKind")
    if thing.name != name:
        raise ValueError(f"the kind calls itself {thing.name!r}")
    if name in KINDS:
        raise ValueError("is a built-in kind, which nothing replaces")
    if name in others:
        raise ValueError("another package brings a kind of this name")
    if thing.domain not in DOMAINS or not name.startswith(f"{thing.domain}."):
        raise ValueError(f"begins with none of the domains {', '.join(DOMAINS)}, or not with its own")
    if not (isinstance(thing.config, type) and issubclass(thing.config, Strict)):
        raise ValueError("its config is no model on vigie_controllers.loops.Strict")
    if not callable(thing.build):
        raise ValueError("its build cannot be called")
    return ControllerKind(
        name, thing.domain, thing.config, lambda config, domain: _build(thing, config, domain)
    )


class Offered(Protocol):
    """An entry point's name and what it brought."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def thing(self) -> object: ...  # noqa: D102


Offer = TypeVar("Offer", bound=Offered)


def admit_all(offered: Iterable[Offer]) -> tuple[dict[str, ControllerKind], list[tuple[Offer, str]]]:
    """The built-in kinds and all that may come in beside them; what may not, with the reason."""
    kinds = dict(KINDS)
    refused = []
    for one in offered:
        try:
            kinds[one.name] = admit(one.name, one.thing, kinds)
        except ValueError as error:
            refused.append((one, str(error)))
    return kinds, refused


def _build(kind: ControllerKind, config: Any, domain: Domain[Any, Any]) -> "Boxed":
    # Copies: whatever it does to them, the guard's own stay as they are.
    site, plan = copy.deepcopy((getattr(domain, "site", None), getattr(domain.guard, "plan", None)))
    facts = Surroundings(site, plan)
    try:
        controller = kind.build(config, facts)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"params: cannot be built: {_told(error)}") from error
    for word in ("step", "snapshot", "restore"):
        if not callable(getattr(controller, word, None)):
            raise ValueError(f"params: {type(controller).__name__} is not a Controller: it has no {word}")
    boxed = Boxed(kind.name, controller, domain)
    if "fault" in (state := boxed.snapshot()):
        raise ValueError(f"params: {state['fault']}")
    return boxed


class Boxed:
    """A foreign controller in a box: the contract's three calls, each checked on its way out."""

    def __init__(self, kind: str, controller: Controller[Any, Any], domain: Domain[Any, Any]) -> None:
        self._kind = kind
        self._inner = controller
        self._domain = domain
        self._silent = domain.failsafe()
        self._words = _checker(type(self._silent))
        self._reserved = {
            one.name: one.default for one in fields(self._silent) if one.name in domain.reserved
        }
        self.leans = str(getattr(controller, "leans", ""))

    def step(self, now: float, inputs: Any) -> Any:
        """What it wants, or None; raises ValueError when that is not the domain's words, whole and finite."""
        try:
            wanted = self._inner.step(now, inputs)
        except Exception as error:
            raise ValueError(_told(error)) from error
        if wanted is None:
            return None
        try:
            self._words(wanted=wanted)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg']}") from None
        for name, default in self._reserved.items():
            if getattr(wanted, name) != default:
                raise ValueError(f"{name} is not a controller's to say")
        said = wanted.decisions
        if any(one.source != self._kind for one in said):
            raise ValueError("a decision in another's name")
        words = sum(len(one.source) + len(one.subject) + len(one.what) + len(one.reason) for one in said)
        if words > MOST_WORDS:
            raise ValueError(f"decisions of more than {MOST_WORDS} characters in one scan")
        self._domain.merge(wanted, self._silent)  # rows of another length raise here, and not in the guard
        return wanted

    def snapshot(self) -> State:
        """Its state, or in its place what broke: such a snapshot restores nothing."""
        try:
            state = self._inner.snapshot()
        except Exception as error:  # noqa: BLE001 - a snapshot is taken between scans, which go on
            return {"fault": f"snapshot: {_told(error)}"}
        if not isinstance(state, dict) or not _plain(state):
            return {"fault": "snapshot: not plain JSON values in a dict"}
        if len(json.dumps(state)) > MOST_STATE:
            return {"fault": f"snapshot: larger than {MOST_STATE} bytes"}
        return {"state": state}

    def restore(self, state: State) -> None:
        """Take up a snapshot; raises ValueError or KeyError when it is none."""
        inner = state["state"]
        try:
            self._inner.restore(inner)
        except Exception as error:
            raise ValueError(f"{self._kind}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """What broke, in few words; an error that cannot even be told costs nothing either."""
    try:
        return f"{type(error).__name__}: {error}"[:MOST_FAULT]
    except Exception:  # noqa: BLE001 - its text is foreign code, too
        return type(error).__name__[:MOST_FAULT]


def _checker(words: type) -> type[BaseModel]:
    """A model that takes an exact ``words`` or raises ValidationError: strict types, no NaN, nested too."""
    config = ConfigDict(strict=True, revalidate_instances="always", allow_inf_nan=False)
    made: type[BaseModel] = create_model("Words", __config__=config, wanted=(words, ...))
    return made


def _plain(value: object, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(one, depth + 1) for key, one in value.items())
    if isinstance(value, list):
        return all(_plain(one, depth + 1) for one in value)
    return value is None or isinstance(value, str | int | float)
