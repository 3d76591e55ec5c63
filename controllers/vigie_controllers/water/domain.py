"""Water in the generic loop: roles to readings, outputs to values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from vigie_controllers.loops import Domain
from vigie_controllers.roles import Binding, bind
from vigie_controllers.water.guard import PumpGuard
from vigie_controllers.water.site import WaterSite, water_roles
from vigie_controllers.water.words import PumpInput, WaterInputs, WaterOutputs
from vigie_protocols.points import Reading, Value

T = TypeVar("T")


class WaterDomain(Domain[WaterInputs, WaterOutputs]):
    """A pump station with its wet well and perhaps a basin."""

    reserved = ("forced", "heartbeat")

    def __init__(self, site: WaterSite, binding: Binding) -> None:
        self.site = site
        self.reads = binding.reads
        self.writes = binding.writes
        self.guard: PumpGuard = PumpGuard(site)
        self._places = {role: place for place, role in enumerate(binding.read_roles)}
        self._write_roles = binding.write_roles
        self._frame: Sequence[Reading[Value]] | None = None
        self._cached: WaterInputs | None = None

    @classmethod
    def of(cls, site: Mapping[str, object], points: Mapping[str, str]) -> "WaterDomain":
        """From a loop's ``site`` and ``points``; raises ValidationError or ValueError naming the field."""
        checked = WaterSite.model_validate(site)
        return cls(checked, bind(water_roles(checked), points))

    def inputs(self, clock: Reading[float], overrun: bool, readings: Sequence[Reading[Value]]) -> WaterInputs:
        """The frozen inputs of one scan; time of day and overrun do not matter here."""
        if readings is not self._frame or self._cached is None:
            self._cached = self._read(readings)
            self._frame = readings
        return replace(self._cached, permits=self.guard.permits)

    def _read(self, readings: Sequence[Reading[Value]]) -> WaterInputs:
        def at(role: str) -> Reading[Value] | None:
            place = self._places.get(role)
            return None if place is None else readings[place]

        pumps = tuple(
            PumpInput(
                at(f"pump.{n}.running"), at(f"pump.{n}.fault"), at(f"pump.{n}.mode"), at(f"pump.{n}.current")
            )
            for n in range(1, len(self.site.pumps) + 1)
        )
        return WaterInputs(
            level=readings[self._places["level"]],
            level_2=at("level.2"),
            float_high=at("float.high"),
            float_low=at("float.low"),
            pumps=pumps,
            basin_level=at("basin.level"),
            permits=(),
        )

    def merge(self, first: WaterOutputs, second: WaterOutputs) -> WaterOutputs:
        """``first`` wherever it has an opinion, else ``second``."""
        return WaterOutputs(
            run=tuple(b if a is None else a for a, b in zip(first.run, second.run, strict=True)),
            speed=tuple(b if a is None else a for a, b in zip(first.speed, second.speed, strict=True)),
            gate=second.gate if first.gate is None else first.gate,
            forced=first.forced | second.forced,
            decisions=(*first.decisions, *second.decisions),
        )

    def force(self, wanted: WaterOutputs | None, point: str, value: Value) -> WaterOutputs:
        """``wanted`` with one point forced; the heartbeat cannot be."""
        base = WaterOutputs.silent(len(self.site.pumps)) if wanted is None else wanted
        role = self._write_roles[self.writes.index(point)] if point in self.writes else ""
        if role.endswith(".run") and isinstance(value, bool):
            place = int(role.split(".")[1]) - 1
            return replace(base, run=_put(base.run, place, value), forced=base.forced | {place})
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            if role.endswith(".speed"):
                return replace(base, speed=_put(base.speed, int(role.split(".")[1]) - 1, float(value)))
            if role == "basin.gate":
                return replace(base, gate=float(value))
        raise ValueError(f"{point}: {value!r} cannot be forced here")

    def values(self, outputs: WaterOutputs) -> list[Value]:
        """One value per name of ``writes``."""
        values: list[Value] = []
        for role in self._write_roles:
            if role == "heartbeat":
                values.append(outputs.heartbeat)
            elif role == "basin.gate":
                values.append(0.0 if outputs.gate is None else outputs.gate)
            else:
                _, n, word = role.split(".")
                place = int(n) - 1
                values.append(
                    outputs.run[place] is True if word == "run" else float(outputs.speed[place] or 0.0)
                )
        return values

    def unlawful(self, outputs: WaterOutputs) -> str | None:
        """Stateless: too many pumps together, a speed or an opening outside the site's range."""
        site = self.site
        # The panel may run more than we would: those follow the hand switch, which outranks us.
        for place, (run, speed) in enumerate(zip(outputs.run, outputs.speed, strict=True)):
            pump = site.pumps[place]
            if speed is None or not (speed == 0.0 or pump.speed_low_pct <= speed <= pump.speed_high_pct):
                return f"pump {place + 1}: a speed of {speed} % is outside its range"
            if run is None or (speed > 0.0) != run:
                return f"pump {place + 1}: run {run} with a speed of {speed} %"
        basin = site.basin
        if basin is not None:
            gate = outputs.gate
            if gate is None or not basin.gate_low_pct <= gate <= basin.gate_high_pct:
                return f"basin gate: {gate} % is outside its range"
        return None

    def failsafe(self) -> WaterOutputs:
        """Pumps off, gate safe, heartbeat still: the station's own floats take over."""
        none = (0.0,) * len(self.site.pumps)
        gate = None if self.site.basin is None else self.site.basin.gate_safe_pct
        return WaterOutputs((False,) * len(self.site.pumps), none, gate)


def _put(row: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*row[:place], value, *row[place + 1 :])
