"""Vigie's own channel: topics, messages, and what is refused."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_protocols.channel import (
    ACK,
    CMD,
    DESIRED,
    INDEX_METRIC,
    MAX_COMMAND,
    PAYLOAD_TYPES,
    PEER,
    REPORTED,
    RESP,
    Ack,
    Bundle,
    Command,
    DocumentState,
    Envelope,
    Refusal,
    Reported,
    Response,
    Staged,
    decode_ack,
    decode_bundle,
    decode_command,
    decode_reported,
    decode_response,
    encode,
    journal_key,
    journal_metrics,
    parse_topic,
    topic,
)
from vigie_protocols.envelope import sign, to_bytes, verify
from vigie_protocols.errors import FrameError
from vigie_protocols.keys import KeyRing, generate_key, public_of
from vigie_protocols.ranges import IndexSet
from vigie_protocols.sparkplug.model import DataType, Metric
from vigie_protocols.strictjson import MAX_DEPTH

HASH = "ab" * 32


def test_topics() -> None:
    for what in (DESIRED, REPORTED, CMD, RESP, ACK):
        assert topic("gw-1", what) == f"vigie/v1/gw-1/{what}"
        assert parse_topic(topic("gw-1", what)) == ("gw-1", what, "")
    assert parse_topic(topic("gw-1", PEER, "gw-2")) == ("gw-1", PEER, "gw-2")
    with pytest.raises(ValueError, match="no such topic"):
        topic("gw-1", "wish")
    for bad in ("", "a/b", "+", "#"):
        with pytest.raises(FrameError):
            topic(bad, DESIRED)


@pytest.mark.parametrize(
    "name",
    ["", "vigie/v1", "vigie/v1/gw", "vigie/v1/gw/wish", "vigie/v2/gw/ack", "vigie/v1//ack", "vigie/v1/gw/peer",
     "vigie/v1/gw/ack/x", "vigie/v1/gw/peer/", "vigie/v1/" + "g" * 600 + "/ack"],
)  # fmt: skip
def test_other_topics(name: str) -> None:
    with pytest.raises(FrameError):
        parse_topic(name)


REPORT = Reported(
    1,
    7,
    "applied",
    HASH,
    1_800_000_000.5,
    HASH,
    (DocumentState("storm-plan", 3, "effective", HASH),),
    (Staged(8, HASH, 1_800_000_100.0),),
    Refusal(6, "older-generation", "génération 6 < 7", "storm-plan", "params.level"),
)


def test_messages_there_and_back() -> None:
    assert decode_reported(encode(REPORT)) == REPORT
    command = Command(
        "gw-1", "nonce-0001", 1_800_000_000.0, "marie", "lease.take", {"point": "a/b", "ttl": 60}
    )
    assert decode_command(encode(command)) == command
    response = Response("nonce-0001", False, "held", "marie tient déjà", {"until": 5})
    assert decode_response(encode(response)) == response
    ack = Ack(2**64 - 1, 5, ((7, 9), (11, 11)))
    assert decode_ack(encode(ack)) == ack


def test_a_bundle_carries_the_documents_as_their_authors_signed_them() -> None:
    author, coordinator, root = generate_key(), generate_key(), generate_key()
    keys = KeyRing(
        "gw-1", 1, 0.0, public_of(root), (public_of(author, ["author"]), public_of(coordinator, ["bundle"]))
    )
    document = b'{"kind":"signal.actuated","params":{"max_green":45}}'
    signed = sign(PAYLOAD_TYPES["policy"], document, [author])
    bundle = Bundle("gw-1", 1, 7, 1.8e9, (msgspec.json.decode(signed, type=Envelope),), apply_at=1.8e9 + 60)
    desired = sign(PAYLOAD_TYPES["bundle"], encode(bundle), [coordinator])
    read = decode_bundle(verify(desired, keys, PAYLOAD_TYPES["bundle"], 1 << 20).payload)
    assert read == bundle
    assert verify(to_bytes(read.documents[0]), keys, PAYLOAD_TYPES["policy"], 1 << 20).payload == document


@given(st.lists(st.integers(0, 60), max_size=40))
def test_an_acknowledgement_says_what_arrived(indexes: list[int]) -> None:
    arrived = IndexSet()
    for index in indexes:
        arrived.add(index)
    ack = decode_ack(encode(Ack(3, arrived.through, tuple(arrived.ranges(1024)))))
    other = IndexSet()
    other.merge(ack.through, ack.ranges)
    assert other == arrived


GOOD_COMMAND = json.loads(encode(Command("gw", "nonce-0001", 1.0, "marie", "lease.take")))
GOOD_REPORT = json.loads(encode(REPORT))


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"audience": None},
        {"audience": "g" * 257},
        {"nonce": "short"},
        {"nonce": "white space!"},
        {"expires_utc": "1"},
        {"args": []},
        {"holder": 5},
    ],
)
def test_bad_commands(change: dict[str, object]) -> None:
    with pytest.raises(FrameError, match="command"):
        decode_command(json.dumps({**GOOD_COMMAND, **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"state": "happy"},
        {"generation": -1},
        {"generation": 1.5},
        {"generation": True},
        {"effective_hash": "XY"},
        {"documents": [{"id": "x"}]},
        {"documents": GOOD_REPORT["documents"] * 65},
        {"staged": GOOD_REPORT["staged"] * 9},
        {"refused": {"generation": 1}},
        {"since_utc": None},
    ],
)
def test_bad_reports(change: dict[str, object]) -> None:
    with pytest.raises(FrameError, match="reported"):
        decode_reported(json.dumps({**GOOD_REPORT, **change}).encode())


@pytest.mark.parametrize(
    "text",
    [
        b'{"epoch":1,"through":5,"ranges":[[6,7]]}',
        b'{"epoch":1,"through":5,"ranges":[[9,8]]}',
        b'{"epoch":1,"through":5,"ranges":[[9,9],[10,10]]}',
        b'{"epoch":1,"through":5,"ranges":[[9,9],[7,7]]}',
        b'{"epoch":1,"through":5,"ranges":[[9]]}',
        b'{"epoch":1,"through":-2}',
        b'{"epoch":-1,"through":2}',
        b'{"epoch":18446744073709551616,"through":2}',
        b'{"epoch":1,"through":18446744073709551616}',
        b'{"epoch":1,"epoch":2,"through":2}',
        b'{"epoch":1,"through":NaN}',
        b'{"through":2}',
        b"",
    ],
)
def test_bad_acknowledgements(text: bytes) -> None:
    with pytest.raises(FrameError):
        decode_ack(text)


def test_bounds() -> None:
    with pytest.raises(FrameError, match="bytes"):
        decode_command(b" " * (MAX_COMMAND + 1))
    deep: object = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(FrameError, match="nested"):
        decode_command(json.dumps({**GOOD_COMMAND, "args": {"deep": deep}}).encode())
    with pytest.raises(FrameError, match="cannot be sent"):
        encode(Response("nonce-0001", True, result={"what": object()}))


def test_which_journal_record_a_message_carries() -> None:
    metrics = journal_metrics(2**64 - 1, 12, 5, historical=True)
    assert all(metric.is_historical and metric.datatype == DataType.UINT64 for metric in metrics)
    assert journal_key((Metric("phase", 1), *metrics)) == (2**64 - 1, 12)
    assert journal_key((Metric("phase", 1),)) is None
    assert journal_key((Metric(INDEX_METRIC, 5),)) is None
    assert journal_key((Metric(INDEX_METRIC, "5"), metrics[0])) is None
