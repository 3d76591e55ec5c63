"""The peer: thingsboard-gateway on the same devices and the same broker, in a virtual environment of its own.

The environment is made on demand in the user's cache folder and kept. The broker is a plain one: what the
gateway asks its platform at start, the limits of its session, is answered here with "none".
"""

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from vigie_protocols.errors import PermanentError
from vigie_sim.bench.cache import cache_folder
from vigie_sim.bench.edge.listener import STAMP
from vigie_sim.bench.edge.load import Load
from vigie_sim.bench.processes import descendants

VERSION = "3.8.5"
NAME = f"thingsboard-gateway {VERSION}"
_PACKAGES = (f"thingsboard-gateway=={VERSION}", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio")
"""Its Modbus connector installs the last three by itself at import when it does not find just these."""
_ASK = "v1/devices/me/rpc/request/"
_ANSWER = "v1/devices/me/rpc/response/"
_NO_LIMITS: dict[str, Any] = {"rateLimits": {}, "gatewayRateLimits": {}}
_LIMITS = ("rateLimits", "dpRateLimits", "messagesRateLimits")
_LIMITS_OF_DEVICES = ("deviceRateLimits", "deviceDpRateLimits", "deviceMessagesRateLimits")
_LOGGERS = ("database", "service", "connector", "converter", "tb_connection", "storage", "extension")
_INSTALL_S = 600


def installed() -> Path:
    """The interpreter of the peer's environment, made if need be; raises PermanentError with the reason."""
    folder = cache_folder() / f"thingsboard-gateway-{VERSION}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    try:
        venv.create(folder, clear=True, with_pip=True)
        line = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES]
        subprocess.run(line, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.CalledProcessError as error:
        last = (str(error.stderr or error).strip().splitlines() or [str(error)])[-1]
        raise PermanentError(f"{NAME} cannot be installed: {last}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PermanentError(f"{NAME} cannot be installed: {error}") from None
    done.touch()
    return python


class Peer:
    """The running gateway; device n is at 127.0.0.(n + 1). ranged: two requests a device, not one a point."""

    def __init__(self, folder: Path, port: int, load: Load, broker: int, ranged: bool) -> None:
        self._python = installed()
        self._folder = folder
        self._broker = broker
        self._write(port, load, ranged)
        self._process: subprocess.Popen[bytes] | None = None
        self._platform = Client(CallbackAPIVersion.VERSION2)

    def start(self) -> None:
        """Start the stand-in of its platform, then the gateway."""
        self._platform.on_message = self._limits
        self._platform.connect("127.0.0.1", self._broker)
        self._platform.subscribe(f"{_ASK}+")
        self._platform.loop_start()
        environment = {**os.environ, "TB_GW_CONFIG_DIR": str(self._folder)}
        environment.pop("PYTHONPATH", None)
        with (self._folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._python), "-m", "thingsboard_gateway.tb_gateway"],
                cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _limits(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        if b"getSessionLimits" in bytes(message.payload):
            client.publish(_ANSWER + message.topic.removeprefix(_ASK), json.dumps(_NO_LIMITS))

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        if self._process is None or self._process.poll() is not None:
            tail = (self._folder / "output.log").read_text(errors="replace")[-1000:]
            raise PermanentError(f"{NAME} has ended:\n{tail}")
        return [self._process.pid, *descendants(self._process.pid)]

    def stop(self) -> None:
        """End it; it does not always heed SIGTERM."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._platform.disconnect()
        self._platform.loop_stop()

    def _write(self, port: int, load: Load, ranged: bool) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "logs").mkdir(exist_ok=True)
        general = {
            "thingsboard": {
                "host": "127.0.0.1", "port": self._broker, "remoteShell": False, "remoteConfiguration": False,
                "statistics": {"enable": False}, "deviceFiltering": {"enable": False}, "qos": 0,
                "security": {"type": "accessToken", "accessToken": "bench"},
                "checkConnectorsConfigurationInSeconds": 3600, "reportStrategy": {"type": "ON_RECEIVED"},
                **dict.fromkeys(_LIMITS + _LIMITS_OF_DEVICES, "0:0,"),
            },
            "storage": {"type": "memory", "read_records_count": 1000, "max_records_count": 100_000},
            "grpc": {"enabled": False},
            "connectors": [{"name": "Modbus", "type": "modbus", "configuration": "modbus.json"}],
        }  # fmt: skip
        one = {"type": "16uint", "functionCode": 3, "objectsCount": 1}
        stamp = {"tag": STAMP, "type": "64uint", "functionCode": 3, "objectsCount": 4, "address": 0}
        tags: list[dict[str, Any]]
        if ranged:
            rest = {"address": f"4-{load.registers - 1}", "maxRegistersPerRequest": 125}
            tags = [stamp, {**one, "tag": "value.${address}", **rest}]
        else:
            tags = [
                stamp,
                *({**one, "tag": f"value.{at - 3}", "address": at} for at in range(4, load.registers)),
            ]
        slave = {
            "port": port, "type": "tcp", "method": "socket", "unitId": 1, "deviceType": "default",
            "timeout": 5, "byteOrder": "BIG", "wordOrder": "BIG", "retries": 1,
            "pollPeriod": round(1000 * load.period_s), "attributes": [], "timeseries": tags,
            "attributeUpdates": [], "rpc": [],
        }  # fmt: skip
        rows = [{**slave, "host": f"127.0.0.{n + 1}", "deviceName": f"d{n}"} for n in range(load.devices)]
        modbus = {"name": "Modbus", "logLevel": "ERROR", "master": {"slaves": rows}}
        error = {"level": "ERROR", "handlers": ["console"], "propagate": False}
        logs = {
            "version": 1, "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
            "loggers": dict.fromkeys(_LOGGERS, error),
            "root": {"level": "ERROR", "handlers": ["console"]},
        }  # fmt: skip
        for name, document in (("tb_gateway", general), ("modbus", modbus), ("logs", logs)):
            (self._folder / f"{name}.json").write_text(json.dumps(document))
