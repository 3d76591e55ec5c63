"""One real gateway in wall-clock time with its coordinator, devices that come and go, and a client that lies."""

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client
import paho.mqtt.publish
import paho.mqtt.subscribe
import yaml
from tests.e2e.stack import REPOSITORY, WAIT_S, Said, run_command
from tests.e2e.stack import until_true as until
from tests.edge.wallclock import WaterSite

from vigie_protocols import channel
from vigie_protocols.errors import VigieError
from vigie_protocols.gateway import load_gateway
from vigie_protocols.localsocket import ask
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_sim.agents import Agent
from vigie_sim.coordinator import Coordinator

GATEWAY, NEIGHBOUR = "gw-pompage", "gw-voisin"
SOURCE = REPOSITORY / "firmware-config" / "gateways" / f"{GATEWAY}.yaml"
BAD, GOOD = 0, 2
WIRE_BAD = 0
OUTPUTS = ("pump-station/pump.1.command", "pump-station/pump.2.command", "basin/gate.command")


class Place:
    """A TCP address that refuses every connection until its device is put there; it may be taken away again."""

    def __init__(self) -> None:
        # Bound and not listening: the port is ours, and who connects is refused.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.there = False
        self._open: list[socket.socket] = []

    def put(self, endpoint: str) -> None:
        """From now on everything that connects reaches ``endpoint``."""
        host, _, port = endpoint.rpartition(":")
        self.there = True
        self._socket.listen()
        threading.Thread(target=self._serve, args=(host, int(port)), daemon=True).start()

    def take_away(self) -> None:
        """Cut what is connected, and whatever connects."""
        self.there = False
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _serve(self, host: str, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                if not self.there:
                    near.close()
                    continue
                far = socket.create_connection((host, port))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.take_away()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for each in (self._socket, *self._open):
            each.close()


@dataclass
class Stack:
    """Coordinator, one agent, and what was seen while its devices were missing."""

    folder: Path
    central: Coordinator
    agent: Agent
    places: list[Place]
    born: dict[str, tuple[Any, int | None]]
    decided: dict[str, tuple[Any, int]]
    alarms: list[str]
    version: int = 0

    @property
    def row(self) -> dict[str, Any]:
        rows = self.central.call("GET", "policies/status")["gateways"]
        found: dict[str, Any] = next(row for row in rows if row["gateway"] == GATEWAY)
        return found

    def policy(self, level: float, **more: Any) -> Path:
        """The next version of a policy that starts the first pump at ``level`` metres."""
        self.version += 1
        document = {
            "kind": "water.level",
            "id": "orage",
            "version": self.version,
            "valid_from": 0,
            "not_after": 4_000_000_000,
            "params": {"lead_start_m": level, "lead_stop_m": 0.8},
            **more,
        }
        file = self.folder / f"orage-{self.version}.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return file

    def push(self, file: Path, scope: str = "city") -> Said:
        words = ("policy", "push", file, "--scope", scope, "--state", self.central.state)
        return run_command("vigie", *words, limit_s=WAIT_S)

    def in_force(self, level: float) -> bytes:
        """Push a policy, see it applied; gives the bundle that brought it."""
        said = self.push(self.policy(level))
        assert said.code == 0, said.err
        until(lambda: self.row["in_step"], "the policy is applied")
        assert self.level == (level, self.version)
        return self.bundle(GATEWAY)

    @property
    def level(self) -> tuple[float, int]:
        """Where the first pump starts now, and the version of the document that says so."""
        found = self.effective["station"]["water.level"]["lead_start_m"]
        return found["value"], found["version"]

    @property
    def effective(self) -> dict[str, Any]:
        """Every parameter that a policy sets on the gateway, with where it comes from."""
        told: dict[str, Any] = ask(self.agent.runtime, "policy.show")["result"]["effective"]
        return told

    @property
    def broker(self) -> tuple[str, int]:
        host, _, port = self.central.broker_address.rpartition(":")
        return host, int(port)

    def bundle(self, gateway: str) -> bytes:
        """The retained bundle of a gateway, as any client of the broker sees it."""
        host, port = self.broker
        found = paho.mqtt.subscribe.simple(channel.topic(gateway, channel.DESIRED), hostname=host, port=port)
        payload: bytes = found.payload
        return payload

    def inject(self, payload: bytes) -> None:
        host, port = self.broker
        topic = channel.topic(GATEWAY, channel.DESIRED)
        paho.mqtt.publish.single(topic, payload, qos=1, retain=True, hostname=host, port=port)

    def refused(self, code: str) -> str:
        """The reason, once the coordinator shows a refusal with this code."""

        def shown() -> str:
            reported = self.row["reported"]
            return reported["reason"] if reported["code"] == code else ""

        reason: str = until(shown, f"the coordinator shows {code}")
        row = self.row
        assert row["reported"]["state"] == "refused" or not row["in_step"]
        said = run_command("vigie", "policy", "status", "--state", self.central.state, limit_s=WAIT_S)
        assert code in said.out
        return reason


def points(central: Coordinator) -> dict[str, tuple[Any, int]]:
    """Point -> value and quality at the coordinator, of the gateway's devices."""
    rows = central.call("GET", f"points?gateway={GATEWAY}&limit=1000")["points"]
    return {row["point"]: (row["value"], row["quality"]) for row in rows if not row["point"].startswith("$")}


class Births:
    """What the gateway's first births say of its devices, as any Sparkplug host hears them."""

    def __init__(self, central: Coordinator) -> None:
        self.said: dict[str, dict[str, tuple[Any, int | None]]] = {}
        self._listening = threading.Event()
        self._client = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = lambda _client, _data, message: self._take(message)
        host, _, port = central.broker_address.rpartition(":")
        self._client.connect(host, int(port))
        self._client.subscribe(f"spBv1.0/vigie/DBIRTH/{GATEWAY}/#")
        self._client.loop_start()
        assert self._listening.wait(WAIT_S)

    def _take(self, message: paho.mqtt.client.MQTTMessage) -> None:
        device = message.topic.rpartition("/")[2]
        metrics = [
            one for one in SparkplugB().decode(message.payload).metrics if not one.name.startswith("Vigie/")
        ]
        self.said.setdefault(device, {f"{device}/{one.name}": (one.value, one.quality) for one in metrics})

    def all(self) -> dict[str, tuple[Any, int | None]]:
        """Point -> value and quality, of both devices."""
        until(lambda: len(self.said) == 2, "both devices are born")
        self._client.disconnect()
        self._client.loop_stop()
        return {name: row for rows in self.said.values() for name, row in rows.items()}


def quality_of(central: Coordinator, device: str) -> set[int]:
    """The qualities of what is read from a device."""
    found = points(central)
    return {
        quality for name, (_, quality) in found.items() if name.startswith(device) and name not in OUTPUTS
    }


@contextlib.contextmanager
def gateway_stack(shelf: Path) -> Iterator[Stack]:
    """Coordinator and agent in ``shelf``; the agent was up before its devices were, and they are there now."""
    central = Coordinator(shelf / "central", shelf / "log" / "central.log")
    central.initialise()
    central.enrol([GATEWAY, NEIGHBOUR], "centre", shelf / "keys")
    places = [Place(), Place()]
    agent: Agent | None = None
    try:
        asyncio.run(central.start())
        births = Births(central)
        agent = Agent(gateway_file(shelf, central, places), "", shelf / "log" / "agent.log")
        agent.start()
        born = births.all()
        alarms = until(lambda: standing(central), "alarms of both devices")
        decided = points(central)
        scans = agent.status()["counters"]["control.scans"]
        until(lambda: agent.status()["counters"]["control.scans"] > scans + 20, "scans go on without devices")
        with WaterSite() as site:
            for place, endpoint in zip(places, site.endpoints, strict=True):
                place.put(endpoint)
            until(lambda: all_good(central), "every point is good")
            until(lambda: not standing(central, 0), "the alarms are gone")
            yield Stack(shelf, central, agent, places, born, decided, alarms)
    finally:
        if agent is not None:
            agent.stop()
        central.stop()
        for place in places:
            place.close()


def all_good(central: Coordinator) -> bool:
    """Whatever is read from both devices has come and is good: what has not come yet is not good either."""
    found = points(central)
    return all(found.get(name, (None, None))[1] == GOOD for name in read_points())


@functools.cache
def read_points() -> tuple[str, ...]:
    """What is read from both devices, as the profiles that the gateway's file names declare it."""
    return tuple(decl.name for decl in load_gateway(SOURCE).points if not decl.writable)


def answers(agent: Agent) -> bool:
    """Whether it is up and scanning."""
    try:
        return bool(agent.status()["counters"]["control.scans"])
    except VigieError:
        agent.check()
        return False


def gateway_file(folder: Path, central: Coordinator, places: list[Place]) -> Path:
    document = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    for link, place in zip(document["links"].values(), places, strict=True):
        link.update(host="127.0.0.1", port=place.port)
    host, _, port = central.broker_address.rpartition(":")
    document.update(
        scan_s=0.1,
        runtime_dir=str(folder / "run"),
        state_dir=str(folder / "state"),
        journal={"directory": str(folder / "journal"), "commit_ms": 50},
        uplink={"host": host, "port": int(port), "keyring": str(folder / "keys" / f"{GATEWAY}.json")},
    )
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def standing(central: Coordinator, least: int = 2) -> list[str]:
    """Devices that do not answer, by their alarms; once there are so many at least."""
    rows = central.call("GET", "alarms")["alarms"]
    found = sorted(row["key"].partition("/")[0] for row in rows if "device-down" in row["key"])
    return found if len(found) >= least else []
