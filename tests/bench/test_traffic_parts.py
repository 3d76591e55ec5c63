"""Parts of the traffic bench without a simulation: programs, plans, hardships, marks, documents."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from vigie_controllers.registry import build_loop
from vigie_sim.bench.traffic.chart import svg
from vigie_sim.bench.traffic.document import markdown
from vigie_sim.bench.traffic.generated import generated
from vigie_sim.bench.traffic.harder import failed_points, pressed, with_pedestrians
from vigie_sim.bench.traffic.jobs import Job, Outcome
from vigie_sim.bench.traffic.programs import fixed_spec, write_programs
from vigie_sim.bench.traffic.summary import grouped, marks
from vigie_sim.traffic.derive import Clearances, Junction, derive
from vigie_sim.traffic.documents import loop_spec
from vigie_sim.traffic.network import Network, read_network
from vigie_sim.traffic.sumoconfig import read_run

TIMES = Clearances()
Case = tuple[Network, tuple[Junction, ...]]


@pytest.fixture(scope="module", params=["grid", "arterial"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name: str = request.param
    network = read_network(read_run(generated(name, tmp_path_factory.mktemp(name))).net)
    return network, derive(network, TIMES)


def test_what_is_generated_is_large_and_has_eight_phases(case: Case) -> None:
    network, junctions = case
    phases = {len(one.site.phases) for one in junctions}
    if "grid" in network.path.name:
        assert len(junctions) == 16
    else:
        assert len(junctions) == 6
        assert phases == {8}
        assert {phase.ring for phase in junctions[0].site.phases} == {1, 2}


@pytest.mark.parametrize("kind", ["actuated", "delay_based"])
def test_sumos_programs_keep_the_same_clearances(case: Case, kind: str, tmp_path: Path) -> None:
    network, junctions = case
    path = write_programs(tmp_path / "programs.add.xml", network, junctions, kind, TIMES)
    programs = ET.parse(path).getroot()
    assert [row.get("id") for row in programs] == [one.signal for one in junctions]
    for logic in programs:
        assert logic.get("type") == kind
        rows = [(row.get("state", ""), float(row.get("duration", "0")), row.get("minDur")) for row in logic]
        for place, (state, seconds, least) in enumerate(rows):
            after = rows[(place + 1) % len(rows)][0]
            if "y" in state:
                assert seconds == TIMES.yellow_s
                closing = [n for n, letter in enumerate(state) if letter == "y"]
                assert all(after[n] == "r" for n in closing)
            elif least is None:
                assert seconds == TIMES.red_s
            else:
                assert float(least) >= TIMES.min_green_s
            # Nobody goes from green to red without yellow, nobody opens in a yellow.
            for now, then in zip(state, after, strict=True):
                assert not (now in "Gg" and then == "r")
                assert not (now == "y" and then in "Gg")


def test_the_plan_of_the_network_begins_when_sumo_begins_it(case: Case) -> None:
    network, junctions = case
    for one in junctions:
        spec = fixed_spec(network, one, 1000.0, 25200.0)
        build_loop(loop_spec(one, [spec]))
        for plan in spec.params.get("plans", {}).values():
            signal = network.signals[one.signal]
            assert plan["cycle_s"] == pytest.approx(sum(stage.duration for stage in signal.stages))
            # At SUMO's second ``offset`` the first phase begins, in the controller's clock too.
            begins = 1000.0 + signal.offset - 25200.0
            assert (begins - plan["offset_s"]) % plan["cycle_s"] == pytest.approx(0.0, abs=0.01)


def test_a_share_of_all_detectors_fails_and_both_readings_of_a_zone_together(case: Case) -> None:
    _, junctions = case
    every = failed_points(junctions, 1.0, 1)
    assert sum(map(len, every.values())) == sum(2 * len(one.zones) + len(one.exits) for one in junctions)
    some = failed_points(junctions, 0.2, 7)
    assert some == failed_points(junctions, 0.2, 7) != failed_points(junctions, 0.2, 8)
    for points in some.values():
        for point in points:
            if point.endswith(".count"):
                assert point.replace(".count", ".halting") in points


def test_with_pedestrians_every_phase_walks_and_has_a_button(case: Case) -> None:
    network, junctions = case
    for one in junctions:
        walked = with_pedestrians(one, TIMES)
        assert all(phase.walk_s > 0 and phase.ped_clear_s > 0 for phase in walked.site.phases)
        called = {n for row in walked.site.detectors if row.kind == "button" for n in row.phases}
        assert called == {phase.id for phase in walked.site.phases}
        assert len(pressed(walked)) == len(walked.crossings)
        spec = fixed_spec(network, walked, 0.0, 0.0)
        build_loop(loop_spec(walked, [spec]))
        for plan in spec.params.get("plans", {}).values():
            assert min(plan["splits_s"].values()) >= 7 + 12 + TIMES.yellow_s + TIMES.red_s


def outcome(subject: str, seed: int, delay: float, **more: float) -> Outcome:
    base = {"delay_s": delay, "p95_delay_s": 2 * delay, "wait_s": 5.0, "stops": 1.0, "arrived": 9.0,
            "loaded": 10.0, "longest_red_s": 60.0, "collisions": 0.0, "teleports": 0.0}  # fmt: skip
    return Outcome(Job("cologne1", Path("cologne1.sumocfg"), subject, seed), {**base, **more})


def test_marks_beside_the_targets() -> None:
    rows = [outcome("adaptive", seed, delay) for seed, delay in ((1, 16.0), (2, 16.0), (3, 22.0))]
    rows += [outcome("sumo_actuated", seed, 15.0) for seed in (1, 2, 3)]
    found = {asked: holds for asked, _, holds in marks(grouped(rows)["cologne1"])}
    assert found == {
        "mean delay at least 17 s": False,
        "mean delay, aim 15 s": False,
        "worst seed <= 1.15 x mean": False,
        "p95 no worse than sumo_actuated (30 s)": False,
        "no red with demand above 120 s": True,
        "0 collisions": True,
        "0 teleports": True,
    }


def test_the_report_names_failures_and_says_when_it_is_partial() -> None:
    rows = [
        outcome("adaptive", 1, 16.0),
        Outcome(Job("cologne1", Path("x"), "fixed", 1), {}, failure="broke"),
    ]
    text = markdown(rows, "here", 3)
    assert "Partial: 2 of 3" in text
    assert "- cologne1, `fixed`, seed 1: broke" in text
    assert "| `adaptive` | 16.0 +- 0.0 | 16.0 (1.00 x) |" in text
    assert markdown([], "here", 2).startswith("# ")


def test_the_picture_has_a_bar_a_worst_seed_and_both_targets() -> None:
    rows = [outcome("adaptive", 1, 16.0), outcome("adaptive", 2, 18.0), outcome("fixed", 1, 43.0)]
    picture = ET.fromstring(svg(rows))
    words = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "17.0 (worst 18.0)" in words
    assert {"at least 17", "aim 15"} <= set(words)
    bars = [row for row in picture.iter("{http://www.w3.org/2000/svg}rect") if row.get("x")]
    assert len(bars) == 2
    assert ET.fromstring(svg([])).tag.endswith("svg")
