"""Does a gateway file forbid all that the network forbids?"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from vigie_controllers.signals.bounds import preemption_bounds
from vigie_controllers.signals.checks import check_site
from vigie_controllers.signals.site import SignalSite
from vigie_protocols.errors import InputError, Problem
from vigie_protocols.gateway import load_gateway
from vigie_sim.traffic.derive import Junction
from vigie_sim.traffic.matrix import show_matrix


def matrix_text(junction: Junction) -> str:
    """Channels, phases and the conflict matrix of one junction, to be read by people."""
    groups = junction.head.groups
    lines = [f"{junction.signal}  ({junction.device})"]
    for group, channel in zip(groups, junction.site.channels, strict=True):
        kind = "pedestrians over" if group.pedestrian else "from"
        gives_way = f", gives way in {_numbers(channel.permissive)}" if channel.permissive else ""
        links = _numbers(group.links)
        lines.append(
            f"  {group.id:<4} {kind} {group.approach}: phases {_numbers(channel.phases)}{gives_way}, links {links}"
        )
    names = tuple(group.id for group in groups)
    lines.append(
        show_matrix(
            names,
            frozenset((names[i], names[j]) for i, j in junction.head.conflicts),
            frozenset((names[i], names[j]) for i, j in junction.head.permitted),
        )
    )
    lines.append("X: never together   y: together, one gives way   .: free")
    lines.extend(f"note: {warning}" for warning in junction.warnings)
    return "\n".join(lines)


def _numbers(row: Sequence[int]) -> str:
    return ",".join(map(str, row))


def check_gateway(junctions: Sequence[Junction], file: Path) -> list[str]:
    """Compare a gateway file's conflicts with the network's.

    Returns what the file forbids beyond the network (lawful, said for information), and how soon its
    pre-emptions come. Raises InputError for every conflict that the file lacks, every loop that fits no
    junction, and every site that is none.
    """
    configuration = load_gateway(file)
    by_name = {junction.name: junction for junction in junctions}
    problems: list[Problem] = []
    notes: list[str] = []
    for place, loop in enumerate(configuration.gateway.loops):
        if loop.get("domain") != "signal":
            continue
        where = f"loops.{place}"
        junction = by_name.get(str(loop.get("name")))
        if junction is None:
            known = ", ".join(by_name)
            problems.append(
                Problem(str(file), f"{where}.name", repr(loop.get("name")), "no such signal in the network",
                        f"Use one of {known}.")
            )  # fmt: skip
            continue
        try:
            site = SignalSite.model_validate(loop.get("site"))
            check_site(site)
        except ValueError as error:  # pydantic's own is one
            problems += _wrong_site(str(file), where, error)
            continue
        notes.extend(
            f"{junction.name}: pre-emption {one.id}: phases {one.phases} are green within {one.seconds:.1f} s of its "
            "call"
            for one in preemption_bounds(site, float(loop.get("period_s", 0.0)))
        )
        wanted = {frozenset(pair) for pair in junction.site.conflicts}
        found = {frozenset(pair) for pair in site.conflicts}
        for pair in sorted(map(sorted, wanted - found)):
            problems.append(
                Problem(str(file), f"{where}.site.conflicts", "", f"{pair[0]} and {pair[1]} meet in the network "
                        "and may not be open together", f"Add [{pair[0]}, {pair[1]}].")
            )  # fmt: skip
        notes.extend(
            f"{junction.name}: {' and '.join(sorted(pair))} forbidden beyond the network"
            for pair in found - wanted
        )
    if problems:
        raise InputError(problems)
    return sorted(notes)


def _wrong_site(file: str, where: str, error: ValueError) -> list[Problem]:
    """What makes a site none, field by field; the remedy is what stands behind a semicolon, if anything."""
    if isinstance(error, ValidationError):
        return [
            Problem(file, ".".join((f"{where}.site", *map(str, one["loc"]))), repr(one["input"])[:80], one["msg"],
                    "Correct the value.")
            for one in error.errors()
        ]  # fmt: skip
    field, _, rest = str(error).partition(": ")
    reason, _, advice = rest.partition("; ")
    remedy = f"{advice[:1].upper()}{advice[1:]}." if advice else "Correct the value."
    return [Problem(file, f"{where}.{field}", "", reason, remedy)]
