"""Packages with controllers: found by their entry points, loaded only as a gateway file names them."""

import sys
from pathlib import Path

import pytest
import yaml
from tests.edge.wallclock import Agent, WaterSite, until, water_gateway

from vigie_controllers.image import Image
from vigie_controllers.registry import KINDS
from vigie_edge.advice import gateway_advice
from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments
from vigie_edge.journal.segment import Kind, scan_records
from vigie_edge.records import decode_control
from vigie_edge.replay import Replay
from vigie_protocols.errors import InputError
from vigie_protocols.packages import digest, installed
from vigie_protocols.points import ClockTrust, Quality, Reading

SOURCE = Path(__file__).parents[2] / "firmware-config" / "gateways" / "gw-pompage.yaml"
CODE = """
from vigie_controllers.loops import ControllerKind, Strict
from vigie_controllers.water.words import WaterOutputs


class Config(Strict):
    gate: float = 40.0


class Mine:
    def __init__(self, config, around):
        self.config, self.pumps = config, len(around.site.pumps)

    def step(self, now, inputs):
        return WaterOutputs((None,) * self.pumps, (None,) * self.pumps, gate=self.config.gate)

    def snapshot(self):
        return {}

    def restore(self, state):
        pass


KIND = ControllerKind("water.mine", "water", Config, Mine)
"""


BREAKS = """
        if inputs.level.value > 2.5:
            raise RuntimeError("boom")"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages; ``put`` adds one."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made = []

    def put(distribution, module, code, points):
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[vigie.controllers]\n" + "\n".join(points) + "\n")
        made.append(module)
        return next(digest(rows) for whole, rows in installed() if whole.name == distribution)

    yield put
    for module in made:
        sys.modules.pop(module, None)


def gateway(tmp_path, packages="", controller="- {kind: water.mine, params: {gate: 30.0}}\n      "):
    text = SOURCE.read_text().replace("- kind: water.level", f"{controller}- kind: water.level", 1)
    file = tmp_path / "gw.yaml"
    file.write_text(text + packages)
    return file


def named(*rows):
    return "packages:\n" + "".join(f"  - {{distribution: {name}, sha256: {code}}}\n" for name, code in rows)


def problems(file):
    with pytest.raises(InputError) as caught:
        load_plan(file)
    return [(one.field, one.reason, one.line) for one in caught.value.problems]


def test_a_named_package_controls_behind_our_guard(tmp_path, site):
    code = site("mine-pkg", "mine_pkg", CODE, ["water.mine = mine_pkg:KIND"])
    plan = load_plan(gateway(tmp_path, named(("mine-pkg", code))))
    engine = plan.engine()
    assert [kind.name for kind in engine.loops[0].loop.kinds] == ["water.mine", "water.level"]
    rows = tuple(Reading(one.value, Quality.GOOD, 0.0, 1.0) for one in plan.table.empty().readings)
    image = Image(1, 0, 1.0, 1.0, rows)
    engine.scan(1.0, 1.0, ClockTrust.SYNCED, image)
    assert engine.snapshot()["loops"]["station"]["controllers"][0]["state"] == {"state": {}}
    assert engine.loops[0].loop.effective()["water.mine"] == {"gate": 30.0}


def test_an_agent_runs_it_through_a_restart_and_replays_it(tmp_path, site):
    code = CODE.replace("def step(self, now, inputs):", "def step(self, now, inputs):" + BREAKS)
    hashed = site("mine-pkg", "mine_pkg", code, ["water.mine = mine_pkg:KIND"])
    with WaterSite() as water:
        file = water_gateway(tmp_path / "gw", water)
        data = yaml.safe_load(file.read_text())
        data["packages"] = [{"distribution": "mine-pkg", "sha256": hashed}]
        data["loops"][0]["controllers"].insert(0, {"kind": "water.mine", "params": {"gate": 30.0}})
        file.write_text(yaml.safe_dump(data))
        agent = Agent(file)
        try:
            agent.start(PYTHONPATH=str(tmp_path / "site"))
            until(lambda: water.values()["basin/gate.command"] == 30.0)
            water.level = 2.0  # it has no opinion about pumps: the next in the list has
            until(lambda: water.values()["pump-station/pump.1.command"])
            control = agent.kill("control")
            until(lambda: agent.pid("control") != control)
            until(lambda: water.values()["basin/gate.command"] == 30.0)
            water.level = 3.0  # it breaks, and ours alone speaks of the gate
            until(lambda: water.values()["basin/gate.command"] not in (30.0, 60.0))
            until(lambda: "controller-fault" in said(agent.journal))
            assert agent.stop() == 0
        finally:
            agent.end()
    report = Replay(load_plan(file)).run(agent.journal)
    assert report.differences == [] and report.scans > 5


def said(journal):
    """The stable words of every decision in a journal."""
    return {
        one[2]
        for _, _, path in list_segments(journal / "replay")
        for _, record in scan_records(path.read_bytes())
        if record.kind is Kind.SCAN
        for one in decode_control(record.payload).decisions
    }


def test_what_is_installed_and_not_named_is_never_imported(tmp_path, site):
    site("mine-pkg", "mine_pkg", "raise SystemExit('imported')\n", ["water.mine = mine_pkg:KIND"])
    load_plan(gateway(tmp_path, controller=""))
    assert "mine_pkg" not in sys.modules
    found = problems(gateway(tmp_path))
    assert [field for field, _, _ in found] == ["loops.0.controllers.0.kind"]
    assert "mine_pkg" not in sys.modules


def test_other_code_than_the_reviewed_is_refused_before_it_is_imported(tmp_path, site):
    site("mine-pkg", "mine_pkg", "raise SystemExit('imported')\n", ["water.mine = mine_pkg:KIND"])
    found = problems(gateway(tmp_path, named(("mine-pkg", "0" * 64))))
    assert [field for field, _, _ in found] == ["packages.0.sha256"]
    assert "what is installed is" in found[0][1]
    assert "mine_pkg" not in sys.modules


@pytest.mark.parametrize(
    ("code", "point", "says"),
    [
        ("import nothing_of_this_name\n", "water.mine = mine_pkg:KIND", "ModuleNotFoundError"),
        ("1 / 0\n", "water.mine = mine_pkg:KIND", "ZeroDivisionError"),
        ("def\n", "water.mine = mine_pkg:KIND", "SyntaxError"),
        (CODE, "water.mine = mine_pkg:OTHER", "AttributeError"),
        (CODE, "water.mine = mine_pkg:Mine", "is a type, not a ControllerKind"),
        (CODE, "water.other = mine_pkg:KIND", "calls itself 'water.mine'"),
        (CODE.replace("water.mine", "water.level"), "water.level = mine_pkg:KIND", "built-in"),
    ],
)
def test_what_is_wrong_with_a_package_is_said_at_its_line(tmp_path, site, code, point, says):
    hashed = site("mine-pkg", "mine_pkg", code, [point])
    file = gateway(tmp_path, named(("mine-pkg", hashed)))
    found = problems(file)
    assert [field for field, _, _ in found] == ["packages.0.distribution"], found
    assert says in found[0][1]
    assert found[0][2] == len(file.read_text().splitlines())
    assert "mine_pkg" not in repr(KINDS)


def test_two_packages_with_one_kind(tmp_path, site):
    one = site("mine-pkg", "mine_pkg", CODE, ["water.mine = mine_pkg:KIND"])
    two = site("more-pkg", "more_pkg", CODE, ["water.mine = more_pkg:KIND"])
    found = problems(gateway(tmp_path, named(("mine-pkg", one), ("more-pkg", two))))
    assert [field for field, _, _ in found] == ["packages.1.distribution"]
    assert "another package brings a kind of this name" in found[0][1]


def test_every_mistake_at_once(tmp_path):
    text = named(("absent-pkg", "0" * 64)).replace("packages:", "sacn_s: 1\npackages:")
    found = problems(gateway(tmp_path, text))
    assert {field for field, _, _ in found} == {"sacn_s", "packages.0.distribution"}


def test_a_distribution_without_controllers(tmp_path):
    found = problems(gateway(tmp_path, named(("pyyaml", "0" * 64))))
    assert found[0][0] == "packages.0.distribution" and "offers nothing" in found[0][1]


def test_a_package_that_looks_at_the_clock_is_warned_of(tmp_path, site, monkeypatch):
    monkeypatch.setenv("VIGIE_LANG", "en")
    pure = site("mine-pkg", "mine_pkg", CODE, ["water.mine = mine_pkg:KIND"])
    file = gateway(tmp_path, named(("mine-pkg", pure)))
    assert not [one for one in gateway_advice(load_plan(file)) if "package" in one]
    code = CODE.replace("water.mine", "water.more") + "import math\nfrom time import time\nimport os.path\n"
    more = site("more-pkg", "more_pkg", code, ["water.more = more_pkg:KIND"])
    file = gateway(tmp_path, named(("mine-pkg", pure), ("more-pkg", more)))
    told = [one for one in gateway_advice(load_plan(file)) if "package" in one]
    assert [one.split(". ")[0] for one in told] == [
        "package more-pkg: imports os",
        "package more-pkg: imports time",
    ]


def test_the_configuration_hash_follows_the_code(tmp_path, site):
    code = site("mine-pkg", "mine_pkg", CODE, ["water.mine = mine_pkg:KIND"])
    plain = load_plan(gateway(tmp_path, controller="")).configuration_hash
    assert load_plan(gateway(tmp_path, named(("mine-pkg", code)), "")).configuration_hash != plain
