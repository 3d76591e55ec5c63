"""Image, ring and board: what one process writes another reads whole, or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigie_controllers.image import PointTable
from vigie_edge.memory.board import Board
from vigie_edge.memory.image import Columns, ImageCodec, OutputCodec, OutputFrame, TwoSlot, layout_hash
from vigie_edge.memory.mapped import Heap
from vigie_edge.memory.ring import Ring
from vigie_protocols.points import Quality, Reading, ValueType

TABLE = PointTable.of(
    [("a/flag", ValueType.BOOL), ("a/level", ValueType.FLOAT), ("a/name", ValueType.STRING)]
)

values = {
    ValueType.BOOL: st.booleans(),
    ValueType.INT: st.integers(-(2**63), 2**63 - 1),
    ValueType.UINT: st.integers(0, 2**64 - 1),
    ValueType.FLOAT: st.floats(allow_nan=False),
    ValueType.ENUM: st.integers(0, 1000),
    ValueType.STRING: st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=64),
}


@given(st.data())
def test_an_image_comes_back_as_it_was_packed(data: st.DataObject) -> None:
    codec = ImageCodec(TABLE)
    readings = tuple(
        Reading(
            data.draw(values[kind]), data.draw(st.sampled_from(Quality)), 1.5, data.draw(st.floats(0, 1e9))
        )
        for kind in TABLE.types
    )
    columns = Columns(TABLE)
    columns.values = [one.value for one in readings]
    columns.quality = bytearray(one.quality for one in readings)
    columns.source = [one.source_time for one in readings]
    columns.arrival = [one.arrival for one in readings]
    image = codec.unpack(7, codec.pack(3, 12.25, 1.7e9, columns))
    assert (image.frame, image.tick, image.now, image.utc) == (7, 3, 12.25, 1.7e9)
    assert image.readings == readings
    assert [type(one.value) for one in image.readings] == [type(one.value) for one in readings]


def test_readings_of_a_large_image_are_the_same_made_when_asked_for() -> None:
    kinds = [ValueType.BOOL, ValueType.FLOAT, ValueType.STRING, ValueType.UINT]
    table = PointTable.of((f"d/p{place}", kinds[place % 4]) for place in range(400))
    columns = Columns(table)
    some = {ValueType.BOOL: True, ValueType.FLOAT: 0.5, ValueType.STRING: "été", ValueType.UINT: 2**63}
    columns.values = [some.get(kind, 0) for kind in table.types]
    columns.quality[:] = bytes(place % 3 for place in range(len(table.names)))
    columns.source = [float(place) for place in range(len(table.names))]
    columns.arrival = [place + 0.5 for place in range(len(table.names))]
    codec = ImageCodec(table)
    image = codec.unpack(7, codec.pack(3, 12.25, 1.7e9, columns))
    assert (image.frame, image.tick, image.now, image.utc) == (7, 3, 12.25, 1.7e9)
    assert len(image.readings) == len(table.names)
    for place, reading in enumerate(image.readings):
        expected = Reading(columns.values[place], Quality(place % 3), float(place), place + 0.5)
        assert reading == expected and type(reading.value) is type(expected.value)
    assert image.readings[-1] == image.readings[len(table.names) - 1]
    assert list(image.readings[5:8]) == [image.readings[place] for place in (5, 6, 7)]


def test_the_layout_hash_changes_with_order_and_type() -> None:
    first = PointTable.of([("a/x", ValueType.INT), ("a/y", ValueType.INT)])
    swapped = PointTable.of([("a/y", ValueType.INT), ("a/x", ValueType.INT)])
    other = PointTable.of([("a/x", ValueType.INT), ("a/y", ValueType.FLOAT)])
    assert len({layout_hash(first), layout_hash(swapped), layout_hash(other)}) == 3


def test_a_reader_gets_the_newest_whole_frame_and_none_of_another_layout(tmp_path: Path) -> None:
    writer = TwoSlot(tmp_path / "image", 100, layout=1)
    reader = TwoSlot(tmp_path / "image", 100, layout=1)
    assert reader.read() is None
    for number in range(1, 6):
        writer.write(bytes([number]) * 50)
        assert reader.read() == (number, bytes([number]) * 50)
    assert TwoSlot(tmp_path / "image", 100, layout=2).read() is None


@pytest.mark.parametrize("place", [0, 5, 20, 30, 70])
def test_a_torn_slot_leaves_the_frame_before_it(tmp_path: Path, place: int) -> None:
    writer = TwoSlot(tmp_path / "image", 64, layout=1)
    writer.write(b"one" * 20)
    writer.write(b"two" * 20)
    newest = (writer.frame + 1) % 2  # frames alternate between slots, starting with slot 1
    raw = bytearray((tmp_path / "image").read_bytes())
    raw[newest * (len(raw) // 2) + place] ^= 0x40
    (tmp_path / "image").write_bytes(raw)
    frames = [TwoSlot(tmp_path / "image", 64, layout=1).read()]
    assert frames == [(1, b"one" * 20)]


def test_a_writer_that_restarts_goes_on_counting(tmp_path: Path) -> None:
    TwoSlot(tmp_path / "image", 64, layout=1).write(b"before")
    again = TwoSlot(tmp_path / "image", 64, layout=1)
    again.write(b"after")
    assert TwoSlot(tmp_path / "image", 64, layout=1).read() == (2, b"after")


def test_output_frames_keep_types(tmp_path: Path) -> None:
    codec = OutputCodec([ValueType.BOOL, ValueType.ENUM, ValueType.FLOAT])
    frame = OutputFrame(9, 2, 1.5, 4.5, 0, 1, 7, 6, (True, 3, 0.25))
    assert codec.unpack(codec.pack(frame)) == frame
    assert isinstance(codec.unpack(codec.pack(frame)).values[0], bool)


def test_the_board_is_shared(tmp_path: Path) -> None:
    control, uplink, reader = Board(tmp_path, "control"), Board(tmp_path, "uplink"), Board(tmp_path)
    control.add("control.scans", 3)
    uplink.set("uplink.acked_epoch", 2**60)
    assert (reader.get("control.scans"), reader.get("uplink.acked_epoch")) == (3, 2**60)
    assert reader.all()["control.scans"] == 3
    for board, name in ((uplink, "control.scans"), (reader, "uplink.acked_epoch")):
        with pytest.raises(TypeError):
            board.set(name, 7)
    assert control.get("control.scans") == 3


def test_who_may_only_read_a_frame_cannot_write_it(tmp_path: Path) -> None:
    TwoSlot(tmp_path / "image", 64, layout=1).write(b"mine")
    reader = TwoSlot(tmp_path / "image", 64, layout=1, read_only=True)
    with pytest.raises(TypeError):
        reader.write(b"theirs")
    assert TwoSlot(tmp_path / "image", 64, layout=1).read() == (1, b"mine")


def test_a_heap_stands_in_for_the_files_of_one_process() -> None:
    heap = Heap()
    TwoSlot(heap / "image", 64, layout=1).write(b"seen")
    assert TwoSlot(heap / "image", 64, layout=1, read_only=True).read() == (1, b"seen")
    Ring(heap / "ring", 512).push(b"record")
    assert Ring(heap / "ring", 512).drain() == [b"record"]
    Board(heap, "control").add("control.scans", 2)
    assert Board(heap).get("control.scans") == 2
    assert TwoSlot(Heap() / "image", 64, layout=1).read() is None


def test_control_and_recorder_load_neither_event_loop_nor_network_clients() -> None:
    for name in ("control", "recorder"):
        code = f"import sys, vigie_edge.processes.{name}; print(*sys.modules)"
        loaded = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        heavy = {"asyncio", "logging", "paho", "google.protobuf", "asyncua", "uvloop", "numpy", "ssl"}
        assert not heavy & set(loaded.split()), name
