"""Device profiles and gateway files for derived junctions, as the documents people would write by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vigie_controllers.loops import ControllerSpec, LoopSpec
from vigie_protocols.profile import Profile
from vigie_sim.traffic.cabinet import HEARTBEAT_PERIOD_S, HEARTBEAT_TIMEOUT_S
from vigie_sim.traffic.derive import Junction

NAMESPACE = "urn:vigie:sim:intersection"
"""OPC UA namespace of the simulated intersections."""
SCAN_S = 0.1
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The writer in C where there is one: the same text in a tenth of the time."""

_LAMP_LABELS = {
    0: {"fr": "Éteint", "en": "Dark"},
    1: {"fr": "Rouge", "en": "Red"},
    2: {"fr": "Jaune", "en": "Yellow"},
    3: {"fr": "Vert", "en": "Green"},
    4: {"fr": "Rouge clignotant", "en": "Flashing red"},
    5: {"fr": "Jaune clignotant", "en": "Flashing yellow"},
    6: {"fr": "Vert clignotant", "en": "Flashing green"},
}
_PANEL_LABELS = {
    0: {"fr": "Automatique", "en": "Automatic"},
    1: {"fr": "Manuel", "en": "Hand"},
    2: {"fr": "Arrêt", "en": "Off"},
    3: {"fr": "Clignotant", "en": "Flash"},
    4: {"fr": "Policier", "en": "Police"},
}
_CAUSE_LABELS = {
    0: {"fr": "Aucune", "en": "None"},
    1: {"fr": "Conflit", "en": "Conflict"},
    2: {"fr": "Jaune trop court", "en": "Short yellow"},
    3: {"fr": "Dégagement trop court", "en": "Short red clearance"},
    4: {"fr": "Dégagement piéton trop court", "en": "Short pedestrian clearance"},
    5: {"fr": "Double indication", "en": "Dual indication"},
    6: {"fr": "Feu éteint", "en": "No indication"},
}


def profile_name(junction: Junction) -> str:
    """Name of the device profile of one junction."""
    return f"intersection-{junction.name}"


def profile_document(junction: Junction) -> dict[str, Any]:
    """The device profile of one junction: every row of points in one array variable."""
    points: list[dict[str, Any]] = []
    row = _Row(points)
    still: dict[str, Any] = {"publish": False}
    often: dict[str, Any] = {"publish": {"deadband": 3.0, "max_interval_s": 60.0}}
    row.add("detector.{i}.count", "Detectors.Counts", len(junction.zones), "int", "UInt16",
            "Détecteur {i} : véhicules", "Detector {i}: vehicles", **still)  # fmt: skip
    row.add("detector.{i}.halting", "Detectors.Halting", len(junction.zones), "int", "UInt16",
            "Détecteur {i} : véhicules arrêtés", "Detector {i}: standing vehicles", **often)  # fmt: skip
    row.add("exit.{i}.halting", "Exits.Halting", len(junction.exits), "int", "UInt16",
            "Sortie {i} : véhicules arrêtés", "Exit {i}: standing vehicles", **still)  # fmt: skip
    row.add("button.{i}.call", "Buttons.Called", len(junction.crossings), "bool", "Boolean",
            "Bouton piéton {i}", "Pedestrian button {i}")  # fmt: skip
    row.add("preempt.{i}.call", "Preempt.Calls", len(junction.site.preemptions), "bool", "Boolean",
            "Préemption {i}", "Pre-emption {i}", urgent=True)  # fmt: skip
    if junction.site.actuation == "cabinet":
        _cabinet_rows(row, junction)
    else:
        _lamp_rows(row, junction)
    row.one("queue", "Queue", "int", "UInt32", "File d'attente, véhicules arrêtés", "Queue, standing vehicles",
            publish={"deadband": 1.0, "max_interval_s": 60.0})  # fmt: skip
    row.one("monitor.fault", "Monitor.Fault", "bool", "Boolean",
            "Moniteur de conflits déclenché", "Conflict monitor tripped", urgent=True,
            alarm={"when": True, "severity": "critical"})  # fmt: skip
    row.one("monitor.cause", "Monitor.Cause", "enum", "Byte", "Cause du déclenchement", "Cause of the trip",
            labels=_CAUSE_LABELS)  # fmt: skip
    row.one("panel.mode", "Panel.Mode", "enum", "Byte", "Sélecteur du panneau", "Panel switch", urgent=True,
            labels=_PANEL_LABELS)  # fmt: skip
    row.one("heartbeat", "Heartbeat", "uint", "UInt32", "Battement", "Heartbeat", writable=True, safe=0,
            publish=False)  # fmt: skip
    return {
        "profile": profile_name(junction),
        "title": {"fr": f"Carrefour {junction.signal}", "en": f"Intersection {junction.signal}"},
        "protocol": "opcua",
        "domain": "signal",
        "watchdog": {"point": "heartbeat", "timeout_s": HEARTBEAT_TIMEOUT_S, "period_s": HEARTBEAT_PERIOD_S},
        "points": points,
    }


class _Row:
    """Collects profile lines."""

    def __init__(self, points: list[dict[str, Any]]) -> None:
        self._points = points

    def add(
        self, name: str, node: str, count: int, kind: str, variant: str, fr: str, en: str,
        *, start: int = 0, **more: Any,
    ) -> None:  # fmt: skip
        """A row of points in one array variable; nothing for an empty row."""
        if count:
            address = {"node": node, "index": start, "variant": variant}
            self._points.append(
                {"name": name, "type": kind, "title": {"fr": fr, "en": en}, "repeat": count, "first": start + 1,
                 "opcua": address, **more}
            )  # fmt: skip

    def one(self, name: str, node: str, kind: str, variant: str, fr: str, en: str, **more: Any) -> None:
        """A single point."""
        self._points.append(
            {"name": name, "type": kind, "title": {"fr": fr, "en": en}, "opcua": {"node": node, "variant": variant},
             **more}
        )  # fmt: skip


def _lamp_rows(row: _Row, junction: Junction) -> None:
    vehicles = sum(channel.kind == "vehicle" for channel in junction.site.channels)
    feet = len(junction.site.channels) - vehicles
    for start, count, safe in ((0, vehicles, 4), (vehicles, feet, 0)):
        row.add("channel.{i}.lamp", "Lamps", count, "enum", "Byte", "Feu {i} : demandé", "Signal {i}: asked",
                start=start, labels=_LAMP_LABELS, writable=True, safe=safe, read_back="channel.{i}.shown",
                publish=False)  # fmt: skip
    row.add("channel.{i}.shown", "LampReadback", vehicles + feet, "enum", "Byte", "Feu {i} : allumé",
            "Signal {i}: shown", labels=_LAMP_LABELS)  # fmt: skip


def _cabinet_rows(row: _Row, junction: Junction) -> None:
    # Rows count phases by their NEMA numbers, as the rows of a cabinet do; gaps stay at rest.
    count = max(phase.id for phase in junction.site.phases)
    for word, node, fr, en in (
        ("hold", "Phases.Hold", "Phase {i} : maintien", "Phase {i}: hold"),
        ("force_off", "Phases.ForceOff", "Phase {i} : fin forcée", "Phase {i}: force-off"),
        ("omit", "Phases.Omit", "Phase {i} : omise", "Phase {i}: omit"),
        ("call", "Phases.Call", "Phase {i} : appel", "Phase {i}: call"),
        ("ped_call", "Phases.PedCall", "Phase {i} : appel piéton", "Phase {i}: pedestrian call"),
    ):
        row.add(f"phase.{{i}}.{word}", node, count, "bool", "Boolean", fr, en, writable=True, safe=False,
                publish=False)  # fmt: skip
    row.add("phase.{i}.state", "Phases.State", count, "enum", "Byte", "Phase {i} : feu", "Phase {i}: signal",
            labels=_LAMP_LABELS)  # fmt: skip
    row.add("ped.{i}.state", "Peds.State", count, "enum", "Byte", "Piétons {i} : feu", "Pedestrians {i}: signal",
            labels=_LAMP_LABELS)  # fmt: skip
    row.add("channel.{i}.shown", "LampReadback", len(junction.site.channels), "enum", "Byte",
            "Feu {i} : allumé", "Signal {i}: shown", labels=_LAMP_LABELS)  # fmt: skip
    row.one("cabinet.flash", "Cabinet.Flash", "bool", "Boolean", "Armoire au clignotant", "Cabinet in flash",
            urgent=True)  # fmt: skip


def profile_of(junction: Junction) -> Profile:
    """The device profile as the model every part works with."""
    return Profile.model_validate(profile_document(junction))


def loop_points(junction: Junction) -> dict[str, str]:
    """Role -> point of the junction's loop."""
    device = junction.device
    roles: dict[str, str] = {}
    for number in range(1, len(junction.zones) + 1):
        roles[f"detector.d{number}"] = f"{device}/detector.{number}.count"
        roles[f"detector.h{number}"] = f"{device}/detector.{number}.halting"
    for number in range(1, len(junction.exits) + 1):
        roles[f"detector.x{number}"] = f"{device}/exit.{number}.halting"
    for number in range(1, len(junction.crossings) + 1):
        roles[f"detector.b{number}"] = f"{device}/button.{number}.call"
    if junction.site.actuation == "cabinet":
        for phase in junction.site.phases:
            for word in ("hold", "force_off", "omit", "call", "state"):
                roles[f"phase.{phase.id}.{word}"] = f"{device}/phase.{phase.id}.{word}"
            if phase.walk_s > 0:
                roles[f"ped.{phase.id}.state"] = f"{device}/ped.{phase.id}.state"
                roles[f"phase.{phase.id}.ped_call"] = f"{device}/phase.{phase.id}.ped_call"
        roles["cabinet.flash"] = f"{device}/cabinet.flash"
    else:
        for number, channel in enumerate(junction.site.channels, start=1):
            roles[f"channel.{channel.id}"] = f"{device}/channel.{number}.lamp"
            roles[f"lamp.{channel.id}"] = f"{device}/channel.{number}.shown"
    for number, preemption in enumerate(junction.site.preemptions, start=1):
        roles[f"preempt.{preemption.id}"] = f"{device}/preempt.{number}.call"
    roles["monitor.fault"] = f"{device}/monitor.fault"
    roles["mode"] = f"{device}/panel.mode"
    return roles


def loop_spec(
    junction: Junction, controllers: Sequence[ControllerSpec], period_s: float = SCAN_S
) -> LoopSpec:
    """The junction's loop with the given controllers, first in the list first in rank."""
    return LoopSpec(
        name=junction.name,
        domain="signal",
        period_s=period_s,
        site=junction.site.model_dump(mode="json", exclude_defaults=True),
        points=loop_points(junction),
        controllers=tuple(controllers),
    )


def gateway_document(
    name: str,
    junctions: Sequence[Junction],
    urls: Mapping[str, str],
    controllers: Mapping[str, Sequence[ControllerSpec]],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A gateway file for one or more junctions.

    urls, controllers: by junction name. more: further top-level keys (``uplink``, ``runtime_dir``, ...);
    its ``scan_s`` is also the loops' period.
    """
    first = junctions[0]
    period = float((more or {}).get("scan_s", SCAN_S))
    return {
        "gateway": name,
        "site": {"name": {"fr": f"Carrefour {first.signal}", "en": f"Intersection {first.signal}"},
                 "lat": first.lat, "lon": first.lon},
        "links": {
            one.device: {"protocol": "opcua", "url": urls[one.name], "timeout_s": 5.0} for one in junctions
        },
        "devices": [
            {"name": one.device, "profile": profile_name(one), "link": one.device, "namespace": NAMESPACE}
            for one in junctions
        ],
        "loops": [
            loop_spec(one, controllers[one.name], period).model_dump(mode="json", exclude_defaults=True)
            for one in junctions
        ],
        "scan_s": SCAN_S,
        **(more or {}),
    }  # fmt: skip


def write_yaml(path: Path, document: Mapping[str, Any]) -> Path:
    """A document as YAML text, keys in their order; returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(
        dict(document),
        Dumper=_DUMPER,
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=None,
    )
    path.write_text(text, encoding="utf-8")
    return path


def write_gateway(
    folder: Path,
    name: str,
    junctions: Sequence[Junction],
    urls: Mapping[str, str],
    controllers: Mapping[str, Sequence[ControllerSpec]],
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Profiles and gateway file into ``folder``; returns the gateway file's path."""
    for one in junctions:
        write_yaml(folder / f"{profile_name(one)}.yaml", profile_document(one))
    return write_yaml(folder / f"{name}.yaml", gateway_document(name, junctions, urls, controllers, more))
