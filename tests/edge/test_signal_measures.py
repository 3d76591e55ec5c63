"""A junction's events and figures on their way out of a gateway: journal, replay, births, commands."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from vigie_controllers.loops import ControllerSpec
from vigie_controllers.signals.measures.codes import Code
from vigie_controllers.signals.measures.figures import NAMES
from vigie_edge.births import Births
from vigie_edge.cli import app
from vigie_edge.config import Plan, load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.memory.image import Columns
from vigie_edge.processes.control import Control
from vigie_edge.processes.recorder import Recorder
from vigie_edge.replay import Replay
from vigie_edge.signalview import _NAMES, _print
from vigie_edge.telemetry_records import Samples, samples_decoder
from vigie_edge.wiring import Bells, Wiring, prepare_runtime
from vigie_protocols.points import ClockTrust
from vigie_sim.traffic.derive import derive
from vigie_sim.traffic.district import district_run
from vigie_sim.traffic.documents import write_gateway
from vigie_sim.traffic.network import read_network

UTC = 1_750_000_000.0


def gateway(folder: Path) -> tuple[Path, str]:
    junction = next(one for one in derive(read_network(district_run().net)) if one.site.actuation == "lamps")
    junction = replace(junction, site=junction.site.model_copy(update={"measures_s": 60.0}))
    more = {
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
        "scan_s": 0.5,
    }
    kinds = {junction.name: [ControllerSpec(kind="signal.actuated")]}
    url = {junction.name: "opc.tcp://127.0.0.1:4840"}
    return write_gateway(folder, "gw-mesure", [junction], url, kinds, more), junction.name


class Street:
    """Vehicles that come and go on every detector, and lamps that show what is asked."""

    def __init__(self, plan: Plan) -> None:
        self.wiring = Wiring(plan, prepare_runtime(plan), Bells())
        self.control, self.recorder = Control(self.wiring), Recorder(self.wiring)
        self.control.resume(0.0)
        self._inputs = self.wiring.inputs(write=True)
        self._columns = Columns(plan.table)
        index = plan.table.index
        self._counts = [place for name, place in index.items() if name.endswith((".count", ".halting"))]
        self._shown = [index[one.read_back] if one.read_back else -1 for one in plan.outputs]
        self.now = 0.0

    def run(self, seconds: float) -> None:
        columns = self._columns
        for _ in range(round(seconds / 0.5)):
            self.now += 0.5
            for k, place in enumerate(self._counts):
                columns.values[place] = int((self.now + 3 * k) % 20 < 8)
            columns.quality[:] = bytes([2]) * len(columns.quality)
            columns.arrival[:] = [self.now] * len(columns.arrival)
            self._inputs.write(self.wiring.image_codec.pack(0, self.now, UTC + self.now, columns))
            frame = self.control.scan(
                self.now, UTC + self.now, self.control.freeze(), ClockTrust.SYNCED, False
            )
            for place, value in zip(self._shown, frame.values, strict=True):
                if place >= 0:
                    columns.values[place] = value
            self.control.slack(self.now, UTC + self.now, ClockTrust.SYNCED)
        self.recorder.turn()


def figures(folder: Path) -> list[Samples]:
    found = []
    for _, _, path in list_segments(folder / "telemetry"):
        rows = [one for one in read_committed(path)[1] if one.kind is Kind.SAMPLES]
        found += [samples_decoder.decode(one.payload) for one in rows]
    return [one for one in found if any(name.startswith("Measures/") for name, _, _ in one.samples)]


def test_events_and_figures_leave_the_gateway_and_replay_bit_for_bit(tmp_path: Path) -> None:
    file, name = gateway(tmp_path)
    plan = load_plan(file)
    street = Street(plan)
    street.run(200)

    told = figures(tmp_path / "journal")
    assert [one.utc - UTC for one in told] == [20.0, 80.0, 140.0, 200.0]  # whole minutes of UTC
    assert all({row[0] for row in one.samples} == set(plan.measured) for one in told)
    last = {row[0]: row[1:] for row in told[-1].samples}
    assert last[f"Measures/{name}/1/green_s"][0] > 0
    assert last[f"Measures/{name}/1/ped_delay_s"] == (0.0, 0)  # nobody walked: no figure, and told so

    births = Births(street.wiring, street.wiring.inputs())
    born = {one.name: one for one in births.node(ClockTrust.SYNCED)}
    assert set(plan.measured) <= set(born) and born[plan.measured[0]].value is None
    births.measured(told[-1].samples)
    born = {one.name: one for one in births.node(ClockTrust.SYNCED)}
    assert born[f"Measures/{name}/1/green_s"].value == last[f"Measures/{name}/1/green_s"][0]
    assert born[f"Measures/{name}/1/ped_delay_s"].value is None

    report = Replay(plan).run(tmp_path / "journal")
    assert report.differences == [] and report.skipped == 0 and report.scans == 400

    ask = msgspec.json.encode({"nonce": "n", "action": "measures", "local": True})
    answer = json.loads(street.control.desk.handle(ask, street.now, UTC + street.now, ClockTrust.SYNCED))
    assert answer["result"]["measures"][name]["last"]["1/green_s"] == last[f"Measures/{name}/1/green_s"][0]

    ran = CliRunner().invoke(app, ["events", str(tmp_path / "journal")])
    assert ran.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert list(rows[0]) == ["time", "device", "event_code", "parameter"]
    assert {row["device"] for row in rows} == {name}
    assert {int(row["event_code"]) for row in rows} >= {Code.GREEN_BEGIN, Code.YELLOW_BEGIN, Code.DETECTOR_ON}
    assert all(row["time"] <= "2025-06-15T15:10:00.0Z" for row in rows)
    later = CliRunner().invoke(app, ["events", str(tmp_path / "journal"), "--since", "2025-06-15T15:08:00"])
    assert 0 < len(later.stdout.splitlines()) - 1 < len(rows)
    assert all(row >= "2025-06-15T15:08:00.0Z" for row in later.stdout.splitlines()[1:])


def test_people_read_the_figures_in_their_language(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(_NAMES) == set(NAMES)
    told = {"last": {"1/greens": 12.0}, "ended_utc": UTC, "so_far": {"1/greens": 3.0, "1/ped_delay_s": None}}
    for language, words in (
        ("fr", ("mesure", "verts", "attente moyenne")),
        ("en", ("measure", "greens", "mean")),
    ):
        monkeypatch.setenv("VIGIE_LANG", language)
        _print("coin", told)
        shown = capsys.readouterr().out
        assert "12 / 3" in shown and "- / -" in shown and "2025-06-15T15:06:40.0Z" in shown
        assert [word for word in words if word not in shown] == []
