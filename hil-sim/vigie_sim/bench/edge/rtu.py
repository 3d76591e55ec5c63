"""Modbus RTU at 19,200 baud, eight slaves: how much of the line's time the agent makes use of.

Every slave is asked for more than the line can carry. What it could carry at best is computed from the
standard: two frames, 3.5 characters of silence after each, the slaves' turnaround.
"""

import time
from pathlib import Path
from typing import Any

from vigie_sim.bench.edge.load import working
from vigie_sim.bench.edge.serialline import BAUD, EXCHANGE_S, REGISTERS, SLAVES, SerialLine, bare
from vigie_sim.bench.figures import Figures
from vigie_sim.traffic.documents import write_yaml

_CASE = f"RTU at {BAUD} baud, {len(SLAVES)} slaves x {REGISTERS} registers"
_RATE_S = 0.1


def rtu(figures: Figures) -> None:
    """Fill the figures."""
    seconds = 4.0 if figures.quick else 30.0
    line = SerialLine()
    try:
        with working(_gateway(figures.folder / "rtu", line.port)):
            before, begun = line.seen(), time.monotonic()
            time.sleep(seconds)
            after, wall = line.seen(), time.monotonic() - begun
        plain = bare(line.port, seconds)
    finally:
        line.stop()
    counts = [after.answers[unit] - before.answers[unit] for unit in SLAVES]
    rate = sum(counts) / wall
    best = 1 / EXCHANGE_S
    figures.ours(_CASE, "exchanges", rate, "1/s", sum(counts))
    figures.reference(_CASE, "computed from the standard", "exchanges", best, "1/s")
    figures.reference(_CASE, "bare termios loop", "exchanges", plain, "1/s", round(plain * seconds))
    figures.ours(_CASE, "share of the attainable rate", 100 * rate / best, "%", sum(counts), ">= 90")
    figures.reference(_CASE, "bare termios loop", "share of the attainable rate", 100 * plain / best, "%")
    figures.ours(
        _CASE, "least asked slave, share of the mean", 100 * min(counts) * len(counts) / sum(counts), "%"
    )
    hasty = after.hasty - before.hasty
    figures.ours(_CASE, "requests inside a silence", hasty, "", sum(counts), "0")


def _gateway(folder: Path, port: str) -> Path:
    title = {"fr": "Essai", "en": "Bench"}
    point = {"name": "value.{i}", "type": "uint", "repeat": REGISTERS, "rate_s": _RATE_S, "publish": False}
    profile = {
        "profile": "bench-slave", "title": title, "protocol": "modbus", "domain": "general",
        "points": [{**point, "modbus": {"address": 0}}],
    }  # fmt: skip
    write_yaml(folder / "bench-slave.yaml", profile)
    document: dict[str, Any] = {
        "gateway": "gw-rtu",
        "site": {"name": title, "lat": 45.5, "lon": -73.6},
        "links": {"bus": {"protocol": "modbus", "serial": {"port": port, "baud": BAUD}}},
        "devices": [
            {"name": f"s{unit}", "profile": "bench-slave", "link": "bus", "unit": unit} for unit in SLAVES
        ],
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
    }
    return write_yaml(folder / "gateway.yaml", document)
