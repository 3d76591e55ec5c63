"""A whole SUMO scenario as devices: one plant, one rig per signal, and what joins them.

Tick: ``step`` lets every cabinet's lamps act on the physics up to ``now`` and reads the detectors; the
rigs then show the new state, agents answer, and their lamps act in the next ``step``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from vigie_sim.traffic.cabinet import Cabinet, LampCabinet, PhaseCabinet, program_card
from vigie_sim.traffic.channels import LampMap
from vigie_sim.traffic.derive import Clearances, Junction, derive
from vigie_sim.traffic.documents import profile_of
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.metrics import TrafficFigures
from vigie_sim.traffic.monitor import Monitor, Trip
from vigie_sim.traffic.network import Network, read_network
from vigie_sim.traffic.plant import STEP_S, SumoPlant
from vigie_sim.traffic.rig import IntersectionRig, Sensors
from vigie_sim.traffic.sumoconfig import SumoRun, read_run

_OPEN = frozenset({Lamp.GREEN, Lamp.YELLOW, Lamp.FLASH_GREEN})


class RedWatch:
    """Longest red of any approach lane while a vehicle stood or came before its stop line without a break."""

    def __init__(self, junction: Junction) -> None:
        channels: dict[str, set[int]] = {}
        place = {group.id: number for number, group in enumerate(junction.head.groups)}
        for movement in junction.site.movements:
            channels.setdefault(movement.lane, set()).add(place[movement.channel])
        zones: dict[str, int] = {}
        for number, zone in enumerate(junction.zones):
            lane = junction.site.detectors[number].lanes[0]
            if zone.from_m == 0.0:
                zones[lane] = number
        self._rows = [(zones[lane], tuple(sorted(own))) for lane, own in channels.items() if lane in zones]
        self._since = [float("inf")] * len(self._rows)
        self.longest = 0.0

    def look(self, now: float, lamps: Sequence[int], counts: Sequence[int]) -> None:
        """The state at ``now``."""
        for number, (zone, channels) in enumerate(self._rows):
            if not counts[zone] or any(lamps[channel] in _OPEN for channel in channels):
                self._since[number] = float("inf")
            else:
                self._since[number] = min(self._since[number], now)
                self.longest = max(self.longest, now - self._since[number])


class TrafficField:
    """Plant and rigs of one scenario.

    With ``own_programs`` no rig acts: the network's own programs run, for the fixed-time reference.
    """

    def __init__(
        self,
        run: SumoRun,
        *,
        seed: int = 1,
        step: float = STEP_S,
        times: Clearances | None = None,
        junctions: Sequence[Junction] | None = None,
        network: Network | None = None,
        own_programs: bool = False,
        store: Path | None = None,
    ) -> None:
        self.run = run
        self.network = network if network is not None else read_network(run.net)
        self.junctions = tuple(
            derive(self.network, times or Clearances()) if junctions is None else junctions
        )
        zones = [zone for one in self.junctions for zone in one.zones]
        exits = [zone for one in self.junctions for zone in one.exits]
        crossings = [crossing for one in self.junctions for crossing in one.crossings]
        self.plant = SumoPlant(run, [*zones, *exits], crossings, seed=seed, step=step)
        self.own_programs = own_programs
        self.rigs: list[IntersectionRig] = []
        self._heads: list[tuple[Junction, Cabinet, LampMap, Sensors, RedWatch]] = []
        z, x, c = 0, len(zones), 0
        for one in self.junctions:
            sensors = Sensors((z, z + len(one.zones)), (x, x + len(one.exits)), (c, c + len(one.crossings)))
            z, x, c = z + len(one.zones), x + len(one.exits), c + len(one.crossings)
            card = program_card(one.site)
            monitor = Monitor(card, None if store is None else store / f"{one.device}.fault.json")
            cabinet: Cabinet
            if one.site.actuation == "cabinet":
                cabinet = PhaseCabinet(one.site, monitor, _sensing(one, sensors))
            else:
                cabinet = LampCabinet(one.site, monitor)
            self._heads.append((one, cabinet, LampMap(one.head), sensors, RedWatch(one)))
            self.rigs.append(IntersectionRig(one.device, profile_of(one), cabinet, sensors))
        self._shown: list[str] = [""] * len(self._heads)

    @classmethod
    def load(cls, path: Path, *, seed: int = 1, own_programs: bool = False) -> "TrafficField":
        """A foreign scenario (``.sumocfg``); raises InputError."""
        return cls(read_run(path), seed=seed, own_programs=own_programs)

    def start(self) -> None:
        """Load the physics."""
        self.plant.start()
        self._sense()

    def step(self, now: float) -> None:
        """Advance to ``now``, one physics step at a time."""
        plant = self.plant
        while plant.now + plant.step_s <= now + 1e-9:
            until = plant.now + plant.step_s
            if not self.own_programs:
                self._act(plant.now, until)
            plant.step(until)
            self._sense()
            if not self.own_programs:
                for _, cabinet, _, sensors, watch in self._heads:
                    watch.look(until, cabinet.lamps, sensors.counts)

    def _act(self, now: float, until: float) -> None:
        for number, (one, cabinet, lamp_map, _, _) in enumerate(self._heads):
            # The last state of the tick acts on the whole step: its changes have come with their instants.
            lamps = cabinet.advance(until - 0.001)
            state = lamp_map.state(lamps, now)
            if state != self._shown[number]:
                self._shown[number] = state
                self.plant.set_state(one.signal, state)

    def _sense(self) -> None:
        plant = self.plant
        for _, _, _, sensors, _ in self._heads:
            sensors.take(plant.counts, plant.halting, plant.waiting)

    @property
    def trips(self) -> list[tuple[str, Trip]]:
        """Every trip of a monitor, with the device's name."""
        return [(one.device, trip) for one, cabinet, *_ in self._heads for trip in cabinet.monitor.trips]

    def trip_words(self) -> list[str]:
        """Every trip of a monitor as a sentence."""
        return [f"{device} at {trip.at:g} s: {trip.reason}" for device, trip in self.trips]

    @property
    def longest_red(self) -> float:
        """Seconds of the longest red with demand so far."""
        return max((watch.longest for *_, watch in self._heads), default=0.0)

    def outcomes(self) -> dict[str, float]:
        """Figures for the score: complete once stopped."""
        return {
            **self.plant.outcomes(),
            "monitor_trips": float(len(self.trips)),
            "longest_red_s": self.longest_red,
        }

    def figures(self) -> TrafficFigures:
        """The figures of the run; ends the simulation."""
        return self.plant.figures()

    def stop(self) -> None:
        """End the simulation; may be called twice."""
        self.plant.stop()


def _sensing(junction: Junction, sensors: Sensors) -> Callable[[], tuple[set[int], set[int]]]:
    calls = [
        (number, set(detector.phases))
        for number, detector in enumerate(junction.site.detectors[: len(junction.zones)])
        if detector.phases
    ]
    buttons = [set(one.phases) for one in junction.site.detectors if one.kind == "button"]

    def sense() -> tuple[set[int], set[int]]:
        counts, pressed = sensors.counts, sensors.buttons
        vehicles = set().union(*(phases for number, phases in calls if counts[number]))
        feet = set().union(*(phases for phases, on in zip(buttons, pressed, strict=True) if on))
        return vehicles, feet

    return sense
