"""Twenty devices on one line of which three misbehave: what the other seventeen lose by it.

One Modbus TCP link with units, one request in flight, as behind a serial gateway. One unit never answers,
one answers after nine tenths of the time-out, one answers nonsense.
"""

import time
from pathlib import Path
from typing import Any

from vigie_sim.bench.edge.devices import DEAD, LYING, SLOW, SLOW_S, Devices
from vigie_sim.bench.edge.load import working
from vigie_sim.bench.figures import Figures
from vigie_sim.traffic.documents import write_yaml

_DEVICES = 20
_PERIOD_S = 1.0
_TIMEOUT_S = SLOW_S / 0.9
_CASE = f"{_DEVICES} devices on one line, one dead, one slow, one lying"


def faults(figures: Figures) -> None:
    """Fill the figures."""
    seconds = 6.0 if figures.quick else 40.0
    for bad in ((), (DEAD, SLOW, LYING)):
        devices = Devices()
        try:
            units = [*range(1, _DEVICES - 2), *(bad or range(_DEVICES - 2, _DEVICES + 1))]
            good = sum(unit < DEAD for unit in units)
            file = _gateway(figures.folder / f"faults-{len(bad)}", devices.port, units)
            with working(file, all_up=not bad):
                before, begun = devices.answered(), time.monotonic()
                time.sleep(seconds)
                polls, wall = devices.answered() - before, time.monotonic() - begun
        finally:
            devices.stop()
        lost = 100 * max(0.0, 1 - polls / (good * wall / _PERIOD_S))
        if bad:
            figures.ours(_CASE, "cycles the others lose", lost, "%", polls, "< 1")
        else:
            figures.reference(_CASE, "the same without faults", "cycles the others lose", lost, "%", polls)


def _gateway(folder: Path, port: int, units: list[int]) -> Path:
    title = {"fr": "Essai", "en": "Bench"}
    point = {"name": "value.{i}", "type": "uint", "repeat": 20, "rate_s": _PERIOD_S, "publish": False}
    profile = {
        "profile": "bench-unit", "title": title, "protocol": "modbus", "domain": "general",
        "points": [{**point, "modbus": {"address": 4}}],
    }  # fmt: skip
    write_yaml(folder / "bench-unit.yaml", profile)
    line = {"protocol": "modbus", "host": "127.0.0.1", "port": port, "timeout_s": _TIMEOUT_S}
    document: dict[str, Any] = {
        "gateway": "gw-line",
        "site": {"name": title, "lat": 45.5, "lon": -73.6},
        "links": {"line": line},
        "devices": [
            {"name": f"u{unit}", "profile": "bench-unit", "link": "line", "unit": unit} for unit in units
        ],
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
    }
    return write_yaml(folder / "gateway.yaml", document)
