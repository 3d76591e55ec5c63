"""A retention basin with a motorised outlet gate that opens by itself without a heartbeat."""

import random
from collections.abc import Mapping

from pydantic import Field

from vigie_protocols.points import Value
from vigie_protocols.strict import Strict
from vigie_sim.water.sensor import FloatSwitch, LevelSensor


class BasinSpec(Strict):
    """A basin's dimensions. Heights in metres above its floor, openings and travel in percent.

    local_pct: where the gate goes without a heartbeat.
    """

    device: str
    area_m2: float = Field(gt=0)
    high_m: float = Field(gt=0)
    span_m: float = Field(default=6.0, gt=0)
    noise_m: float = Field(default=0.004, ge=0)
    travel_pct_per_s: float = Field(default=2.0, gt=0, le=100)
    local_pct: float = Field(default=100.0, ge=0, le=100)
    heartbeat_timeout_s: float = Field(default=10.0, gt=0)


class Basin:
    """Gate actuator and instruments; its points are those of profile ``retention-basin``.

    remote: the panel's switch; jammed: a fault to inject, the gate does not move.
    """

    def __init__(self, spec: BasinSpec, rng: random.Random) -> None:
        self.spec = spec
        self.sensor = LevelSensor(rng, spec.span_m, spec.noise_m)
        self.high = FloatSwitch(spec.high_m)
        self.remote = True
        self.jammed = False
        self.position = spec.local_pct
        self.travel = 0.0
        self.fallback = True
        self._wanted = spec.local_pct
        self._heartbeat = 0
        self._beat_at = -1e9
        self._measured: dict[str, float] = {}

    def command(self, instant: float, point: str, value: Value) -> None:
        """A written point of the profile."""
        if point == "heartbeat":
            if value != self._heartbeat:
                self._heartbeat, self._beat_at = int(value), instant
        else:
            self._wanted = float(value)

    def step(self, now: float, seconds: float) -> float:
        """Move the gate for ``seconds``; its opening in percent."""
        self.fallback = now - self._beat_at > self.spec.heartbeat_timeout_s
        if self.remote and not self.jammed:
            aim = self.spec.local_pct if self.fallback else self._wanted
            most = self.spec.travel_pct_per_s * seconds
            move = min(max(aim - self.position, -most), most)
            self.position += move
            self.travel += abs(move)
        return self.position

    def measure(self, depth: float, seconds: float, measured: Mapping[str, float]) -> None:
        """What the instruments see; measured: ``rain`` (mm/h), ``outflow``, ``overflow``, ``overflow.volume``."""
        self.sensor.step(depth, seconds)
        self.high.step(depth)
        self._measured = dict(measured)

    def values(self) -> dict[str, Value]:
        """Every point of the profile."""
        return {
            "gate.remote": self.remote,
            "gate.fault": self.jammed and self.position != self._wanted,
            "float.high": self.high.wet,
            "fallback": self.fallback,
            "level": self.sensor.level,
            "volume": self.sensor.level * self.spec.area_m2,
            "gate.position": self.position,
            "rain": 0.0,
            "outflow": 0.0,
            "overflow": 0.0,
            "overflow.volume": 0.0,
            **self._measured,
            "gate.command": self._wanted,
            "heartbeat": self._heartbeat,
        }
