"""The write gate's pure part: the last thing between a decision and a device.

Every value passes type, finiteness, range and rate; an output that nobody renews goes to its safe value;
what the device reads back is compared with what was written. Total: no value of any kind raises.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigie_controllers.contract import Intervention, State
from vigie_protocols.points import Reading, Value, ValueType

LARGEST = 1e300
"""No point of a city is larger."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """An output and its limits, compiled from its profile.

    low, high: range in the point's unit, None: open. rate_per_s: fastest change of a number per second,
    None: any. safe: written when nothing better is known. readback: the point that shows what the device
    does, None: none; compared within ``tolerance`` once a value has stood for ``settle_s`` seconds.
    """

    name: str
    type: ValueType
    low: float | None = None
    high: float | None = None
    rate_per_s: float | None = None
    safe: Value = 0
    readback: str | None = None
    tolerance: float = 0.0
    settle_s: float = 5.0

    def __post_init__(self) -> None:
        if not fits(self.type, self.safe):
            raise ValueError(f"{self.name}: the safe value {self.safe!r} is no {self.type}")
        if self.rate_per_s is not None and self.type is not ValueType.FLOAT:
            raise ValueError(f"{self.name}: only a float has a rate")
        if self.rate_per_s is not None and not self.rate_per_s > 0.0:
            raise ValueError(f"{self.name}: a rate of {self.rate_per_s} lets nothing change")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"{self.name}: low is above high")
        if _clamp(self, self.safe) != self.safe:
            raise ValueError(f"{self.name}: the safe value {self.safe!r} is outside its range")


def fits(kind: ValueType, value: object) -> bool:
    """True when ``value`` is a finite value of that type; a float may be written as a whole number."""
    match kind:
        case ValueType.BOOL:
            return isinstance(value, bool)
        case ValueType.STRING:
            return isinstance(value, str)
        case ValueType.FLOAT:
            # Compared, not converted: a whole number may be too large for any float. NaN fails both.
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                return False
            return -LARGEST <= value <= LARGEST
        case ValueType.UINT:
            return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64
        case _:
            return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


@dataclass(frozen=True, slots=True)
class GateStep:
    """What the gate lets through. values: one per output, the same object while nothing changes."""

    values: tuple[Value, ...]
    interventions: tuple[Intervention, ...] = ()


class WriteGate:
    """The gate of a gateway's outputs.

    places: where each point stands in an image (``PointTable.index``), for the read-backs.
    expiry_s: an output not renewed for so long goes to its safe value.
    """

    def __init__(self, specs: Sequence[OutputSpec], places: Mapping[str, int], expiry_s: float) -> None:
        self.specs = tuple(specs)
        self._expiry_s = expiry_s
        count = len(self.specs)
        self._written: list[Value] = [spec.safe for spec in self.specs]
        self._virgin = [True] * count
        self._renewed: list[float | None] = [None] * count
        self._settled = [math.inf] * count
        self._checks = tuple(
            (n, places[spec.readback])
            for n, spec in enumerate(self.specs)
            if spec.readback is not None and spec.readback in places
        )
        self._said: set[tuple[str, str]] = set()
        self.drifting: Mapping[str, str] = {}
        """Outputs that their devices do not show now, with what they show."""
        self._last: float | None = None
        self._asked: tuple[Value | None, ...] | None = None
        self._step = GateStep(tuple(self._written))
        self._quiet = False
        self._quiet_since = 0.0

    def permit(
        self, now: float, wanted: Sequence[Value | None], readings: Sequence[Reading[Value]]
    ) -> GateStep:
        """The values to write at ``now``.

        wanted: one per output, None where nobody asks: its loop has not spoken in its own time (a loop slower
        than the scan is held by the caller for its period), or no loop and no lease drives it.
        readings: the whole image, for the read-backs. Interventions are named when they begin, not in every
        scan.
        """
        asked = tuple(wanted)
        last, self._last = self._last, now
        unwatched = False
        if last is not None and now < last:
            self._shift(now - last)
            last, unwatched = None, True
        elif last is not None and now - last > self._expiry_s:
            self._lapse(now)
            last, unwatched = None, True
        if self._quiet and asked == self._asked:
            # Nothing moves, nothing is missing: all are renewed, only the read-backs can have news.
            # (1 equals True here: the value that goes out is the one whose type was checked.)
            self._quiet_since = now
            said: dict[tuple[str, str], str] = {}
        else:
            said = self._pass_all(now, 0.0 if last is None else now - last, unwatched, asked, readings)
        if self._checks:
            said = self._check_readbacks(now, readings, said)
        if not said and not self._said:
            return self._step
        begun = tuple(Intervention(*key, why) for key, why in said.items() if key not in self._said)
        self._said = set(said)
        self.drifting = {subject: why for (rule, subject), why in said.items() if rule == "drift"}
        return GateStep(self._step.values, begun)

    # -- one by one -----------------------------------------------------------------------------------

    def _lapse(self, now: float) -> None:
        """No scan for so long that whoever writes has written every safe value: from there it goes on."""
        for n, spec in enumerate(self.specs):
            if self._written[n] != spec.safe:
                self._written[n] = spec.safe
                self._settled[n] = now + spec.settle_s
        self._quiet = False

    def _pass_all(
        self,
        now: float,
        elapsed: float,
        unwatched: bool,
        wanted: tuple[Value | None, ...],
        readings: Sequence[Reading[Value]],
    ) -> dict[tuple[str, str], str]:
        said: dict[tuple[str, str], str] = {}
        count = len(self.specs)
        moving = len(wanted) != count
        still: tuple[Value | None, ...] = ()
        if self._quiet and self._asked is not None and not moving:
            # All stood at what was asked; only what is asked anew needs a look.
            still = self._asked
            self._renewed = self._renewals()
        for n, spec in enumerate(self.specs):
            value = wanted[n] if n < len(wanted) else None
            if value is None:
                goal = self._unrenewed(n, spec, now, said)
                moving = moving or self._renewed[n] is not None
            else:
                self._renewed[n] = now
                if still and still[n] == value:
                    continue
                goal = self._limited(n, spec, value, elapsed, unwatched, readings, said)
                moving = moving or goal != value
            if goal != self._written[n] or self._virgin[n]:
                self._written[n] = goal
                self._settled[n] = now + spec.settle_s
            self._virgin[n] = False
        self._quiet = not moving and not said
        self._quiet_since = now
        self._asked = wanted
        values = tuple(self._written)
        if values != self._step.values:
            self._step = GateStep(values)
        return said

    def _unrenewed(self, n: int, spec: OutputSpec, now: float, said: dict[tuple[str, str], str]) -> Value:
        renewed = self._renewed[n]
        if renewed is None:
            return spec.safe  # nobody has ever asked, or it is told already
        if now - renewed < self._expiry_s:
            return self._written[n]
        self._renewed[n] = None
        said["expired", spec.name] = (
            f"nobody has renewed it for {self._expiry_s:.1f} s: safe value {spec.safe!r}"
        )
        return spec.safe

    def _renewals(self) -> list[float | None]:
        """When each was renewed last, also in the quiet, where only one instant is kept for all."""
        if not self._quiet or self._asked is None:
            return list(self._renewed)
        return [None if value is None else self._quiet_since for value in self._asked]

    def _limited(
        self,
        n: int,
        spec: OutputSpec,
        value: Value,
        elapsed: float,
        unwatched: bool,
        readings: Sequence[Reading[Value]],
        said: dict[tuple[str, str], str],
    ) -> Value:
        if not fits(spec.type, value):
            said["type", spec.name] = f"{repr(value)[:40]} is no {spec.type}: safe value {spec.safe!r}"
            return spec.safe
        goal = _clamp(spec, value)
        if goal != value:
            said["range", spec.name] = f"{value!r} is outside its range: {goal!r}"
        before = self._before(n, unwatched, readings)
        if spec.rate_per_s is None or before is None or isinstance(goal, str):
            return goal
        reach = spec.rate_per_s * elapsed
        return min(max(goal, before - reach), before + reach)

    def _before(self, n: int, unwatched: bool, readings: Sequence[Reading[Value]]) -> float | None:
        """From where a rate counts: what was written last; at the very first what the device shows.

        Where the device was left unwatched, by a lapse or a reboot, what it shows comes first, too.
        """
        before = self._written[n]
        if self._virgin[n] or unwatched:
            shown = next((readings[place] for m, place in self._checks if m == n), None)
            if shown is not None and shown.usable and fits(ValueType.FLOAT, shown.value):
                before = _clamp(self.specs[n], shown.value)
            elif self._virgin[n]:
                return None
        return None if isinstance(before, str) else before

    def _check_readbacks(
        self, now: float, readings: Sequence[Reading[Value]], said: dict[tuple[str, str], str]
    ) -> dict[tuple[str, str], str]:
        for n, place in self._checks:
            if now < self._settled[n]:
                continue
            reading = readings[place]
            written = self._written[n]
            shown = reading.value
            if shown == written or not reading.usable:
                continue
            spec = self.specs[n]
            if _differs(written, shown, spec.tolerance):
                said["drift", spec.name] = f"the device shows {shown!r}, {written!r} was written"
        return said

    def _shift(self, by: float) -> None:
        """The monotonic clock began anew: ages go on from what they were."""
        self._renewed = [None if instant is None else instant + by for instant in self._renewed]
        self._settled = [instant + by for instant in self._settled]
        self._quiet_since += by
        self._renewed, self._quiet = self._renewals(), False

    # -- snapshots ------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """What was last written and when, by output name."""
        renewed = self._renewals()
        return {
            "last": self._last,
            "outputs": {
                spec.name: {
                    "written": self._written[n],
                    "renewed": renewed[n],
                    "settled": None if self._virgin[n] else self._settled[n],
                }
                for n, spec in enumerate(self.specs)
            },
            "said": sorted([*key] for key in self._said),
        }

    def restore(self, state: State) -> None:
        """Take up a snapshot; outputs it does not know, or knows with another type, begin anew."""
        outputs = state["outputs"]
        for n, spec in enumerate(self.specs):
            saved = outputs.get(spec.name)
            if saved is None or saved["settled"] is None or not fits(spec.type, saved["written"]):
                continue
            self._written[n] = _clamp(spec, saved["written"])
            self._renewed[n] = saved["renewed"]
            self._settled[n] = saved["settled"]
            self._virgin[n] = False
        self._last = state["last"]
        self._said = {(rule, subject) for rule, subject in state["said"]}
        self._quiet = False
        self._step = GateStep(tuple(self._written))


def _clamp(spec: OutputSpec, value: Value) -> Value:
    if isinstance(value, (bool, str)):
        return value
    if spec.low is not None and value < spec.low:
        value = spec.low
    if spec.high is not None and value > spec.high:
        value = spec.high
    return float(value) if spec.type is ValueType.FLOAT else int(value)


def _differs(written: Value, shown: Value, tolerance: float) -> bool:
    """True when they differ by more than ``tolerance``; of other types, or not a number: they differ."""
    if isinstance(written, str) or isinstance(shown, str):
        return written != shown
    # Negated, so that NaN differs from everything.
    return not -LARGEST <= shown <= LARGEST or abs(shown - written) > tolerance
