"""Device profiles: what points a kind of device has, and where each stands in its protocol.

A profile is data (YAML). ``PointSpec`` is one line of it; ``expand`` turns the lines, with their
``repeat``, into ``PointDecl``, one per point, which is what drivers, image and simulator work with.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vigie_protocols.addresses import Address, ModbusAddress, MqttAddress, OpcUaAddress
from vigie_protocols.limits import Limits, unreachable
from vigie_protocols.points import ZERO, Value, ValueType
from vigie_protocols.strict import Strict
from vigie_protocols.yamlfile import load_model, wrong

Protocol = Literal["opcua", "modbus", "mqtt"]
DEVICE_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
POINT_NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"


class Text(Strict):
    """What people read: French first. A single string stands for both languages."""

    fr: str
    en: str


def _both(value: Any) -> Any:
    return {"fr": value, "en": value} if isinstance(value, str) else value


BothLanguages = Annotated[Text, BeforeValidator(_both)]


class Publish(Strict):
    """When a point's change is worth a telemetry sample (never what is journalled for replay).

    deadband: absolute change in the point's unit; percent: change relative to the last published value;
    0 for both publishes every change. max_interval_s: at the latest then, changed or not.
    """

    deadband: float = Field(default=0.0, ge=0)
    percent: float = Field(default=0.0, ge=0, le=100)
    max_interval_s: float = Field(default=300.0, gt=0)


class Alarm(Strict):
    """When somebody should know: the point is ``when`` (bool or enum), above ``above`` or below ``below``.

    delay_s: it must stand so long. deadband: a number must come back so far before the alarm clears.
    title: what people read when it stands; without one the point's own title. May contain {i}.
    """

    title: BothLanguages | None = None
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    when: bool | int | None = None
    above: float | None = None
    below: float | None = None
    delay_s: float = Field(default=0.0, ge=0, le=86400)
    deadband: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
        limits = self.above is not None or self.below is not None
        if (self.when is None) != limits:
            raise wrong("give either when, or above and/or below", "Say when it is an alarm.")
        return self


class Watchdog(Strict):
    """The device's own fail-safe: a point that must change within ``timeout_s``, or why there is none.

    The agent writes ``point`` every ``period_s`` (default: a quarter of the timeout): a counter goes up
    by one and wraps at the end of its range, a boolean toggles.
    """

    point: str | None = None
    timeout_s: float = Field(default=10.0, gt=0)
    period_s: float | None = Field(default=None, gt=0)
    none: str | None = Field(default=None, description="Why this device has no watchdog")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.point is None) == (self.none is None):
            raise wrong("name a point, or say why there is none", "Write point: NAME or none: REASON.")
        if self.every_s > self.timeout_s / 2:
            raise wrong("fewer than two beats within the timeout", "Shorten it, or leave it out.", "period_s")
        return self

    @property
    def every_s(self) -> float:
        """Seconds between two writes of the heartbeat."""
        return self.period_s or self.timeout_s / 4


class Liveness(Strict):
    """An MQTT device's own word on whether it lives: retained birth and last will on one topic."""

    topic: str
    alive: str = "online"
    dead: str = "offline"


class MqttOptions(Strict):
    """How an MQTT device speaks. Topics are relative to the device's ``prefix``.

    stamp: name of the top-level field of a JSON message that carries its instant, in UTC seconds.
    """

    qos: Literal[0, 1, 2] = 1
    stamp: str = "ts"
    liveness: Liveness | None = None


class PointSpec(Strict):
    """One line of a profile: a point, or with ``repeat: N`` a row of them (``{i}`` counts from ``first``).

    type, unit, range: of the value after scaling. safe: what is written when control falls silent.
    stale_s: age beyond which a reading no longer counts (default: three polls, at least 2 s).
    rate_s: seconds between polls. urgent: a change wakes the control process at once.
    latch: a boolean's true is held until one scan has seen it. edges: also count its rising edges in a
    point ``NAME.edges``. counter: the uint point in which the device counts those edges itself: ``NAME.edges``
    then follows it, and the boolean may be polled slowly. read_back: the point that shows what a written one came
    to. max_writes_per_s: how often the device bears being written. max_change_per_s: how fast a float may change,
    in its unit. read_back_within, read_back_after_s: how far and how long what is shown may be from what was written.
    """

    name: str
    type: ValueType
    title: BothLanguages | None = None
    unit: str = ""
    range: tuple[float, float] | None = None
    writable: bool = False
    safe: bool | int | float | str | None = None
    rate_s: float = Field(default=1.0, gt=0, le=3600)
    stale_s: float | None = Field(default=None, gt=0)
    urgent: bool = False
    latch: bool = False
    edges: bool = False
    counter: str | None = None
    labels: dict[int, BothLanguages] = Field(default_factory=dict)
    publish: Publish | Literal[False] = Publish()
    alarm: Alarm | None = None
    read_back: str | None = None
    read_back_within: float = Field(default=0.0, ge=0)
    read_back_after_s: float = Field(default=5.0, gt=0, le=3600)
    max_writes_per_s: float | None = Field(default=None, gt=0)
    max_change_per_s: float | None = Field(default=None, gt=0)
    repeat: int | None = Field(default=None, ge=1, le=10000)
    first: int = 1
    opcua: OpcUaAddress | None = None
    modbus: ModbusAddress | None = None
    mqtt: MqttAddress | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.range is not None and self.range[0] > self.range[1]:
            raise wrong("the low end is above the high end", "Write [low, high].", "range")
        if self.type is ValueType.ENUM and not self.labels:
            raise wrong("an enumeration without labels", "Add labels: {0: ..., 1: ...}.", "labels")
        if (self.latch or self.edges) and self.type is not ValueType.BOOL:
            raise wrong(
                "only a bool can latch or count edges", "Remove it.", "latch" if self.latch else "edges"
            )
        if self.counter is not None and not self.edges:
            raise wrong("the device's own counter without edges", "Add edges: true.", "counter")
        if self.writable and self.safe is None:
            raise wrong(
                "writable without a safe value", "Add safe: the value when control is silent.", "safe"
            )
        if self.max_change_per_s is not None and not (self.writable and self.type is ValueType.FLOAT):
            raise wrong("only a writable float has a fastest change", "Remove it.", "max_change_per_s")
        if self.safe is not None:
            self._check_safe()
        if (self.repeat is not None) != ("{i}" in self.name):
            raise wrong(
                "{i} in the name goes with repeat and only with it", "For example lamp.{i}.level.", "name"
            )
        if not re.match(POINT_NAME, self.name.replace("{i}", "1")):
            raise wrong(
                "not a point name", "Take small letters, digits, dots, dashes and underscores.", "name"
            )
        return self

    def _check_safe(self) -> None:
        fault = fits(self.type, self.safe, self.range, self.labels)
        if fault:
            raise wrong(f"the safe value {fault}", "Give a value of the point's type and range.", "safe")


@dataclass(frozen=True, slots=True)
class PointDecl:
    """One point of one device, all defaults filled in.

    name: ``device/point`` (the bare point name when a profile is expanded without a device).
    low, high: the range, infinite where none is declared; for enumerations the labels bound the value.
    counts: the name of the boolean point whose rising edges this one counts, or of the device's own counter that it
    follows; such a point has no address.
    """

    name: str
    device: str
    point: str
    type: ValueType
    address: Address | None
    title: Text | None = None
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    writable: bool = False
    safe: Value | None = None
    rate_s: float = 1.0
    stale_s: float = 3.0
    urgent: bool = False
    latch: bool = False
    labels: tuple[tuple[int, Text], ...] = ()
    publish: Publish | None = None
    read_back: str | None = None
    read_back_within: float = 0.0
    read_back_after_s: float = 5.0
    max_writes_per_s: float | None = None
    max_change_per_s: float | None = None
    alarm: Alarm | None = None
    counts: str | None = None

    @property
    def zero(self) -> Value:
        """The value that stands in the place of one never read."""
        return ZERO[self.type]

    def refuses(self, value: Value) -> str | None:
        """Why ``value`` may not be written to this point, or None."""
        if not self.writable:
            return "is read-only"
        limits = None if self.low == -math.inf and self.high == math.inf else (self.low, self.high)
        return fits(self.type, value, limits, dict(self.labels))


def fits(
    kind: ValueType, value: object, limits: tuple[float, float] | None, labels: dict[int, Text]
) -> str | None:
    """Why ``value`` is not one of this type, range and labels, or None when it is."""
    if kind is ValueType.BOOL:
        return None if isinstance(value, bool) else f"{value!r} is not true or false"
    if kind is ValueType.STRING:
        return None if isinstance(value, str) else f"{value!r} is not text"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r} is not a number"
    if kind is not ValueType.FLOAT and not isinstance(value, int):
        return f"{value!r} is not a whole number"
    if not math.isfinite(value):
        return f"{value!r} is not finite"
    if kind is ValueType.UINT and value < 0:
        return f"{value!r} is negative"
    if kind is ValueType.ENUM and labels and value not in labels:
        return f"{value!r} is none of {sorted(labels)}"
    if limits is not None and not limits[0] <= value <= limits[1]:
        return f"{value!r} is outside {limits[0]:g} to {limits[1]:g}"
    return None


class Profile(Strict):
    """A kind of device: its points, their addresses, its watchdog and its limits."""

    profile: str = Field(pattern=DEVICE_NAME)
    title: BothLanguages
    protocol: Protocol
    domain: str = Field(description="signal, water, lighting, energy or general")
    watchdog: Watchdog | None = None
    limits: Limits = Limits()
    mqtt: MqttOptions = MqttOptions()
    points: tuple[PointSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for place, spec in enumerate(self.points):
            address = getattr(spec, self.protocol)
            if address is None:
                raise wrong(f"no {self.protocol} address", f"Add {self.protocol}: {{...}}.", "points", place)
            fault = address.unfit(spec.type, spec.writable)
            if isinstance(address, ModbusAddress):
                for step in range(spec.repeat or 1):
                    here = address.at(step, spec.first + step)
                    fault = fault or unreachable(here, spec.writable, self.limits)
            if fault:
                raise wrong(fault, "Correct address or type.", "points", place, self.protocol)
        names: dict[str, PointDecl] = {}
        for place, spec in enumerate(self.points):
            for decl in _expand_one(spec, self.protocol, ""):
                if decl.name in names:
                    raise wrong(
                        f"point {decl.name!r} is declared twice", "Rename one.", "points", place, "name"
                    )
                names[decl.name] = decl
        followed: set[str] = set()
        for place, spec in enumerate(self.points):
            for number in range(spec.first, spec.first + (spec.repeat or 1)):
                if spec.read_back is not None:
                    shown = spec.read_back.replace("{i}", str(number))
                    if shown not in names:
                        raise wrong(
                            f"no point {shown!r}", "Name a point of here.", "points", place, "read_back"
                        )
                if spec.counter is not None:
                    counted = spec.counter.replace("{i}", str(number))
                    counter, at = names.get(counted), ("points", place, "counter")
                    if counter is None or counter.type is not ValueType.UINT or counter.counts is not None:
                        raise wrong(f"no uint point {counted!r}", "Name the device's counter.", *at)
                    if counted in followed:
                        raise wrong(
                            f"{counted!r} is followed twice", "Give each point a counter of its own.", *at
                        )
                    followed.add(counted)
        self._check_watchdog(names)
        return self

    def _check_watchdog(self, names: dict[str, PointDecl]) -> None:
        if self.watchdog is None:
            if any(spec.writable for spec in self.points):
                raise wrong("missing although points are writable", "Name it, or none: REASON.", "watchdog")
            return
        if self.watchdog.point is not None:
            decl = names.get(self.watchdog.point)
            if decl is None or not decl.writable or decl.type not in (ValueType.BOOL, ValueType.UINT):
                raise wrong(
                    "not a writable bool or uint point", "Name the heartbeat point.", "watchdog", "point"
                )

    def expand(self, device: str = "") -> list[PointDecl]:
        """Every point of a device of this kind, in the order of the file; edge counters at the end."""
        decls = [decl for spec in self.points for decl in _expand_one(spec, self.protocol, device)]
        counters = [decl for decl in decls if decl.counts is not None]
        return [decl for decl in decls if decl.counts is None] + counters


def _expand_one(spec: PointSpec, protocol: str, device: str) -> list[PointDecl]:
    address: OpcUaAddress | ModbusAddress | MqttAddress = getattr(spec, protocol)
    start = f"{device}/" if device else ""
    low, high = spec.range if spec.range is not None else (-math.inf, math.inf)
    decls = []
    for step in range(spec.repeat or 1):
        number = spec.first + step
        point = spec.name.replace("{i}", str(number))
        common = PointDecl(
            name=start + point,
            device=device,
            point=point,
            type=spec.type,
            address=address.at(step, number),
            title=_numbered(spec.title, number),
            unit=spec.unit,
            low=low,
            high=high,
            writable=spec.writable,
            safe=float(spec.safe) if spec.type is ValueType.FLOAT and spec.safe is not None else spec.safe,
            rate_s=spec.rate_s,
            stale_s=spec.stale_s or max(2.0, 3 * spec.rate_s),
            urgent=spec.urgent,
            latch=spec.latch,
            labels=tuple(sorted(spec.labels.items())),
            publish=spec.publish or None,
            read_back=None if spec.read_back is None else start + spec.read_back.replace("{i}", str(number)),
            read_back_within=spec.read_back_within,
            read_back_after_s=spec.read_back_after_s,
            max_writes_per_s=spec.max_writes_per_s,
            max_change_per_s=spec.max_change_per_s,
            alarm=_alarm(spec.alarm, number),
        )
        decls.append(common)
        if spec.edges:
            decls.append(
                PointDecl(
                    name=f"{common.name}.edges",
                    device=device,
                    point=f"{point}.edges",
                    type=ValueType.UINT,
                    address=None,
                    rate_s=common.rate_s,
                    stale_s=common.stale_s,
                    publish=common.publish,
                    counts=common.name
                    if spec.counter is None
                    else start + spec.counter.replace("{i}", str(number)),
                )
            )
    return decls


def _numbered(title: Text | None, number: int) -> Text | None:
    if title is None or "{i}" not in title.fr + title.en:
        return title
    return Text(fr=title.fr.replace("{i}", str(number)), en=title.en.replace("{i}", str(number)))


def _alarm(alarm: Alarm | None, number: int) -> Alarm | None:
    return None if alarm is None else alarm.model_copy(update={"title": _numbered(alarm.title, number)})


def load_profile(path: Path) -> Profile:
    """A profile from its file; raises InputError with every problem found."""
    return load_model(path, Profile)


def expand_all(profiles: Sequence[tuple[str, Profile]]) -> list[PointDecl]:
    """The points of several (device, profile), in order."""
    return [decl for device, profile in profiles for decl in profile.expand(device)]
