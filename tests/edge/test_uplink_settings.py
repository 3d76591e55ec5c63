"""The uplink's connection is what the gateway file says: never in clear where TLS is asked for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vigie_edge.config import load_plan
from vigie_edge.processes.uplink import Uplink
from vigie_edge.wiring import Bells, Wiring, prepare_runtime
from vigie_protocols.errors import PermanentError

ROOT = Path(__file__).parents[2]


def uplink(folder: Path, **settings: Any) -> Uplink:
    data = yaml.safe_load((ROOT / "firmware-config/gateways/gw-pompage.yaml").read_text())
    data |= {
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
        "runtime_dir": str(folder / "run"),
        "uplink": {"host": "127.0.0.1", **settings},
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    plan = load_plan(file)
    return Uplink(Wiring(plan, prepare_runtime(plan), Bells()))


def test_tls_of_the_gateway_file_is_used(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    one = uplink(tmp_path, tls={"server_name": "broker.ville"}, username="gw", password_file="secret")
    config = one.link.config
    assert config.tls is not None and config.tls.check_hostname
    assert (config.server_name, config.username, config.password) == ("broker.ville", "gw", "s3cret")
    assert uplink(tmp_path).link.config.tls is None


@pytest.mark.parametrize("settings", [{"tls": {"authority": "gone.pem"}}, {"password_file": "gone"}])
def test_a_missing_file_is_named(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match="No such file"):
        uplink(tmp_path, **settings)
