"""JSON from outside: what could be understood in two ways is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.errors import FrameError
from vigie_protocols.strictjson import dump_json, parse_strict_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_there_and_back(value: object) -> None:
    assert parse_strict_json(dump_json(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"\\u0061":1,"a":2}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e400",
        b"1" * 41,
        b"\xef\xbb\xbf1",
        b"\xff",
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"1 2",
        b"'a'",
        b"{a:1}",
        b"[1,]",
        b"// x\n1",
        '{"a":1}'.encode("utf-16"),
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000,
    ],
)
def test_refused(text: bytes) -> None:
    with pytest.raises(FrameError):
        parse_strict_json(text)


def test_brackets_within_texts_are_no_depth() -> None:
    assert parse_strict_json(b'"' + b"[" * 100 + b'\\"]"') == "[" * 100 + '"]'
    assert parse_strict_json(b"[" * 32 + b"]" * 32)


def test_pairs_of_surrogates_are_one_character() -> None:
    assert parse_strict_json(b'"\\ud83d\\ude80"') == "\U0001f680"


def test_size() -> None:
    assert parse_strict_json(b"[1]", max_bytes=3) == [1]
    with pytest.raises(FrameError, match="bytes"):
        parse_strict_json(b"[10]", max_bytes=3)


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump_json(float("nan"))


@given(st.binary(max_size=60))
def test_noise(noise: bytes) -> None:
    try:
        parse_strict_json(noise)
    except FrameError:
        return
