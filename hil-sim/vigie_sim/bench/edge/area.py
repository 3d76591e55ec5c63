"""The cases of area ``edge``, in the order of the table they fill."""

from vigie_sim.bench.edge.faults import faults
from vigie_sim.bench.edge.journal import journal
from vigie_sim.bench.edge.lateness import lateness
from vigie_sim.bench.edge.opcua import opcua
from vigie_sim.bench.edge.polling import polling
from vigie_sim.bench.edge.reaction import reaction
from vigie_sim.bench.edge.rtu import rtu
from vigie_sim.bench.edge.soak import soak
from vigie_sim.bench.figures import Figures


def edge(figures: Figures) -> None:
    """Fill the figures of this area."""
    polling(figures)
    lateness(figures)
    reaction(figures)
    rtu(figures)
    opcua(figures)
    faults(figures)
    journal(figures)
    soak(figures)
