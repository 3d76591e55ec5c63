"""Policies in a replay: what the shelf brought between two scans is brought again at the same place."""

import time
from pathlib import Path

import msgspec
import yaml
from tests.edge.wallclock import ROOT

from vigie_edge.config import load_plan
from vigie_edge.memory.image import Columns
from vigie_edge.processes.control import Control
from vigie_edge.processes.recorder import Recorder
from vigie_edge.replay import Replay
from vigie_edge.wiring import Bells, Wiring, prepare_runtime
from vigie_protocols import channel
from vigie_protocols.envelope import Envelope, sign, sign_key_ring
from vigie_protocols.keys import KeyRing, generate_key, public_of
from vigie_protocols.points import ClockTrust

GATEWAY = "gw-pompage"


def gateway_file(folder: Path) -> Path:
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    data |= {
        "journal": {"directory": str(folder / "journal")},
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "uplink": {"host": "127.0.0.1", "keyring": str(folder / "keys.json")},
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def test_policies_taken_and_refused_come_out_alike(tmp_path: Path) -> None:
    utc = time.time()
    root, key = generate_key(), generate_key()
    roles = ("author", "approver", "bundle")
    ring = KeyRing(GATEWAY, 1, utc, public_of(root), (public_of(key, roles, "A. Roy"),))
    (tmp_path / "keys.json").write_bytes(sign_key_ring(ring, root))
    incoming = tmp_path / "state" / "policies" / "incoming" / "desired.json"
    incoming.parent.mkdir(parents=True)
    document = {
        "kind": "water.level",
        "id": "orage",
        "version": 1,
        "scope": {"level": "site", "name": GATEWAY},
        "valid_from": utc - 10.0,
        "not_after": utc + 3600.0,
        "params": {"lead_start_m": 1.5},
    }

    def put(generation: int, text: dict[str, object]) -> None:
        paper = msgspec.json.decode(
            sign(channel.PAYLOAD_TYPES["policy"], msgspec.json.encode(text), [key]), type=Envelope
        )
        bundle = channel.Bundle(GATEWAY, 1, generation, utc, (paper,))
        incoming.write_bytes(sign(channel.PAYLOAD_TYPES["bundle"], channel.encode(bundle), [key]))

    plan = load_plan(gateway_file(tmp_path))
    wiring = Wiring(plan, prepare_runtime(plan), Bells())
    control, recorder = Control(wiring), Recorder(wiring)
    control.resume(0.0)
    columns = Columns(plan.table)
    inputs = wiring.inputs(write=True)
    level = plan.table.index["pump-station/level"]
    put(1, document)
    seen, refusals = set(), set()
    for number in range(1, 60):
        now = float(number)
        columns.values[level] = 1.0 + 0.01 * number
        columns.quality[:] = bytes([2]) * len(columns.quality)
        columns.arrival[:] = [now] * len(columns.arrival)
        inputs.write(wiring.image_codec.pack(0, now, utc + now, columns))
        control.scan(now, utc + now, control.freeze(), ClockTrust.SYNCED, False)
        if number == 20:
            put(1, {**document, "version": 2})  # not above the generation that runs: refused
            control.shelf.look()
        if number == 30:
            put(2, {**document, "version": 2, "params": {"lead_start_m": 1.4}})
            control.shelf.look()
        if number == 40:
            incoming.write_bytes(b"{}")
            control.shelf.look()
        control.slack(now, utc + now, ClockTrust.SYNCED)
        seen.add(control.engine.effective()["station"]["water.level"].get("lead_start_m"))
        refused = control.engine.policies.reported()["refused"]
        refusals.add(refused and refused["code"])
        if number % 7 == 0:
            recorder.turn()
    recorder.turn()
    assert {1.5, 1.4} <= seen, control.engine.policies.reported()
    assert {None, "older-generation", "bad-document"} <= refusals
    report = Replay(plan).run(tmp_path / "journal")
    assert report.differences == [] and report.skipped == 0, report
    assert report.scans == 59 and report.snapshots >= 2
