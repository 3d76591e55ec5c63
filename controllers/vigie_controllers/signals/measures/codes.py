"""The public enumeration of high-resolution events (Indiana and Purdue, 2012 and 2020), as far as we make them.

Every event is an instant to 100 ms, a code and a parameter. The parameter is the phase's number; the place of
a detector in its site's list, from 1; the first phase of a pedestrian button; the number of an overlap among
the site's vehicle channels with several phases, from 1; the number of a barrier; the place of a pre-emption or a
priority input in its site's list, from 1; or the NTCIP 1202 unit flash status.
"""

from enum import IntEnum
from typing import NamedTuple


class Code(IntEnum):
    """Event codes."""

    PHASE_ON = 0
    GREEN_BEGIN = 1
    PHASE_CHECK = 2
    """A call in conflict with the green was registered."""
    MIN_COMPLETE = 3
    GAP_OUT = 4
    MAX_OUT = 5
    FORCE_OFF = 6
    GREEN_END = 7
    YELLOW_BEGIN = 8
    YELLOW_END = 9
    RED_CLEAR_BEGIN = 10
    RED_CLEAR_END = 11
    PHASE_OFF = 12
    PRIORITY_FORCE_OFF = 19
    PREEMPT_FORCE_OFF = 20
    WALK_BEGIN = 21
    PED_CLEAR_BEGIN = 22
    DONT_WALK_BEGIN = 23
    BARRIER = 31
    HOLD_ON = 41
    HOLD_OFF = 42
    CALL = 43
    CALL_DROPPED = 44
    PED_CALL = 45
    OMIT_ON = 46
    OMIT_OFF = 47
    OVERLAP_GREEN = 61
    OVERLAP_YELLOW = 63
    OVERLAP_RED_CLEAR = 64
    OVERLAP_OFF = 65
    DETECTOR_OFF = 81
    DETECTOR_ON = 82
    DETECTOR_RESTORED = 83
    DETECTOR_FAULT = 84
    DETECTOR_WATCHDOG = 85
    DETECTOR_ERRATIC = 88
    BUTTON_OFF = 89
    BUTTON_ON = 90
    BUTTON_FAILED = 91
    BUTTON_RESTORED = 92
    PREEMPT_ON = 102
    PREEMPT_OFF = 104
    PREEMPT_ENTRY = 105
    PREEMPT_TRACK = 106
    PREEMPT_DWELL = 107
    PREEMPT_EXIT = 111
    PRIORITY_IN = 112
    PRIORITY_EARLY = 113
    PRIORITY_EXTENDED = 114
    PRIORITY_OUT = 115
    FLASH_STATUS = 173


class Flash(IntEnum):
    """NTCIP 1202 unitFlashStatus."""

    OTHER = 1
    NOT_FLASH = 2
    LOCAL_MANUAL = 4
    MMU = 6
    STARTUP = 7


class Event(NamedTuple):
    """at: seconds on the monotonic clock."""

    at: float
    code: int
    parameter: int
