"""The judge of the signal tests, under its first name."""

from vigie_sim.traffic.judge import Judge as Monitor

__all__ = ["Monitor"]
