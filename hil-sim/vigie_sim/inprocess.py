"""A run without sockets: the same scan engine, gate and profile codecs as the agents, in this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vigie_controllers.assembly import Assembly
from vigie_controllers.foreign import admit_all
from vigie_controllers.image import Image
from vigie_controllers.loops import ControllerKind, LoopSpec
from vigie_controllers.policy.document import CITY, Place
from vigie_protocols.errors import input_error
from vigie_protocols.gateway import Configuration, load_gateway
from vigie_protocols.packages import offers
from vigie_protocols.points import CLOCK_TRUST, CLOCK_UTC, ClockTrust, Quality, Reading, Value, ValueType
from vigie_protocols.telling import Telling
from vigie_sim.rig import Rig
from vigie_sim.scenario import World


@dataclass
class _Beat:
    index: int
    every_s: float
    toggles: bool
    next_at: float = float("-inf")
    count: int = 0


@dataclass
class InProcessGateway:
    """One gateway's engine on the rigs of its devices."""

    configuration: Configuration
    rigs: dict[str, Rig]
    interventions: int = 0
    scans: int = 0
    said: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """What this tick's scans said: (the neighbour's gateway, message), for the next tick."""

    def __post_init__(self) -> None:
        gateway = self.configuration.gateway
        points = self.configuration.points
        self.assembly = Assembly.of(
            Place(gateway=gateway.gateway, district=gateway.site.district or "none", city=CITY),
            points,
            _specs(self.configuration),
            gateway.scan_s,
            gateway.safety.expiry_s(gateway.scan_s),
            self.configuration.heartbeats,
            _kinds(self.configuration),
        )
        self.engine = self.assembly.engine()
        self._telling = Telling([points[index] for index in self.assembly.outputs])
        self._outputs = [(points[index].device, points[index].point) for index in self.assembly.outputs]
        driven = {points[index].name for index in self.assembly.outputs}
        self._beats = []
        for device in gateway.devices:
            watchdog = self.configuration.profiles[device.profile].watchdog
            name = f"{device.name}/{watchdog.point}" if watchdog and watchdog.point else ""
            if watchdog is not None and name and name not in driven:
                index = next(place for place, decl in enumerate(points) if decl.name == name)
                self._beats.append(_Beat(index, watchdog.every_s, points[index].type is ValueType.BOOL))

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.configuration.gateway.gateway

    def tick(self, number: int, now: float, utc: float, step_s: float) -> None:
        """Read every device, run the scans of the tick, write what changed, as an agent in lock-step does."""
        image = self._image(number, now, utc)
        base = self.assembly.scan_s
        for turn in range(max(1, round(step_s / base))):
            shift = turn * base
            outcome = self.engine.scan(now + shift, utc + shift, ClockTrust.SYNCED, image)
            self.interventions += len(outcome.interventions)
            for loop, message in outcome.said:
                self.said += [(name, message) for name in self.engine.audience(loop) if name != self.name]
            self.scans += 1
            self._write(now + round(shift, 6), outcome.values)
        points = self.configuration.points
        for beat in self._beats:
            if now >= beat.next_at:
                beat.next_at = now + beat.every_s
                beat.count = (beat.count + 1) & 0xFFFF
                decl = points[beat.index]
                value: Value = bool(beat.count & 1) if beat.toggles else beat.count
                self.rigs[decl.device].apply(now, {decl.point: value})

    def _image(self, number: int, now: float, utc: float) -> Image:
        shown = {device: rig.read_values() for device, rig in self.rigs.items()}
        readings: list[Reading[Value]] = []
        for name in self.assembly.table.names[: -len(self.configuration.points)]:
            value: Value = 0.0
            if name == CLOCK_UTC:
                value = utc
            elif name == CLOCK_TRUST:
                value = int(ClockTrust.SYNCED)
            readings.append(Reading(value, Quality.GOOD, utc, now))
        for decl in self.configuration.points:
            found = shown[decl.device].get(decl.point)
            if found is None:
                readings.append(Reading(decl.zero, Quality.BAD, 0.0, float("-inf")))
            else:
                readings.append(Reading(found, Quality.GOOD, utc, now))
        return Image(number, number, now, utc, tuple(readings))

    def _write(self, instant: float, values: Sequence[Value]) -> None:
        changed: dict[str, dict[str, Value]] = {}
        for place, value in self._telling.changed(values, instant):
            device, point = self._outputs[place]
            changed.setdefault(device, {})[point] = value
        for device, points in changed.items():
            self.rigs[device].apply(instant, points)


def _specs(configuration: Configuration) -> list[LoopSpec]:
    specs = []
    for place, raw in enumerate(configuration.gateway.loops):
        try:
            specs.append(LoopSpec.model_validate(raw))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(("loops", str(place), *map(str, first["loc"])))
            raise input_error(
                str(configuration.file), where, first["input"], first["msg"], "Correct it."
            ) from error
    return specs


def _kinds(configuration: Configuration) -> Mapping[str, ControllerKind]:
    """Every kind the gateway may use; raises InputError for a package that an agent would refuse, too."""
    found, flaws = offers(configuration.gateway.packages)
    kinds, refused = admit_all(found)
    told = [*(one.reason for one in flaws), *(f"{one.name}: {reason}" for one, reason in refused)]
    if told:
        raise input_error(str(configuration.file), "packages", None, told[0], "Ask vigie-edge check.")
    return kinds


def gateways_in_process(files: Sequence[Path], world: World) -> list[InProcessGateway]:
    """An engine per gateway file, each on the rigs of its own devices."""
    rigs = {rig.device: rig for rig in world.rigs}
    gateways = []
    for file in files:
        configuration = load_gateway(file)
        mine = {device.name: rigs[device.name] for device in configuration.gateway.devices}
        gateways.append(InProcessGateway(configuration, mine))
    return gateways


def pass_on(gateways: Sequence[InProcessGateway]) -> None:
    """What gateways said in a tick is heard in the next, in the order of their names."""
    by_name = {one.name: one for one in gateways}
    for name in sorted(by_name):
        said, by_name[name].said = by_name[name].said, []
        for neighbour, message in said:
            if neighbour in by_name:
                by_name[neighbour].engine.hear(name, message)


def run_in_process(world: World, gateways: Sequence[InProcessGateway], ticks: int | None = None) -> None:
    """The whole run, or its first ``ticks``; the world is started and stopped here."""
    world.start()
    try:
        for number in range(1, (world.ticks if ticks is None else ticks) + 1):
            now = (number - 1) * world.step_s
            for rig in world.rigs:
                rig.begin(now, world.epoch + now)
            pass_on(gateways)
            for gateway in gateways:
                gateway.tick(number, now, world.epoch + now, world.step_s)
            world.step(now + world.step_s)
    finally:
        world.stop()
