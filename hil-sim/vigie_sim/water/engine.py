"""SWMM in a process of its own: ``python -m vigie_sim.water.engine FOLDER``, driven over its two pipes.

SWMM keeps one network per process in global variables, so every network gets a child process. Requests
come in on standard input and answers leave on standard output, as length-prefixed msgpack frames. Volumes
and energy are integrated over every solver step, never sampled at ticks.

The messages are the contract between this module and ``plant``.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

JOULES_PER_KWH = 3.6e6
WATER_N_PER_M3 = 9806.65
_LENGTH = struct.Struct(">I")
MAX_FRAME = 1 << 24


class PumpSpec(msgspec.Struct, frozen=True):
    """Turns a pump's flow and head into electric power.

    best_flow: m3/s at the best efficiency point; best: hydraulic efficiency there; motor: efficiency of
    motor and starter. Efficiency falls as a parabola to either side, not below ``worst``.
    """

    best_flow: float
    best: float = 0.74
    motor: float = 0.92
    worst: float = 0.15

    def watts(self, flow: float, head: float) -> float:
        """Electric power in W for ``flow`` m3/s against ``head`` m."""
        if flow <= 0.0 or head <= 0.0:
            return 0.0
        off = (flow - self.best_flow) / self.best_flow
        return WATER_N_PER_M3 * flow * head / (max(self.worst, self.best * (1.0 - off * off)) * self.motor)


class Start(msgspec.Struct, tag="start", frozen=True):
    """Open a network. rain_scale multiplies every value of every rain gauge's time series."""

    inp: str
    rain_scale: float = 1.0
    pumps: dict[str, PumpSpec] = {}


class Advance(msgspec.Struct, tag="advance", frozen=True):
    """Go on to ``to`` seconds. settings: link -> target setting; inflows: node -> m3/s from outside."""

    to: float
    settings: dict[str, float] = {}
    inflows: dict[str, float] = {}


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """End the run and leave."""


class State(msgspec.Struct, tag="state", frozen=True):
    """The network at ``now`` seconds.

    depths (m) and flows (m3/s) at this instant; volumes (m3, per link, forward flow only), flooded (m3, per
    node, without outfalls) and energy (kWh, per pump) since the start; rain (mm/h) per subcatchment;
    heads (m) per pump.
    """

    now: float
    depths: dict[str, float]
    flows: dict[str, float]
    volumes: dict[str, float]
    flooded: dict[str, float]
    energy: dict[str, float]
    watts: dict[str, float]
    heads: dict[str, float]
    rain: dict[str, float]


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The engine cannot go on. input: True when the network file is to blame."""

    reason: str
    input: bool = False


Request = Start | Advance | Stop
Answer = State | Failed
_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def send(stream: IO[bytes], message: Request | Answer) -> None:
    """Write one message and flush it."""
    payload = _encoder.encode(message)
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        return None
    payload = stream.read(length)
    return payload if len(payload) == length else None


def receive_answer(stream: IO[bytes]) -> Answer | None:
    """The next answer of the child, or None when it is gone."""
    payload = _receive(stream)
    return None if payload is None else _answers.decode(payload)


def scaled(text: str, factor: float) -> str:
    """A network with the rain multiplied by ``factor`` and one solver thread.

    The gauges' own SCF is the snow catch factor and leaves rain alone, so the series' values are scaled:
    exactly those series that a gauge names. Series in files of their own are refused (ValueError).
    """
    gauges: set[str] = set()
    for name, fields in _rows(text):
        if name == "RAINGAGES" and len(fields) >= 6 and fields[4].upper() == "TIMESERIES":
            gauges.add(fields[5])
    lines = []
    section = ""
    threads = False
    for line in text.splitlines():
        bare = line.split(";")[0].split()
        if bare and bare[0].startswith("["):
            section = bare[0].strip("[]").upper()
        elif section == "TIMESERIES" and bare and bare[0] in gauges and factor != 1.0:
            line = _scaled_row(bare, factor)
        elif section == "OPTIONS" and bare and bare[0].upper() == "THREADS":
            line, threads = "THREADS 1", True
        lines.append(line)
    if not threads:
        lines.append("[OPTIONS]\nTHREADS 1")
    return "\n".join(lines) + "\n"


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    section = ""
    for line in text.splitlines():
        fields = line.split(";")[0].split()
        if fields and fields[0].startswith("["):
            section = fields[0].strip("[]").upper()
        elif fields:
            yield section, fields


def _scaled_row(fields: list[str], factor: float) -> str:
    if fields[1].upper() == "FILE":
        raise ValueError(f"time series {fields[0]} stands in a file of its own and cannot be scaled")
    # NAME [date] time value [time value ...]: a date holds a slash, a time may be plain hours.
    out = [fields[0]]
    rest = fields[1:]
    while rest:
        if "/" in rest[0]:
            out.append(rest.pop(0))
        if len(rest) < 2:
            raise ValueError(f"time series {fields[0]}: a time without a value")
        out += [rest[0], repr(float(rest[1]) * factor)]
        rest = rest[2:]
    return " ".join(out)


class Network:
    """One running SWMM network. Units must be metric with CMS flows. Only one may exist per process."""

    def __init__(self, folder: Path, start: Start) -> None:
        from swmm.toolkit import shared_enum as enum
        from swmm.toolkit import solver

        self._solver = solver
        source = Path(start.inp)
        text = scaled(source.read_text(encoding="utf-8"), start.rain_scale)
        units = [
            fields[1].upper()
            for name, fields in _rows(text)
            if name == "OPTIONS" and fields[0] == "FLOW_UNITS"
        ]
        if units != ["CMS"]:
            raise ValueError("OPTIONS FLOW_UNITS must be CMS")
        private = folder / "network.inp"
        private.write_text(text, encoding="utf-8")
        try:
            solver.swmm_open(str(private), str(folder / "network.rpt"), str(folder / "network.out"))
        except Exception as error:  # the binding raises bare Exception for every engine error
            solver.swmm_close()
            raise ValueError(_reason(folder / "network.rpt", error)) from error
        solver.swmm_start(0)
        kind = enum.ObjectType
        self._nodes = self._named(kind.NODE)
        self._links = self._named(kind.LINK)
        self._areas = self._named(kind.SUBCATCH)
        self._outfalls = {
            name
            for name, index in self._nodes.items()
            if solver.node_get_type(index) == enum.NodeType.OUTFALL
        }
        self._pumps = []
        for name, spec in start.pumps.items():
            if name not in self._links:
                raise ValueError(f"the network has no pump {name}")
            ends = solver.link_get_connections(self._links[name])
            self._pumps.append((name, self._links[name], int(ends[0]), int(ends[1]), spec))
        self._result = enum.NodeResult, enum.LinkResult, enum.RainResult, enum.SubcatchResult
        self.now = 0.0
        self._flows = dict.fromkeys(self._links, 0.0)
        self._volumes = dict.fromkeys(self._links, 0.0)
        self._flood = {name: 0.0 for name in self._nodes if name not in self._outfalls}
        self._flooded = dict.fromkeys(self._flood, 0.0)
        self._energy = dict.fromkeys(start.pumps, 0.0)
        self._watts = dict.fromkeys(start.pumps, 0.0)
        self._heads = dict.fromkeys(start.pumps, 0.0)
        self._settings: dict[str, float] = {}

    def _named(self, kind: Any) -> dict[str, int]:
        solver = self._solver
        return {solver.project_get_id(kind, i): i for i in range(solver.project_get_count(kind))}

    def advance(self, request: Advance) -> None:
        """Take settings and inflows, then step the solver until ``request.to``; raises KeyError, RuntimeError."""
        solver = self._solver
        for name, setting in request.settings.items():
            if self._settings.get(name) != setting:
                solver.link_set_target_setting(self._links[name], setting)
                self._settings[name] = setting
        for name, flow in request.inflows.items():
            solver.node_set_total_inflow(self._nodes[name], flow)
        while self.now < request.to - 1e-6:
            # Elapsed time comes in days; solver steps are whole milliseconds.
            now = round(solver.swmm_step() * 86400.0, 3)
            if now <= self.now:
                raise RuntimeError(f"the network's END_TIME is over at {self.now:g} s")
            self._integrate(now - self.now)
            self.now = now

    def _integrate(self, seconds: float) -> None:
        # SWMM's own totals use the mean of a step's two ends too, so both agree with its report.
        node, link, _, _ = self._result
        solver = self._solver
        for name, index in self._links.items():
            flow = solver.link_get_result(index, link.FLOW)
            self._volumes[name] += (max(0.0, flow) + max(0.0, self._flows[name])) / 2.0 * seconds
            self._flows[name] = flow
        for name in self._flood:
            rate = solver.node_get_result(self._nodes[name], node.FLOOD)
            self._flooded[name] += (rate + self._flood[name]) / 2.0 * seconds
            self._flood[name] = rate
        for name, index, low, high, spec in self._pumps:
            head = solver.node_get_result(high, node.HEAD) - solver.node_get_result(low, node.HEAD)
            watts = spec.watts(solver.link_get_result(index, link.FLOW), head)
            self._energy[name] += (watts + self._watts[name]) / 2.0 * seconds / JOULES_PER_KWH
            self._watts[name] = watts
            self._heads[name] = head

    def state(self) -> State:
        """The network now."""
        node, _, _, area = self._result
        solver = self._solver
        return State(
            self.now,
            {name: solver.node_get_result(index, node.DEPTH) for name, index in self._nodes.items()},
            self._flows,
            self._volumes,
            self._flooded,
            self._energy,
            self._watts,
            self._heads,
            {name: solver.subcatch_get_result(index, area.RAIN) for name, index in self._areas.items()},
        )

    def close(self) -> None:
        """End the run; SWMM then writes its report."""
        self._solver.swmm_end()
        self._solver.swmm_close()


def _reason(report: Path, error: Exception) -> str:
    """The first error line of SWMM's report, which says more than its number."""
    try:
        rows = report.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        rows = []
    found = [
        " ".join(f"{row} {rows[place + 1]}".split()) for place, row in enumerate(rows[:-1]) if "ERROR" in row
    ]
    return "; ".join(found[:3]) if found else str(error).strip()


@contextmanager
def _private_output() -> Iterator[IO[bytes]]:
    """Our answers' stream, with file descriptor 1 turned away from whatever the C library may print."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        yield answers
    finally:
        answers.close()


def serve(requests: IO[bytes], answers: IO[bytes], folder: Path) -> None:
    """Answer requests until Stop, the first failure or the end of the stream."""
    network: Network | None = None
    try:
        while (payload := _receive(requests)) is not None:
            request = _requests.decode(payload)
            if isinstance(request, Stop):
                return
            try:
                if isinstance(request, Start):
                    network = Network(folder, request)
                elif network is not None:
                    network.advance(request)
            except KeyError as error:
                send(answers, Failed(f"the network has no {error}", isinstance(request, Start)))
                return
            except (ValueError, OSError, RuntimeError) as error:
                send(answers, Failed(str(error), isinstance(request, Start)))
                return
            send(answers, Failed("not started") if network is None else network.state())
    finally:
        if network is not None:
            network.close()


def main() -> None:
    """The child process; its argument is a folder of its own for SWMM's files, which the parent removes."""
    # Ctrl-C reaches the whole terminal group; the parent ends us in order, or by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _private_output() as answers, suppress(BrokenPipeError):
        serve(sys.stdin.buffer, answers, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
