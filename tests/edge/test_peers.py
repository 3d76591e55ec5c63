"""Neighbours' messages over a real broker: a tick's word is heard in the next, in lock-step none is missed."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client
import pytest
import yaml

from vigie_controllers.loops import ControllerSpec
from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.memory.image import Columns
from vigie_edge.peers import PATIENCE_S, PeerLate, Peers
from vigie_edge.processes.control import Control, PacedControl
from vigie_edge.processes.recorder import Recorder
from vigie_edge.processes.uplink import Uplink
from vigie_edge.records import Scan, decode_control, decode_heard
from vigie_edge.replay import Replay
from vigie_edge.wiring import Bells, Wiring, prepare_runtime
from vigie_protocols import channel
from vigie_protocols.broker import Broker
from vigie_protocols.errors import FrameError
from vigie_protocols.points import ClockTrust
from vigie_sim.traffic.derive import Junction, derive
from vigie_sim.traffic.district import district_run
from vigie_sim.traffic.documents import write_gateway
from vigie_sim.traffic.network import read_network

LIMIT_S = 30.0
UTC = 1_750_000_000.0
TRAVEL = {"travel_s": 12.0}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as one:
        yield one


def gateway(folder: Path, junction: Junction, other: Junction, port: int) -> Path:
    """A gateway of ``junction`` that hears of, and tells, the other one's."""
    more = {
        "runtime_dir": str(folder / junction.name / "run"),
        "state_dir": str(folder / junction.name / "state"),
        "journal": {"directory": str(folder / junction.name / "journal")},
        "uplink": {"host": "127.0.0.1", "port": port},
        "scan_s": 1.0,
    }
    kinds = {junction.name: [ControllerSpec(kind="signal.actuated")]}
    url = {junction.name: "opc.tcp://127.0.0.1:4840"}
    file = write_gateway(folder, junction.gateway, [junction], url, kinds, more)
    document = yaml.safe_load(file.read_text())

    def lane(one: Junction, kind: str) -> str:
        return next(row.id for row in one.site.lanes if row.kind == kind)

    source = {"neighbour": other.gateway, "loop": other.name, "exit": lane(other, "exit")}
    document["loops"][0]["site"] |= {
        "upstream": [{**source, "lanes": [lane(junction, "approach")], **TRAVEL}],
        "downstream": [{"neighbour": other.gateway, "exits": [lane(junction, "exit")]}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def forecast(name: str, number: float) -> dict[str, Any]:
    return {"loop": name, "made_utc": UTC + number, "ttl_s": 10.0, "bin_s": 2.0, "lanes": {"x": [0.1, 1 / 3]}}


class Side:
    """One gateway: its control turned by the test, its uplink on the broker."""

    def __init__(self, file: Path, name: str, lockstep: bool) -> None:
        self.name, self.plan = name, load_plan(file)
        self.wiring = Wiring(
            self.plan, prepare_runtime(self.plan), Bells(), "127.0.0.1:1" if lockstep else ""
        )
        self.wiring.board("field").set("field.step_us", 1_000_000)
        self.inputs = self.wiring.inputs(write=True)
        self.columns = Columns(self.plan.table)
        self.columns.quality[:] = bytes([2]) * len(self.columns.quality)
        self.show(0)
        self.paced = PacedControl(self.wiring) if lockstep else None
        self.control = Control(self.wiring) if self.paced is None else self.paced.control
        if self.paced is not None:
            self.paced.begin()
        else:
            self.control.resume(0.0)
        self.heard: list[tuple[int, str, Mapping[str, Any]]] = []
        self.tick = 0
        hear = self.control.engine.hear

        def listen(neighbour: str, message: Mapping[str, Any]) -> bool:
            taken = hear(neighbour, message)
            self.heard.append((self.tick, neighbour, message))
            return taken

        self.control.engine.hear = listen  # type: ignore[method-assign]
        self.uplink = Uplink(self.wiring)
        self.uplink.link.start()

    def show(self, tick: int) -> None:
        self.tick = tick
        self.columns.arrival[:] = [float(tick)] * len(self.columns.arrival)
        self.inputs.write(self.wiring.image_codec.pack(tick, float(tick), UTC + tick, self.columns))

    def say(self, number: float) -> None:
        self.control.peers.say(((self.name, forecast(self.name, number)),))

    def turn(self) -> None:
        self.wiring.bells.uplink.ring()  # no turn waits
        self.uplink.turn(self.wiring.bells.uplink.fd)
        self.wiring.bells.uplink.answer()

    def close(self) -> None:
        self.uplink.link.close()


@pytest.fixture
def sides(tmp_path: Path, broker: Broker, request: pytest.FixtureRequest) -> Iterator[tuple[Side, Side]]:
    junctions = [one for one in derive(read_network(district_run().net)) if one.site.actuation == "lamps"][:2]
    files = [gateway(tmp_path, one, junctions[1 - k], broker.port) for k, one in enumerate(junctions)]
    pair = tuple(Side(file, one.name, request.param) for file, one in zip(files, junctions, strict=True))
    yield pair  # type: ignore[misc]
    for one in pair:
        one.close()


def until(true: Any, *sides: Side) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, "never came true"
        for one in sides:
            one.turn()


@pytest.mark.parametrize("sides", [True], indirect=True, ids=["lock-step"])
def test_a_word_of_one_tick_is_heard_in_the_next(sides: tuple[Side, Side]) -> None:
    one, two = sides
    assert one.plan.upstream == one.plan.downstream == (two.plan.gateway.gateway,)

    def ended(side: Side, tick: int) -> bool:
        assert side.paced is not None
        side.paced.turn()
        return side.paced._last == tick

    for tick in range(1, 8):
        for side in sides:
            side.show(tick)
        # The first is done before the other begins: it must neither be heard too early nor wait for ever.
        first, last = (one, two) if tick % 2 else (two, one)
        if tick > 1:
            assert not ended(first, tick) or first.heard
        until(lambda first=first, tick=tick: ended(first, tick) or ended(last, tick), one, two)  # noqa: B023
        until(lambda tick=tick: ended(one, tick) and ended(two, tick), one, two)
        one.say(tick)
        two.say(-tick)
    for side, other, sign in ((one, two, -1), (two, one, 1)):
        told = [(tick, neighbour, message["made_utc"]) for tick, neighbour, message in side.heard]
        assert told == [(k + 1, other.plan.gateway.gateway, UTC + sign * k) for k in range(1, 7)]
        assert all(
            message["lanes"] == {"x": [0.1, 1 / 3]} for _, _, message in side.heard
        )  # to the last digit


@pytest.mark.parametrize("sides", [False], indirect=True, ids=["wall clock"])
def test_outside_lock_step_what_does_not_come_is_missing_and_what_is_wrong_is_left(
    sides: tuple[Side, Side], broker: Broker
) -> None:
    one, two = sides
    recorder = Recorder(two.wiring)

    def scan(now: float) -> None:
        two.show(int(now))
        two.control.scan(now, UTC + now, two.control.freeze(), ClockTrust.SYNCED, False)

    until(lambda: one.uplink.link.connected and two.uplink.link.connected, *sides)
    scan(1.0)
    assert two.heard == []  # nobody waits
    two.control.slack(1.0, UTC + 1, ClockTrust.SYNCED)
    arrived = two.wiring.peers_in()

    def comes(number: float) -> bool:
        one.say(number)
        return arrived.backlog > 0

    until(lambda: comes(7.0), *sides)
    scan(2.0)
    assert {message["made_utc"] for _, _, message in two.heard} == {UTC + 7.0}

    stranger = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
    stranger.connect("127.0.0.1", broker.port)
    mine = channel.topic(one.plan.gateway.gateway, channel.PEER, two.plan.gateway.gateway)
    other = channel.topic("gw-stranger", channel.PEER, two.plan.gateway.gateway)
    good = channel.encode(channel.PeerWords(0, (forecast(one.name, 9.0),)))
    stranger.publish(other, good, 1)  # nobody listens to a gateway that is no neighbour
    for wrong in (
        b"",
        b"{",
        b"[]",
        b'{"tick":-1,"said":[]}',
        b'{"tick":0,"said":[{"a":NaN}]}',
        b" " * 70_000,
    ):
        stranger.publish(mine, wrong, 1)
    absurd = {**forecast(one.name, 8.0), "lanes": {"x": [1e99]}}
    stranger.publish(mine, channel.encode(channel.PeerWords(0, (absurd, {"loop": 3}))), 1)
    refused = two.uplink.board.get("uplink.refused")

    scans = [2.0]

    def left() -> int:
        stranger.loop(0.01)
        scans.append(scans[-1] + 1.0)
        scan(scans[-1])
        return two.control.board.get("control.peers_refused")

    until(lambda: left() == 2, *sides)
    assert two.uplink.board.get("uplink.refused") - refused >= 5
    stranger.disconnect()
    assert {message["made_utc"] for _, _, message in two.heard} == {UTC + 7.0}

    recorder.turn()
    folder = two.plan.gateway.journal.directory
    told = [
        decode_heard(message)
        for _, _, path in list_segments(folder / "replay")
        for record in read_committed(path)[1]
        if record.kind is Kind.SCAN and isinstance(scanned := decode_control(record.payload), Scan)
        for message in scanned.messages
    ]
    assert len(told) == len(two.heard) + 2
    report = Replay(two.plan).run(folder)
    assert report.differences == [] and report.scans == len(scans) + 1


@pytest.mark.parametrize("sides", [True], indirect=True, ids=["lock-step"])
def test_a_word_that_never_comes_is_an_error_in_lock_step_alone(sides: tuple[Side, Side]) -> None:
    peers = Peers(sides[0].wiring, sides[0].control.engine)
    assert peers.ready(1, 0.0)  # before the first tick nobody spoke
    assert not peers.ready(2, 0.0)
    assert not peers.ready(2, PATIENCE_S)
    with pytest.raises(PeerLate, match=f"no word of tick 1 from {sides[1].plan.gateway.gateway}"):
        peers.ready(2, PATIENCE_S + 0.1)


def test_words_are_bounded() -> None:
    words = channel.PeerWords(3, (forecast("a", 0.1),))
    assert channel.decode_peer(channel.encode(words)) == words
    many = {"tick": 0, "said": [{}] * (channel.MAX_SAID + 1)}
    strange = ({"said": []}, {"tick": 0.5, "said": []}, {"tick": 0, "said": [3]}, {"tick": 0, "x": 1})
    for wrong in (many, *strange):
        with pytest.raises(FrameError):
            channel.decode_peer(msgspec.json.encode(wrong))
