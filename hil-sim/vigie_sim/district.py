"""The built-in district: an arterial of three signals, a small combined sewer, sixty lamps, four gateways.

``gw-boulevard`` has the two NEMA cabinets, ``gw-pompage`` the station and the basin, ``gw-eclairage`` one
lighting cabinet, and ``gw-mixte`` carries two kinds: the bare-lamps signal and the other lighting cabinet.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vigie_protocols
from vigie_controllers.loops import ControllerSpec
from vigie_protocols.broker import Broker
from vigie_protocols.errors import PermanentError
from vigie_protocols.yamlfile import read_yaml
from vigie_sim.lighting.plant import LightingPlant, load_lighting
from vigie_sim.lighting.rig import lighting_rigs
from vigie_sim.scenario import More, World
from vigie_sim.traffic.district import district_junctions, district_run
from vigie_sim.traffic.district import folder as traffic_folder
from vigie_sim.traffic.documents import gateway_document, profile_document, profile_name, write_yaml
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.network import read_network
from vigie_sim.water.plant import WaterPlant, load_water
from vigie_sim.water.rig import water_rigs

DISTRICT = "centre"
STEP_S = 1.0
ACTUATED = "signal.actuated"
_BOULEVARD = ("tisserands", "vieux-marche")
_MIXED = "passerelle"
_ARTERIAL = {"default_max_green_s": 35.0, "dual_entry": [2, 4, 6, 8]}
_NAMES = {
    "gw-boulevard": {"fr": "Boulevard des Tisserands", "en": "Tisserands boulevard"},
    "gw-mixte": {"fr": "Carrefour de la Passerelle", "en": "Passerelle intersection"},
}


def builtin_gateway(name: str) -> dict[str, Any]:
    """A gateway file of ``firmware-config/gateways`` or of the copy in an installed wheel, as a document."""
    package = Path(vigie_protocols.__file__).parent
    for place in (package.parents[1] / "firmware-config" / "gateways", package / "builtin_gateways"):
        path = place / f"{name}.yaml"
        if path.is_file():
            found: dict[str, Any] = copy.deepcopy(read_yaml(path).data)
            return found
    raise PermanentError(f"the built-in gateway file {name}.yaml is not installed")


class DistrictScenario:
    """The district for one simulated hour, or its first ``duration_s`` seconds.

    controller: the kind that leads at every signal; actuated control stands behind it.
    """

    name = "district"

    def __init__(self, duration_s: float | None = None, controller: str = ACTUATED) -> None:
        self.controller = controller
        folder = traffic_folder().parent
        self.run = district_run()
        self.network = read_network(self.run.net)
        self.junctions = {one.name: one for one in district_junctions(self.network)}
        self.water = load_water(folder / "water.yaml")
        self.lighting = load_lighting(folder / "lighting.yaml")
        self.duration_s = min(self.run.duration, duration_s or self.run.duration)
        self.bus: Broker | None = None
        self.traffic_field: TrafficField | None = None
        self.water_plant: WaterPlant | None = None
        self.lighting_plant: LightingPlant | None = None

    def open_bus(self, directory: Path) -> None:
        """Start the field bus: a broker of its own for the MQTT devices, apart from the city's."""
        self.bus = Broker(directory)
        self.bus.start()

    def close_bus(self) -> None:
        """Stop the field bus; may be called twice."""
        if self.bus is not None:
            self.bus.stop()
            self.bus = None

    def world(self, seed: int, *, controlled: bool = True) -> World:
        """A fresh world; uncontrolled: fixed-time signals, station on its floats, lamps all night at 100 %."""
        traffic = TrafficField(
            self.run,
            seed=seed,
            network=self.network,
            junctions=list(self.junctions.values()),
            own_programs=not controlled,
        )
        water, lighting = WaterPlant(self.water, seed), LightingPlant(self.lighting, seed)
        self.traffic_field, self.water_plant, self.lighting_plant = traffic, water, lighting
        port = self.bus.port if self.bus is not None else 1
        rigs = [*traffic.rigs, *water_rigs(water), *lighting_rigs(lighting, "127.0.0.1", port)]
        return World([traffic, water, lighting], rigs, self.lighting.epoch, STEP_S, self.duration_s)

    def write_gateways(self, folder: Path, endpoints: Mapping[str, str], more: More) -> list[Path]:
        """The four gateway files with the signals' profiles."""
        for junction in self.junctions.values():
            write_yaml(folder / f"{profile_name(junction)}.yaml", profile_document(junction))
        documents = [
            self._signals("gw-boulevard", _BOULEVARD, endpoints),
            _connected(builtin_gateway("gw-pompage"), endpoints),
            _connected(builtin_gateway("gw-eclairage"), endpoints),
            self._mixed(endpoints),
        ]
        return [
            write_yaml(folder / f"{one['gateway']}.yaml", {**one, **more(one["gateway"])})
            for one in documents
        ]

    def _signals(self, name: str, junctions: tuple[str, ...], endpoints: Mapping[str, str]) -> dict[str, Any]:
        mine = [self.junctions[one] for one in junctions]
        urls = {one.name: endpoints.get(one.device, "opc.tcp://127.0.0.1:4840") for one in mine}
        chain = {one.name: self._chain(one.name) for one in mine}
        document = gateway_document(name, mine, urls, chain)
        document["site"] = {**document["site"], "name": _NAMES[name], "district": DISTRICT}
        return document

    def _chain(self, junction: str) -> list[ControllerSpec]:
        first = [] if self.controller == ACTUATED else [ControllerSpec(kind=self.controller)]
        return [*first, self._actuated(junction)]

    def _actuated(self, junction: str) -> ControllerSpec:
        present = {phase.id for phase in self.junctions[junction].site.phases}
        params = {**_ARTERIAL, "dual_entry": [one for one in (2, 4, 6, 8) if one in present]}
        return ControllerSpec(kind=ACTUATED, params=params)

    def _mixed(self, endpoints: Mapping[str, str]) -> dict[str, Any]:
        """The bare-lamps signal and the second lighting cabinet on one gateway."""
        document = self._signals("gw-mixte", (_MIXED,), endpoints)
        second = _renamed(builtin_gateway("gw-eclairage"))
        cabinet = self.lighting.cabinets[1]
        loop = second["loops"][0]
        loop["site"] = {
            **loop["site"],
            "latitude": cabinet.latitude,
            "longitude": cabinet.longitude,
            "segments": [
                {"lamps": group.lamps, "road_class": "M4", "floor_pct": group.floor_pct}
                for group in cabinet.groups
            ],
        }
        second = _connected(second, endpoints)
        document["links"] = {**document["links"], **second["links"]}
        document["devices"] = [*document["devices"], *second["devices"]]
        document["loops"] = [*document["loops"], *second["loops"]]
        return document


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """Cabinet A's documents for cabinet B."""
    changes = (
        ("cab-a", "cab-b"),
        ("meter-a", "meter-b"),
        ("Armoire A", "Armoire B"),
        ("Cabinet A", "Cabinet B"),
        ("Compteur A", "Compteur B"),
        ("Meter A", "Meter B"),
        ("gw-eclairage-field", "gw-mixte-field"),
    )

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            for old, new in changes:
                value = value.replace(old, new)
            return value
        if isinstance(value, dict):
            return {renamed(key): renamed(one) for key, one in value.items()}
        return [renamed(one) for one in value] if isinstance(value, list | tuple) else value

    found: dict[str, Any] = renamed(document)
    return found


def _connected(document: dict[str, Any], endpoints: Mapping[str, str]) -> dict[str, Any]:
    """The document with its links at the rigs' endpoints."""
    for device in document["devices"]:
        endpoint = endpoints.get(device["name"])
        if endpoint is not None:
            host, _, port = endpoint.rpartition(":")
            document["links"][device["link"]].update(host=host, port=int(port), timeout_s=10.0)
    return document
