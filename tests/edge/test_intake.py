"""Commands: each nonce once, also after a restart; nothing expired, unsigned or meant for others."""

from pathlib import Path

import pytest

from vigie_edge.intake import CommandIntake
from vigie_protocols import channel
from vigie_protocols.envelope import sign
from vigie_protocols.errors import Refused, SignatureError
from vigie_protocols.keys import KeyRing, generate_key, public_of
from vigie_protocols.points import ClockTrust

KEY, STRANGER = generate_key(), generate_key()
RING = KeyRing("gw-a", 1, 0.0, public_of(generate_key()), (public_of(KEY, ["command"]),))


def command(
    nonce: str = "nonce-0001", audience: str = "gw-a", expires: float = 100.0, key: object = KEY
) -> bytes:
    body = channel.Command(audience, nonce, expires, "operator", "lease.list")
    return sign(channel.PAYLOAD_TYPES["command"], channel.encode(body), [key])  # type: ignore[list-item]


def intake(folder: Path, keyring: KeyRing | None = RING) -> CommandIntake:
    return CommandIntake("gw-a", keyring, folder / "nonces.json")


def test_a_command_is_taken_once_also_over_a_restart(tmp_path: Path) -> None:
    first = intake(tmp_path)
    taken = first.take(command(), 50.0, ClockTrust.SYNCED)
    assert isinstance(taken, dict) and taken["action"] == "lease.list" and first.knows("nonce-0001")
    for again in (first, intake(tmp_path)):
        refused = again.take(command(), 51.0, ClockTrust.SYNCED)
        assert isinstance(refused, channel.Response) and refused.code == "repeated"


@pytest.mark.parametrize(
    ("payload", "utc", "trust", "code"),
    [
        (command(audience="gw-b"), 50.0, ClockTrust.SYNCED, "wrong-audience"),
        (command(), 101.0, ClockTrust.SYNCED, "expired"),
        (command(), 50.0, ClockTrust.UNTRUSTED, "clock-untrusted"),
    ],
)
def test_what_may_not_be_done_is_answered(
    tmp_path: Path, payload: bytes, utc: float, trust: ClockTrust, code: str
) -> None:
    refused = intake(tmp_path).take(payload, utc, trust)
    assert isinstance(refused, channel.Response) and (refused.ok, refused.code) == (False, code)


def test_strangers_get_no_answer(tmp_path: Path) -> None:
    with pytest.raises(SignatureError):
        intake(tmp_path).take(command(key=STRANGER), 50.0, ClockTrust.SYNCED)
    with pytest.raises(Refused):
        intake(tmp_path, None).take(command(), 50.0, ClockTrust.SYNCED)


def test_expired_nonces_are_forgotten_and_a_spoilt_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "nonces.json").write_text("{spoilt")
    one = intake(tmp_path)
    one.take(command("nonce-0001", expires=60.0), 50.0, ClockTrust.SYNCED)
    one.take(command("nonce-0002", expires=200.0), 100.0, ClockTrust.SYNCED)
    assert (one.knows("nonce-0001"), one.knows("nonce-0002")) == (False, True)
