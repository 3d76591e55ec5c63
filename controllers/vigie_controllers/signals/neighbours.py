"""Forecasts between neighbouring junctions: who feeds whom, and the message that says what is coming.

A junction that looks ahead tells its neighbours how many vehicles it will let into each road towards them,
per bin of time (Surtrac's outflow forecasts; Xie et al. 2012). A forecast has a time to live; without one, or
with one too old, a junction plans from its own detectors alone. Messages are data from outside: they are
checked here, and can only shift what a controller expects, never what the guard permits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from vigie_controllers.loops import Strict

BIN_S = 2.0
"""Length of a bin, seconds."""
TTL_S = 10.0
"""How long a forecast may be used after it was made, seconds."""
MOST_BINS = 90
MOST_LANES = 64
MOST_PER_BIN = 10.0


class Downstream(Strict):
    """A neighbour we feed. neighbour: its gateway, as in ``/peer/<neighbour>``; exits: our exit lanes that
    lead to it."""

    neighbour: str = Field(min_length=1, max_length=63)
    exits: tuple[str, ...] = Field(min_length=1, max_length=MOST_LANES)


class Upstream(Strict):
    """One exit lane of a neighbour that feeds us.

    neighbour, loop: its gateway, and the junction there; exit: the lane's id in its site; lanes: our approach
    lanes that its traffic may choose; travel_s: undisturbed, from its stop line to ours.
    """

    neighbour: str = Field(min_length=1, max_length=63)
    loop: str = Field(min_length=1, max_length=63)
    exit: str = Field(min_length=1, max_length=64)
    lanes: tuple[str, ...] = Field(min_length=1, max_length=MOST_LANES)
    travel_s: float = Field(gt=0, le=300)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a junction will let out.

    loop: who says it; made_utc: UTC seconds, where the first bin begins; ttl_s: to be forgotten after;
    bin_s: length of a bin; lanes: per exit lane, vehicles per bin.
    """

    loop: str
    made_utc: float
    ttl_s: float
    bin_s: float
    lanes: tuple[tuple[str, tuple[float, ...]], ...]

    def message(self) -> dict[str, Any]:
        """As plain JSON values, the body of ``vigie/v1/<gateway>/peer/<neighbour>``."""
        return {
            "loop": self.loop,
            "made_utc": self.made_utc,
            "ttl_s": self.ttl_s,
            "bin_s": self.bin_s,
            "lanes": {lane: list(bins) for lane, bins in self.lanes},
        }


def read_forecast(message: Mapping[str, Any]) -> Forecast:
    """The forecast of a message; raises ValueError naming what is wrong in it."""
    if message.keys() != {"loop", "made_utc", "ttl_s", "bin_s", "lanes"}:
        raise ValueError("a forecast has loop, made_utc, ttl_s, bin_s and lanes, and nothing else")
    loop, lanes = message["loop"], message["lanes"]
    if not isinstance(loop, str) or not 0 < len(loop) <= 63:
        raise ValueError("loop: is no name")
    if not isinstance(lanes, Mapping) or len(lanes) > MOST_LANES:
        raise ValueError(f"lanes: is no object of at most {MOST_LANES} lanes")
    rows = []
    for lane, bins in lanes.items():
        if not isinstance(lane, str) or not isinstance(bins, (list, tuple)) or len(bins) > MOST_BINS:
            raise ValueError(f"lanes: is no list of at most {MOST_BINS} counts per lane")
        rows.append((lane, tuple(_number(f"lanes.{lane}", one, 0.0, MOST_PER_BIN) for one in bins)))
    return Forecast(
        loop,
        _number("made_utc", message["made_utc"], 0.0, 1e11),
        _number("ttl_s", message["ttl_s"], 0.0, 120.0),
        _number("bin_s", message["bin_s"], 0.5, 10.0),
        tuple(rows),
    )


def _number(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name}: is no number from {low:g} to {high:g}")
    return float(value)
