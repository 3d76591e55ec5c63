"""A network that is not the simulator's own, through the whole stack: deterministic, and equal to one process."""

from pathlib import Path

import pytest
from tests.e2e.stack import REPOSITORY, read_json, run_command

DISTRICT = REPOSITORY / "hil-sim" / "scenarios" / "district" / "traffic" / "district.sumocfg"
SEEDED_ELSEWHERE = {"samples_lost", "samples_duplicated", "scans_missed"}
"""What a run without sockets has not."""


def score(folder: Path, name: str, scenario: Path, seed: int, seconds: int, *more: str) -> bytes:
    """Score of one run by the command; its report lies beside it."""
    file = folder / f"{name}.score.json"
    report = folder / f"{name}.report.json"
    words = ["run", "--sumo", scenario, "--seconds", str(seconds), "--seed", str(seed), *more]
    said = run_command("vigie-sim", *words, "--score", file, "--report", report)
    assert said.code == 0, said.err or said.out
    return file.read_bytes()


def test_one_seed_gives_the_same_bytes_and_another_does_not(folder: Path) -> None:
    bare = ("--no-central", "--no-baseline")
    first = score(folder, "first", DISTRICT, 5, 60, *bare)
    assert first == score(folder, "second", DISTRICT, 5, 60, *bare)
    assert first != score(folder, "other", DISTRICT, 6, 60, *bare)
    one, other = read_json(folder / "first.score.json"), read_json(folder / "other.score.json")
    assert one["loaded"] > 20
    assert one["monitor_trips"] == 0
    assert one["delay_s"] != other["delay_s"]


@pytest.mark.shared
def test_cologne_through_the_wire_equals_cologne_in_one_process(folder: Path, cologne3: Path) -> None:
    seconds = 600
    score(folder, "wire", cologne3, 1, seconds)
    score(folder, "process", cologne3, 1, seconds, "--in-process")
    wire, process = read_json(folder / "wire.score.json"), read_json(folder / "process.score.json")
    assert {name: value for name, value in wire.items() if name not in SEEDED_ELSEWHERE} == process
    assert {name: wire[name] for name in SEEDED_ELSEWHERE} == dict.fromkeys(SEEDED_ELSEWHERE, 0)
    assert wire["scans"] == 3 * seconds
    assert wire["monitor_trips"] == 0
    assert wire["arrived"] > 200
    report = read_json(folder / "wire.report.json")
    outcomes = ("delay_s", "p95_delay_s", "arrived", "loaded", "monitor_trips")
    assert all(name in report and name in report["baseline"] for name in outcomes)
    assert report["seed"] == 1
    assert report["real_time_factor"] > 0
    assert report["versions"]["eclipse-sumo"]
    assert report["samples_published"] > 0
