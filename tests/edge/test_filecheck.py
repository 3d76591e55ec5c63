"""Every mistake of a gateway file at once, each with its line, whatever stage of the reading it is of."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_edge.config import load_plan
from vigie_protocols.errors import InputError, Problem

ROOT = Path(__file__).parents[2]
BAD = """\
gateway: gw-x
site: {name: {fr: X, en: X}, lat: 145, lon: -73, district: anjou}
links:
  a: {protocol: modbus, host: 192.0.2.1}
devices:
  - {name: st, profile: pump-station-duplex, link: a, unit: 1}
  - {name: gate, profile: no-such-profile, link: zz}
loops:
  - {name: x, domain: water, period_s: 0, site: {}, points: {}, controllers: [{kind: water.level}]}
  - {name: y, domain: sewer, period_s: 1, site: {}, points: {}, controllers: [{kind: water.level}]}
  - name: z
    domain: water
    period_s: 1
    site: {}
    points: {level: st/no-such-point, basin.gate: gate/demand}
    controllers: [{kind: water.level}]
metrics_port: 700000
"""


def problems(file: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(InputError) as found:
        load_plan(file)
    return [(one.line, one.field) for one in found.value.problems]


def test_every_stage_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(BAD)
    assert problems(file) == [
        (2, "site.lat"),
        (7, "devices.1.link"),
        (7, "devices.1.profile"),
        (9, "loops.0.period_s"),
        (10, "loops.1.domain"),
        (15, "loops.2.points.level"),
        (17, "metrics_port"),
    ], "of a device whose profile is unknown, no point is called wrong"


def test_a_profile_s_own_mistakes_come_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "no-such-profile.yaml").write_text("profile: other\nprotocol: modbus\npoints: []\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(BAD)
    with pytest.raises(InputError) as found:
        load_plan(file)
    files = [Path(one.file).name for one in found.value.problems]
    assert files == sorted(files) and set(files) == {"gateway.yaml", "no-such-profile.yaml"}


def test_a_file_that_is_no_document_has_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    for text in ("", "[1, 2]", "a: [", "devices: 7"):
        file.write_text(text)
        assert problems(file)
    assert problems(tmp_path / "missing.yaml")


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80)
@given(st.data())
def test_whatever_stands_in_it_a_file_is_taken_or_told_about(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document: Any = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(junk)
            break
    file = tmp_path_factory.mktemp("fuzz") / "gateway.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True))
    told: tuple[Problem, ...] = ()
    try:
        load_plan(file)
    except InputError as error:
        told = error.problems
    assert all(one.reason and one.remedy for one in told)
