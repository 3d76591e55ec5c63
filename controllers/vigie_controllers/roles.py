"""Roles: the domain's words for points, bound to point names by the gateway file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigie_protocols.points import ValueType


@dataclass(frozen=True, slots=True)
class Role:
    """One word of a domain, such as ``pump.1.run``.

    type: what a point bound to it must carry; write: the loop writes it; required: a gateway file must
    bind it.
    """

    name: str
    type: ValueType
    write: bool = False
    required: bool = False


@dataclass(frozen=True)
class Binding:
    """Roles of one loop with the points they stand for, in a fixed order."""

    read_roles: tuple[str, ...]
    reads: tuple[str, ...]
    write_roles: tuple[str, ...]
    writes: tuple[str, ...]


def bind(roles: Sequence[Role], points: Mapping[str, str]) -> Binding:
    """Bind ``points`` (role -> point name) to ``roles``.

    Raises ValueError, with the wrong field first, for an unknown role, a missing one and a point that is
    written twice.
    """
    known = {role.name for role in roles}
    for name in points:
        if name not in known:
            raise ValueError(f"points.{name}: unknown role; known here: {', '.join(sorted(known))}")
    for role in roles:
        if role.required and role.name not in points:
            raise ValueError(f"points.{role.name}: this role must be bound to a point")
    reads = [role.name for role in roles if not role.write and role.name in points]
    writes = [role.name for role in roles if role.write and role.name in points]
    written: dict[str, str] = {}
    for name in writes:
        other = written.setdefault(points[name], name)
        if other != name:
            raise ValueError(f"points.{name}: {points[name]} is already written as {other}")
    return Binding(
        tuple(reads),
        tuple(points[name] for name in reads),
        tuple(writes),
        tuple(points[name] for name in writes),
    )
