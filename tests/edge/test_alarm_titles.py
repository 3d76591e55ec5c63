"""Local alarms as people read them: what the profile calls them goes with the event, in both languages."""

from pathlib import Path

from tests.edge.station import FILE, journalled, station

from vigie_edge import records
from vigie_edge.config import load_plan
from vigie_edge.processes.recorder import Recorder
from vigie_edge.telemetry_records import Event


def recorded(folder: Path, alarms: list[tuple[str, bool, str, str]]) -> list[Event]:
    """What the recorder writes of a scan with these alarms."""
    wiring = station(folder)
    recorder = Recorder(wiring)
    scan = records.Scan(1, 0, 100.0, 1.8e9, 2, False, None, [], [], [], [], alarms)
    assert wiring.scans().push(records.encode(scan))
    recorder.turn()
    return journalled(folder, "alarm")


def test_an_alarm_carries_its_title_and_a_point_without_a_rule_none(tmp_path: Path) -> None:
    points = {
        decl.point: decl.name
        for decl in load_plan(FILE).points
        if "station" in decl.device or decl.point == "power.ok"
    }
    fault, power = points["pump.2.fault"], points["power.ok"]
    raised = [
        (fault, True, "high", "is True"),
        (power, True, "critical", "is False"),
        ("x/y", True, "low", "stuck on"),
    ]
    told = {one.subject: one for one in recorded(tmp_path, raised)}
    assert told[fault].title == {"fr": "Pompe 2 en défaut", "en": "Pump 2 fault"}
    assert told[power].title == {"fr": "Alimentation coupée", "en": "Power lost"}
    assert told["x/y"].title is None
    assert told[power].reason == f"{power} is False"


def test_a_title_of_many_counts(tmp_path: Path) -> None:
    decls = {decl.name: decl for decl in load_plan(FILE.with_name("gw-eclairage.yaml")).points}
    alarms = [decl.alarm for name, decl in decls.items() if name.endswith("lamp.25.fault")]
    assert [one.title.fr for one in alarms if one is not None and one.title is not None] == [
        "Lampadaire 25 en défaut"
    ]
