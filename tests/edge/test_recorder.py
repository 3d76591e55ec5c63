"""The recorder: what the rings had no room for is told once, whoever records."""

from pathlib import Path

from tests.edge.station import journalled, station

from vigie_edge.processes.recorder import Recorder
from vigie_edge.wiring import RING_BYTES


def test_refused_records_are_told_once_also_by_a_recorder_that_follows_another(tmp_path: Path) -> None:
    wiring = station(tmp_path)

    def refuse(count: int) -> None:
        for _ in range(count):
            assert not wiring.readings().push(bytes(RING_BYTES))

    refuse(2)
    Recorder(wiring).turn()
    Recorder(wiring).turn()  # as after a kill
    assert [one.reason.partition(" ")[0] for one in journalled(tmp_path, "gap")] == ["2"]
    refuse(3)  # while nobody records
    last = Recorder(wiring)
    last.turn()
    last.turn()
    assert [one.reason.partition(" ")[0] for one in journalled(tmp_path, "gap")] == ["2", "3"]
    (tmp_path / "run" / "readings").unlink()  # memory is made anew
    refuse(1)
    Recorder(wiring).turn()
    assert [one.reason.partition(" ")[0] for one in journalled(tmp_path, "gap")] == ["2", "3", "1"]
