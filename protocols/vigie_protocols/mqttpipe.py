"""The byte pipe under an MQTT link: a non-blocking socket, TLS, and buffers in both directions.

paho sees it as its socket. Reading whole packets at once and writing many packets with one call is what
makes paho cheap: by itself it reads every packet header byte by byte from the kernel.
"""

import errno
import os
import socket
import ssl

from vigie_protocols.errors import FrameError, LinkDown

_CHUNK = 1 << 16
_ROUNDS = 16
"""Reads in one turn at most, so that a flood cannot keep the caller's loop for ever."""

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host. Blocks on a name that is not in the hosts file: prefer addresses."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as why:
        raise LinkDown(f"{host}: {why.strerror or why}") from why
    addresses: list[Address] = []
    for family, _, _, _, address in found:
        if isinstance(address[0], str):
            addresses.append((family, address))
    return addresses


class Pipe:
    """One connection from the first SYN to the close."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, host: str, max_packet: int) -> None:
        """Begin to connect; raises LinkDown when that fails at once."""
        family, where = address
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = tls
        self._host = host
        self._max_packet = max_packet
        self._in = bytearray()
        self._at = 0
        self._frame_end = 0
        self._out = bytearray()
        self._eof = False
        self._handshaking = False
        self._tls_wants_write = False
        self.ready = False
        """True when connected and, with TLS, after the handshake."""
        self.written = 0
        """Bytes handed to the kernel so far."""
        self.accepted = 0
        """Bytes taken from paho so far."""
        code = self._sock.connect_ex(where)
        if code not in (0, errno.EINPROGRESS):
            self.shut()
            raise LinkDown(os.strerror(code))

    # -- what paho calls -----------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes of whole packets; BlockingIOError when there are none, b"" at the end."""
        data = bytes(self._in[self._at : min(self._at + size, self._frame_end)])
        if data:
            self._at += len(data)
            if self._at >= _CHUNK or self._at == self._frame_end:
                del self._in[: self._at]
                self._frame_end -= self._at
                self._at = 0
            return data
        if self._eof:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        """Take ``data`` whole; ``flush`` writes it."""
        self._out += data
        self.accepted += len(data)
        return len(data)

    def close(self) -> None:
        """paho is done with it; the socket stays until ``shut``."""

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        """The socket's number."""
        return self._sock.fileno()

    # -- what the link calls -------------------------------------------------------------------------

    @property
    def wants_write(self) -> bool:
        """True when the socket should be waited for to become writable."""
        if not self.ready:
            return not self._handshaking or self._tls_wants_write
        return bool(self._out) or self._tls_wants_write

    @property
    def waiting(self) -> int:
        """Bytes that wait for the kernel."""
        return len(self._out)

    def advance(self) -> bool:
        """Take the connection a step further; True once ready. Raises LinkDown when it fails."""
        try:
            if not self._handshaking:
                code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise LinkDown(os.strerror(code))
                try:
                    self._sock.getpeername()
                except OSError:
                    return False
                if self._tls is None:
                    self.ready = True
                    return True
                self._sock = self._tls.wrap_socket(
                    self._sock, server_hostname=self._host, do_handshake_on_connect=False
                )
                self._handshaking = True
            assert isinstance(self._sock, ssl.SSLSocket)
            self._tls_wants_write = False
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._tls_wants_write = True
            return False
        except OSError as why:
            raise LinkDown(f"TLS: {getattr(why, 'reason', None) or why.strerror or why}") from why
        self.ready = True
        return True

    def fill(self) -> int:
        """Read what has arrived; the number of whole packets that wait for paho.

        An end of the connection counts as one, so that paho is told. Raises FrameError when a packet is
        longer than allowed.
        """
        self._tls_wants_write = False
        for _ in range(_ROUNDS):
            try:
                data = self._sock.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                self._tls_wants_write = True
                break
            except OSError:
                data = b""
            if not data:
                self._eof = True
                break
            self._in += data
        return self._frames() + self._eof

    def flush(self) -> None:
        """Write what the kernel takes now; raises LinkDown when the connection is gone."""
        while self._out:
            try:
                with memoryview(self._out) as view:
                    sent = self._sock.send(view[:_CHUNK])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as why:
                raise LinkDown(why.strerror or str(why)) from why
            del self._out[:sent]
            self.written += sent

    def half_close(self) -> None:
        """Say that nothing more will come, but still read: a plain close could throw away what was sent."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._eof = True

    def discard(self) -> bool:
        """Throw away what arrives; True when the other side has closed."""
        self.fill_quietly()
        return self._eof

    def fill_quietly(self) -> None:
        """Read without framing, while closing."""
        try:
            while data := self._sock.recv(_CHUNK):
                del data
            self._eof = True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._eof = True

    def shut(self) -> None:
        """Close the socket."""
        self._eof = True
        self._sock.close()

    def _frames(self) -> int:
        """Count the packets that have come whole (MQTT fixed header: a byte, then up to 4 length bytes)."""
        count = 0
        end = self._frame_end
        have = len(self._in)
        while end + 2 <= have:
            length = shift = 0
            place = end + 1
            while True:
                if place >= have:
                    self._frame_end = end
                    return count
                digit = self._in[place]
                length |= (digit & 127) << shift
                place += 1
                if digit < 128:
                    break
                shift += 7
                if shift > 21:
                    raise FrameError("an MQTT packet with a malformed length")
            if length > self._max_packet:
                raise FrameError(
                    f"an MQTT packet of {length} bytes, more than the {self._max_packet} allowed"
                )
            if place + length > have:
                break
            end = place + length
            count += 1
        self._frame_end = end
        return count
