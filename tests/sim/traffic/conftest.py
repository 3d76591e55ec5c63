"""What the traffic tests share: scenarios beside the repository, the built-in district, a small network."""

import subprocess
from pathlib import Path

import pytest

from vigie_sim.traffic.derive import Junction, derive, load_scenario
from vigie_sim.traffic.district import district_junctions, district_run
from vigie_sim.traffic.network import Network, read_network

SHARED = Path(__file__).resolve().parents[4] / "shared" / "scenarios" / "traffic"


def shared_scenario(name: str) -> Path:
    """A scenario that is not ours; the test is skipped where it is not there."""
    path = SHARED / name / f"{name}.sumocfg"
    if not path.is_file():
        pytest.skip(f"{name} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def cologne1() -> Junction:
    return derive(load_scenario(shared_scenario("cologne1")))[0]


@pytest.fixture(scope="session")
def district() -> Network:
    return read_network(district_run().net)


@pytest.fixture(scope="session")
def intersections(district: Network) -> dict[str, Junction]:
    return {one.name: one for one in district_junctions(district)}


def generate(folder: Path, name: str, *options: str) -> Path:
    """A network made by netgenerate; every junction has a signal."""
    import sumo

    net = folder / f"{name}.net.xml"
    tool = str(Path(sumo.SUMO_HOME) / "bin" / "netgenerate")
    fixed = ("--grid", "--grid.attach-length", "150", "--default-junction-type", "traffic_light")
    done = subprocess.run(
        [tool, *fixed, *options, "-o", str(net)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return net


@pytest.fixture(scope="session")
def cross_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain four-leg intersection with crossings."""
    options = ("--grid.number", "1", "-L", "2", "--sidewalks.guess", "--crossings.guess", "--walkingareas")
    return generate(tmp_path_factory.mktemp("cross"), "cross", *options)
