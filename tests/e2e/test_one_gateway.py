"""One real gateway in wall-clock time: its devices come late, and its policies come from where they should not.

The agent is started before its devices exist. Whoever may publish at the broker may put anything on a gateway's
topic, so the wrong bundles here come from a plain MQTT client; each must be refused with a reason that the
coordinator shows, while the policy in force stays in force.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client
import paho.mqtt.publish
import paho.mqtt.subscribe
import pytest
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


@pytest.fixture(scope="module")
def stack(shelf: Path) -> Iterator[Stack]:
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
    return {*quality_of(central, "pump-station"), *quality_of(central, "basin")} == {GOOD}


def answers(agent: Agent) -> bool:
    """Whether it is up and scanning."""
    try:
        return bool(agent.status()["counters"]["control.scans"])
    except VigieError:
        agent.check()
        return False


def gateway_file(folder: Path, central: Coordinator, places: list[Place]) -> Path:
    source = REPOSITORY / "firmware-config" / "gateways" / f"{GATEWAY}.yaml"
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
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


def test_devices_that_are_not_there_are_bad_and_what_depends_on_them_is_safe(stack: Stack) -> None:
    declared = {decl.name: decl for decl in load_gateway(stack.agent.file).points}
    assert stack.born == dict.fromkeys(declared, (None, WIRE_BAD))
    assert stack.alarms == ["basin", "pump-station"]
    assert {name: stack.decided[name][0] for name in OUTPUTS} == {
        name: declared[name].safe for name in OUTPUTS
    }


def test_a_device_that_goes_costs_its_neighbour_nothing(stack: Stack) -> None:
    until(lambda: all_good(stack.central), "every point is good")
    stack.places[1].take_away()
    until(lambda: quality_of(stack.central, "basin") == {BAD}, "the basin's points are bad")
    until(lambda: standing(stack.central, 1) == ["basin"], "its alarm, and no other")
    assert quality_of(stack.central, "pump-station") == {GOOD}
    stack.places[1].there = True
    until(lambda: all_good(stack.central), "every point is good again")


def test_a_bundle_with_a_bad_signature(stack: Stack) -> None:
    envelope = json.loads(stack.in_force(1.2))
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[7] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    stack.inject(json.dumps(envelope).encode())
    assert "signature" in stack.refused("bad-signature")
    assert stack.level == (1.2, stack.version)


def test_a_bundle_with_another_content_than_was_signed(stack: Stack) -> None:
    envelope = json.loads(stack.in_force(1.3))
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["generation"] += 10
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    stack.inject(json.dumps(envelope).encode())
    stack.refused("bad-signature")
    assert stack.level == (1.3, stack.version)


def test_an_older_bundle(stack: Stack) -> None:
    older = stack.in_force(1.1)
    stack.in_force(1.4)
    stack.inject(older)
    assert "is not above" in stack.refused("older-generation")
    assert stack.level == (1.4, stack.version)


def test_another_gateways_bundle(stack: Stack) -> None:
    stack.in_force(1.25)
    stack.inject(stack.bundle(NEIGHBOUR))
    assert f"it is for {NEIGHBOUR}, this is {GATEWAY}" in stack.refused("wrong-audience")
    assert stack.level == (1.25, stack.version)


def test_a_value_outside_the_guards_envelope(stack: Stack) -> None:
    """Nothing is wrong with the document for those who do not know the site: only its gateway can tell."""
    stack.in_force(1.15)
    version = stack.version
    said = stack.push(stack.policy(5.0))
    assert said.code == 0, said.err
    assert "lead_start_m" in stack.refused("outside-envelope")
    assert stack.level == (1.15, version)


def test_rubbish_is_told_as_such_and_changes_nothing(stack: Stack) -> None:
    stack.in_force(1.35)
    stack.inject(b"\x00 no envelope")
    stack.refused("bad-document")
    assert stack.level == (1.35, stack.version)


def control_killed(agent: Agent) -> None:
    pid = agent.kill_child("control")
    until(lambda: agent.child_pid("control") not in (0, pid), "control started again")
    scans = agent.status()["counters"]["control.scans"]
    until(lambda: agent.status()["counters"]["control.scans"] > scans + 3, "control scans")


def test_a_killed_control_keeps_its_policy_also_with_rubbish_on_the_shelf(stack: Stack) -> None:
    bundle = stack.in_force(1.22)
    control_killed(stack.agent)
    assert stack.level == (1.22, stack.version)
    until(lambda: stack.row["in_step"], "it says again which bundle it runs")
    stack.inject(b"{}")
    stack.refused("bad-document")
    control_killed(stack.agent)
    assert stack.level == (1.22, stack.version)
    stack.inject(bundle)
    until(lambda: stack.row["in_step"], "the bundle itself ends the refusal")


def test_after_a_power_cut_the_policy_comes_from_the_disk_alone(stack: Stack) -> None:
    stack.in_force(1.18)
    note = stack.central.state / "broker" / "broker.json"
    stack.central.kill()
    os.kill(json.loads(note.read_text())["pid"], signal.SIGKILL)
    try:
        told = stack.agent.status()
        for pid in (told["supervisor"], *(row["pid"] for row in told["processes"].values())):
            os.kill(pid, signal.SIGKILL)
        assert stack.agent.process is not None
        stack.agent.process.wait(WAIT_S)
        shutil.rmtree(stack.agent.runtime)
        stack.agent.start()
        until(
            lambda: answers(stack.agent) and "water.level" in str(stack.effective), "the policy is in force"
        )
        assert stack.level == (1.18, stack.version)
        assert stack.agent.status()["counters"]["uplink.connected"] == 0
    finally:
        asyncio.run(stack.central.start())
    until(lambda: stack.row["in_step"], "the coordinator knows again")
    until(lambda: all_good(stack.central), "every point is good")


def test_an_older_version_and_a_changed_one_do_not_leave_the_desk(stack: Stack) -> None:
    first = stack.policy(1.2)
    stack.in_force(1.3)
    older = stack.push(first)
    assert older.code == 1
    assert f"version {stack.version} is in the store already" in older.err
    stack.version -= 1
    changed = stack.push(stack.policy(1.25))
    assert changed.code == 1
    assert "with other content" in changed.err
    assert stack.level == (1.3, stack.version)


def test_a_document_signed_by_a_stranger_does_not_leave_the_desk(stack: Stack) -> None:
    stack.in_force(1.2)
    strangers = stack.folder / "strangers"
    assert run_command("vigie-central", "init", "--state", strangers, limit_s=WAIT_S).code == 0
    signed = stack.folder / "strange.json"
    words = ("policy", "sign", stack.policy(1.4), "--scope", "city", "--out", signed, "--state", strangers)
    assert run_command("vigie", *words, limit_s=WAIT_S).code == 0
    said = stack.push(signed)
    assert said.code == 1
    assert "sign" in said.err
    assert stack.level == (1.2, stack.version - 1)
