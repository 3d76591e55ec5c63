"""The areas ``vigie-sim bench`` knows: name -> what fills the figures. A new area adds its line here.

Each function imports what it needs itself, so that one area does not pay for another.
"""

from collections.abc import Callable

from vigie_sim.bench.figures import Figures

Area = Callable[[Figures], None]


def _lockstep(figures: Figures) -> None:
    from vigie_sim.bench.lockstep import lockstep

    lockstep(figures)


def _agent(figures: Figures) -> None:
    from vigie_sim.bench.agent import agent

    agent(figures)


def _edge(figures: Figures) -> None:
    from vigie_sim.bench.edge.area import edge

    edge(figures)


def _independent(figures: Figures) -> None:
    from vigie_sim.bench.independent.modbus import modbus
    from vigie_sim.bench.independent.opcua import opcua

    modbus(figures)
    opcua(figures)


def _kills(figures: Figures) -> None:
    from vigie_sim.bench.kills import kills

    kills(figures)


def _traffic(figures: Figures) -> None:
    from vigie_sim.bench.traffic.area import area

    area(figures)


def _guard(figures: Figures) -> None:
    from vigie_sim.bench.guard import guard

    guard(figures)


AREAS: dict[str, Area] = {
    "lockstep": _lockstep,
    "agent": _agent,
    "edge": _edge,
    "independent": _independent,
    "kills": _kills,
    "traffic": _traffic,
    "guard": _guard,
}
