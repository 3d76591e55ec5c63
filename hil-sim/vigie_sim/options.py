"""Options of ``vigie-sim`` checked before a run, so that nothing is found wrong at its end."""

import math
import os
from pathlib import Path

from vigie_protocols.errors import input_error

LEAST_DEMO_MIN = 1.0
"""Minutes that the demonstration's timetable needs."""


def ticks_of(option: str, seconds: float | None, duration_s: float, step_s: float = 1.0) -> int | None:
    """Ticks of the first ``seconds`` of a scenario of ``duration_s``; None for all of it. Raises InputError."""
    if seconds is None:
        return None
    if not math.isfinite(seconds) or seconds < step_s:
        reason = "not a time that can be simulated"
        raise input_error("command line", option, seconds, reason, f"Write seconds from {step_s:g} on.")
    return round(min(seconds, duration_s) / step_s)


def demo_seconds(minutes: float | None) -> float | None:
    """Seconds of a shortened demonstration; raises InputError."""
    if minutes is None:
        return None
    if not math.isfinite(minutes) or minutes < LEAST_DEMO_MIN:
        reason = "too short for what the demonstration shows"
        raise input_error(
            "command line", "--minutes", minutes, reason, f"Write minutes from {LEAST_DEMO_MIN:g} on."
        )
    return 60.0 * minutes


def check_controller(kind: str) -> None:
    """A kind of signal controller that exists; raises InputError."""
    from vigie_controllers.registry import KINDS

    known = sorted(name for name, one in KINDS.items() if one.domain == "signal")
    if kind not in known:
        remedy = f"Take one of {', '.join(known)}."
        raise input_error("command line", "--controller", kind, "no such kind of signal controller", remedy)


def check_output(option: str, path: Path | None) -> None:
    """A file that will be written at the end; raises InputError when that cannot be."""
    if path is None:
        return
    reason = "is a directory" if path.is_dir() else ""
    if not reason:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"its folder cannot be made: {error.strerror}"
        else:
            place = path if path.exists() else path.parent
            reason = "" if os.access(place, os.W_OK) else "cannot be written"
    if reason:
        raise input_error("command line", option, str(path), reason, "Name a file in a folder of yours.")


def made_folder(option: str, path: Path, *, empty: bool = False) -> Path:
    """A folder for a run's files, made if need be; raises InputError, with ``empty`` also if it is not."""
    reason = ""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if empty and any(path.iterdir()):
            reason = "is not empty"
        elif not os.access(path, os.W_OK):
            reason = "cannot be written"
    except OSError as error:
        reason = f"cannot be used: {error.strerror}"
    if reason:
        raise input_error("command line", option, str(path), reason, "Name a new or an empty folder.")
    return path.resolve()
