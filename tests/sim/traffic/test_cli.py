"""``vigie-sim traffic`` as people call it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from vigie_protocols.gateway import load_gateway
from vigie_sim.traffic.cli import traffic_app
from vigie_sim.traffic.district import district_run

NET = str(district_run().net)


def call(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(traffic_app, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_matrix_prints_every_signal() -> None:
    code, out, _ = call("matrix", NET)
    assert code == 0
    assert out.count("X: never together") == 3
    code, out, _ = call("matrix", NET, "--json")
    rows = json.loads(out)
    assert [row["signal"] for row in rows] == ["A", "B", "C"]
    assert rows[0]["conflicts"]


def test_gateway_files_are_written_loaded_and_checked(tmp_path: Path) -> None:
    code, out, _ = call("gateways", NET, str(tmp_path))
    assert code == 0
    files = [Path(line) for line in out.split()]
    assert len(files) == 3
    for file in files:
        assert load_gateway(file).gateway.loops
        assert call("matrix", NET, "--check", str(file))[0] == 0


def test_a_gateway_file_that_forgets_a_conflict_is_refused(tmp_path: Path) -> None:
    call("gateways", NET, str(tmp_path))
    file = tmp_path / "gw-b.yaml"
    document = yaml.safe_load(file.read_text())
    lost = document["loops"][0]["site"]["conflicts"].pop(3)
    file.write_text(yaml.safe_dump(document))
    code, _, err = call("matrix", NET, "--check", str(file))
    assert code == 2
    assert "loops.0.site.conflicts" in err
    assert f"[{lost[0]}, {lost[1]}]" in err


def test_the_bound_of_each_pre_emption_is_told_and_a_wrong_site_is_refused(tmp_path: Path) -> None:
    call("gateways", NET, str(tmp_path))
    file = tmp_path / "gw-b.yaml"
    document = yaml.safe_load(file.read_text())
    site = document["loops"][0]["site"]
    site["preemptions"] = [{"id": "fire", "kind": "emergency", "dwell_phases": [site["phases"][0]["id"]]}]
    file.write_text(yaml.safe_dump(document))
    code, out, _ = call("matrix", NET, "--check", str(file))
    assert code == 0
    assert "pre-emption fire: phases 1 are green within " in out
    site["preemptions"][0]["dwell_phases"] = [77]
    site["phases"][0]["yellow_s"] = 3
    for wrong, said in (
        (
            document,
            "site.preemptions: preemption 'fire': dwell_phases: phase 77 is not declared. Use some of",
        ),
        ({**document, "loops": [{**document["loops"][0], "site": {"phases": 3}}]}, "loops.0.site.phases = 3"),
    ):
        file.write_text(yaml.safe_dump(wrong))
        code, _, err = call("matrix", NET, "--check", str(file))
        assert code == 2
        assert said in err


@pytest.mark.parametrize("command", ["matrix", "serve"])
def test_bad_input_is_one_message_and_exit_code_2(tmp_path: Path, command: str) -> None:
    code, _, err = call(command, str(tmp_path / "nothing.sumocfg"))
    assert code == 2
    assert "no such file" in err
    assert "Traceback" not in err
