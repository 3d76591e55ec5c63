"""Polling many Modbus TCP devices: what one agent costs and loses, and how old its samples arrive."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigie_protocols.broker import Broker
from vigie_protocols.errors import TransientError, VigieError
from vigie_sim.agents import Agent
from vigie_sim.bench.edge import bare
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.edge.listener import STAMP, Listener
from vigie_sim.bench.figures import Figures, percentile
from vigie_sim.bench.processes import CpuMeter
from vigie_sim.traffic.documents import write_yaml

GATEWAY = "gw-bench"
_STAMP_REGISTERS = 4
_UP_S = 60.0
_SETTLE_S = 4.0


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
        "journal": {"directory": str(folder / "journal"), "commit_ms": 5 if load.publish else 200},
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
        until = time.monotonic() + _UP_S
        while True:
            one.check()
            with contextlib.suppress(VigieError):
                counters = one.status()["counters"]
                up = not all_up or not counters["field.links_down"]
                if up and counters["control.scans"] and counters["field.frames"]:
                    break
            if time.monotonic() > until:
                raise TransientError(f"{one.name} has not all its links up after {_UP_S:.0f} s")
            time.sleep(0.1)
        time.sleep(_SETTLE_S)
        if all_up and one.status()["counters"]["field.links_down"]:
            raise TransientError(f"{one.name} has lost a link")
        yield one
    finally:
        one.stop()


def _pids(one: Agent) -> dict[str, list[int]]:
    told = one.status()
    return {
        "supervisor": [told["supervisor"]],
        **{name: [row["pid"]] for name, row in told["processes"].items()},
    }


def polling(figures: Figures) -> None:
    """Both loads of the table."""
    seconds = 4.0 if figures.quick else 30.0
    slow = Load(40 if figures.quick else 500, 30, 1.0, publish=False)
    fast = Load(10 if figures.quick else 50, 20, 0.1, publish=True)
    for load in (slow, fast):
        folder = figures.folder / f"{load.devices}"
        devices = Devices()
        broker = Broker(folder / "broker")
        broker.start()
        try:
            _one(figures, load, folder, devices, broker.port, seconds)
        finally:
            broker.stop()
            devices.stop()


def _one(figures: Figures, load: Load, folder: Path, devices: Devices, broker: int, seconds: float) -> None:
    case = load.title()
    listener = Listener(broker, GATEWAY) if load.publish else None
    expected = load.devices / load.period_s
    target = {"CPU": "" if load.publish else "<= 15", "missed": "0"}
    try:
        with working(gateway(load, folder, devices.port, broker if load.publish else None)) as one:
            meter = CpuMeter(_pids(one))
            if listener is not None:
                listener.reset()
            before, counters, begun = devices.answered(), one.status()["counters"], time.monotonic()
            time.sleep(seconds)
            after, later, ended = devices.answered(), one.status()["counters"], time.monotonic()
            spent = meter.spent()
            samples, ages = (listener.samples, listener.ages) if listener is not None else (0, [])
        wall = ended - begun
        polls = after - before
        count = round(expected * wall)
        figures.ours(
            case, "polls missed", 100 * max(0.0, 1 - polls / (expected * wall)), "%", count, target["missed"]
        )
        figures.ours(
            case, "CPU of all processes", 100 * sum(spent.values()) / wall, "% of a core", 1, target["CPU"]
        )
        for name, used in spent.items():
            figures.ours(case, f"CPU, {name}", 100 * used / wall, "% of a core")
        late = later["control.overruns"] - counters["control.overruns"]
        figures.ours(case, "scans overrun", late, "", round(wall / 0.1), "0")
        figures.ours(
            case, "CPU per reading", 1e6 * sum(spent.values()) / max(1, polls * load.points), "us", polls
        )
        if listener is not None:
            points = expected * load.points
            figures.ours(case, "points delivered", samples / wall, "1/s", 1, f"{points:g}")
            _ages(figures, case, "", ages)
        _bare(figures, case, load, devices, broker, seconds, listener)
    finally:
        if listener is not None:
            listener.stop()


def _ages(figures: Figures, case: str, subject: str, ages: list[float]) -> None:
    if not ages:
        return
    for share, target in ((0.5, ""), (0.99, "<= 20")):
        metric = f"read to MQTT p{100 * share:.0f}"
        value = 1000 * percentile(ages, share)
        if subject:
            figures.reference(case, subject, metric, value, "ms", len(ages))
        else:
            figures.ours(case, metric, value, "ms", len(ages), target)


def _bare(
    figures: Figures,
    case: str,
    load: Load,
    devices: Devices,
    broker: int,
    seconds: float,
    listener: Listener | None,
) -> None:
    shape = (float(devices.port), load.devices, load.registers, load.period_s, seconds)
    expected = load.devices / load.period_s
    if listener is None:
        subject, found = "bare pymodbus asyncio", bare.run("poll", *shape)
    else:
        listener.reset()
        subject, found = "bare pymodbus + paho", bare.run("publish", *shape, broker)
        time.sleep(0.5)
        figures.reference(case, subject, "points delivered", listener.samples / found.seconds, "1/s")
        _ages(figures, case, subject, listener.ages)
    missed = 100 * max(0.0, 1 - found.requests / (expected * found.seconds))
    figures.reference(case, subject, "polls missed", missed, "%", found.requests)
    figures.reference(case, subject, "CPU of all processes", 100 * found.cpu_s / found.seconds, "% of a core")
    per = 1e6 * found.cpu_s / max(1, found.requests * load.points)
    figures.reference(case, subject, "CPU per reading", per, "us", found.requests)
