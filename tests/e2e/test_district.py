"""The demonstration as people run it, shortened: the whole district in lock-step, then the same on the other broker.

What is asserted are the invariants of its report; the figures themselves are for people to read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stack import read_json, run_command

from vigie_protocols.broker import find_mosquitto

MINUTES = 8
SEED = 1
GATEWAYS = ["gw-boulevard", "gw-eclairage", "gw-mixte", "gw-pompage"]
SCANS_A_SECOND = 10 + 10 + 1 + 1
OUTCOMES = ("delay_s", "p95_delay_s", "arrived", "overflow_m3", "energy_kwh", "monitor_trips")
KEYS = (
    *OUTCOMES,
    *("guard_interventions", "samples_published", "samples_lost", "samples_duplicated", "policies_applied"),
    *("real_time_factor", "seed", "versions"),
)


@dataclass(frozen=True)
class Demonstration:
    folder: Path
    report: dict[str, Any]
    score: bytes

    @property
    def mosquittos(self) -> list[bool]:
        """Whether mosquitto served as the city's broker, and as the bus of the MQTT devices."""
        return [(self.folder / place / "mosquitto.conf").exists() for place in ("central/broker", "bus")]


def demonstrate(folder: Path, name: str, **environment: str) -> Demonstration:
    report, score = folder / f"{name}.json", folder / f"{name}.score.json"
    words = (
        "demo",
        "--headless",
        "--minutes",
        str(MINUTES),
        "--seed",
        str(SEED),
        "--folder",
        str(folder / name),
    )
    said = run_command("vigie-sim", *words, "--report", report, "--score", score, **environment)
    assert said.code == 0, said.err or said.out
    return Demonstration(folder / name, read_json(report), score.read_bytes())


@pytest.fixture(scope="module")
def demo(shelf: Path) -> Demonstration:
    return demonstrate(shelf, "demo")


def test_the_report_has_every_figure_beside_its_reference(demo: Demonstration) -> None:
    report = demo.report
    assert [name for name in KEYS if name not in report] == []
    assert [name for name in OUTCOMES if name not in report["baseline"]] == []
    assert report["seed"] == SEED
    assert report["arrived"] > 100
    assert report["delay_s"] > 0
    assert report["real_time_factor"] > 0
    assert {"real_time_factor", "machine", "cut", "policies"} <= set(report["run"])


def test_no_monitor_trips_and_nothing_is_lost(demo: Demonstration) -> None:
    report = demo.report
    zero = (
        "monitor_trips",
        "samples_lost",
        "samples_duplicated",
        "scans_missed",
        "collisions",
        "burnt_pumps",
    )
    assert {name: report[name] for name in zero} == dict.fromkeys(zero, 0)
    assert report["samples_published"] > 1000
    assert report["scans"] == MINUTES * 60 * SCANS_A_SECOND


def test_policies_pushed_half_way_are_applied_by_all(demo: Demonstration) -> None:
    assert demo.report["policies_applied"] == 2
    policies = demo.report["run"]["policies"]
    assert policies["evenement-stade"]["gateways"] == GATEWAYS
    assert policies["orage"]["gateways"] == ["gw-pompage"]
    assert all(one["gateways"] == one["of"] for one in policies.values())


def test_a_cut_uplink_is_backfilled_and_control_goes_on(demo: Demonstration) -> None:
    cut = demo.report["run"]["cut"]
    assert cut["complete"] is True
    assert cut["records_backfilled"] > 0
    assert cut["scans_during"] == 10 * (cut["to_s"] - cut["from_s"])


def test_the_other_broker_makes_no_difference_to_the_last_byte(demo: Demonstration, folder: Path) -> None:
    """A second run of the seed, without mosquitto: deterministic, and nothing lost on the lesser broker."""
    again = demonstrate(folder, "again", VIGIE_MOSQUITTO="")
    assert again.mosquittos == [False, False]
    assert again.score == demo.score
    assert again.report["samples_lost"] == 0
    assert again.report["run"]["cut"]["complete"] is True


@pytest.mark.mosquitto
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_mosquitto_serves_where_it_is_installed(demo: Demonstration) -> None:
    assert demo.mosquittos == [True, True]
