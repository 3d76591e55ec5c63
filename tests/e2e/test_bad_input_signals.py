"""Wrong input about signals: networks that cannot be controlled, sites and plans that contradict themselves.

Exit code 2, one message with file, field, value and remedy, no traceback, as for every other kind of file.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.test_bad_input import REMOVED, TRAFFIC, Changes, Desk, changed, written

from vigie_controllers.loops import ControllerSpec
from vigie_sim.traffic.derive import derive, load_scenario
from vigie_sim.traffic.documents import write_gateway


@pytest.fixture
def desk(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(capfd, monkeypatch)


# -- networks ----------------------------------------------------------------------------------------------


def all_phases(state: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: re.sub(r'(<phase [^>]*state=")([^"]+)', lambda m: m[1] + state(m[2]), text)


def rails(text: str) -> str:
    for kind in ("traffic_light", "static"):
        text = text.replace(f'type="{kind}"', 'type="rail_signal"')
    return text


def without(tag: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"<{tag} [^>]*/>", "", text)


UNKNOWN = all_phases(lambda state: "z" + state[1:])
NEVER = all_phases(lambda state: "r" * len(state))
NETWORKS: list[tuple[str, Callable[[str], str], tuple[str, ...]]] = [
    ("unknown link state", UNKNOWN, ("state = 'z", "unknown link state 'z'", "Use r, u")),
    ("never green", NEVER, ("state = 'rr", "no stage that is green", "Give the program")),
    ("too few links", all_phases(lambda state: state[:2]), ("linkIndex = ", "has 2 links", "netconvert")),
    ("no phase", without("phase"), ("the program has no phase", "Give it phases")),
    ("rail only", rails, ("rail signals only", "not supported")),
    ("no right of way", without("request"), ("no right of way", "netconvert")),
]


@pytest.mark.parametrize(("edit", "says"), [row[1:] for row in NETWORKS], ids=[row[0] for row in NETWORKS])
def test_a_network_that_cannot_be_controlled(desk: Desk, tmp_path: Path, edit, says: tuple[str, ...]) -> None:
    text = (TRAFFIC / "district.net.xml").read_text(encoding="utf-8")
    net = written(tmp_path / "x.net.xml", edit(text))
    for words in (("traffic", "matrix", net), ("run", "--sumo", net), ("traffic", "gateways", net, tmp_path)):
        desk.refuses("vigie-sim", *words, says=(str(net), *says))


def test_controllers_that_nobody_knows_are_written_into_no_file(desk: Desk, tmp_path: Path) -> None:
    words = (
        "traffic",
        "gateways",
        TRAFFIC / "district.net.xml",
        tmp_path / "out",
        "--controller",
        "signal.nope",
    )
    desk.refuses("vigie-sim", *words, says=("--controller = 'signal.nope'", "Take one of signal.actuated"))
    assert not (tmp_path / "out").exists()


# -- sites and plans ---------------------------------------------------------------------------------------

SITE = "loops.0.site"
PARAMS = "loops.0.controllers.0.params"
PHASE_9 = "phase 9 is not declared"
FIRE = {"id": "f", "kind": "emergency"}
PREEMPTIONS = f"{SITE}.preemptions"
PLANS = f"{PARAMS}.plans.normal"
SITES: list[tuple[str, Changes, tuple[str, ...]]] = [
    ("actuated", {f"{SITE}.channels.0.phases": [9]}, (f"{SITE}.channels", PHASE_9)),
    ("actuated", {f"{SITE}.detectors.0.phases": [9]}, (f"{SITE}.detectors", PHASE_9)),
    ("actuated", {f"{SITE}.conflicts": [["g1", "nope"]]}, (f"{SITE}.conflicts", "is not declared")),
    ("actuated", {f"{SITE}.phases.0.yellow_s": 1.0}, ("phases.0.yellow_s = 1.0", "or equal to 3")),
    ("actuated", {f"{SITE}.detectors.0.fallback": "luck"}, ("fallback = 'luck'", "'recall' or 'profile'")),
    (
        "actuated",
        {f"{SITE}.preemptions": [{**FIRE, "dwell_phases": [9]}]},
        (PREEMPTIONS, "phase 9", "Use some of"),
    ),
    (
        "actuated",
        {f"{SITE}.preemptions": [{**FIRE, "dwell_phases": [1, 2]}]},
        (PREEMPTIONS, "Name phases of one"),
    ),
    ("actuated", {f"{SITE}.preemptions": [FIRE]}, (PREEMPTIONS, "dwell_phases: missing", "Name the phases")),
    (
        "actuated",
        {f"{SITE}.preemptions": [{"id": "f", "kind": "fire"}]},
        ("preemptions.0.kind = 'fire'", "'rail'"),
    ),
    (
        "actuated",
        {f"{SITE}.preemptions": [{**FIRE, "dwell_phases": [1]}]},
        ("points.preempt.f", "must be bound"),
    ),
    ("actuated", {f"{SITE}.measures_s": 1}, (f"{SITE}.measures_s = 1", "or equal to 60")),
    ("actuated", {PARAMS: {"max_green_s": {9: 30}}}, (f"{PARAMS}.max_green_s.9 = 30", PHASE_9)),
    ("actuated", {PARAMS: {"recall": {9: "min"}}}, (f"{PARAMS}.recall.9", PHASE_9)),
    ("actuated", {PARAMS: {"max_green_s": {1: 300}}}, ("max_green_s.1 = 300", "max_red_s")),
    ("fixed", {PARAMS: {"plan": "nope"}}, (f"{PARAMS}.plan = 'nope'", "normal")),
    ("fixed", {PARAMS: {"plans": {"normal": {"splits_s": {1: 6, 2: 60}}}}}, (PLANS, "6 s is below")),
    ("adaptive", {"detectors": None}, (f"{SITE}.detectors", "none counts vehicles", "Declare count")),
    ("actuated", {"detector.d1": REMOVED}, ("points.detector.d1", "must be bound", "Bind it")),
    ("actuated", {"detector.d1": "x/nope"}, ("points.detector.d1 = 'x/nope'", "DEVICE/POINT")),
    ("actuated", {"detector.d999": "first"}, ("points.detector.d999", "unknown role", "or remove it")),
]
"""Kind of controller; dotted places, roles of points or ``detectors`` -> new values; what is said of it."""


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A good gateway file of one junction with bare lamps."""
    folder = tmp_path_factory.mktemp("corner")
    junctions = derive(load_scenario(TRAFFIC / "district.net.xml"))
    one = next(one for one in junctions if one.site.actuation == "lamps")
    kinds = {one.name: [ControllerSpec(kind="signal.actuated")]}
    file = write_gateway(folder, "gw-coin", [one], {one.name: "opc.tcp://127.0.0.1:4840/x"}, kinds)
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["profiles"] = str(folder)
    return document


def edited(document: dict[str, Any], kind: str, changes: Changes) -> dict[str, Any]:
    new = changed(document, {"loops.0.controllers.0.kind": f"signal.{kind}"})
    loop = new["loops"][0]
    for place, value in changes.items():
        if place == "detectors":
            loop["site"]["detectors"] = []
            loop["points"] = {role: one for role, one in loop["points"].items() if "detector" not in role}
        elif not place.startswith("detector."):
            return changed(new, {place: value})
        elif value is REMOVED:
            del loop["points"][place]
        else:
            loop["points"][place] = next(iter(loop["points"].values())) if value == "first" else value
    return new


def test_the_file_that_is_made_wrong_is_good(desk: Desk, tmp_path: Path, corner: dict[str, Any]) -> None:
    assert desk.call("vigie-edge", "check", written(tmp_path / "gw.yaml", corner)) == (0, "")


@pytest.mark.parametrize(("kind", "changes", "says"), SITES, ids=[next(iter(row[1])) for row in SITES])
def test_a_site_or_plan_that_cannot_be(
    desk: Desk, tmp_path: Path, corner: dict[str, Any], kind: str, changes: Changes, says: tuple[str, ...]
) -> None:
    file = written(tmp_path / "gw.yaml", edited(corner, kind, changes))
    desk.refuses("vigie-edge", "check", file, says=(str(file), *says))


def test_events_of_no_journal_and_of_no_instant(desk: Desk, tmp_path: Path) -> None:
    desk.refuses(
        "vigie-edge", "events", tmp_path, says=(str(tmp_path), "no replay segments there", "Name the journal")
    )
    words = ("events", tmp_path, "--since", "soon")
    desk.refuses("vigie-edge", *words, says=("--since = 'soon'", "not an ISO 8601 instant", "Write it as"))
