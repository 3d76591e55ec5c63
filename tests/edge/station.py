"""The built-in pump station's gateway without any process: its wiring in a folder of its own, and what it journals."""

from pathlib import Path

import yaml

from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.telemetry_records import Event, event_decoder
from vigie_edge.wiring import Bells, Wiring, prepare_runtime

FILE = Path(__file__).parents[2] / "firmware-config/gateways/gw-pompage.yaml"


def station(folder: Path) -> Wiring:
    """The wiring of the gateway file, with everything it writes below ``folder``."""
    data = yaml.safe_load(FILE.read_text())
    data |= {
        "state_dir": str(folder / "state"),
        "runtime_dir": str(folder / "run"),
        "journal": {"directory": str(folder / "journal")},
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    plan = load_plan(file)
    return Wiring(plan, prepare_runtime(plan), Bells())


def journalled(folder: Path, kind: str) -> list[Event]:
    """The events of a kind in the telemetry journal of ``station(folder)``."""
    return [
        event
        for _, _, path in list_segments(folder / "journal" / "telemetry")
        for record in read_committed(path)[1]
        if record.kind is Kind.EVENT and (event := event_decoder.decode(record.payload)).kind == kind
    ]
