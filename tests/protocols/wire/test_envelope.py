"""Signed envelopes, keys and key rings: what is accepted, and each reason to refuse."""

import base64
import json
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_protocols.channel import PAYLOAD_TYPES
from vigie_protocols.envelope import (
    accept_key_ring,
    encode_pae,
    load_key_ring,
    sign,
    sign_key_ring,
    verify,
)
from vigie_protocols.errors import FrameError, InputError, Refused, SignatureError
from vigie_protocols.keys import (
    KeyRing,
    SigningKey,
    decode_key_ring,
    encode_key_ring,
    generate_key,
    load_private_key,
    public_of,
    save_private_key,
)

BUNDLE, POLICY = PAYLOAD_TYPES["bundle"], PAYLOAD_TYPES["policy"]
ROOT, COORDINATOR, AUTHOR, APPROVER, STRANGER = (generate_key() for _ in range(5))


def ring(**changes: object) -> KeyRing:
    made = {
        "gateway": "gw-1",
        "root_epoch": 1,
        "issued_utc": 1000.0,
        "root": public_of(ROOT, name="root"),
        "keys": (
            public_of(COORDINATOR, ["bundle", "command"], "coordinator"),
            public_of(AUTHOR, ["author"], "Anne"),
            public_of(APPROVER, ["approver"], "Paul"),
        ),
        **changes,
    }
    return KeyRing(**made)  # type: ignore[arg-type]


RING = ring()


def envelope(payload: bytes = b'{"a":1}', kind: str = BUNDLE, *keys: SigningKey) -> bytes:
    return sign(kind, payload, keys or (COORDINATOR,))


def changed(data: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(data), **fields}).encode()


def test_pae_of_the_published_example() -> None:
    assert encode_pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.binary(max_size=300))
def test_what_was_signed_comes_back(payload: bytes) -> None:
    verified = verify(envelope(payload), RING, BUNDLE, 4096)
    assert verified.payload == payload
    assert verified.key_ids == (COORDINATOR.id,)


SAMPLE = envelope(b'{"audience":"gw-1","generation":7}')


@settings(max_examples=300)
@given(st.integers(0, len(SAMPLE) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(SAMPLE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((FrameError, SignatureError, Refused)):
        verify(bytes(data), RING, BUNDLE, 4096)


@given(st.binary(max_size=100))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises((FrameError, SignatureError)):
        verify(noise, RING, BUNDLE, 4096)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (envelope(b"", BUNDLE, STRANGER), SignatureError, "does not hold"),
        (envelope(b"", BUNDLE, AUTHOR), SignatureError, "may sign as bundle"),
        (envelope(b"", BUNDLE, ROOT), SignatureError, "may sign as bundle"),
        (envelope(b"", POLICY, COORDINATOR), Refused, "not 'application/vnd.vigie.bundle"),
        (envelope(b"", POLICY, AUTHOR), Refused, "holds"),
        (changed(SAMPLE, signatures=[]), SignatureError, "not signed"),
        (changed(SAMPLE, payloadType=POLICY), SignatureError, "wrong"),
        (changed(SAMPLE, payload=base64.b64encode(b"{}").decode()), SignatureError, "wrong"),
        (changed(SAMPLE, payload="e30"), FrameError, "base64"),
        (changed(SAMPLE, payload="e31="), FrameError, "base64"),
        (changed(SAMPLE, payload="e3 0="), FrameError, "base64"),
        (changed(SAMPLE, extra=1), FrameError, "envelope"),
        (changed(SAMPLE, payload=5), FrameError, "envelope"),
        (changed(SAMPLE, signatures=[{"keyid": "x", "sig": "", "more": 1}]), FrameError, "envelope"),
        (changed(SAMPLE, signatures=[{"keyid": COORDINATOR.id, "sig": ""}]), SignatureError, "wrong"),
        (changed(SAMPLE, signatures=json.loads(SAMPLE)["signatures"] * 2), SignatureError, "twice"),
        (SAMPLE[:-1], FrameError, "JSON"),
        (SAMPLE.replace(b'"payload"', b'"payloadType":"x","payload"'), FrameError, "twice"),
        (b"{}", FrameError, "envelope"),
        (b"[]", FrameError, "envelope"),
        (b" " * 5000, FrameError, "bytes"),
    ],
)
def test_refusals(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        verify(data, RING, BUNDLE, 4096)


def test_a_wrong_type_has_a_code() -> None:
    with pytest.raises(Refused) as caught:
        verify(envelope(b"", POLICY, AUTHOR), RING, BUNDLE, 4096)
    assert caught.value.code == "payload-type"


def test_during_an_exchange_of_keys_the_unknown_one_does_not_count() -> None:
    both = envelope(b"x", BUNDLE, STRANGER, COORDINATOR)
    assert verify(both, RING, BUNDLE, 4096).key_ids == (COORDINATOR.id,)
    wrong = json.loads(both)
    wrong["signatures"][1]["sig"] = wrong["signatures"][0]["sig"]
    with pytest.raises(SignatureError, match="wrong"):
        verify(json.dumps(wrong).encode(), RING, BUNDLE, 4096)


def test_thresholds_count_different_keys_with_the_role() -> None:
    second = generate_key()
    keys = ring(keys=(*RING.keys, public_of(second, ["approver"])))
    signed = envelope(b"x", POLICY, AUTHOR, APPROVER, second)
    assert verify(signed, keys, POLICY, 4096).key_ids == (AUTHOR.id,)
    assert set(verify(signed, keys, POLICY, 4096, role="approver", threshold=2).key_ids) == {
        APPROVER.id,
        second.id,
    }
    with pytest.raises(SignatureError, match="it takes 3"):
        verify(signed, keys, POLICY, 4096, role="approver", threshold=3)


def test_nothing_is_signed_without_a_key() -> None:
    with pytest.raises(ValueError, match="key"):
        sign(BUNDLE, b"", [])


# -- key rings ---------------------------------------------------------------------------------------


def test_key_ring_files(tmp_path: Path) -> None:
    path = tmp_path / "gw-1.keys"
    path.write_bytes(sign_key_ring(RING, ROOT))
    assert load_key_ring(path, "gw-1") == RING


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "enrol gw-1"),
        (b"", "JSON"),
        (b"{}", "envelope"),
        (sign(PAYLOAD_TYPES["keyring"], encode_key_ring(RING), [STRANGER]), "does not hold"),
        (sign(PAYLOAD_TYPES["keyring"], encode_key_ring(RING), [COORDINATOR]), "may sign as root"),
        (sign(BUNDLE, encode_key_ring(RING), [ROOT]), "holds"),
        (sign_key_ring(ring(gateway="gw-2"), ROOT), "belongs to the gateway gw-2"),
    ],
)
def test_bad_key_ring_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "ring"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_key_ring(path, "gw-1")
    assert caught.value.problems[0].file == str(path)


def test_newer_key_rings_from_outside() -> None:
    renewed = ring(issued_utc=2000.0, keys=(public_of(STRANGER, ["bundle"]),))
    assert accept_key_ring(RING, sign_key_ring(renewed, ROOT)) == renewed
    # A new root, vouched for by the old one.
    new_root = ring(root_epoch=2, root=public_of(STRANGER))
    handed_over = sign(PAYLOAD_TYPES["keyring"], encode_key_ring(new_root), [ROOT])
    assert accept_key_ring(RING, handed_over) == new_root
    for refused, code in (
        (RING, "older-key-ring"),
        (ring(root_epoch=0, issued_utc=9e9), "older-key-ring"),
        (ring(gateway="gw-2", issued_utc=2000.0), "audience"),
    ):
        with pytest.raises(Refused) as caught:
            accept_key_ring(RING, sign_key_ring(refused, ROOT))
        assert caught.value.code == code
    with pytest.raises(SignatureError):
        accept_key_ring(RING, sign_key_ring(new_root, STRANGER))


def test_bad_key_ring_payloads() -> None:
    good = json.loads(encode_key_ring(RING))
    author = good["keys"][1]
    for change in (
        {"keys": [author, author]},
        {"keys": [{**author, "id": "0" * 32}]},
        {"keys": [{**author, "roles": ["king"]}]},
        {"keys": [{**author, "public": "AA=="}]},
        {"keys": [{**author, "public": "!"}]},
        {"root": {**good["root"], "roles": ["bundle"]}},
        {"keys": [good["root"]]},
        {"root_epoch": -1},
        {"root_epoch": "1"},
        {"gateway": ""},
        {"more": 1},
    ):
        with pytest.raises(FrameError, match="key ring"):
            decode_key_ring(msgspec.json.encode({**good, **change}))
    with pytest.raises(ValueError, match="roles"):
        public_of(AUTHOR, ["king"])


# -- private keys ------------------------------------------------------------------------------------


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.pem"
    save_private_key(path, ROOT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_private_key(path).id == ROOT.id
    with pytest.raises(InputError, match="exists"):
        save_private_key(path, COORDINATOR)
    assert load_private_key(path).id == ROOT.id
    path.chmod(0o640)
    with pytest.raises(InputError, match="chmod 0600"):
        load_private_key(path)
    path.chmod(0o600)
    path.parent.chmod(0o755)
    with pytest.raises(InputError, match="chmod 0700"):
        load_private_key(path)
    with pytest.raises(InputError, match="chmod 0700"):
        save_private_key(path.parent / "other.pem", COORDINATOR)


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    other = generate_ec(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, words in ((None, "init"), (b"nonsense", "PEM"), (other, "Ed25519")):
        path = directory / f"{words}.pem"
        if content is not None:
            path.write_bytes(content)
            path.chmod(0o600)
        with pytest.raises(InputError, match=words):
            load_private_key(path)
