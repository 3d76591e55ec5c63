"""Cabinets as MQTT devices, their meters as Modbus TCP devices."""

from vigie_sim.lighting.plant import LightingPlant
from vigie_sim.modbusrig import ModbusRig
from vigie_sim.mqttrig import MqttRig
from vigie_sim.profiles import builtin_profile

CABINET_PROFILE = "lighting-cabinet"
METER_PROFILE = "three-phase-meter"


def lighting_rigs(plant: LightingPlant, host: str, port: int) -> tuple[MqttRig | ModbusRig, ...]:
    """The rigs of a lighting plant: all cabinets on the field broker at ``host:port``, then all meters.

    A cabinet's topic prefix is ``field/DEVICE``.
    """
    cabinets = [
        MqttRig(
            each.spec.device, builtin_profile(CABINET_PROFILE), each, host, port, f"field/{each.spec.device}"
        )
        for each in plant.cabinets
    ]
    meters = [
        ModbusRig(each.spec.meter, builtin_profile(METER_PROFILE), each.meter) for each in plant.cabinets
    ]
    return (*cabinets, *meters)
