"""Lamp states as the rigs show them. The numbers are the ones every part of Vigie uses on the wire.

This module and ``monitor`` share nothing with the controllers: the monitor must not inherit their errors.
"""

from enum import IntEnum


class Lamp(IntEnum):
    """What one signal channel shows. Pedestrian heads: RED don't walk, GREEN walk, FLASH_GREEN clearance."""

    DARK = 0
    RED = 1
    YELLOW = 2
    GREEN = 3
    FLASH_RED = 4
    FLASH_YELLOW = 5
    FLASH_GREEN = 6


GOING = frozenset({Lamp.YELLOW, Lamp.GREEN, Lamp.FLASH_GREEN})
"""Lamps under which somebody may be in the junction by right: what a conflict monitor counts."""
