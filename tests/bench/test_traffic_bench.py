"""``vigie-sim bench traffic``: what it writes, what it refuses, what it keeps when somebody ends it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vigie_sim import cli
from vigie_sim.bench.traffic.generated import generated
from vigie_sim.bench.traffic.jobs import UNITS, Job, Outcome
from vigie_sim.bench.traffic.pool import run_all
from vigie_sim.bench.traffic.runs import measure

WALL_S = 120.0


@pytest.fixture(scope="session")
def arterial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated("arterial", tmp_path_factory.mktemp("cache"))


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command as a person calls it; its exit code."""
    monkeypatch.setattr(sys, "argv", ["vigie-sim", "bench", "traffic", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    return code if isinstance(code, int) else int(code is not None)


def test_rows_report_and_picture(arterial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, report = tmp_path / "out" / "rows.json", tmp_path / "report"
    code = call(
        monkeypatch, "--scenarios", arterial, "--controllers", "adaptive", "fixed", "sumo_actuated",
        "--seeds", 1, "--seconds", 60, "--json", out, "--report", report,
    )  # fmt: skip
    assert code == 0
    rows = json.loads(out.read_text())
    assert all(
        set(row) == {"area", "case", "subject", "metric", "value", "unit", "seed", "n"} for row in rows
    )
    assert {row["area"] for row in rows} == {"traffic"}
    assert {row["case"] for row in rows} == {"arterial + first 60 s"}
    told = {(row["subject"], row["metric"]): row["value"] for row in rows}
    assert {metric for subject, metric in told if subject == "adaptive"} == set(UNITS)
    assert told["adaptive", "loaded"] == told["fixed", "loaded"] == told["sumo_actuated", "loaded"] > 0
    assert told["adaptive", "monitor_trips"] == 0
    text = (report / "traffic.md").read_text()
    for words in ("| `adaptive` |", "| `sumo_actuated` |", "0 collisions", "traffic.svg"):
        assert words in text
    assert "Partial" not in text
    picture = ET.parse(report / "traffic.svg").getroot()
    shown = " ".join(picture.itertext())
    assert "adaptive" in shown and "worst" in shown


def _wanted(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


BAD: list[tuple[Callable[[Path, Path], list[object]], str, str]] = [
    (lambda cfg, tmp: ["--scenarios", "nowhere"], "--scenarios", "neither a folder nor a file"),
    (lambda cfg, tmp: ["--scenarios", tmp], "--scenarios", "no .sumocfg"),
    (
        lambda cfg, tmp: ["--scenarios", _wanted(tmp, "a.sumocfg", "<configuration/>")],
        "net-file",
        "is missing",
    ),
    (lambda cfg, tmp: ["--scenarios", _wanted(tmp, "b.sumocfg", "<conf")], "scenario", "well-formed"),
    (lambda cfg, tmp: ["--scenarios", cfg.with_name("arterial.net.xml")], "route-files", "no demand"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--controllers", "oracle"], "--controllers", "no such controller"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--failed-detectors", "1.5"], "--failed-detectors", "no share"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--failed-detectors", "nan"], "--failed-detectors", "no share"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--seconds", "0"], "--seconds", "too short"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--jobs", "0"], "--jobs", "below 1"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--json", tmp], "--json", "is a folder"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--report", cfg], "--report", "cannot be made a folder"),
    (lambda cfg, tmp: ["--scenarios", cfg, "--seeds", "0"], "--seeds", "Usage"),
]


@pytest.mark.parametrize(("words", "field", "reason"), BAD, ids=lambda value: str(value)[:24])
def test_bad_input_is_refused_with_its_field(
    words: Callable[[Path, Path], list[object]], field: str, reason: str, arterial: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert call(monkeypatch, *words(arterial, tmp_path)) == 2
    said = capsys.readouterr().err
    assert field in said
    assert reason in said
    assert "Traceback" not in said


def test_interrupted_what_is_done_is_kept(arterial: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "rows.json", tmp_path / "report"
    words = ["--scenarios", str(arterial), "--controllers", "net_fixed", "--seeds", "500", "--seconds", "60"]
    program = "import sys; from vigie_sim.cli import main; sys.argv[0] = 'vigie-sim'; main()"
    bench = subprocess.Popen(
        [sys.executable, "-c", program, "bench", "traffic", *words, "--json", str(out), "--report", str(report)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        # Started in the background, this process may ignore Ctrl-C, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        limit = time.monotonic() + WALL_S
        while not (out.is_file() and b"delay_s" in out.read_bytes()):
            assert bench.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
        os.killpg(bench.pid, signal.SIGINT)  # as a terminal does: parent and children
        said, faults = bench.communicate(timeout=WALL_S)
    finally:
        if bench.poll() is None:
            os.killpg(bench.pid, signal.SIGKILL)
    assert bench.returncode == 130
    assert b"interrupted" in said
    assert b"Traceback" not in faults
    rows: list[dict[str, Any]] = json.loads(out.read_text())
    assert any(row["metric"] == "delay_s" for row in rows)
    assert "**Partial: " in (report / "traffic.md").read_text()


def test_a_process_that_dies_is_told_and_the_others_go_on(arterial: Path) -> None:
    jobs = [Job("arterial", arterial, "net_fixed", seed, 60.0) for seed in (1, 2)]

    def kill_the_first(job: Job, share: float) -> None:
        if job is jobs[0] and share == 0.0:
            multiprocessing.active_children()[0].kill()

    found = {one.job.seed: one for one in run_all(jobs, 1, kill_the_first)}
    assert "code -9" in found[1].failure
    assert not found[2].failure
    assert found[2].metrics["loaded"] > 0


def test_a_scenario_that_sumo_refuses_is_a_failed_run(arterial: Path, tmp_path: Path) -> None:
    net = arterial.with_name("arterial.net.xml")
    (tmp_path / "bad.rou.xml").write_text(
        '<routes><flow id="f" from="nowhere" to="J0W" number="3"/></routes>'
    )
    config = tmp_path / "bad.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{net}"/><route-files value="bad.rou.xml"/></configuration>'
    )
    found = measure(Job("bad", config, "net_fixed", 1, 10.0))
    assert "nowhere" in found.failure
    assert found.rows() == []


def _seeded(outcome: Outcome) -> dict[str, float]:
    return {name: value for name, value in outcome.metrics.items() if not name.startswith("decision")}


@pytest.mark.parametrize("subject", ["adaptive_neighbours", "max_pressure", "sumo_delay_based"])
def test_one_seed_gives_one_result(arterial: Path, subject: str) -> None:
    jobs = [Job("arterial", arterial, subject, seed, 40.0) for seed in (3, 3, 4)]
    first, again, other = (measure(job) for job in jobs)
    assert not first.failure
    assert _seeded(first) == _seeded(again)
    assert _seeded(first) != _seeded(other)


@pytest.mark.parametrize("subject", ["adaptive", "actuated", "fixed"])
@pytest.mark.parametrize(("failed", "pedestrians"), [(1.0, False), (0.3, True)])
def test_harder_runs_stay_safe(arterial: Path, subject: str, failed: float, pedestrians: bool) -> None:
    found = measure(Job("arterial", arterial, subject, 1, 60.0, failed, pedestrians))
    assert not found.failure
    assert found.metrics["monitor_trips"] == found.metrics["collisions"] == 0
    assert not any("fault" in note for note in found.notes)
