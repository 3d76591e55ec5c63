"""What ``vigie-edge check`` says of files that are right, and yet may not do in an hour of need what people expect."""

from collections.abc import Iterator

from vigie_controllers.loops import LoopSpec
from vigie_controllers.signals.checks import unopposed
from vigie_controllers.signals.site import SignalSite
from vigie_edge.config import Plan
from vigie_edge.french import told_error
from vigie_edge.language import say
from vigie_protocols.envelope import load_key_ring
from vigie_protocols.errors import InputError
from vigie_protocols.packages import impure
from vigie_protocols.profile import Profile

SIGNAL_EXPIRY_S = 1.0
"""Longest life of a junction's output frame: after it, field writes every safe value itself."""
_BEATS = 2.0
"""Beats that fit a watchdog's timeout at least, so that a late one is not the device's alarm."""


def profile_advice(profile: Profile) -> Iterator[str]:
    """Warnings about a kind of device."""
    watchdog = profile.watchdog
    if watchdog is not None and watchdog.none and any(spec.writable for spec in profile.points):
        yield say(
            f"aucun chien de garde, et des points s'écrivent: {watchdog.none}. Si la passerelle meurt, "
            "l'appareil garde la dernière consigne.",
            f"no watchdog, and points are written: {watchdog.none}. If the gateway dies, the device keeps its last "
            "order.",
        )


def gateway_advice(plan: Plan) -> Iterator[str]:
    """Warnings about a gateway: devices without a watchdog, outputs that outlive one, junctions left too long."""
    yield from _watchdogs(plan)
    expiry = plan.expiry_s
    for spec in plan.assembly.specs:
        if spec.domain == "signal" and expiry > SIGNAL_EXPIRY_S:
            yield say(
                f"boucle {spec.name}: sans control, les feux restent {expiry:g} s avant les valeurs sûres, plus que "
                f"{SIGNAL_EXPIRY_S:g} s. Raccourcir scan_s ou safety.",
                f"loop {spec.name}: without control its lamps stay for {expiry:g} s before the safe values, more than "
                f"{SIGNAL_EXPIRY_S:g} s. Shorten scan_s or safety.",
            )
        if spec.domain == "signal":
            yield from _unopposed(spec)
    for package, module in impure(plan.gateway.packages):
        yield say(
            f"paquet {package}: importe {module}. Un régulateur qui regarde l'horloge, le hasard ou le réseau ne se "
            "rejoue pas et peut retenir un cycle.",
            f"package {package}: imports {module}. A controller that looks at clock, chance or network cannot be "
            "replayed, and may hold a scan up.",
        )
    uplink = plan.gateway.uplink
    if uplink is not None and uplink.keyring is not None and not uplink.keyring.exists():
        try:
            load_key_ring(uplink.keyring, plan.gateway.gateway)
        except InputError as error:
            yield say(
                f"politiques et commandes seront refusées: {told_error(error)}",
                f"policies and commands will be refused: {error}",
            )


def _unopposed(spec: LoopSpec) -> Iterator[str]:
    for one, other in unopposed(SignalSite.model_validate(spec.site)):
        yield say(
            f"boucle {spec.name}: les phases {one} et {other} ne vont jamais ensemble, mais aucun conflit n'est "
            "déclaré entre leurs groupes: le contrôle des sorties ne les verrait pas ensemble. Déclarer les paires "
            "dans conflicts.",
            f"loop {spec.name}: phases {one} and {other} are never on together, yet no conflict is declared between "
            "their channels: the output check would not see them together. Name the pairs in conflicts.",
        )


def _watchdogs(plan: Plan) -> Iterator[str]:
    expiry = plan.expiry_s
    driven = {name: spec.period_s for spec in plan.assembly.specs for name in spec.points.values()}
    for device in plan.gateway.devices:
        profile = plan.configuration.profiles[device.profile]
        for words in profile_advice(profile):
            yield f"{device.name}: {words}"
        watchdog = profile.watchdog
        if watchdog is None or watchdog.point is None:
            continue
        timeout = watchdog.timeout_s
        if expiry >= timeout:
            yield say(
                f"{device.name}: son chien de garde agit après {timeout:g} s, avant les valeurs sûres de la passerelle "
                f"({expiry:g} s). Raccourcir safety.",
                f"{device.name}: its watchdog acts after {timeout:g} s, before the gateway's safe values "
                f"({expiry:g} s). Shorten safety.",
            )
        period = driven.get(f"{device.name}/{watchdog.point}")
        if period is not None and _BEATS * period > timeout:
            yield say(
                f"{device.name}: sa boucle bat toutes les {period:g} s, trop peu pour un chien de garde "
                f"de {timeout:g} s.",
                f"{device.name}: its loop beats every {period:g} s, too seldom for a watchdog of {timeout:g} s.",
            )
