"""Scores and reports.

A *score* holds seeded outcomes alone, with sorted keys and one number format: two runs of one seed give
the same bytes. A *report* is the score plus a ``run`` part: speed, versions, machine.
"""

import json
import math
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

OUTCOMES = (
    "delay_s",
    "p95_delay_s",
    "arrived",
    "loaded",
    "overflow_m3",
    "energy_kwh",
    "pump_energy_kwh",
    "lamp_energy_kwh",
    "pump_starts",
    "burnt_pumps",
    "flooded_m3",
    "basin_held_m3",
    "below_floor_min",
    "collisions",
    "teleports",
    "longest_red_s",
    "monitor_trips",
)
"""What a plant may tell and a score keeps; what a scenario has not is left out."""
_UNSEEDED = frozenset({"run", "real_time_factor", "versions", "samples_published"})
"""A report's parts that are no outcome of the seed. Samples published depend on when groups are committed."""
_VERSIONS = (
    "vigie",
    "eclipse-sumo",
    "libsumo",
    "swmm-toolkit",
    "asyncua",
    "pymodbus",
    "paho-mqtt",
    "msgspec",
)


def outcomes_of(found: Mapping[str, float]) -> dict[str, float]:
    """The outcome part of a score."""
    score = {name: found[name] for name in OUTCOMES if name in found}
    kwh = [found[name] for name in ("pump_energy_kwh", "lamp_energy_kwh") if name in found]
    if kwh:
        score["energy_kwh"] = sum(kwh)
    return score


def score_of(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The seeded outcomes of a report: nothing that depends on this machine, its speed or its load."""
    return {name: value for name, value in whole.items() if name not in _UNSEEDED}


def number(value: Any) -> Any:
    """The one number format: six decimals, whole numbers without any."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        rounded = round(value, 6)
        return int(rounded) if rounded == int(rounded) else rounded
    if isinstance(value, dict):
        return {key: number(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [number(one) for one in value]
    return value


def dump(document: Mapping[str, Any]) -> str:
    """Sorted keys, one number format, a newline at the end."""
    return json.dumps(number(dict(document)), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def write(path: Path, document: Mapping[str, Any]) -> None:
    """A score or report into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(document), encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of what decides the figures."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.release()}
