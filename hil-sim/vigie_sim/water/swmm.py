"""The parent's side of a SWMM child process."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vigie_protocols.errors import PermanentError, input_error
from vigie_sim.water.engine import (
    Advance,
    Failed,
    PumpSpec,
    Request,
    Start,
    State,
    Stop,
    receive_answer,
    send,
)


class EngineError(PermanentError):
    """The SWMM process died or refused; the text says which network and why."""


class SwmmPlant:
    """One SWMM network in a child process.

    ``start`` and ``advance`` give the network's state; both block for one exchange over the pipe, about
    0.3 ms for a small network and a step of a second.
    """

    def __init__(self, inp: Path, pumps: Mapping[str, PumpSpec], rain_scale: float = 1.0) -> None:
        self.inp = inp
        self._begin = Start(str(inp.resolve()), rain_scale, dict(pumps))
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return None if self._child is None else self._child.pid

    def start(self) -> State:
        """Open the network; raises InputError when the file is wrong, EngineError when the process fails."""
        if self._child is not None:
            raise EngineError(f"{self.inp.name}: already started")
        self._folder = tempfile.TemporaryDirectory(prefix="vigie-swmm-")
        command = [sys.executable, "-m", "vigie_sim.water.engine", self._folder.name]
        self._child = subprocess.Popen(
            command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            return self._exchange(self._begin)
        except PermanentError:
            self.stop()
            raise

    def advance(
        self, to: float, settings: Mapping[str, float], inflows: Mapping[str, float] | None = None
    ) -> State:
        """Go on to ``to`` seconds with link settings (0..1) and outside inflows (m3/s); raises EngineError."""
        return self._exchange(Advance(to, dict(settings), dict(inflows or {})))

    def _exchange(self, request: Request) -> State:
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise EngineError(f"{self.inp.name}: not started")
        try:
            send(child.stdin, request)
            answer = receive_answer(child.stdout)
        except BrokenPipeError:
            answer = None
        if isinstance(answer, State):
            return answer
        if answer is None:
            code = child.wait()
            raise EngineError(f"{self.inp.name}: the SWMM process ended by itself with code {code}")
        if answer.input:
            raise input_error(str(self.inp), "network", None, answer.reason, "Correct the SWMM file.")
        raise EngineError(f"{self.inp.name}: {answer.reason}")

    def stop(self) -> None:
        """End the child and remove its files; may be called twice."""
        child, self._child = self._child, None
        if child is not None:
            self._end(child)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdin is not None:
            try:
                send(child.stdin, Stop())
                child.stdin.close()
            except BrokenPipeError:
                pass
        try:
            child.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


__all__ = ["EngineError", "Failed", "PumpSpec", "State", "SwmmPlant"]
