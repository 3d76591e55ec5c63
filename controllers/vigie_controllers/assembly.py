"""From declared points and loops to a scan engine: the agent and the in-process simulator both use this."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vigie_controllers.alarms import AlarmRule, Severity
from vigie_controllers.gate import OutputSpec
from vigie_controllers.image import PointTable
from vigie_controllers.loops import ControllerKind, LoopSpec
from vigie_controllers.policy.document import Place
from vigie_controllers.registry import KINDS, build_loop
from vigie_controllers.scan import ScanEngine
from vigie_protocols.points import ZERO, Value, ValueType


class AlarmFacts(Protocol):
    """When a point is in alarm, as a profile declares it."""

    @property
    def severity(self) -> Severity: ...  # noqa: D102
    @property
    def when(self) -> bool | int | None: ...  # noqa: D102
    @property
    def above(self) -> float | None: ...  # noqa: D102
    @property
    def below(self) -> float | None: ...  # noqa: D102
    @property
    def delay_s(self) -> float: ...  # noqa: D102
    @property
    def deadband(self) -> float: ...  # noqa: D102


class PointFacts(Protocol):
    """What must be known of a declared point; a profile's declarations have it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> ValueType: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def writable(self) -> bool: ...  # noqa: D102
    @property
    def safe(self) -> Value | None: ...  # noqa: D102
    @property
    def read_back(self) -> str | None: ...  # noqa: D102
    @property
    def read_back_within(self) -> float: ...  # noqa: D102
    @property
    def read_back_after_s(self) -> float: ...  # noqa: D102
    @property
    def max_change_per_s(self) -> float | None: ...  # noqa: D102
    @property
    def urgent(self) -> bool: ...  # noqa: D102
    @property
    def alarm(self) -> "AlarmFacts | None": ...  # noqa: D102


@dataclass(frozen=True)
class Assembly:
    """The fixed shape of a gateway: which points stand where, which of them are written.

    outputs: places in ``points`` of what may be written, in the order of output frames. kinds: of controllers,
    those of other packages included.
    """

    place: Place
    points: tuple[PointFacts, ...]
    specs: tuple[LoopSpec, ...]
    scan_s: float
    expiry_s: float
    table: PointTable
    outputs: tuple[int, ...]
    kinds: Mapping[str, ControllerKind] = field(default_factory=lambda: KINDS)

    @classmethod
    def of(
        cls,
        place: Place,
        points: Sequence[PointFacts],
        specs: Sequence[LoopSpec],
        scan_s: float,
        expiry_s: float,
        heartbeats: Collection[str] = (),
        kinds: Mapping[str, ControllerKind] = KINDS,
    ) -> "Assembly":
        """The shape of a gateway. heartbeats: watchdog points, which field beats unless a loop drives them.

        Raises ParamError when a loop is wrong, ValueError when a point is declared twice.
        """
        driven = {name for spec in specs for name in build_loop(spec, kinds).domain.writes}
        outputs = tuple(
            index
            for index, point in enumerate(points)
            if point.writable and (point.name not in heartbeats or point.name in driven)
        )
        table = PointTable.of((point.name, point.type) for point in points)
        return cls(place, tuple(points), tuple(specs), scan_s, expiry_s, table, outputs, kinds)

    def engine(self) -> ScanEngine:
        """A fresh engine; every one built from the same assembly decides the same."""
        return ScanEngine(
            self.place,
            self.kinds,
            self.table,
            [build_loop(spec, self.kinds) for spec in self.specs],
            [output_spec(self.points[index]) for index in self.outputs],
            self.scan_s,
            self.expiry_s,
            [
                AlarmRule(
                    point.name,
                    self.table.index[point.name],
                    told.severity,
                    told.when,
                    told.above,
                    told.below,
                    told.delay_s,
                    told.deadband,
                    point.unit,
                )
                for point in self.points
                if (told := point.alarm) is not None
            ],
            {point.name for point in self.points if point.urgent},
        )


def output_spec(point: PointFacts) -> OutputSpec:
    """What the write gate must know of a writable point."""
    return OutputSpec(
        name=point.name,
        type=point.type,
        low=None if math.isinf(point.low) else point.low,
        high=None if math.isinf(point.high) else point.high,
        safe=ZERO[point.type] if point.safe is None else point.safe,
        rate_per_s=point.max_change_per_s,
        readback=point.read_back,
        tolerance=point.read_back_within,
        settle_s=point.read_back_after_s,
    )
