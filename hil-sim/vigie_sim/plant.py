"""What the orchestrator asks of every plant: the physics behind one or more rigs."""

from typing import Protocol


class Plant(Protocol):
    """Physics that advances on simulated time alone; deterministic by its seed.

    A tick is: ``step`` on every plant, ``refresh`` on every rig, grant to the agents, whose commands then
    reach the plant through the rigs and act in the next ``step``.
    """

    def start(self) -> None:
        """Build the physics at instant 0; raises InputError for a bad input file."""
        ...

    def step(self, now: float) -> None:
        """Advance to ``now`` (simulated seconds since the start); ``now`` never goes back."""
        ...

    def outcomes(self) -> dict[str, float]:
        """The figures for the score so far, by name; the unit is the last part of the name."""
        ...

    def stop(self) -> None:
        """Let go of processes and files; may be called twice."""
        ...
