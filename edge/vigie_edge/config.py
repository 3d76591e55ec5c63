"""From a gateway file to what the processes run: tables, loops, outputs, hashes. Checked whole, or refused."""

import hashlib
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import msgspec

import vigie_controllers
import vigie_edge
import vigie_protocols
from vigie_controllers.assembly import Assembly
from vigie_controllers.image import PointTable
from vigie_controllers.loops import ParamError
from vigie_controllers.policy.document import CITY, Place
from vigie_controllers.scan import ScanEngine
from vigie_edge.filecheck import every_problem
from vigie_edge.loopcheck import LoopCheck
from vigie_edge.memory.image import layout_hash
from vigie_edge.packages import kinds_of
from vigie_protocols.errors import InputError, Problem
from vigie_protocols.gateway import Configuration, Gateway, load_gateway
from vigie_protocols.points import SYSTEM_POINTS, Value
from vigie_protocols.profile import PointDecl
from vigie_protocols.yamlfile import read_yaml

FIRST_DEVICE_POINT = len(SYSTEM_POINTS)
"""Place of a driver's point 0 in the image: the agent's own points come first."""


@dataclass(frozen=True)
class Plan:
    """One gateway, checked and compiled.

    assembly: the shape of its engine. layout: hash of its points, order and types included.
    measured: names of the gateway's metrics that its loops' observers give. upstream, downstream: the other
    gateways whose messages its loops expect, and whom they tell.
    configuration_hash: of gateway file, profiles and version; changes when any of them does.
    """

    configuration: Configuration
    assembly: Assembly
    layout: int
    configuration_hash: str
    measured: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()

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
    try:
        return _load(file)
    except InputError as error:
        raise InputError(every_problem(file, error.problems)) from error


def _load(file: Path) -> Plan:
    configuration = load_gateway(file)
    gateway = configuration.gateway
    table = PointTable.of((decl.name, decl.type) for decl in configuration.points)
    document = read_yaml(file)
    kinds, problems = kinds_of(document, gateway.packages)
    if problems:
        raise InputError(problems)
    check = LoopCheck(document, table, configuration.points, kinds)
    problems, specs = check.run(gateway.loops)
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
            kinds,
        )
        engine = assembly.engine()
    except ParamError as error:
        number = next(place for place, spec in enumerate(specs) if spec.name == error.kind)
        raise InputError([check.wrong(specs[number], number, error)]) from error
    except ValueError as error:
        raise InputError([Problem(str(file), "devices", "", str(error), "Correct the profile.")]) from error
    measured = tuple(
        measure_metric(one.loop.name, name) for one in engine.loops for name in one.loop.domain.measured
    )
    domains = [one.loop.domain for one in engine.loops]
    own = {gateway.gateway}
    upstream = tuple(sorted({name for one in domains for name in one.sources} - own))
    downstream = tuple(sorted({name for one in domains for name in one.audience} - own))
    return Plan(
        configuration, assembly, layout_hash(table), _hash(configuration), measured, upstream, downstream
    )


def measure_metric(loop: str, name: str) -> str:
    """The gateway's metric that carries a figure of a loop's observer."""
    return f"Measures/{loop}/{name}"


def code_hash() -> str:
    """SHA-256 of the code that decides: every module of the controllers' package, by name and content."""
    return _code(vigie_controllers)


def _code(*packages: ModuleType) -> str:
    digest = hashlib.sha256()
    for package in packages:
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def terms(configuration: Configuration, *more: object) -> str:
    """SHA-256 of all that a process of the agent is started with: files whole, code whole, and ``more``.

    A process with other terms is not ours to keep: it is ended and started anew.
    """
    document = {
        "gateway": configuration.gateway.model_dump(mode="json"),
        "profiles": {name: one.model_dump(mode="json") for name, one in configuration.profiles.items()},
        "code": _code(vigie_edge, vigie_controllers, vigie_protocols),
        "python": sys.version,
        "more": [str(one) for one in more],
    }
    return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()


_PLACES = {"uplink", "journal", "runtime_dir", "state_dir"}
"""Where things stand on this machine does not change what the gateway decides."""


def _hash(configuration: Configuration) -> str:
    document = {
        "gateway": configuration.gateway.model_dump(mode="json", exclude=_PLACES),
        "profiles": {name: one.model_dump(mode="json") for name, one in configuration.profiles.items()},
        "version": version("vigie"),
    }
    return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()
