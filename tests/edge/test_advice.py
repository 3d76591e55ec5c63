"""What ``check`` says of files that are right and may still not do what people expect."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from vigie_edge.advice import gateway_advice
from vigie_edge.cli import app
from vigie_edge.config import load_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_LANG", "en")


def gateway(
    folder: Path, name: str = "gw-pompage", watchdog: dict[str, Any] | None = None, **more: Any
) -> Path:
    """A built-in gateway file with changes; watchdog: of its basin's profile."""
    data = yaml.safe_load((ROOT / f"firmware-config/gateways/{name}.yaml").read_text()) | more
    if watchdog is not None:
        profile = yaml.safe_load((ROOT / "firmware-config/profiles/retention-basin.yaml").read_text())
        profile["watchdog"] = watchdog
        (folder / "profiles").mkdir()
        (folder / "profiles" / "retention-basin.yaml").write_text(yaml.safe_dump(profile))
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def advice(file: Path) -> list[str]:
    return list(gateway_advice(load_plan(file)))


@pytest.mark.parametrize("name", ["gw-pompage", "gw-eclairage", "gw-carrefour"])
def test_the_built_in_gateways_need_no_advice(tmp_path: Path, name: str) -> None:
    assert advice(gateway(tmp_path, name)) == []


def test_outputs_that_outlive_the_devices_watchdog(tmp_path: Path) -> None:
    safety = {"expiry_scans": 100, "max_s": 12}
    (first, second) = advice(gateway(tmp_path, scan_s=0.2, safety=safety))
    assert "acts after 10 s, before the gateway's safe values (12 s)" in first + second
    assert first.startswith(("pump-station:", "basin:")) and second.startswith(("pump-station:", "basin:"))
    assert advice(gateway(tmp_path, scan_s=0.2, safety={**safety, "max_s": 9.9})) == []


def test_written_points_without_a_watchdog(tmp_path: Path) -> None:
    (words,) = advice(gateway(tmp_path, watchdog={"none": "the old PLC has none"}))
    assert (
        words.startswith("basin: no watchdog") and "the old PLC has none" in words and "last order" in words
    )


def test_a_loop_that_beats_too_seldom(tmp_path: Path) -> None:
    file = gateway(tmp_path)
    loops = yaml.safe_load(file.read_text())["loops"]
    assert "heartbeat" in str(loops[0]["points"]), "the loop drives a heartbeat"
    loops[0]["period_s"] = 6.0
    found = advice(gateway(tmp_path, loops=loops))
    assert found and all("its loop beats every 6 s, too seldom" in words for words in found)


def test_a_junction_left_too_long(tmp_path: Path) -> None:
    found = advice(gateway(tmp_path, "gw-carrefour", scan_s=0.5))
    assert any("its lamps stay for 1.25 s" in words for words in found)


def test_check_prints_them_in_either_language_and_still_says_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gateway(tmp_path, watchdog={"none": "the old PLC has none"})
    done = CliRunner().invoke(app, ["check", str(file)])
    assert (
        done.exit_code == 0
        and "1 loops: good" in done.stdout
        and "warning: basin: no watchdog" in done.stdout
    )
    monkeypatch.setenv("VIGIE_LANG", "fr")
    done = CliRunner().invoke(
        app, ["check", str(file), str(ROOT / "firmware-config/profiles/flow-level-sensor.yaml")]
    )
    assert done.exit_code == 0 and "1 boucles: bon" in done.stdout
    assert "avertissement: basin: aucun chien de garde" in done.stdout
    assert done.stdout.count("avertissement") == 1, "a sensor takes no orders and needs no watchdog"


def test_phases_that_nothing_but_the_rings_keeps_apart(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-carrefour.yaml").read_text())
    site = data["loops"][0]["site"]
    own = {one["id"] for one in site["channels"] if 4 in one["phases"]}
    beside = {one["id"] for one in site["channels"] if 1 in one["phases"]}
    site["conflicts"] = [pair for pair in site["conflicts"] if not (set(pair) & own and set(pair) & beside)]
    (words,) = advice(gateway(tmp_path, "gw-carrefour", loops=data["loops"]))
    assert words.startswith("loop jct: phases 1 and 4 are never on together") and "Name the pairs" in words
