"""Modbus RTU on a serial line (Modbus over serial line 1.02), on termios alone.

RTU answers carry no transaction id: after a missed answer the line is drained until it has been silent,
so that a late answer is never taken for the next.
"""

import asyncio
import fcntl
import os
import struct
import termios
import tty
from typing import Final

from vigie_protocols.driver import Counters
from vigie_protocols.errors import DeviceTimeout, FrameError, LinkDown
from vigie_protocols.gateway import Rs485, Serial
from vigie_protocols.modbus.tcp import check_answer

_PARITY: Final = {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}
LARGEST: Final = 256
_TIOCSRS485: Final = 0x542F


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE: Final = _crc_table()


def crc16(data: bytes) -> int:
    """The CRC of a frame (polynomial 0xA001, start 0xFFFF), low byte first on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def answer_length(function: int, frame: bytes) -> int | None:
    """Bytes of the whole answer frame, None while too little of it is there to know."""
    if len(frame) < 3:
        return None
    if frame[1] & 0x80:
        return 5
    if function in (1, 2, 3, 4):
        return frame[2] + 5
    return 10 if function == 22 else 8


def rs485_words(wanted: Rs485) -> bytes:
    """The kernel's ``struct serial_rs485`` (linux/serial.h): flags, two delays in ms, five words of nothing."""
    flags = 1 | (2 if wanted.rts_on_send else 4)  # enabled; RTS on send, or RTS after send
    return struct.pack("=8I", flags, round(wanted.before_s * 1e3), round(wanted.after_s * 1e3), *[0] * 5)


class RtuLine:
    """One serial line: one request at a time, silences kept."""

    def __init__(self, serial: Serial, counters: Counters) -> None:
        character = 11 / serial.baud
        self._serial = serial
        self._counters = counters
        self._character = character
        self._silence = self._rest = 0.00175 if serial.baud > 19200 else 3.5 * character
        self._loop = asyncio.get_running_loop()
        self._fd: int | None = None
        self._buffer = bytearray()
        self._waiting: tuple[asyncio.Future[bytes], int, int] | None = None
        self._last_byte = 0.0
        self.error = "not open yet"

    @property
    def up(self) -> bool:
        """True while the port is open."""
        return self._fd is not None

    async def open(self) -> None:
        """Open and set up the port; raises LinkDown."""
        speed = getattr(termios, f"B{self._serial.baud}", None)
        if speed is None:
            raise LinkDown(f"{self._serial.port}: {self._serial.baud} baud is not offered by this system")
        try:
            fd = os.open(self._serial.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise LinkDown(f"{self._serial.port}: {error.strerror}") from None
        try:
            tty.setraw(fd)
            flags = termios.tcgetattr(fd)
            control = flags[2] & ~(termios.CSIZE | termios.CSTOPB | termios.PARENB | termios.PARODD)
            control |= termios.CS8 | termios.CREAD | termios.CLOCAL | _PARITY[self._serial.parity]
            flags[2] = control | (termios.CSTOPB if self._serial.stop_bits == 2 else 0)
            flags[4] = flags[5] = speed
            termios.tcsetattr(fd, termios.TCSANOW, flags)
            if self._serial.rs485 is not None:
                fcntl.ioctl(fd, _TIOCSRS485, rs485_words(self._serial.rs485))
        except OSError as error:
            os.close(fd)
            reason = f"the port cannot turn its direction (rs485): {error.strerror}"
            raise LinkDown(f"{self._serial.port}: {reason}") from None
        except termios.error as error:
            os.close(fd)
            raise LinkDown(f"{self._serial.port}: {error}") from None
        self._fd = fd
        self.error = ""
        self._loop.add_reader(fd, self._readable, fd)

    def close(self, why: str = "") -> None:
        """Close the port at once."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        self.error = why
        self._loop.remove_reader(fd)
        os.close(fd)
        self._settle(LinkDown(why or "closed"))

    async def request(self, unit: int, pdu: bytes, timeout_s: float, rest_s: float = 0.0) -> bytes:
        """One request and its answer; the time limit runs from the last byte sent.

        rest_s: silence this unit needs after its answer before anybody speaks again.
        """
        await self._silent()
        fd = self._fd
        if fd is None:
            raise LinkDown(self.error)
        frame = bytes((unit,)) + pdu
        frame += crc16(frame).to_bytes(2, "little")
        self._buffer.clear()
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting = future, unit, pdu[0]
        self._rest = max(self._silence, rest_s)
        self._counters.requests += 1
        try:
            sent = os.write(fd, frame)
        except OSError as error:
            self.close(error.strerror or "write failed")
            raise LinkDown(self.error) from None
        if sent != len(frame):
            self.close("the port takes no bytes")
            raise LinkDown(self.error)
        limit = timeout_s + len(frame) * self._character
        timer = self._loop.call_later(limit, self._expire)
        try:
            return check_answer(await future, pdu[0])
        finally:
            timer.cancel()
            self._waiting = None

    async def _silent(self) -> None:
        """Wait until nothing has been on the line for 3.5 characters, or for what the last unit needs."""
        while True:
            if self._fd is not None and self._waiting is None:
                self._readable(self._fd)  # what waits in the port is a late answer, and never the next one's
            rest = self._last_byte + self._rest - self._loop.time()
            if rest <= 0:
                return
            await asyncio.sleep(rest)

    def _expire(self) -> None:
        self._counters.timeouts += 1
        self._settle(DeviceTimeout("no answer in time"))

    def _settle(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting[0].done():
            self._waiting[0].set_exception(error)

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(error.strerror or "read failed")
            return
        if not data:
            self.close("the port is gone")
            return
        self._last_byte = self._loop.time()
        if self._waiting is None or self._waiting[0].done():
            self._counters.late += 1
            return
        self._buffer += data
        future, unit, function = self._waiting
        wanted = answer_length(function, bytes(self._buffer[:3]))
        if wanted is None or len(self._buffer) < wanted <= LARGEST:
            return
        frame = bytes(self._buffer[:wanted])
        if wanted > LARGEST or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little") or frame[0] != unit:
            self._counters.malformed += 1
            future.set_exception(FrameError("an answer with a wrong checksum or unit"))
            return
        future.set_result(frame[1:-2])
