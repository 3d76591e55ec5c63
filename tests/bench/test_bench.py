"""The benches' own machinery: rows that can be compared, references that run. No figure is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from typer.testing import CliRunner

from vigie_sim.bench import areas, processes
from vigie_sim.bench.edge import bare, serialline
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.figures import Figures, Row, median, percentile
from vigie_sim.bench.lockstep import in_process
from vigie_sim.bench.rounds import bare_rounds
from vigie_sim.cli import app
from vigie_sim.district import DistrictScenario


def tiny(figures: Figures) -> None:
    figures.reference("one", "somebody else", "speed", 2.5, "x", 3)
    figures.ours("one", "speed", 5, "x", 4, target=">= 4")
    figures.ours("one", "speed of light [c]", 0.125, "c")


def test_rows_are_written_and_shown_beside_target_and_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(areas.AREAS, "tiny", tiny)
    out = tmp_path / "out" / "rows.json"
    done = CliRunner().invoke(
        app, ["bench", "tiny", "--json", str(out), "--seed", "7"], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    for text in (">= 4", "somebody else: 2.50", "speed of light [c]", "cores"):
        assert text in done.output
    rows = json.loads(out.read_text())
    assert rows[1] == {
        "area": "tiny", "case": "one", "subject": "vigie", "metric": "speed", "value": 5.0, "unit": "x",
        "seed": 7, "n": 4,
    }  # fmt: skip
    assert [row["subject"] for row in rows] == ["somebody else", "vigie", "vigie"]
    assert all(set(row) == set(Row.__struct_fields__) for row in rows)


def test_an_unknown_area_is_named_with_those_there_are() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "vigie-sim", "bench", "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "nothing" in done.stderr and "lockstep" in done.stderr and "Traceback" not in done.stderr


def test_the_same_requests_without_a_guard_are_found_unlawful() -> None:
    from vigie_sim.bench.guard import CASES, attacked, obeyed

    for case in CASES:
        assert obeyed(case, 1)["violations"] > 100
        counts = attacked(case, 3, scans=2_000)
        assert counts["violations"] == 0
        assert counts["transitions"] > 100


def test_median_and_percentiles_are_by_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert median(values) == 50.5
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([3.0], 0.99) == 3.0


def test_processes_are_found_and_measured() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as child:
        assert child.pid in processes.descendants(os.getpid())
        assert processes.memory(child.pid)["Pss"] > 0
        meter = processes.CpuMeter({"mine": [os.getpid()], "child": [child.pid]})
        assert set(meter.spent()) == {"mine", "child"}
        child.communicate()
    assert processes.cpu_s(child.pid) == 0.0 and processes.name_of(child.pid) == ""


def test_the_references_run() -> None:
    rate, rounds = uvloop.run(bare_rounds(1, 0.1))
    assert rate > 0 and rounds > 0
    devices = Devices()
    try:
        found = bare.run("poll", devices.port, 3, 8, 0.1, 0.3)
        assert found.requests == devices.answered() > 0
    finally:
        devices.stop()


def test_the_serial_line_answers_every_slave_in_turn() -> None:
    line = serialline.SerialLine()
    try:
        assert serialline.bare(line.port, 0.5) > 0
        seen = line.seen()
    finally:
        line.stop()
    assert seen.damaged == 0 and seen.answers[1] > 0
    assert max(seen.answers.values()) - min(seen.answers.values()) <= 1


def test_a_few_ticks_of_the_district_in_process(tmp_path: Path) -> None:
    found = in_process(DistrictScenario(), 1, 3, tmp_path)
    assert found.ticks == 3 and found.speed > 0
    assert found.outcomes["monitor_trips"] == 0
