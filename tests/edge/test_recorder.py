"""The recorder: what the rings had no room for is told once, whoever records."""

from pathlib import Path

import yaml

from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.processes.recorder import Recorder
from vigie_edge.telemetry_records import Event, event_decoder
from vigie_edge.wiring import RING_BYTES, Bells, Wiring, prepare_runtime

ROOT = Path(__file__).parents[2]


def gaps(folder: Path) -> list[Event]:
    """The gap events of the telemetry journal."""
    return [
        event
        for _, _, path in list_segments(folder / "journal" / "telemetry")
        for record in read_committed(path)[1]
        if record.kind is Kind.EVENT and (event := event_decoder.decode(record.payload)).kind == "gap"
    ]


def test_refused_records_are_told_once_also_by_a_recorder_that_follows_another(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    places = {"state_dir": "state", "runtime_dir": "run"}
    data |= {key: str(tmp_path / name) for key, name in places.items()}
    data["journal"] = {"directory": str(tmp_path / "journal")}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(data))
    plan = load_plan(tmp_path / "gateway.yaml")
    wiring = Wiring(plan, prepare_runtime(plan), Bells())

    def refuse(count: int) -> None:
        for _ in range(count):
            assert not wiring.readings().push(bytes(RING_BYTES))

    refuse(2)
    Recorder(wiring).turn()
    Recorder(wiring).turn()  # as after a kill
    assert [one.reason.partition(" ")[0] for one in gaps(tmp_path)] == ["2"]
    refuse(3)  # while nobody records
    last = Recorder(wiring)
    last.turn()
    last.turn()
    assert [one.reason.partition(" ")[0] for one in gaps(tmp_path)] == ["2", "3"]
    (tmp_path / "run" / "readings").unlink()  # memory is made anew
    refuse(1)
    Recorder(wiring).turn()
    assert [one.reason.partition(" ")[0] for one in gaps(tmp_path)] == ["2", "3", "1"]
