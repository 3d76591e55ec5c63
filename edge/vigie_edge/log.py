"""What the agent says to whoever keeps its words: one line an event, of named facts, never too many of a kind.

Lines of JSON under systemd, whose journal takes the level from the ``<n>`` before them; in a terminal lines for
people. Each kind of event may come a few times a minute; what is kept back is counted, and the count is told. Control
says nothing in a scan: it counts and rings. Not structlog: importing it costs the agent 7 MiB.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from vigie_edge import clock

BURST = 5
WINDOW_S = 60.0
_KINDS = 256
"""So many kinds of events are told apart; further ones share a window."""
_LEVELS = {"error": 3, "warning": 4, "info": 6}
_RESERVED = ("utc", "level", "gateway", "process", "event", "suppressed")


@dataclass
class _Window:
    """One kind's minute. began: monotonic second; said: lines so far; held: kept back; last: the newest of those."""

    began: float
    said: int = 0
    held: int = 0
    last: tuple[str, str, dict[str, object]] = ("info", "", {})


class Log:
    """One process's log. as_json: None asks the environment: systemd names its journal in JOURNAL_STREAM."""

    def __init__(
        self,
        gateway: str,
        process: str,
        *,
        stream: TextIO | None = None,
        as_json: bool | None = None,
        monotonic: Callable[[], float] = clock.monotonic,
        utc: Callable[[], float] = clock.utc_now,
    ) -> None:
        self._gateway, self._process = gateway, process
        self._stream = stream
        self._json = "JOURNAL_STREAM" in os.environ if as_json is None else as_json
        self._monotonic, self._utc = monotonic, utc
        self._windows: dict[str, _Window] = {}

    def error(self, event: str, kind: str = "", **facts: object) -> None:
        """Something that needs a person."""
        self._say("error", event, kind, facts)

    def warning(self, event: str, kind: str = "", **facts: object) -> None:
        """Something that is not as it should be and is dealt with. kind: what shares a limit; else the event."""
        self._say("warning", event, kind, facts)

    def info(self, event: str, kind: str = "", **facts: object) -> None:
        """Something worth knowing."""
        self._say("info", event, kind, facts)

    def settle(self) -> None:
        """Tell what was kept back in windows that are over; call it now and then."""
        if not self._windows:
            return
        now = self._monotonic()
        for kind in [one for one, window in self._windows.items() if now - window.began >= WINDOW_S]:
            window = self._windows.pop(kind)
            if window.held:
                level, event, facts = window.last
                self._write(level, event, facts, window.held)

    def _say(self, level: str, event: str, kind: str, facts: dict[str, object]) -> None:
        self.settle()
        kind = kind or event
        if kind not in self._windows and len(self._windows) >= _KINDS:
            kind = ""
        window = self._windows.setdefault(kind, _Window(self._monotonic()))
        if window.said >= BURST:
            window.held += 1
            window.last = (level, event, facts)
            return
        window.said += 1
        self._write(level, event, facts, 0)

    def _write(self, level: str, event: str, facts: dict[str, object], held: int) -> None:
        line = self._as_json if self._json else self._as_text
        # Whoever kept our words may be gone: then nobody reads them, and the work goes on.
        with contextlib.suppress(OSError, ValueError):
            stream = sys.stderr if self._stream is None else self._stream
            stream.write(line(level, event, facts, held))
            stream.flush()

    def _when(self) -> str:
        return datetime.fromtimestamp(self._utc(), UTC).isoformat(timespec="milliseconds")

    def _as_json(self, level: str, event: str, facts: dict[str, object], held: int) -> str:
        row: dict[str, object] = {
            "utc": self._when(),
            "level": level,
            "gateway": self._gateway,
            "process": self._process,
            "event": event,
        }
        row |= {name if name not in _RESERVED else f"{name}_": value for name, value in facts.items()}
        if held:
            row["suppressed"] = held
        return f"<{_LEVELS[level]}>{json.dumps(row, ensure_ascii=False, default=str)}\n"

    def _as_text(self, level: str, event: str, facts: dict[str, object], held: int) -> str:
        told = "".join(f"  {name}={value}" for name, value in facts.items() if "\n" not in str(value))
        more = "".join(f"\n{value}" for value in facts.values() if "\n" in str(value))
        kept = f"  (and {held} more like it)" if held else ""
        return f"{self._when()} {level:7} {self._process}: {event}{told}{kept}{more}\n"
