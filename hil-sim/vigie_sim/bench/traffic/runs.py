"""One run of the bench, wholly inside one process: physics, devices, scans, guards; or SUMO's own control."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vigie_controllers.image import Image
from vigie_controllers.loops import ControllerSpec
from vigie_controllers.scan import ScanEngine, ScanOutcome
from vigie_protocols.errors import VigieError
from vigie_protocols.points import ClockTrust, Value
from vigie_sim.bench.figures import percentile
from vigie_sim.bench.traffic.harder import HarderRig, failed_points, pressed, with_pedestrians
from vigie_sim.bench.traffic.jobs import UNITS, Job, Outcome
from vigie_sim.bench.traffic.programs import fixed_spec, write_programs
from vigie_sim.bench.traffic.subjects import SUBJECTS, Subject
from vigie_sim.foreign import EPOCH, SCAN_S
from vigie_sim.inprocess import InProcessGateway, gateways_in_process, run_in_process
from vigie_sim.rig import Rig
from vigie_sim.scenario import World
from vigie_sim.traffic.derive import Clearances, Junction, derive
from vigie_sim.traffic.documents import write_gateway
from vigie_sim.traffic.field import RedWatch, TrafficField
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.neighbours import with_neighbours
from vigie_sim.traffic.network import Network, read_network
from vigie_sim.traffic.sumoconfig import SumoRun, read_run

TIMES = Clearances()
"""Yellow 3 s, red clearance 2 s, minimum green 5 s: for every subject but ``net_fixed``."""
_TOLD_EVERY_S = 60.0
_SHOWN_TRIPS = 5

Told = Callable[[float], None]
"""Takes the share of the run that is done, 0..1."""


class TimedEngine(ScanEngine):
    """A scan engine that notes the CPU time of every scan, and which rules intervened."""

    def __init__(self, inner: ScanEngine) -> None:
        self._inner = inner
        self.cpu_s: list[float] = []
        self.rules: Counter[str] = Counter()

    def scan(
        self, now: float, utc: float, trust: ClockTrust, image: Image, overrun: bool = False
    ) -> ScanOutcome:
        """The inner engine's scan."""
        begun = time.thread_time()
        outcome = self._inner.scan(now, utc, trust, image, overrun)
        self.cpu_s.append(time.thread_time() - begun)
        self.rules.update(one.rule for one in outcome.interventions)
        return outcome

    def hear(self, neighbour: str, message: Mapping[str, Any]) -> bool:
        """As the inner engine."""
        return self._inner.hear(neighbour, message)

    def audience(self, loop: str) -> tuple[str, ...]:
        """As the inner engine."""
        return self._inner.audience(loop)


class _Teller:
    """A plant without physics that says how far the run is."""

    def __init__(self, told: Told, duration: float) -> None:
        self._told, self._duration = told, duration

    def start(self) -> None:
        """Nothing to build."""

    def step(self, now: float) -> None:
        """Say it once a simulated minute."""
        if now % _TOLD_EVERY_S == 0:
            self._told(now / self._duration)

    def outcomes(self) -> dict[str, float]:
        """None of its own."""
        return {}

    def stop(self) -> None:
        """Nothing to end."""


class _OwnRed(_Teller):
    """Longest red with demand under programs that SUMO runs itself, measured as under ours."""

    def __init__(self, field: TrafficField) -> None:
        self._field = field
        self._watches: list[tuple[Junction, RedWatch, int]] = []
        at = 0
        for one in field.junctions:
            self._watches.append((one, RedWatch(one), at))
            at += len(one.zones)

    def step(self, now: float) -> None:
        """Look at the state after the field's step."""
        plant = self._field.plant
        for one, watch, at in self._watches:
            state = plant.state_of(one.signal)
            lamps = [
                Lamp.GREEN if any(state[link] in "GgyY" for link in group.links) else Lamp.RED
                for group in one.head.groups
            ]
            watch.look(now, lamps, plant.counts[at : at + len(one.zones)])

    def outcomes(self) -> dict[str, float]:
        """In place of the field's own, which watches the rigs."""
        return {"longest_red_s": max((watch.longest for _, watch, _ in self._watches), default=0.0)}


def measure(job: Job, told: Told = lambda share: None) -> Outcome:
    """The whole run; what goes wrong with it is told in ``failure``, never raised."""
    subject = SUBJECTS[job.subject]
    try:
        run = read_run(job.path)
        network = read_network(run.net)
        junctions = derive(network, TIMES)
        if job.pedestrians:
            junctions = tuple(with_pedestrians(one, TIMES) for one in junctions)
        if subject.neighbours:
            junctions = with_neighbours(network, junctions)
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            if subject.kind:
                return _ours(job, subject, run, network, junctions, Path(folder), told)
            return _theirs(job, subject, run, network, junctions, Path(folder), told)
    except VigieError as error:
        return Outcome(job, {}, failure=" ".join(str(error).split()))


def _ours(
    job: Job, subject: Subject, run: SumoRun, network: Network, junctions: Sequence[Junction], folder: Path,
    told: Told,
) -> Outcome:  # fmt: skip
    field = TrafficField(run, seed=job.seed, network=network, junctions=junctions)
    missing = failed_points(junctions, job.failed, job.seed) if job.failed else {}
    rigs: list[Rig] = []
    for one, rig in zip(junctions, field.rigs, strict=True):
        fixed: Mapping[str, Value] = pressed(one) if job.pedestrians else {}
        rigs.append(HarderRig(rig, missing.get(one.device, frozenset()), fixed))
    ticks = round(run.duration if job.seconds is None else min(job.seconds, run.duration))
    world = World([field, _Teller(told, ticks)], rigs, EPOCH, 1.0, run.duration)
    files = [_write(folder, one, _controllers(subject, network, one, run.begin)) for one in junctions]
    gateways = gateways_in_process(files, world)
    engines = [_timed(gateway) for gateway in gateways]
    run_in_process(world, gateways, ticks)
    cpu = [1e3 * one for engine in engines for one in engine.cpu_s]
    found = world.outcomes()
    found["guard_interventions"] = sum(one.interventions for one in gateways)
    found["decision_ms_mean"] = sum(cpu) / max(1, len(cpu))
    found["decision_ms_p99"] = percentile(cpu, 0.99) if cpu else 0.0
    rules: Counter[str] = sum((engine.rules for engine in engines), Counter())
    notes = [f"trip: {words}" for words in world.trips[:_SHOWN_TRIPS]]
    notes += [f"interventions of {rule}: {count}" for rule, count in rules.most_common()]
    return Outcome(job, {name: found[name] for name in UNITS if name in found}, tuple(notes))


def _timed(gateway: InProcessGateway) -> TimedEngine:
    engine = TimedEngine(gateway.engine)
    gateway.engine = engine
    return engine


def _controllers(
    subject: Subject, network: Network, junction: Junction, begin: float
) -> list[ControllerSpec]:
    """The subject first, then what every gateway falls back on."""
    first = ControllerSpec(kind=subject.kind)
    if subject.name == "fixed":
        first = fixed_spec(network, junction, EPOCH, begin)
    chain = [first]
    if subject.kind != "signal.actuated":
        chain.append(ControllerSpec(kind="signal.actuated"))
    return chain


def _write(folder: Path, junction: Junction, controllers: Sequence[ControllerSpec]) -> Path:
    names = {junction.name: "opc.tcp://127.0.0.1:4840"}  # never opened: the run has no sockets
    return write_gateway(
        folder, junction.gateway, [junction], names, {junction.name: controllers}, {"scan_s": SCAN_S}
    )


def _theirs(
    job: Job, subject: Subject, run: SumoRun, network: Network, junctions: Sequence[Junction], folder: Path,
    told: Told,
) -> Outcome:  # fmt: skip
    if subject.sumo:
        more = write_programs(folder / "programs.add.xml", network, junctions, subject.sumo, TIMES)
        run = replace(run, additional=(*run.additional, more))
    field = TrafficField(run, seed=job.seed, network=network, junctions=junctions, own_programs=True)
    ticks = round(run.duration if job.seconds is None else min(job.seconds, run.duration))
    world = World([field, _OwnRed(field), _Teller(told, ticks)], [], EPOCH, 1.0, run.duration)
    world.start()
    try:
        for number in range(1, ticks + 1):
            world.step(float(number))
    finally:
        world.stop()
    found = world.outcomes()
    found.pop("monitor_trips", None)  # nobody's lamps pass a monitor here
    return Outcome(job, {name: found[name] for name in UNITS if name in found})
