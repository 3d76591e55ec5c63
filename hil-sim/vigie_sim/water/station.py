"""A pumping station: two or more motors, a relay on float switches, selectors, a level transmitter.

The relay is firmware of the station: it works without any gateway. In remote service the gateway's run
commands rule, but a wet high float starts every pump until the lead float has fallen dry. Without a
heartbeat the relay pumps by its floats: lead float one pump, lag float all, low float stop, taking turns.
"""

import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from vigie_protocols.points import Value
from vigie_protocols.strict import Strict
from vigie_sim.water.motor import AUTO, HAND, Motor, MotorSpec
from vigie_sim.water.sensor import FloatSwitch, LevelSensor


class StationSpec(Strict):
    """A station's dimensions. Heights in metres above the floor of the wet well.

    dry_m: with the water below it, running pumps suck air. stagger_s: between two starts of the relay.
    """

    device: str
    low_m: float = Field(gt=0)
    lead_m: float = Field(gt=0)
    lag_m: float = Field(gt=0)
    high_m: float = Field(gt=0)
    dry_m: float = Field(gt=0)
    span_m: float = Field(default=6.0, gt=0)
    noise_m: float = Field(default=0.004, ge=0)
    heartbeat_timeout_s: float = Field(default=10.0, gt=0)
    stagger_s: float = Field(default=5.0, ge=0, le=120)
    motor: MotorSpec = MotorSpec()


class PumpStation:
    """Physics and firmware of the station; its points are those of profile ``pump-station-duplex``.

    selectors: per pump, 0 off, 1 hand, 2 auto. power: the supply is there.
    """

    def __init__(self, spec: StationSpec, pumps: int, rng: random.Random) -> None:
        self.spec = spec
        self.motors = tuple(Motor(spec.motor) for _ in range(pumps))
        self.selectors = [AUTO] * pumps
        self.power = True
        self.sensor = LevelSensor(rng, spec.span_m, spec.noise_m)
        self.low = FloatSwitch(spec.low_m)
        self.lead = FloatSwitch(spec.lead_m)
        self.lag = FloatSwitch(spec.lag_m)
        self.high = FloatSwitch(spec.high_m)
        self.fallback = True
        self.fallback_s = 0.0
        self.rescue_s = 0.0
        self._commands = [False] * pumps
        self._resets = [False] * pumps
        self._heartbeat = 0
        self._beat_at = -1e9
        self._relay_lead = 0
        self._relay_on = 0
        self._relay_changed = -1e9
        self._rescue = False
        self._measured: dict[str, float] = {}
        self._watts: Sequence[float] = (0.0,) * pumps

    def command(self, instant: float, point: str, value: Value) -> None:
        """A written point of the profile."""
        if point == "heartbeat":
            if value != self._heartbeat:
                self._heartbeat, self._beat_at = int(value), instant
            return
        _, number, what = point.split(".")
        pump = int(number) - 1
        if what == "command":
            self._commands[pump] = bool(value)
        else:
            if value and not self._resets[pump]:
                self.motors[pump].reset(instant)
            self._resets[pump] = bool(value)

    def step(self, now: float, seconds: float, depth: float) -> tuple[bool, ...]:
        """Advance the firmware by ``seconds`` with the wet well at ``depth``; which motors then turn."""
        for switch in (self.low, self.lead, self.lag, self.high):
            switch.step(depth)
        self.fallback = now - self._beat_at > self.spec.heartbeat_timeout_s
        self.fallback_s += seconds if self.fallback else 0.0
        wanted = self._wanted(now, seconds)
        for place, motor in enumerate(self.motors):
            if not self.power:
                motor.power_lost(now)
            else:
                motor.step(now, seconds, wanted[place], depth < self.spec.dry_m)
        return tuple(motor.running for motor in self.motors)

    def _wanted(self, now: float, seconds: float) -> list[bool]:
        count = self._relay_count(now)
        pumps = len(self.motors)
        by_relay = [(place - self._relay_lead) % pumps < count for place in range(pumps)]
        self._rescue = self.high.wet or (self._rescue and self.lead.wet)
        self.rescue_s += seconds if self._rescue and not self.fallback else 0.0
        wanted = []
        for place, selector in enumerate(self.selectors):
            auto = by_relay[place] if self.fallback else self._commands[place] or self._rescue
            wanted.append(selector == HAND or (selector == AUTO and auto))
        return wanted

    def _relay_count(self, now: float) -> int:
        """How many pumps the relay runs in fallback; it alternates after each emptying."""
        if not self.fallback or not self.low.wet:
            if self._relay_on:
                self._relay_lead = (self._relay_lead + 1) % len(self.motors)
                self._relay_on = 0
            return 0
        aim = len(self.motors) if self.lag.wet or self.high.wet else 1 if self.lead.wet else 0
        if aim > self._relay_on and now - self._relay_changed >= self.spec.stagger_s:
            self._relay_on += 1
            self._relay_changed = now
        return self._relay_on

    def measure(
        self, depth: float, seconds: float, watts: Sequence[float], measured: Mapping[str, float]
    ) -> None:
        """What the instruments see after the water moved.

        watts: electric power per pump; measured: values of ``flow`` and ``overflow`` (m3/s),
        ``energy`` (kWh) and ``overflow.volume`` (m3).
        """
        self.sensor.step(depth, seconds)
        self._watts = watts
        self._measured = dict(measured)

    def values(self) -> dict[str, Value]:
        """Every point of the profile."""
        shown: dict[str, Value] = {
            "float.low": self.low.wet,
            "float.lead": self.lead.wet,
            "float.lag": self.lag.wet,
            "float.high": self.high.wet,
            "power.ok": self.power,
            "fallback": self.fallback,
            "level": self.sensor.level,
            "power": sum(self._watts) / 1000.0,
            "heartbeat": self._heartbeat,
            "flow": 0.0,
            "overflow": 0.0,
            "energy": 0.0,
            "overflow.volume": 0.0,
            **self._measured,
        }
        for place, motor in enumerate(self.motors):
            pump = f"pump.{place + 1}"
            shown[f"{pump}.run"] = motor.running
            shown[f"{pump}.fault"] = bool(motor.fault)
            shown[f"{pump}.hoa"] = self.selectors[place]
            shown[f"{pump}.current"] = motor.amperes(self._watts[place])
            shown[f"{pump}.starts"] = motor.starts
            shown[f"{pump}.runtime"] = int(motor.run_s)
            shown[f"{pump}.command"] = self._commands[place]
            shown[f"{pump}.reset"] = self._resets[place]
        return shown
