"""A serial line with eight slaves on a pseudo-terminal: every byte takes the time it takes at 19,200 baud.

The near end is what a driver opens. A request counts as sent one character time per byte after it was
written; the slave asked answers after 3.5 characters of silence and its turnaround, byte by byte. Run as a
process it prints the port's name, then what it saw so far per line read. ``bare PORT SECONDS`` is a plain
loop on termios that keeps the same silences: what can be had from the line by doing nothing else.
"""

import json
import os
import select
import struct
import subprocess
import sys
import time
import tty
from dataclasses import asdict, dataclass, field

from vigie_protocols.modbus.rtu import crc16

BAUD = 19_200
CHARACTER_S = 11 / BAUD
"""Start, eight data bits, parity, stop (Modbus over serial line 1.02, 2.5.1)."""
SILENCE_S = 3.5 * CHARACTER_S
TURNAROUND_S = 0.002
"""A slave's own time from the end of the silence to the first byte of its answer."""
SLAVES = range(1, 9)
REGISTERS = 20
_REQUEST = 8
_ANSWER = 5 + 2 * REGISTERS
EXCHANGE_S = (_REQUEST + _ANSWER) * CHARACTER_S + 2 * SILENCE_S + TURNAROUND_S
"""The least time of one exchange: both frames, a silence after each, the slave's turnaround."""
_EARLY_S = 0.0001


@dataclass
class Seen:
    """What passed: answers of each slave; requests begun before 3.5 characters of silence were over."""

    answers: dict[int, int] = field(default_factory=lambda: dict.fromkeys(SLAVES, 0))
    hasty: int = 0
    damaged: int = 0


class _Line:
    def __init__(self, near: int) -> None:
        self.seen = Seen()
        self._near = near
        self._request = b""
        self._sent_at = 0.0
        self._answer = b""
        self._begin_at = 0.0
        self._passed = 0
        self._quiet_from = 0.0

    def due(self) -> float | None:
        """When the next byte of an answer is through, None while nobody answers."""
        if self._passed == len(self._answer):
            return None
        return self._begin_at + (self._passed + 1) * CHARACTER_S

    def turn(self) -> None:
        """Pass the bytes that are through by now."""
        now = time.monotonic()
        through = min(len(self._answer), int((now - self._begin_at) / CHARACTER_S))
        if through > self._passed:
            os.write(self._near, self._answer[self._passed : through])
            self._passed = through
            self._quiet_from = self._begin_at + through * CHARACTER_S

    def asked(self, data: bytes) -> None:
        """Bytes of a request, written just now."""
        now = time.monotonic()
        if not self._request and now < self._quiet_from + SILENCE_S - _EARLY_S:
            self.seen.hasty += 1
        self._request += data
        self._sent_at = max(self._sent_at, now) + len(data) * CHARACTER_S
        if len(self._request) < _REQUEST:
            return
        frame, self._request = self._request[:_REQUEST], b""
        unit, function, _, count = struct.unpack(">BBHH", frame[:6])
        if crc16(frame[:6]) != int.from_bytes(frame[6:], "little") or function != 3 or unit not in SLAVES:
            self.seen.damaged += 1
            return
        row = struct.pack(f">{count}H", *range(unit, unit + count))
        answer = bytes((unit, 3, len(row))) + row
        self._answer, self._passed = answer + crc16(answer).to_bytes(2, "little"), 0
        self._begin_at = self._sent_at + SILENCE_S + TURNAROUND_S
        self.seen.answers[unit] += 1


class SerialLine:
    """The process, as its starter sees it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "vigie_sim.bench.edge.serialline"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def seen(self) -> Seen:
        """What passed until now."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = json.loads(self._line())
        return Seen({int(unit): count for unit, count in told.pop("answers").items()}, **told)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve() -> None:
    near, far = os.openpty()
    tty.setraw(far)
    sys.stdout.write(f"{os.ttyname(far)}\n")
    sys.stdout.flush()
    line = _Line(near)
    while True:
        due = line.due()
        rest = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([near, sys.stdin], [], [], rest)
        line.turn()
        if near in ready:
            line.asked(os.read(near, 256))
        if sys.stdin in ready:
            if not sys.stdin.readline():
                return
            sys.stdout.write(json.dumps(asdict(line.seen)) + "\n")
            sys.stdout.flush()


def bare(port: str, seconds: float) -> float:
    """Exchanges per second of a plain loop on ``port``."""
    command = [sys.executable, "-m", "vigie_sim.bench.edge.serialline", "bare", port, str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _bare(port: str, seconds: float) -> None:
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    requests = []
    for unit in SLAVES:
        frame = struct.pack(">BBHH", unit, 3, 0, REGISTERS)
        requests.append(frame + crc16(frame).to_bytes(2, "little"))
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        os.write(fd, requests[count % len(requests)])
        answer = b""
        while len(answer) < _ANSWER:
            answer += os.read(fd, 256)
        time.sleep(SILENCE_S)
        count += 1
    sys.stdout.write(str(count / (time.monotonic() - begun)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        _bare(sys.argv[2], float(sys.argv[3]))
    else:
        _serve()
