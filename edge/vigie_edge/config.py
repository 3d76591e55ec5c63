"""From a gateway file to what the processes run: tables, loops, outputs, hashes. Checked whole, or refused."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
from pydantic import ValidationError

from vigie_controllers.assembly import Assembly
from vigie_controllers.image import PointTable
from vigie_controllers.loops import LoopSpec, ParamError
from vigie_controllers.policy.document import CITY, Place
from vigie_controllers.registry import build_loop
from vigie_controllers.scan import ScanEngine
from vigie_edge.memory.image import layout_hash
from vigie_protocols.errors import InputError, Problem
from vigie_protocols.gateway import Configuration, Gateway, load_gateway
from vigie_protocols.points import SYSTEM_POINTS, Value
from vigie_protocols.profile import PointDecl

FIRST_DEVICE_POINT = len(SYSTEM_POINTS)
"""Place of a driver's point 0 in the image: the agent's own points come first."""


@dataclass(frozen=True)
class Plan:
    """One gateway, checked and compiled.

    assembly: the shape of its engine. layout: hash of its points, order and types included.
    configuration_hash: of gateway file, profiles and version; changes when any of them does.
    """

    configuration: Configuration
    assembly: Assembly
    layout: int
    configuration_hash: str

    @property
    def gateway(self) -> Gateway:
        """The gateway file."""
        return self.configuration.gateway

    @property
    def table(self) -> PointTable:
        """Every point of the image: the agent's own, then the devices'."""
        return self.assembly.table

    @property
    def points(self) -> tuple[PointDecl, ...]:
        """The devices' points; place in the image - FIRST_DEVICE_POINT."""
        return self.configuration.points

    @property
    def output_points(self) -> tuple[int, ...]:
        """Places in ``points`` of what may be written, in the order of output frames."""
        return self.assembly.outputs

    @property
    def outputs(self) -> tuple[PointDecl, ...]:
        """What may be written, in the order of output frames."""
        return tuple(self.points[index] for index in self.assembly.outputs)

    @property
    def expiry_s(self) -> float:
        """Seconds without a frame from control after which field writes every safe value itself."""
        return self.assembly.expiry_s

    @property
    def safe(self) -> tuple[Value, ...]:
        """What each output falls to."""
        return tuple(decl.zero if decl.safe is None else decl.safe for decl in self.outputs)

    def engine(self) -> ScanEngine:
        """A fresh scan engine."""
        return self.assembly.engine()


def load_plan(file: Path) -> Plan:
    """Everything a gateway file says, checked together; raises InputError with every problem found."""
    configuration = load_gateway(file)
    gateway = configuration.gateway
    table = PointTable.of((decl.name, decl.type) for decl in configuration.points)
    problems, specs = _check_loops(file, configuration, table)
    if problems:
        raise InputError(problems)
    try:
        assembly = Assembly.of(
            Place(gateway=gateway.gateway, district=gateway.site.district or "none", city=CITY),
            configuration.points,
            specs,
            gateway.scan_s,
            gateway.safety.expiry_s(gateway.scan_s),
            configuration.heartbeats,
        )
        assembly.engine()
    except ParamError as error:
        raise InputError(
            [Problem(str(file), f"{error.kind}.{error.field}", "", error.reason, "Correct the loop.")]
        ) from error
    except ValueError as error:
        raise InputError([Problem(str(file), "devices", "", str(error), "Correct the profile.")]) from error
    return Plan(configuration, assembly, layout_hash(table), _hash(configuration))


_PLACES = {"uplink", "journal", "runtime_dir", "state_dir"}
"""Where things stand on this machine does not change what the gateway decides."""


def _hash(configuration: Configuration) -> str:
    document = {
        "gateway": configuration.gateway.model_dump(mode="json", exclude=_PLACES),
        "profiles": {name: one.model_dump(mode="json") for name, one in configuration.profiles.items()},
        "version": version("vigie"),
    }
    return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()


def _check_loops(
    file: Path, configuration: Configuration, table: PointTable
) -> tuple[list[Problem], tuple[LoopSpec, ...]]:
    problems: list[Problem] = []
    specs: list[LoopSpec] = []
    writable = {decl.name for decl in configuration.points if decl.writable}
    for place, raw in enumerate(configuration.gateway.loops):
        where = f"loops.{place}"
        try:
            spec = LoopSpec.model_validate(raw)
        except ValidationError as error:
            problems.extend(_problems(file, where, error))
            continue
        names = [one.name for one in specs]
        if spec.name in names:
            problems.append(
                Problem(
                    str(file),
                    f"{where}.name",
                    repr(spec.name),
                    "there is another loop of this name",
                    "Rename one.",
                )
            )
        unknown = {role: name for role, name in spec.points.items() if name not in table.index}
        for role, name in unknown.items():
            problems.append(
                Problem(
                    str(file),
                    f"{where}.points.{role}",
                    repr(name),
                    "no such point",
                    "Name one as DEVICE/POINT.",
                )
            )
        if unknown:
            continue
        try:
            loop = build_loop(spec)
        except ParamError as error:
            problems.append(
                Problem(
                    str(file), f"{where} ({error.kind}).{error.field}", "", error.reason, "Correct the loop."
                )
            )
            continue
        for name in loop.domain.writes:
            if name not in writable:
                problems.append(
                    Problem(
                        str(file),
                        f"{where}.points",
                        repr(name),
                        "the loop writes it, its profile says read-only",
                        "Bind a writable point.",
                    )
                )
        specs.append(spec)
    return problems, tuple(specs)


def _problems(file: Path, where: str, error: ValidationError) -> list[Problem]:
    return [
        Problem(
            str(file),
            ".".join((where, *map(str, one["loc"]))),
            "" if one["type"] == "missing" else repr(one["input"])[:80],
            one["msg"],
            "See docs/gateway-file.md.",
        )
        for one in error.errors()
    ]
