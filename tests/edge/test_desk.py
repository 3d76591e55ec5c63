"""What control is asked at its desk, and what it keeps in small files: nothing asked or refused may stop a scan."""

import errno
import json
import os
from pathlib import Path

import pytest
import yaml

from vigie_edge import statefiles
from vigie_edge.commands import CommandDesk, from_afar
from vigie_edge.config import Plan, load_plan
from vigie_edge.policies import PolicyShelf
from vigie_edge.statefiles import write_atomic
from vigie_protocols.points import ClockTrust

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    data |= {
        "state_dir": str(tmp_path / "state"),
        "journal": {"directory": str(tmp_path / "journal")},
        "runtime_dir": str(tmp_path / "run"),
    }
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    return load_plan(file)


@pytest.mark.parametrize(
    "request_text",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"nonce": "n"}',
        b'{"nonce": "n", "action": "lease.take", "args": [1]}',
        b'{"nonce": "n", "action": "lease.take", "holder": "A. Roy", "args": {"forces":'
        b' {"basin/gate.command": 50}, "reason": "r", "ttl_s": 1' + b"0" * 400 + b"}}",
        b'{"nonce": "n", "action": "lease.renew", "holder": "A. Roy", "args": {"id": "x", "ttl_s": "soon"}}',
        b'{"nonce": "n", "action": "fault.reset", "holder": "", "args": {"loop": "l", "subject": "s", "reason": ""}}',
    ],
)
def test_whatever_is_asked_is_answered(plan: Plan, request_text: bytes) -> None:
    engine = plan.engine()
    desk = CommandDesk(engine, PolicyShelf(plan, engine))
    answer = json.loads(desk.handle(request_text, 0.0, 0.0, ClockTrust.SYNCED))
    assert answer["ok"] is False and answer["code"] and answer["reason"]
    assert engine.leases.leases() == ()


@pytest.mark.parametrize(
    ("point", "value", "why"),
    [
        ("basin/level", 1.0, "is no writable point"),
        ("basin/gate.command", "half", "'half' is no float"),
        ("basin/gate.command", True, "True is no float"),
        ("basin/gate.command", 100.5, "is outside 0 to 100"),
        ("basin/gate.command", float("nan"), "is no float"),
        ("pump-station/pump.1.command", 1, "1 is no bool"),
        ("pump-station/pump.1.command", [True], "is no bool"),
    ],
)
def test_a_lease_for_what_a_point_can_never_be_is_refused(
    plan: Plan, point: str, value: object, why: str
) -> None:
    engine = plan.engine()
    desk = CommandDesk(engine, PolicyShelf(plan, engine))
    args = {"forces": {point: value}, "reason": "r", "ttl_s": 60}
    request = {"nonce": "n", "action": "lease.take", "holder": "A. Roy", "args": args}
    answer = json.loads(desk.handle(json.dumps(request).encode(), 0.0, 0.0, ClockTrust.SYNCED))
    assert answer["code"] == "bad-lease" and why in answer["reason"]
    assert engine.leases.leases() == ()


def test_what_comes_from_afar_never_passes_for_local(plan: Plan) -> None:
    request = {"nonce": "n", "action": "policy.confirm", "local": True, "holder": "x", "args": {}}
    engine = plan.engine()
    desk = CommandDesk(engine, PolicyShelf(plan, engine))
    told = from_afar(json.dumps(request).encode())
    assert json.loads(desk.handle(told, 0.0, 0.0, ClockTrust.SYNCED))["ok"] is False
    assert json.loads(desk.handle(json.dumps(request).encode(), 0.0, 0.0, ClockTrust.SYNCED))["ok"] is True
    for payload in (b"", b"[1]", b"{", b'{"nonce": "n"}'):
        assert from_afar(payload) == payload


def test_a_consent_is_for_the_bundle_on_the_shelf_and_no_later_one(plan: Plan) -> None:
    engine = plan.engine()
    shelf = PolicyShelf(plan, engine)
    desk = CommandDesk(engine, shelf)
    asked = json.dumps({"nonce": "n", "action": "policy.confirm", "local": True, "holder": "A. Roy"}).encode()
    assert json.loads(desk.handle(asked, 0.0, 0.0, ClockTrust.UNTRUSTED))["ok"]
    for turn in range(5):
        shelf.step(float(turn), 0.0, ClockTrust.UNTRUSTED, [])
    assert not shelf.confirmed  # there was none: a bundle that comes tomorrow is nobody's consent


def test_a_disk_that_takes_a_part_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "snapshot"
    write_atomic(path, b"old")
    real, room = os.write, [5]

    def nearly_full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(fd, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(statefiles.os, "write", nearly_full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"a longer one")
    assert path.read_bytes() == b"old"
    room[0] = 1000
    write_atomic(path, b"a longer one")
    assert path.read_bytes() == b"a longer one"
