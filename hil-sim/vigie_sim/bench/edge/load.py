"""The load of a bench: a gateway file with many Modbus TCP devices, and an agent that works on it."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigie_protocols.errors import TransientError, VigieError
from vigie_sim.agents import Agent
from vigie_sim.bench.edge.listener import STAMP
from vigie_sim.bench.figures import Figures
from vigie_sim.traffic.documents import write_yaml

GATEWAY = "gw-bench"
UP_S = 60.0
"""Seconds within which everything must be up."""
SETTLE_S = 4.0
_STAMP_REGISTERS = 4


@dataclass(frozen=True)
class Load:
    """devices of points each, all read every period_s. publish: every change goes to the broker."""

    devices: int
    points: int
    period_s: float
    publish: bool

    @property
    def registers(self) -> int:
        """Registers of one device: the stamp takes four."""
        return _STAMP_REGISTERS + self.points - 1

    def title(self) -> str:
        """The case's name."""
        return f"Modbus {self.devices} x {self.points} every {self.period_s:g} s"


def gateway(load: Load, folder: Path, port: int, broker: int | None, scan_s: float = 0.1) -> Path:
    """A gateway file for ``load`` and its profile."""
    publish: Any = {} if load.publish else False
    common = {"rate_s": load.period_s, "publish": publish}
    values = {"name": "value.{i}", "type": "uint", "repeat": load.points - 1, **common}
    profile = {
        "profile": "bench-device",
        "title": {"fr": "Appareil d'essai", "en": "Bench device"},
        "protocol": "modbus",
        "domain": "general",
        "points": [
            {"name": STAMP, "type": "uint", **common, "modbus": {"address": 0, "encoding": "u64"}},
            {**values, "modbus": {"address": _STAMP_REGISTERS}},
        ],
    }
    write_yaml(folder / "bench-device.yaml", profile)
    names = [f"d{number}" for number in range(load.devices)]
    document: dict[str, Any] = {
        "gateway": GATEWAY,
        "site": {"name": {"fr": "Essai", "en": "Bench"}, "lat": 45.5, "lon": -73.6},
        "links": {name: {"protocol": "modbus", "host": "127.0.0.1", "port": port} for name in names},
        "devices": [{"name": name, "profile": "bench-device", "link": name} for name in names],
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
        "scan_s": scan_s,
    }
    if broker is not None:
        document["uplink"] = {"host": "127.0.0.1", "port": broker}
    return write_yaml(folder / "gateway.yaml", document)


@contextlib.contextmanager
def working(file: Path, all_up: bool = True) -> Iterator[Agent]:
    """An agent that has all its links up (unless ``all_up`` is False) and has settled."""
    one = Agent(file, "", file.with_suffix(".log"))
    one.start()
    try:
        until = time.monotonic() + UP_S
        while True:
            one.check()
            with contextlib.suppress(VigieError):
                counters = one.status()["counters"]
                up = not all_up or not counters["field.links_down"]
                if up and counters["control.scans"] and counters["field.frames"]:
                    break
            if time.monotonic() > until:
                raise TransientError(f"{one.name} has not all its links up after {UP_S:.0f} s")
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        if all_up and one.status()["counters"]["field.links_down"]:
            raise TransientError(f"{one.name} has lost a link")
        yield one
    finally:
        one.stop()


def pids_of(one: Agent) -> dict[str, list[int]]:
    """The process ids of an agent, by what they are."""
    told = one.status()
    return {
        "supervisor": [told["supervisor"]],
        **{name: [row["pid"]] for name, row in told["processes"].items()},
    }


def fast_load(figures: Figures) -> Load:
    """The load of 10,000 points/s."""
    return Load(10 if figures.quick else 50, 20, 0.1, publish=True)
