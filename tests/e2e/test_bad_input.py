"""Wrong input of every kind: exit code 2, one message with file, field, value and remedy, no traceback.

Most cases call a command's own entry point in this process, which is the same code and a hundred times faster;
each command is also tried once as a process.
"""

import copy
import gzip
import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.stack import REPOSITORY, run_command

from vigie_protocols.yamlfile import read_yaml

ENTRY = {
    "vigie-edge": "vigie_edge.cli",
    "vigie-central": "vigie_central.server_cli",
    "vigie": "vigie_central.cli",
    "vigie-sim": "vigie_sim.cli",
}
INTERSECTION = REPOSITORY / "firmware-config" / "gateways" / "gw-carrefour.yaml"
STATION = REPOSITORY / "firmware-config" / "gateways" / "gw-pompage.yaml"
TRAFFIC = REPOSITORY / "hil-sim" / "scenarios" / "district" / "traffic"
POLICY = {
    "kind": "water.level",
    "id": "orage",
    "version": 1,
    "valid_from": 0,
    "not_after": 4_000_000_000,
    "params": {"lead_start_m": 1.2},
}
Changes = dict[str, Any]
"""Dotted place -> new value; REMOVED takes it away."""
REMOVED = object()


class Desk:
    """Calls a command's entry point, and remembers what it said."""

    def __init__(self, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capfd, self._patch = capfd, patch

    def call(self, name: str, *words: str | Path) -> tuple[int, str]:
        self._patch.setattr(sys, "argv", [name, *map(str, words)])
        self._patch.setenv("COLUMNS", "300")
        self._patch.setenv("VIGIE_LANG", "en")
        self._capfd.readouterr()
        code = 0
        try:
            importlib.import_module(ENTRY[name]).main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return code, self._capfd.readouterr().err

    def refuses(self, name: str, *words: str | Path, says: tuple[str, ...]) -> None:
        code, said = self.call(name, *words)
        assert code == 2, said
        assert "Traceback" not in said
        assert [word for word in says if word not in said] == [], said


@pytest.fixture
def desk(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("VIGIE_STATE", "VIGIE_URL", "VIGIE_TOKEN", "VIGIE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Desk(capfd, monkeypatch)


def changed(document: dict[str, Any], changes: Changes) -> dict[str, Any]:
    new = copy.deepcopy(document)
    for place, value in changes.items():
        *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
        inside: Any = new
        for part in path:
            inside = inside[part]
        if value is REMOVED:
            del inside[last]
        else:
            inside[last] = value
    return new


def written(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
    return path


# -- gateway files and profiles ----------------------------------------------------------------------------

GATEWAYS: list[tuple[Changes, tuple[str, ...]]] = [
    ({"gateway": REMOVED}, ("gateway: missing", "Add it")),
    ({"gateway": "Not A Name"}, ("gateway = 'Not A Name'", "Follow the pattern")),
    ({"nonsense": 3}, ("nonsense = 3", "unknown field", "Remove it")),
    ({"scan_s": 0.000001}, ("scan_s = 1e-06", "greater than or equal to 0.01")),
    ({"scan_s": "fast"}, ("scan_s = 'fast'", "valid number", "Correct the value")),
    ({"links.station.port": 99999}, ("links.station.port = 99999", "65535")),
    ({"links.station.protocol": "profibus"}, ("protocol = 'profibus'", "'modbus'", "Take one of the listed words")),
    ({"devices.0.profile": "nope"}, ("devices.0.profile = 'nope'", "no nope.yaml in", "Add the profile")),
    ({"devices.0.profile": "nema-intersection"}, ("devices.0.link = 'station'", "speaks opcua", "another link")),
    ({"devices.0.link": "nope"}, ("devices.0.link = 'nope'", "known: basin, station", "Name one of links")),
    ({"devices.1.name": "pump-station"}, ("devices.1.name = 'pump-station'", "declared twice", "Rename one")),
    ({"loops.0.domain": "rocket"}, ("loops.0.domain = 'rocket'", "known: signal, water, lighting", "Take one")),
    ({"loops.0.points.level": "pump-station/nope"}, ("loops.0.points.level = 'pump-station/nope'", "DEVICE/POINT")),
    ({"loops.0.points.level": REMOVED}, ("loops.0.points.level", "must be bound", "Bind it")),
    ({"loops.0.points.heartbeat": "basin/level"}, ("heartbeat = 'basin/level'", "read-only", "writable point")),
    ({"loops.0.controllers.0.kind": "water.x"}, ("controllers.0.kind = 'water.x'", "known: water.level", "Take one")),
    (
        {"loops.0.controllers.0.params.lead_start_m": 9.0},
        ("controllers.0.params.lag_start_m = 2.2", "not above lead_start_m 9.0 m", "Correct the value"),
    ),
    ({"loops.0.controllers.0.params.oops": 1}, ("params.oops = 1", "unknown field", "Remove it")),
    ({"loops.0.site.level_max_m": -1}, ("loops.0.site.level_max_m = -1", "greater than 0")),
    ({"uplink": {"host": "h", "port": 0}}, ("uplink.port = 0", "greater than or equal to 1")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), GATEWAYS, ids=[next(iter(row[0])) for row in GATEWAYS])
def test_a_wrong_gateway_file_is_told_with_its_line(
    desk: Desk, tmp_path: Path, changes: Changes, says
) -> None:
    document = yaml.safe_load(STATION.read_text(encoding="utf-8"))
    file = written(tmp_path / "gw.yaml", changed(document, changes))
    desk.refuses("vigie-edge", "check", file, says=(str(file), *says))
    desk.refuses("vigie-edge", "run", "--config", file, says=(str(file), *says))


FIXED = "loops.0.controllers.1.params"
PLAN = f"{FIXED}.plans.jour"
SIGNALS: list[tuple[Changes, tuple[str, ...]]] = [
    ({f"{PLAN}.splits_s.9": 20}, ("splits_s.9 = 20", "phase 9 is not declared", "Its phases are 1, 2")),
    ({f"{PLAN}.splits_s.1": 8}, ("splits_s.1 = 8", "split-overrun", "Give it 10.3 s or more.")),
    ({f"{PLAN}.offset_s": 95}, ("offset_s = 95", "invalid-offset", "Take 5 s.")),
    ({f"{PLAN}.cycle_s": 85}, ("plans.jour", "sum to 90 s, not to 85 s", "Correct the splits or cycle_s.")),
    ({f"{PLAN}.coordinated": [2, 4]}, ("plans.jour.coordinated", "cannot be on with", "Name phases of one")),
    ({f"{FIXED}.plan": "soir"}, ("params.plan = 'soir'", "no plan 'soir'", "Name one of fete, jour")),
    ({f"{FIXED}.day_plans.repos.1.at": "00:00"}, ("repos.1.at = '00:00'", "overlaps the entry at 00:00", "rising")),
    ({f"{FIXED}.schedule.1.weekdays": ["fri"]}, ("schedule.1", "overlaps schedule.0", "Narrow one of them")),
    ({f"{FIXED}.holidays": {"2026-02-30": "repos"}}, ("holidays.2026-02-30", "no such date", "Write it as 2026")),
    ({"loops.0.controllers.2": REMOVED}, ("plans.pointe.actuated = True", "nobody calls", "Put signal.actuated")),
    ({"loops.0.site.time_zone": "Montreal"}, ("site.time_zone = 'Montreal'", "no time zone known here", "Name one of")),
    ({"loops.0.site.priority.0.phases": [3]}, ("site.priority", "phase 3 is not declared", "Name one of 1, 2")),
    ({"loops.0.site.channels.0.display": "x"}, ("site.channels", "no display 'x'", "Name one of displays")),
    ({"loops.0.controllers.0.params.lines": ["9"]}, ("params.lines", "no input of line '9'", "Name one of 129, 80.")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), SIGNALS, ids=[next(iter(row[0])) for row in SIGNALS])
def test_a_plan_that_the_junction_cannot_run_is_told_with_its_line(
    desk: Desk, tmp_path: Path, changes: Changes, says
) -> None:
    document = read_yaml(INTERSECTION).data
    file = written(tmp_path / "gw.yaml", yaml.safe_dump(changed(document, changes), sort_keys=False))
    desk.refuses("vigie-edge", "check", file, says=(f"{file}:", *says))


def test_the_example_intersection_and_its_policy_are_good(desk: Desk) -> None:
    assert desk.call("vigie-edge", "check", INTERSECTION) == (0, "")
    policy = REPOSITORY / "firmware-config" / "policies" / "fete-nationale.yaml"
    assert desk.call("vigie", "policy", "validate", policy)[0] == 0


BROKEN = [
    ("gateway: [", "Correct the YAML"),
    ("", "See the example files"),
    ("- 1\n- 2\n", "must be a mapping"),
    ("gateway: a\ngateway: b\n", "given twice"),
    ("a: !!python/object/apply:os.system [x]\n", "is not allowed"),
]


@pytest.mark.parametrize(("text", "says"), BROKEN, ids=["cut", "empty", "list", "doubled", "hostile"])
def test_what_is_no_gateway_file_at_all(desk: Desk, tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path / "gw.yaml", text)
    desk.refuses("vigie-edge", "check", file, says=(str(file), says))


def test_every_wrong_file_is_told_at_once(desk: Desk, tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    files = [tmp_path / "nope.yaml", tmp_path, binary]
    says = ("there is no such file. Check the path", "Is a directory", "not UTF-8", *map(str, files))
    desk.refuses("vigie-edge", "check", *files, says=says)


PROFILES: list[tuple[Changes, tuple[str, ...]]] = [
    ({"protocol": "profibus"}, ("protocol = 'profibus'",)),
    ({"points.0.type": "quaternion"}, ("points.0.type = 'quaternion'",)),
    ({"points.0.nonsense": 1}, ("points.0.nonsense = 1", "unknown field")),
    ({"watchdog": REMOVED}, ("watchdog",)),
]


@pytest.mark.parametrize(("changes", "says"), PROFILES, ids=[next(iter(row[0])) for row in PROFILES])
def test_a_wrong_profile_is_told_alone_and_by_the_gateway_that_names_it(
    desk: Desk, tmp_path: Path, changes: Changes, says: tuple[str, ...]
) -> None:
    source = REPOSITORY / "firmware-config" / "profiles" / "pump-station-duplex.yaml"
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    profile = written(tmp_path / "pump-station-duplex.yaml", changed(document, changes))
    gateway = written(tmp_path / "gw.yaml", STATION.read_text(encoding="utf-8"))
    desk.refuses("vigie-edge", "check", profile, says=(str(profile), *says))
    desk.refuses("vigie-edge", "check", gateway, says=(str(profile), *says))


@pytest.mark.parametrize("field", ["runtime_dir", "state_dir", "journal.directory"])
def test_places_that_cannot_be(desk: Desk, tmp_path: Path, field: str) -> None:
    document = yaml.safe_load(STATION.read_text(encoding="utf-8"))
    document.update(runtime_dir=str(tmp_path / "run"), state_dir=str(tmp_path / "state"))
    document["journal"] = {"directory": str(tmp_path / "journal")}
    file = written(tmp_path / "gw.yaml", changed(document, {field: str(tmp_path / "gw.yaml" / "below")}))
    says = (str(file), f"{field} = ", "cannot be made: Not a directory", "Name another place")
    desk.refuses("vigie-edge", "run", "--config", file, says=says)


def test_a_key_ring_that_is_none_is_refused_and_a_missing_one_warned_of(desk: Desk, tmp_path: Path) -> None:
    document = yaml.safe_load(STATION.read_text(encoding="utf-8"))
    ring = tmp_path / "ring.json"
    document["uplink"] = {"host": "127.0.0.1", "port": 1, "keyring": str(ring)}
    file = written(tmp_path / "gw.yaml", document)
    assert desk.call("vigie-edge", "check", file)[0] == 0
    ring.write_text("{}")
    desk.refuses("vigie-edge", "check", file, says=(str(ring), "key ring", "vigie-central enrol gw-pompage"))


# -- SUMO scenarios and options of runs --------------------------------------------------------------------


def sumo(folder: Path, inside: str) -> Path:
    shutil.copy(TRAFFIC / "district.net.xml", folder)
    return written(folder / "x.sumocfg", f"<configuration><input>{inside}</input></configuration>")


NET = '<net-file value="district.net.xml"/>'
SUMO: list[tuple[str, str, tuple[str, ...]]] = [
    ("no-network", "", ("net-file: is missing", "Add <net-file")),
    ("lost-network", '<net-file value="lost.net.xml"/>', ("net-file = 'lost.net.xml'", "no such file", "Check")),
    ("lost-routes", NET + '<route-files value="lost.xml"/>', ("route-files = 'lost.xml'", "no such file")),
    ("no-time", NET + '<begin value="soon"/>', ("begin = 'soon'", "is no time", "h:m:s")),
    ("ends-early", NET + '<begin value="9"/><end value="5"/>', ("end = '5'", "is not after begin", "later end")),
]  # fmt: skip


@pytest.mark.parametrize(("inside", "says"), [row[1:] for row in SUMO], ids=[row[0] for row in SUMO])
def test_a_wrong_sumo_configuration(desk: Desk, tmp_path: Path, inside: str, says: tuple[str, ...]) -> None:
    file = sumo(tmp_path, inside)
    desk.refuses("vigie-sim", "run", "--sumo", file, says=(str(file), *says))


NO_SUMO: list[tuple[str, bytes | None, str]] = [
    ("gone.sumocfg", None, "there is no such file"),
    ("text.sumocfg", b"hello", "is not well-formed XML"),
    ("cut.net.xml", b"<net><edge", "is not well-formed XML"),
    ("cut.net.xml.gz", gzip.compress(b"<net><edge")[:12], ""),
    ("other.xml", b"<html/>", "neither a SUMO configuration nor a network"),
    ("dark.net.xml", b'<net version="1.9"/>', "the network has no traffic lights"),
]


@pytest.mark.parametrize(("name", "content", "says"), NO_SUMO, ids=[row[0] for row in NO_SUMO])
def test_what_is_no_sumo_scenario(
    desk: Desk, tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    desk.refuses("vigie-sim", "run", "--sumo", file, says=(str(file), says))


DEMAND = [
    ("depart", "<vehicle id='a' depart='x'><route edges='W-A'/></vehicle>", "Invalid departure time"),
    ("route", "<vehicle id='a' depart='2'><route edges='W-A E-C'/></vehicle>", "no valid route"),
    ("cut", "<vehicle", "demand.rou.xml"),
]


@pytest.mark.parametrize(("demand", "says"), [row[1:] for row in DEMAND], ids=[row[0] for row in DEMAND])
def test_demand_that_sumo_refuses_at_its_start_or_on_its_way(
    desk: Desk, tmp_path: Path, demand: str, says: str
) -> None:
    file = sumo(tmp_path, NET + '<route-files value="demand.rou.xml"/>')
    written(
        tmp_path / "demand.rou.xml", f"<routes>{demand}</routes>" if demand.endswith("/vehicle>") else demand
    )
    words = ("--in-process", "--no-baseline", "--seconds", "20")
    desk.refuses("vigie-sim", "run", "--sumo", file, *words, says=(str(file), "SUMO refuses it", says))


OPTIONS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("run", "--seconds", "-3"), ("--seconds = -3.0", "Write seconds")),
    (("run", "--seconds", "nan"), ("--seconds = nan", "Write seconds")),
    (("run", "--seed", "-1"), ("--seed", "greater than or equal to 0")),
    (("run", "--controller", "signal.nope"), ("--controller = 'signal.nope'", "Take one of signal.actuated")),
    (("run", "--report", "/dev/null/x.json"), ("--report = '/dev/null/x.json'", "Name a file")),
    (("run", "--score", "."), ("--score = '.'", "is a directory", "Name a file")),
    (("run", "--nonsense"), ("No such option: --nonsense",)),
    (("demo", "--minutes", "0.5"), ("--minutes = 0.5", "Write minutes")),
    (("demo", "--folder", "."), ("--folder = '.'", "is not empty", "Name a new or an empty folder")),
    (("demo", "--controller", "nope"), ("--controller = 'nope'", "Take one of")),
    (("nonsense",), ("No such command 'nonsense'",)),
]


@pytest.mark.parametrize(("words", "says"), OPTIONS, ids=[" ".join(row[0][:2]) for row in OPTIONS])
def test_wrong_options_of_the_simulator(desk: Desk, tmp_path: Path, words, says) -> None:
    file = ("--sumo", str(sumo(tmp_path, NET))) if words[0] == "run" else ()
    desk.refuses("vigie-sim", *words, *file, says=says)


# -- policies ----------------------------------------------------------------------------------------------

POLICIES: list[tuple[Changes, tuple[str, ...]]] = [
    ({"kind": "water.x"}, ("kind = 'water.x'", "known: lighting.astro", "Name one of the known kinds")),
    ({"kind": REMOVED}, ("kind: Field required", "policies.md")),
    ({"nonsense": 1}, ("nonsense = 1", "not permitted", "policies.md")),
    ({"id": "Not An Id"}, ("id = 'Not An Id'", "pattern")),
    ({"version": 0}, ("version = 0", "greater than or equal to 1")),
    ({"params.oops": 1}, ("params.oops = 1", "unknown; water.level has")),
    ({"params.lead_start_m": "high"}, ("params.lead_start_m = 'high'", "valid number")),
    ({"params.lead_start_m": float("nan")}, ("params.lead_start_m", "valid number")),
    ({"valid_from": 5_000_000_000}, ("not_after is not later than valid_from",)),
    ({"priority": 1000}, ("priority = 1000", "less than or equal to 100")),
    ({"title": {"fr": "x" * 40_000}}, ("at most 32768 are allowed",)),
    ({"scope": {"level": "site", "name": "other"}}, ("site:other", "not the scope asked for", "--scope")),
]


@pytest.mark.parametrize(("changes", "says"), POLICIES, ids=[next(iter(row[0])) for row in POLICIES])
def test_a_wrong_policy_is_told_with_its_line(desk: Desk, tmp_path: Path, changes: Changes, says) -> None:
    file = written(tmp_path / "p.yaml", changed(POLICY, changes))
    desk.refuses("vigie", "policy", "validate", file, "--scope", "city", says=(str(file), *says))


@pytest.mark.parametrize(
    "text", ["", "a: [", '{"id": "a", "id": "b"}', "[1]"], ids=["empty", "cut", "doubled", "list"]
)
def test_what_is_no_policy_at_all(desk: Desk, tmp_path: Path, text: str) -> None:
    file = written(tmp_path / "p.yaml", text)
    desk.refuses("vigie", "policy", "validate", file, says=(str(file),))


# -- the coordinator ---------------------------------------------------------------------------------------

CENTRAL: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("run", "--http", "here"), ("--http = 'here'", "Write host:port")),
    (("run", "--broker", "there"), ("--broker = 'there'", "Write host:port")),
    (("run", "--log-level", "loud"), ("--log-level = 'loud'", "Use debug")),
    (("run", "--group", "a/#"), ("--group = 'a/#'", "Write a name")),
    (("run", "--host-id", "a+b"), ("--host-id = 'a+b'", "Write a name")),
    (("run", "--ready-file", "/dev/null/x/y"), ("--ready-file", "Choose another place")),
    (("run", "--nonsense"), ("No such option: --nonsense",)),
    (("enrol", "Not A Name", "--out", "x"), ("GATEWAY = 'Not A Name'", "Use a to z")),
    (("init",), ("there are keys already", "Keep them")),
]


def test_wrong_options_of_the_coordinator(desk: Desk, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for words in (("run",), ("enrol", "gw", "--out", "x")):
        desk.refuses("vigie-central", *words, says=("--state", "Give --state DIR"))
        desk.refuses(
            "vigie-central", *words, "--state", state, says=("never initialised", "Run: vigie-central init")
        )
    desk.refuses("vigie-central", "init", "--state", "/dev/null/x", says=("--state", "Choose another place"))
    assert desk.call("vigie-central", "init", "--state", state)[0] == 0
    for words, says in CENTRAL:
        desk.refuses("vigie-central", *words, "--state", state, says=says)


def test_wrong_words_of_the_operator(desk: Desk, tmp_path: Path) -> None:
    state = tmp_path / "state"
    file = written(tmp_path / "p.yaml", POLICY)
    assert desk.call("vigie-central", "init", "--state", state)[0] == 0
    desk.refuses("vigie", "fleet", says=("no coordinator named", "Give --state"))
    desk.refuses("vigie", "fleet", "--state", state, says=("no coordinator runs", "Run: vigie-central run"))
    desk.refuses(
        "vigie", "policy", "validate", file, "--scope", "moon", says=("--scope = 'moon'", "Write city")
    )
    sign = ("policy", "sign", file, "--scope", "city", "--state", state, "--out")
    desk.refuses("vigie", *sign, "/dev/null/x", says=("--out = '/dev/null/x'", "Choose another place"))
    desk.refuses("vigie", *sign, tmp_path / "e", "--key", tmp_path / "lost", says=("lost", "No such file"))
    (state / "coordinator.json").write_text(json.dumps({"http": "http://127.0.0.1:1"}))
    lost = tmp_path / "lost.yaml"
    desk.refuses("vigie", "policy", "push", lost, "--state", state, says=(str(lost), "no such file"))
    code, said = desk.call("vigie", "policy", "push", file, "--scope", "city", "--state", state)
    assert code == 1  # not wrong input: it may work later
    assert "does not answer" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("vigie-edge", "run", "--config", "nope.yaml"), "nope.yaml: file: ce fichier n'existe pas. Vérifier"),
        (("vigie-sim", "run", "--sumo", "nope.sumocfg"), "nope.sumocfg: scenario = 'nope.sumocfg': there is no such"),
        (("vigie", "policy", "validate", "nope.yaml"), "nope.yaml: file: there is no such file. Check the path."),
        (("vigie-central", "run", "--state", "nope"), "this state directory was never initialised."),
    ],
    ids=["vigie-edge", "vigie-sim", "vigie", "vigie-central"],
)  # fmt: skip
def test_the_same_as_a_process(words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_LANG", "fr")
    said = run_command(*words, limit_s=60)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
