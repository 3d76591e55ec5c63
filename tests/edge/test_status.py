"""What a person sees of an agent at three in the morning: what is wrong first, in French or in English."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.edge.wallclock import ROOT
from typer.testing import CliRunner

from vigie_edge.cli import app, main
from vigie_edge.journal.journal import segment_name
from vigie_edge.language import language, say
from vigie_edge.memory.board import COUNTERS
from vigie_edge.status import problems, show


def told(**more: Any) -> dict[str, Any]:
    """An agent that is well."""
    row = {"pid": 7, "restarts": 0, "adopted": False, "last_exit": "", "up_s": 4000.0}
    device = {"up": True, "error": "", "age_s": 0.2}
    link = {"up": True, "error": "", "counters": {"requests": 5, "failures": 0}, "devices": {"plc": device}}
    counters = dict.fromkeys(COUNTERS, 0) | {
        "control.scans": 100, "control.fifo": 1, "control.locked": 1, "control.trust": 2, "uplink.connected": 1,
    }  # fmt: skip
    counters |= more.pop("counters", {})
    return {
        "gateway": "gw-a",
        "version": "1.0",
        "configuration": "abcdef",
        "settings": {"scan_s": 0.1, "telemetry_quota_mb": 256, "replay_quota_mb": 256},
        "uplink": "broker:1883",
        "uplink_trouble": "",
        "processes": {"control": dict(row), "field": dict(row)},
        "links": {"line": link},
        "counters": counters,
        "leases": [],
        "alarms": [],
        "faults": [],
        "drift": [],
        "policies": {"documents": [], "generation": 3, "refused": None},
        **more,
    }


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


DOWN = {"up": False, "error": "no answer in 1 s [link]", "age_s": 1e6}
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"processes": {"control": {"pid": 0, "restarts": 0, "last_exit": "signal SIGKILL", "up_s": 0.0}}}, "red",
     "control est arrêté (signal SIGKILL)", "control is down (signal SIGKILL)"),
    ({"processes": {"field": {"pid": 9, "restarts": 3, "last_exit": "", "up_s": 1.0}}}, "yellow",
     "field relancé 3 fois", "field started again 3 times"),
    ({"leases": None, "alarms": None, "faults": None, "drift": None, "policies": None}, "red",
     "control ne répond pas", "control does not answer"),
    ({"links": {"line": {"counters": {"requests": 5, "failures": 5}, "devices": {"vfd": DOWN}}}}, "red",
     "appareil muet: vfd: no answer", "device down: vfd: no answer"),
    ({"counters": {"recorder.dropped": 4}}, "red", "4 enregistrements", "4 unacknowledged"),
    ({"counters": {"recorder.write_failures": 3, "recorder.disk_refuses": 1}}, "red",
     "le disque refuse le journal", "the disk refuses the journal"),
    ({"counters": {"recorder.write_failures": 3}}, "yellow", "3 écritures refusées par le disque, reprises",
     "3 writes refused by the disk, made up for"),
    ({"counters": {"recorder.quarantined": 2}}, "yellow", "2 segments de journal abîmés", "2 damaged journal"),
    ({"counters": {"control.missed": 2}}, "yellow", "2 cycles sautés", "2 scans missed"),
    ({"counters": {"uplink.connected": 0}}, "yellow", "pas de lien vers broker", "no link to broker"),
    ({"counters": {"uplink.connected": 0}, "uplink_trouble": "Not authorized"}, "yellow",
     "pas de lien vers broker:1883 (Not authorized)", "no link to broker:1883 (Not authorized)"),
    ({"counters": {"uplink.unheard": 1, "uplink.unacked": 40}}, "yellow", "rien n'est acquitté: 40 enregistrements",
     "nothing is acknowledged: 40 records"),
    ({"counters": {"uplink.denied_now": 1}}, "red", "le courtier refuse", "the broker denies"),
    ({"counters": {"control.fifo": 0}}, "yellow", "temps réel non accordé: SCHED_FIFO", "real time not granted"),
    ({"counters": {"control.trust": 0}}, "yellow", "horloge UTC sans référence", "UTC clock not to be trusted"),
    ({"faults": [{"loop": "st", "subject": "pump 1", "reason": "dry"}]}, "red", "défaut verrouillé: st", "latched"),
    ({"alarms": [{"severity": "high", "point": "st/level", "reason": "3.8 m"}]}, "red", "alarme high", "alarm high"),
    ({"drift": [{"point": "b/gate", "reason": "shows 3"}]}, "yellow", "écart b/gate", "drift b/gate"),
    ({"policies": {"documents": [], "refused": {"code": "bad-signature", "reason": "x"}}}, "yellow",
     "politique refusée: bad-signature", "policy refused: bad-signature"),
]  # fmt: skip


def test_nothing_is_wrong_with_an_agent_that_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGIE_LANG", "fr")
    assert list(problems(told())) == []
    show(told())
    out = capsys.readouterr().out
    assert "en service" in out and "●" not in out and "1 sur 1 répondent" in out and "synchronisée" in out
    assert list(problems(told(uplink="", counters={"uplink.connected": 0}))) == [], "it is alone on purpose"


def test_an_agent_that_runs_since_before_an_upgrade_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    older = told()
    for name in ("recorder.disk_refuses", "uplink.unheard"):
        del older["counters"][name]
    del older["uplink_trouble"]
    assert list(problems(older)) == []
    show(older)
    assert "gw-a" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "colour", "french", "english"), WRONG)
def test_what_is_wrong_is_said_first_in_both_languages(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, Any],
    colour: str,
    french: str,
    english: str,
) -> None:
    for wanted, words in (("fr", french), ("en", english)):
        monkeypatch.setenv("VIGIE_LANG", wanted)
        found = list(problems(told(**more)))
        assert len(found) == 1 and found[0][0] == colour and words in found[0][1]
        show(told(**more))
        out = capsys.readouterr().out
        assert "●" in out.splitlines()[1] and words[:20] in out


@pytest.mark.parametrize(
    ("language", "words"),
    [("fr", "l'agent de gw-pompage ne répond pas"), ("en", "the agent of gw-pompage does not answer")],
)
def test_no_agent_is_told_with_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, language: str, words: str
) -> None:
    monkeypatch.setenv("VIGIE_LANG", language)
    data = yaml.safe_load((ROOT / "firmware-config" / "gateways" / "gw-pompage.yaml").read_text())
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({**data, "runtime_dir": str(tmp_path / "run")}))
    for command in (["status"], ["lease", "list"], ["fault", "list"]):
        ran = CliRunner().invoke(app, [*command, "-c", str(file)])
        assert ran.exit_code == 1
        assert words in ran.stderr and f"{tmp_path}/run/command: No such file" in ran.stderr
        assert "systemctl status" in ran.stderr and "Traceback" not in ran.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, whatever stands above pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(("language", "words"), [("fr", "accès refusé"), ("en", "access denied")])
def test_a_journal_that_may_not_be_read_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
    words: str,
    open_folder: Path,
) -> None:
    segment = open_folder / "journal" / "telemetry" / segment_name(7, 1)
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"")
    segment.chmod(0)
    monkeypatch.setenv("VIGIE_LANG", language)
    monkeypatch.setattr("sys.argv", ["vigie-edge", "journal", str(open_folder / "journal")])
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        os.seteuid(user)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{segment}: {words}") and said.count("\n") == 1


def test_a_large_gateway_shows_those_that_are_down_unless_all_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGIE_LANG", "en")
    up = {f"meter-{n}": {"up": True, "error": "", "age_s": 0.1} for n in range(40)}
    link = {"counters": {"requests": 5, "failures": 0}, "devices": {**up, "vfd": DOWN}}
    show(told(links={"line": link}))
    out = capsys.readouterr().out
    assert "40 of 41 answer" in out and "vfd" in out and "meter-7" not in out and "never" in out
    show(told(links={"line": link}), everything=True)
    assert "meter-7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "fr"),
        ({"LANG": "C.UTF-8"}, "fr"),
        ({"LANG": "en_CA.UTF-8"}, "en"),
        ({"LANG": "en_CA.UTF-8", "LC_ALL": "fr_CA.UTF-8"}, "fr"),
        ({"LANG": "fr_CA.UTF-8", "VIGIE_LANG": "en"}, "en"),
    ],
)
def test_the_language_is_french_unless_english_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: str
) -> None:
    for name in ("VIGIE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == wanted and say("fr", "en") == wanted
