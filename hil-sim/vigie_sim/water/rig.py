"""The station and the basin as Modbus TCP devices."""

from vigie_sim.modbusrig import ModbusRig
from vigie_sim.profiles import builtin_profile
from vigie_sim.water.plant import WaterPlant

STATION_PROFILE = "pump-station-duplex"
BASIN_PROFILE = "retention-basin"


def water_rigs(plant: WaterPlant) -> tuple[ModbusRig, ModbusRig]:
    """The rigs of a water plant: station, basin."""
    scenario = plant.scenario
    return (
        ModbusRig(scenario.station.device, builtin_profile(STATION_PROFILE), plant.station),
        ModbusRig(scenario.basin.device, builtin_profile(BASIN_PROFILE), plant.basin),
    )
