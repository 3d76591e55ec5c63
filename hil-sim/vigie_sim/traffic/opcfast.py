"""The short way of Read and Write through asyncua's server.

A lock-step run is bounded by what one Read and one Write cost the simulator, and most of that is generic
decoding and encoding. A request whose bytes are those of an earlier one, but for time and handle, needs
no decoding; a row of numbers needs no generic encoder. Everything else goes the library's own way.
Encodings: OPC 10000-6, 5.2.2 (built-in types), 5.2.2.16 (Variant), 5.2.2.17 (DataValue).
"""

import struct
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary, variant_to_binary

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_ELEMENTS: Final = {
    ua.VariantType.Boolean: "?",
    ua.VariantType.Byte: "B",
    ua.VariantType.UInt16: "H",
    ua.VariantType.Int16: "h",
    ua.VariantType.UInt32: "I",
    ua.VariantType.Int32: "i",
    ua.VariantType.Double: "d",
}
_READ: Final = b"\x01\x00\x77\x02"
_WRITE: Final = b"\x01\x00\xa1\x02"
"""Type ids of ReadRequest (631) and WriteRequest (673), as four-byte node ids."""
_KNOWN_REQUESTS: Final = 64


def file_time(moment: datetime) -> int:
    """An instant as OPC UA carries it: 100 ns since 1601."""
    return (
        ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1) * 10
    )


def encode_value(raw: Any, variant: ua.VariantType, array: bool, stamp: int) -> bytes:
    """A good DataValue with its source timestamp."""
    letter = _ELEMENTS.get(variant)
    if letter is None:
        body = variant_to_binary(ua.Variant(raw, variant, is_array=array))
    elif array:
        body = struct.pack(f"<Bi{len(raw)}{letter}", variant.value | 0x80, len(raw), *raw)
    else:
        body = struct.pack(f"<B{letter}", variant.value, raw)
    return b"\x07" + bytes(body) + struct.pack("<Iq", 0, stamp)


class _Template:
    """A response with an empty list of results, taken apart: what stands before and behind it."""

    def __init__(self, response: Any) -> None:
        whole = bytes(struct_to_binary(response))
        # type id, timestamp, handle | rest of the header | number of results, number of diagnostics
        self.kind, self.middle, self.end = whole[:4], whole[16:-8], whole[-4:]

    def fill(self, handle: int, count: int, results: bytes) -> bytes:
        now = file_time(datetime.now(UTC))
        return (
            self.kind
            + struct.pack("<qI", now, handle)
            + self.middle
            + struct.pack("<i", count)
            + results
            + self.end
        )


class ShortWay:
    """What the processors of one server share. values: node id -> its encoded DataValue of this tick;
    write: the attribute service's own."""

    def __init__(self, values: Mapping[Any, Callable[[], bytes]], write: Callable[[Any], Any]) -> None:
        self.values = values
        self.write = write
        self.read_answer = _Template(ua.ReadResponse())
        self.write_answer = _Template(ua.WriteResponse())


class _Processor(UaProcessor):  # type: ignore[misc] # asyncua is not typed here
    """One connection. The token that begins each request of the session is learnt from the first one."""

    def __init__(self, way: ShortWay, iserver: Any, transport: Any, limits: Any) -> None:
        super().__init__(iserver, transport, limits)
        self._way = way
        self._token = b""
        self._token_of: Any = None
        self._known: dict[bytes, tuple[Callable[[], bytes], ...] | None] = {}

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        """Serve what has a short way, hand everything else on."""
        session = self.session
        if session is None or not session.is_activated():
            return await super().process_message(seqhdr, body)
        raw = body.copy().read(len(body))
        kind = raw[:4]
        if kind not in (_READ, _WRITE) or not self._may(kind, session.user):
            return await super().process_message(seqhdr, body)
        if self._token_of is not session:
            rest = Buffer(raw, 4)
            nodeid_from_binary(rest)
            self._token, self._token_of = raw[4 : rest.cur_pos], session
        place = 4 + len(self._token)
        if raw[4:place] != self._token:
            return await super().process_message(seqhdr, body)
        (handle,) = struct.unpack_from("<I", raw, place + 8)
        answer = (
            self._read(raw[place + 12 :], handle) if kind == _READ else await self._write(raw, place, handle)
        )
        if answer is None:
            return await super().process_message(seqhdr, body)
        self.session_last_activity = time.monotonic()
        session.touch()
        self._transport.write(self._connection.message_to_binary(answer, request_id=seqhdr.RequestId))
        return True

    def _may(self, kind: bytes, user: Any) -> bool:
        """Whether this user may send requests of this kind at all."""
        rules = self._connection.security_policy.permissions
        return (
            rules is None or rules.check_validity(user, nodeid_from_binary(Buffer(kind)), None) is not False
        )

    def _read(self, tail: bytes, handle: int) -> bytes | None:
        if tail in self._known:
            nodes = self._known[tail]
        else:
            nodes = self._nodes(tail)
            if len(self._known) < _KNOWN_REQUESTS:
                self._known[tail] = nodes
        if nodes is None:
            return None
        return self._way.read_answer.fill(handle, len(nodes), b"".join([node() for node in nodes]))

    def _nodes(self, tail: bytes) -> tuple[Callable[[], bytes], ...] | None:
        """The nodes that a request reads, or None when the library must answer it."""
        params = struct_from_binary(ua.ReadParameters, Buffer(tail, _after_header(tail)))
        found = []
        for row in params.NodesToRead:
            node = self._way.values.get(row.NodeId)
            if node is None or row.AttributeId != ua.AttributeIds.Value or row.IndexRange:
                return None
            found.append(node)
        return tuple(found)

    async def _write(self, raw: bytes, place: int, handle: int) -> bytes | None:
        tail = raw[place + 12 :]
        params = struct_from_binary(ua.WriteParameters, Buffer(tail, _after_header(tail)))
        if any(row.NodeId not in self._way.values or row.IndexRange for row in params.NodesToWrite):
            return None
        results = await self._way.write(params)
        codes = struct.pack(f"<{len(results)}I", *(status.value for status in results))
        return self._way.write_answer.fill(handle, len(results), codes)


def _after_header(tail: bytes) -> int:
    """Where the parameters begin: behind diagnostics mask, audit entry, time-out and additional header."""
    (length,) = struct.unpack_from("<i", tail, 4)
    place = 8 + max(0, length) + 4
    header = Buffer(tail, place)
    nodeid_from_binary(header)
    place = int(header.cur_pos)
    encoding = tail[place]
    place += 1
    if encoding:
        (length,) = struct.unpack_from("<i", tail, place)
        place += 4 + max(0, length)
    return int(place)


class _Protocol(OPCUAProtocol):  # type: ignore[misc] # asyncua is not typed here
    def __init__(self, way: ShortWay, **more: Any) -> None:
        super().__init__(**more)
        self._way = way

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.processor is not None:  # None when there are too many connections
            processor = _Processor(self._way, self.iserver, transport, self.limits)
            processor.set_policies(self.policies)
            self.processor: Any = processor


class _Binary(BinaryServer):  # type: ignore[misc] # asyncua is not typed here
    def __init__(self, way: ShortWay, *more: Any) -> None:
        super().__init__(*more)
        self._way = way

    def _make_protocol(self) -> _Protocol:
        return _Protocol(
            self._way,
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )


class FastServer(Server):  # type: ignore[misc] # asyncua is not typed here
    """asyncua's server with the short way; ``way`` is set before ``start``."""

    way: ShortWay

    async def start(self) -> None:
        """Begin to listen, as the library does, with our own kind of connection."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._get_bind_socket_info()
        self.bserver = _Binary(self.way, self.iserver, host, port, self.limits)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError:
            await self.iserver.stop()
            raise
