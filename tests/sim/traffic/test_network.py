"""Bad input is refused with file, field, value and remedy; nothing escapes as a traceback."""

import gzip
from pathlib import Path

import pytest

from vigie_protocols.errors import InputError
from vigie_sim.traffic.derive import derive, load_scenario
from vigie_sim.traffic.network import read_network
from vigie_sim.traffic.sumoconfig import read_run

NET = """<net><location netOffset="0,0" projParameter="!"/>
<edge id="a" from="w" to="j"><lane id="a_0" index="0" speed="13.9" length="100" shape="0,0 100,0"/></edge>
<edge id="b" from="j" to="e"><lane id="b_0" index="0" speed="13.9" length="100" shape="100,0 200,0"/></edge>
{logic}
<junction id="j" type="{kind}" x="100" y="0" incLanes="a_0" intLanes="" shape="">
<request index="0" response="0" foes="0" cont="0"/></junction>
<connection from="a" to="b" fromLane="0" toLane="0" tl="j" linkIndex="{link}" dir="s"/>
</net>"""
LOGIC = '<tlLogic id="j" type="static" programID="0" offset="0">{phases}</tlLogic>'
PHASES = '<phase duration="30" state="G"/><phase duration="3" state="y"/>'


def write(folder: Path, text: str, name: str = "x.net.xml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def net(phases: str = PHASES, kind: str = "traffic_light", link: int = 0) -> str:
    return NET.format(logic=LOGIC.format(phases=phases), kind=kind, link=link)


def problem(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        derive(load_scenario(path))
    (only,) = caught.value.problems
    assert only.file and only.field and only.reason and only.remedy
    return f"{only.field}: {only.value}: {only.reason}"


def test_a_whole_network_is_read(tmp_path: Path) -> None:
    junctions = derive(load_scenario(write(tmp_path, net())))
    assert [one.signal for one in junctions] == ["j"]
    assert (junctions[0].lon, junctions[0].lat) == (0.0, 0.0)


def test_odd_and_long_names_become_lawful_ones(tmp_path: Path) -> None:
    odd = net().replace('"a"', '"a/é"').replace('"a_0"', '"a/é_0"').replace('"b_0"', f'"{"b" * 90}_0"')
    odd = odd.replace('id="b"', f'id="{"b" * 90}"').replace('to="b"', f'to="{"b" * 90}"')
    (junction,) = derive(load_scenario(write(tmp_path, odd)))
    names = [lane.id for lane in junction.site.lanes]
    assert len(set(names)) == 2
    assert all(len(name) <= 64 for name in names)


def test_gzip_is_read_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.net.xml"
    path.write_bytes(gzip.compress(net().encode()))
    assert read_network(path).signals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<net>", "not well-formed"),
        ("<routes/>", "neither a SUMO configuration nor a network"),
        ("<net/>", "no traffic lights"),
        (net(phases=""), "no phase"),
        (net(phases='<phase duration="3" state="y"/>'), "no stage that is green"),
        (net(phases='<phase duration="3" state="Q"/>'), "unknown link state 'Q'"),
        (net(phases='<phase duration="3" state="G"/><phase duration="3" state="GG"/>'), "first phase has 1"),
        (net(kind="rail_signal"), "rail signals only"),
        (net(link=4), "the program of j has 1 links"),
        (net().replace("<request ", "<other "), "no right of way is written for it"),
        (net().replace('length="100"', ""), "incomplete"),
        (net().replace('speed="13.9"', 'speed="fast"'), "no number"),
    ],
)
def test_a_wrong_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in problem(write(tmp_path, text))


def test_a_missing_file_and_a_torn_gzip_are_refused(tmp_path: Path) -> None:
    assert "no such file" in problem(tmp_path / "nothing.net.xml")
    torn = tmp_path / "torn.net.xml.gz"
    torn.write_bytes(gzip.compress(net().encode())[:-20])
    assert "cannot be read" in problem(torn)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "net-file"),
        ('<net-file value="nothing.net.xml"/>', "no such file beside"),
        ('<net-file value="x.net.xml"/><route-files value="nope.rou.xml"/>', "no such file beside"),
        ('<net-file value="x.net.xml"/><begin value="soon"/>', "is no time"),
        ('<net-file value="x.net.xml"/><begin value="100"/><end value="50"/>', "not after begin"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, body: str, words: str) -> None:
    write(tmp_path, net())
    path = write(tmp_path, f"<configuration>{body}</configuration>", "x.sumocfg")
    assert words in problem(path)


def test_a_configuration_brings_its_options_but_not_its_outputs(tmp_path: Path) -> None:
    write(tmp_path, net())
    body = (
        '<input><net-file value="x.net.xml"/></input><time><begin value="1:00:00"/><end value="7200"/></time>'
        '<output><summary-output value="s.xml"/></output><processing><lateral-resolution value="0.8"/></processing>'
        '<random_number><seed value="7"/></random_number>'
    )
    run = read_run(write(tmp_path, f"<configuration>{body}</configuration>", "x.sumocfg"))
    assert (run.begin, run.end, run.duration) == (3600.0, 7200.0, 3600.0)
    assert run.extra == (("lateral-resolution", "0.8"),)
