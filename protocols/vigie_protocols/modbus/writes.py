"""Changes as the fewest write requests: neighbours together, nothing written that nobody asked for."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from vigie_protocols.limits import Limits
from vigie_protocols.modbus.codec import bit_mask, encode
from vigie_protocols.modbus.planner import address_of
from vigie_protocols.points import Value
from vigie_protocols.profile import PointDecl


@dataclass(slots=True)
class WriteRequest:
    """One request. pdu: what to send, empty while the rest of a register must be read first.

    places: which changes it carries. For a part of a register without mask write: ``address`` is read,
    ``keep`` of it kept, ``word`` put in.
    """

    places: list[int]
    pdu: bytes = b""
    address: int = 0
    keep: int = 0
    word: int = 0

    def with_register(self, held: int, limits: Limits) -> bytes:
        """The request once the register is known to hold ``held``."""
        return _registers(self.address, (held & self.keep | self.word,), limits)


def write_requests(
    changes: Sequence[tuple[int, PointDecl, Value]], limits: Limits
) -> tuple[list[WriteRequest], dict[int, str]]:
    """(place, point, value) of one device as requests, and why some changes cannot be written.

    Of several changes of one point the last counts, all share its fate. Requests follow the order in which
    their first changes came.
    """
    coils: dict[int, tuple[bool, list[int]]] = {}
    whole: dict[int, tuple[tuple[int, ...], list[int]]] = {}
    parts: dict[int, tuple[int, int, list[int]]] = {}
    faults: dict[int, str] = {}
    for place, decl, value in changes:
        address = address_of(decl)
        try:
            fault = decl.refuses(value)
            if fault:
                raise ValueError(fault)
            if address.bits_table:
                coils[address.address] = bool(value), [*coils.get(address.address, (0, []))[1], place]
                continue
            words = encode(address, decl.type, value)
        except ValueError as error:
            faults[place] = f"{decl.name} {error}"
            continue
        if address.bit is None and address.mask is None:
            whole[address.address] = words, [*whole.get(address.address, (0, []))[1], place]
        else:
            mask, word, places = parts.get(address.address, (0, 0, []))
            own = bit_mask(address)
            parts[address.address] = mask | own, word & ~own | words[0], [*places, place]
    requests = [
        *_whole_requests(whole, limits),
        *_part_requests(parts, limits),
        *_coil_requests(coils, limits),
    ]
    requests.sort(key=lambda request: request.places[0])
    return requests, faults


def _whole_requests(
    whole: dict[int, tuple[tuple[int, ...], list[int]]], limits: Limits
) -> list[WriteRequest]:
    requests: list[WriteRequest] = []
    words: list[int] = []
    start, places = 0, list[int]()

    def flush() -> None:
        if words:
            requests.append(WriteRequest(sorted(places), _registers(start, tuple(words), limits)))

    several = 16 in limits.functions
    for address in sorted(whole):
        more, theirs = whole[address]
        if (
            not words
            or address != start + len(words)
            or not several
            or len(words) + len(more) > limits.max_write_registers
        ):
            flush()
            start, words, places = address, [], []
        words.extend(more)
        places.extend(theirs)
    flush()
    return requests


def _registers(start: int, words: tuple[int, ...], limits: Limits) -> bytes:
    if len(words) == 1 and 6 in limits.functions:
        return struct.pack(">BHH", 6, start, words[0])
    return struct.pack(f">BHHB{len(words)}H", 16, start, len(words), 2 * len(words), *words)


def _part_requests(parts: dict[int, tuple[int, int, list[int]]], limits: Limits) -> list[WriteRequest]:
    requests = []
    for address, (mask, word, places) in parts.items():
        keep = ~mask & 0xFFFF
        if mask == 0xFFFF:
            requests.append(WriteRequest(places, _registers(address, (word,), limits)))
        elif 22 in limits.functions:
            requests.append(WriteRequest(places, struct.pack(">BHHH", 22, address, keep, word)))
        else:
            requests.append(WriteRequest(places, b"", address, keep, word))
    return requests


def _coil_requests(coils: dict[int, tuple[bool, list[int]]], limits: Limits) -> list[WriteRequest]:
    requests: list[WriteRequest] = []
    runs: list[list[int]] = []
    for address in sorted(coils):
        full = runs and len(runs[-1]) >= limits.max_write_bits
        if not runs or address != runs[-1][-1] + 1 or full or 15 not in limits.functions:
            runs.append([])
        runs[-1].append(address)
    for run in runs:
        places = sorted(place for address in run for place in coils[address][1])
        if len(run) == 1 and 5 in limits.functions:
            pdu = struct.pack(">BHH", 5, run[0], 0xFF00 if coils[run[0]][0] else 0)
        else:
            word = sum(1 << step for step, address in enumerate(run) if coils[address][0])
            data = word.to_bytes((len(run) + 7) // 8, "little")
            pdu = struct.pack(">BHHB", 15, run[0], len(run), len(data)) + data
        requests.append(WriteRequest(places, pdu))
    return requests
