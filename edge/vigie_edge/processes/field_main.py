"""The field process's whole life, in wall-clock time or paced by a simulator."""

from vigie_edge.processes.field_paced import PacedField
from vigie_edge.processes.field_wall import WallField
from vigie_edge.wiring import Wiring


async def run_field(wiring: Wiring) -> None:
    """Serve until told to stop, or until the simulator ends the run; as its own user once all is mapped."""
    field = PacedField(wiring) if wiring.paced else WallField(wiring)
    wiring.settle("field", wiring.users.field)
    await field.run()
