"""Modbus TCP devices for benches, many in one process: lean, so that they are not what is measured.

Registers 0 to 3 hold the monotonic clock in ns at the moment of the answer, so that whoever finds the
number again knows how old the reading is; all others count the requests of their connection. Writes are
taken and forgotten. Three units misbehave: DEAD never answers, SLOW answers late, LYING answers something
else. Run as a process it prints its port, then the requests answered so far per line read.
"""

import asyncio
import signal
import struct
import subprocess
import sys
import time
from typing import Any

DEAD, SLOW, LYING = 240, 241, 242
SLOW_S = 0.09
_HEAD = struct.Struct(">HHHBBHH")


class _Devices(asyncio.Protocol):
    answered = 0

    def __init__(self) -> None:
        self._count = 0
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while len(data) >= 12:
            size = 6 + int.from_bytes(data[4:6], "big")
            if len(data) < size:
                break
            self._reply(data[6], self._answer(data[:size]))
            data = data[size:]
        self._rest = data

    def _reply(self, unit: int, answer: bytes) -> None:
        if unit == SLOW:
            asyncio.get_running_loop().call_later(SLOW_S, self._late, answer)
        elif unit == LYING:
            self._transport.write(answer[:7] + bytes((0x55,)) + answer[8:])
        elif unit != DEAD:
            self._transport.write(answer)

    def _late(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _answer(self, frame: bytes) -> bytes:
        number, _, _, unit, function, address, count = _HEAD.unpack_from(frame)
        if unit < DEAD:
            type(self).answered += 1
        if function not in (3, 4):
            return _HEAD.pack(number, 0, 6, unit, function, address, count)
        self._count = (self._count + 1) & 0x3FFF
        row = b"".join([((self._count << 2) | place & 3).to_bytes(2, "big") for place in range(count)])
        if address == 0 and count >= 4:
            row = time.monotonic_ns().to_bytes(8, "big") + row[8:]
        return struct.pack(">HHHBBB", number, 0, 3 + 2 * count, unit, function, 2 * count) + row


class Devices:
    """The process, as its starter sees it. addresses: it listens on 127.0.0.1 and on as many after it."""

    def __init__(self, addresses: int = 1) -> None:
        line = [sys.executable, "-m", "vigie_sim.bench.edge.devices", str(addresses)]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def hold(self, still: bool) -> None:
        """Let nothing be answered any more, or go on."""
        self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def answered(self) -> int:
        """Requests of well-behaved units answered so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Devices, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for last in range(2, int(sys.argv[1]) + 1):
        await loop.create_server(_Devices, f"127.0.0.{last}", port)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(f"{_Devices.answered}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve())
