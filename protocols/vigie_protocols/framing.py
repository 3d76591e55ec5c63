"""Length-prefixed frames over a byte stream: four bytes of length, little-endian, then the payload."""

import asyncio
import struct

from vigie_protocols.errors import FrameError, LinkDown

MAX_FRAME = 1 << 20
_LENGTH = struct.Struct("<I")


def frame(payload: bytes) -> bytes:
    """``payload`` with its length before it; raises FrameError when it is too long to send."""
    if len(payload) > MAX_FRAME:
        raise FrameError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    return _LENGTH.pack(len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next payload; raises LinkDown at the end of the stream, FrameError when it is too long."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise LinkDown("the other side closed the connection") from error
