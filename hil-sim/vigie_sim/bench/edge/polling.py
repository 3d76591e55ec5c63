"""Polling many Modbus TCP devices: what one agent costs and loses, and how old its samples arrive."""

import time
from dataclasses import dataclass
from pathlib import Path

from vigie_protocols.broker import Broker
from vigie_protocols.errors import PermanentError, TransientError
from vigie_sim.bench.edge import bare, peer
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.edge.listener import Listener
from vigie_sim.bench.edge.load import GATEWAY, SETTLE_S, UP_S, Load, fast_load, gateway, pids_of, working
from vigie_sim.bench.figures import Figures, percentile
from vigie_sim.bench.processes import CpuMeter, pss


def polling(figures: Figures) -> None:
    """Both loads of the table."""
    seconds = 4.0 if figures.quick else 30.0
    slow = Load(40 if figures.quick else 500, 30, 1.0, publish=False)
    for load in (slow, fast_load(figures)):
        folder = figures.folder / f"{load.devices}"
        devices = Devices(load.devices if load.publish else 1)
        broker = Broker(folder / "broker")
        broker.start()
        try:
            _Polling(figures, load, folder, devices, broker.port, seconds).fill()
        finally:
            broker.stop()
            devices.stop()


@dataclass
class _Polling:
    """One load, by the agent and then by each reference, on the same devices and broker."""

    figures: Figures
    load: Load
    folder: Path
    devices: Devices
    broker: int
    seconds: float

    def __post_init__(self) -> None:
        self.case = self.load.title()
        self.expected = self.load.devices / self.load.period_s
        self.listener = Listener(self.broker, GATEWAY) if self.load.publish else None
        self.per_reading = 0.0

    def fill(self) -> None:
        """All rows of this load."""
        try:
            self._ours()
            self._bare()
            if self.listener is not None:
                for ranged in (False, True):
                    self._peer(self.listener, ranged)
        finally:
            if self.listener is not None:
                self.listener.stop()

    def _ours(self) -> None:
        load, case, figures = self.load, self.case, self.figures
        with working(
            gateway(load, self.folder, self.devices.port, self.broker if load.publish else None)
        ) as one:
            groups = pids_of(one)
            meter = CpuMeter(groups)
            if self.listener is not None:
                self.listener.reset()
            before, counters, begun = self.devices.answered(), one.status()["counters"], time.monotonic()
            time.sleep(self.seconds)
            after, later, ended = self.devices.answered(), one.status()["counters"], time.monotonic()
            spent = meter.spent()
            arrived = self.listener.taken() if self.listener is not None else None
            weight = sum(pss(pids) for pids in groups.values())
        wall = ended - begun
        polls = after - before
        missed = 100 * max(0.0, 1 - polls / (self.expected * wall))
        figures.ours(case, "polls missed", missed, "%", round(self.expected * wall), "0")
        share = 100 * sum(spent.values()) / wall
        figures.ours(case, "CPU of all processes", share, "% of a core", 1, "" if load.publish else "<= 15")
        for name, used in spent.items():
            figures.ours(case, f"CPU, {name}", 100 * used / wall, "% of a core")
        late = later["control.overruns"] - counters["control.overruns"]
        figures.ours(case, "scans overrun", late, "", round(wall / 0.1), "0")
        readings = polls * load.points if arrived is None else arrived.samples
        self.per_reading = 1e6 * sum(spent.values()) / max(1, readings)
        target = f"<= 1/10 of {peer.NAME}" if load.publish else ""
        figures.ours(case, "CPU per reading", self.per_reading, "us", readings, target)
        allowed = "<= 85.8 (90 MB)" if load.publish else ""
        figures.ours(case, "memory (PSS) of all processes", weight, "MiB", 1, allowed)
        if arrived is not None:
            points = self.expected * load.points
            figures.ours(case, "points delivered", arrived.samples / wall, "1/s", 1, f"{points:g}")
            _ages(figures, case, "", arrived.ages)

    def _bare(self) -> None:
        load, case, figures = self.load, self.case, self.figures
        shape = (float(self.devices.port), load.devices, load.registers, load.period_s, self.seconds)
        if self.listener is None:
            subject, found = "bare pymodbus asyncio", bare.run("poll", *shape)
        else:
            self.listener.reset()
            subject, found = "bare pymodbus + paho", bare.run("publish", *shape, self.broker)
            time.sleep(0.5)
            arrived = self.listener.taken()
            figures.reference(case, subject, "points delivered", arrived.samples / found.seconds, "1/s")
            _ages(figures, case, subject, arrived.ages)
        missed = 100 * max(0.0, 1 - found.requests / (self.expected * found.seconds))
        figures.reference(case, subject, "polls missed", missed, "%", found.requests)
        share = 100 * found.cpu_s / found.seconds
        figures.reference(case, subject, "CPU of all processes", share, "% of a core")
        per = 1e6 * found.cpu_s / max(1, found.requests * load.points)
        figures.reference(case, subject, "CPU per reading", per, "us", found.requests)

    def _peer(self, listener: Listener, ranged: bool) -> None:
        """The peer as its documentation shows it, a request a point, and with the points of a device ranged
        into one request by hand."""
        load, case, figures = self.load, self.case, self.figures
        subject = peer.NAME + (", ranged by hand" if ranged else "")
        try:
            one = peer.Peer(
                self.folder / subject.replace(" ", "-"), self.devices.port, load, self.broker, ranged
            )
        except PermanentError as error:
            figures.note(str(error))
            return
        try:
            one.start()
            _until_flowing(listener, one, load)
            meter = CpuMeter({"peer": one.pids})
            listener.reset()
            begun = time.monotonic()
            time.sleep(self.seconds)
            wall, spent, arrived = time.monotonic() - begun, meter.spent()["peer"], listener.taken()
            weight = pss(one.pids)
        finally:
            one.stop()
        figures.reference(case, subject, "points delivered", arrived.samples / wall, "1/s")
        _ages(figures, case, subject, arrived.ages)
        figures.reference(case, subject, "CPU of all processes", 100 * spent / wall, "% of a core")
        per = 1e6 * spent / max(1, arrived.samples)
        figures.reference(case, subject, "CPU per reading", per, "us", arrived.samples)
        figures.reference(case, subject, "memory (PSS) of all processes", weight, "MiB")
        if not ranged:
            metric = "CPU per reading, the peer's over ours"
            figures.ours(case, metric, per / self.per_reading, "x", arrived.samples, ">= 10, aim 20")


def _until_flowing(listener: Listener, one: peer.Peer, load: Load) -> None:
    """Until the peer delivers half of what it should in a second, which takes it a few seconds."""
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        listener.reset()
        time.sleep(1.0)
        if one.pids and listener.taken().samples > 0.5 * load.devices * load.points / load.period_s:
            time.sleep(SETTLE_S)
            return
    raise TransientError(f"{peer.NAME} delivers too little after {UP_S:.0f} s")


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
