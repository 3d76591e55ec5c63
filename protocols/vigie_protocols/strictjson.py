"""JSON from outside, read strictly: what two readers could understand differently is refused."""

import json
import math
import re
from typing import Any, NoReturn

from vigie_protocols.errors import FrameError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKET = re.compile(rb"[][{}]")
_MAX_DIGITS = 40


def parse_strict_json(data: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The value in ``data``; raises FrameError with the reason when it is not plain, bounded JSON.

    Refused beside what is not JSON: more than ``max_bytes`` bytes, nesting deeper than ``max_depth``,
    other encodings than UTF-8 (and a byte order mark), a key twice in one object, NaN and Infinity (also
    a number too great for a 64-bit float), and whole numbers of more than 40 digits.
    """
    if len(data) > max_bytes:
        raise FrameError(f"JSON of {len(data)} bytes, more than the {max_bytes} allowed")
    _check_depth(data, max_depth)
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        if _SURROGATE.search(data):
            # Half a pair makes a text that nobody can write down again.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except (ValueError, RecursionError) as why:
        raise FrameError(f"not plain JSON: {why}") from why


def dump_json(value: Any) -> bytes:
    """``value`` as compact UTF-8 JSON with sorted keys; raises ValueError on NaN and Infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")


def _check_depth(data: bytes, max_depth: int) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", data)):
        if bracket[0] in b"[{":
            depth += 1
            if depth > max_depth:
                raise FrameError(f"JSON nested deeper than the {max_depth} levels allowed")
        else:
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:60]!r} stands twice in one object")
            seen.add(key)
    return made


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too great")
    return value


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)
