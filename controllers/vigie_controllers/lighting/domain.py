"""Lighting in the generic loop: roles to readings, outputs to values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vigie_controllers.lighting.guard import FULL, LightingGuard
from vigie_controllers.lighting.site import LightingSite, lighting_roles
from vigie_controllers.lighting.sun import Sun, sun_at
from vigie_controllers.lighting.words import LightingInputs, LightingOutputs
from vigie_controllers.loops import Domain
from vigie_controllers.roles import Binding, bind
from vigie_protocols.points import Reading, Value


class LightingDomain(Domain[LightingInputs, LightingOutputs]):
    """A lighting cabinet with its segments, perhaps with lamps bound one by one."""

    def __init__(self, site: LightingSite, binding: Binding) -> None:
        self.site = site
        self.reads = binding.reads
        self.writes = binding.writes
        self.guard: LightingGuard = LightingGuard(site)
        self._places = {role: place for place, role in enumerate(binding.read_roles)}
        self._write_roles = binding.write_roles

    @classmethod
    def of(cls, site: Mapping[str, object], points: Mapping[str, str]) -> "LightingDomain":
        """From a loop's ``site`` and ``points``; raises ValidationError or ValueError naming the field."""
        checked = LightingSite.model_validate(site)
        return cls(checked, bind(lighting_roles(checked), points))

    def inputs(
        self, clock: Reading[float], overrun: bool, readings: Sequence[Reading[Value]]
    ) -> LightingInputs:
        """The frozen inputs of one scan; the sun is computed here once, for controllers and guard."""
        return LightingInputs(
            sun=self._sun(clock),
            utc=clock.value,
            photocell=self._at("photocell", readings),
            mode=self._at("mode", readings),
            power=self._at("meter.power", readings),
        )

    def _at(self, role: str, readings: Sequence[Reading[Value]]) -> Reading[Value] | None:
        place = self._places.get(role)
        return None if place is None else readings[place]

    def _sun(self, clock: Reading[float]) -> Sun | None:
        if not clock.usable:
            return None
        try:
            return sun_at(clock.value, self.site.latitude, self.site.longitude)
        except ValueError:
            # A clock that says an impossible year is as good as none: the guard then lights.
            return None

    def merge(self, first: LightingOutputs, second: LightingOutputs) -> LightingOutputs:
        """``first`` wherever it has an opinion, else ``second``."""
        return LightingOutputs(
            segments=tuple(
                b if a is None else a for a, b in zip(first.segments, second.segments, strict=True)
            ),
            lamps=tuple(b if a is None else a for a, b in zip(first.lamps, second.lamps, strict=True)),
            contactor=second.contactor if first.contactor is None else first.contactor,
            decisions=(*first.decisions, *second.decisions),
        )

    def force(self, wanted: LightingOutputs | None, point: str, value: Value) -> LightingOutputs:
        """``wanted`` with one point forced; the heartbeat cannot be."""
        site = self.site
        base = (
            LightingOutputs.silent(len(site.segments), len(site.lamp_segments)) if wanted is None else wanted
        )
        role = self._write_roles[self.writes.index(point)] if point in self.writes else ""
        if role == "contactor" and isinstance(value, bool):
            return replace(base, contactor=value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if number and role.endswith(".level"):
            word, n, _ = role.split(".")
            row = base.segments if word == "segment" else base.lamps
            place = int(n) - 1
            forced = (*row[:place], float(value), *row[place + 1 :])
            return replace(base, segments=forced) if word == "segment" else replace(base, lamps=forced)
        raise ValueError(f"{point}: {value!r} cannot be forced here")

    def values(self, outputs: LightingOutputs) -> list[Value]:
        """One value per name of ``writes``; what nobody decided is on."""
        values: list[Value] = []
        for role in self._write_roles:
            if role == "heartbeat":
                values.append(outputs.heartbeat)
            elif role == "contactor":
                values.append(outputs.contactor is not False)
            else:
                word, n, _ = role.split(".")
                level = (outputs.segments if word == "segment" else outputs.lamps)[int(n) - 1]
                values.append(FULL if level is None else level)
        return values

    def unlawful(self, outputs: LightingOutputs) -> str | None:
        """Stateless: a level outside 0 to 100 %."""
        for n, level in enumerate((*outputs.segments, *outputs.lamps), 1):
            if level is None or not 0.0 <= level <= FULL:
                return f"level {n}: {level} % is no level"
        return None

    def failsafe(self) -> LightingOutputs:
        """Everything on."""
        return LightingOutputs(
            (FULL,) * len(self.site.segments), (FULL,) * len(self.site.lamp_segments), contactor=True
        )
