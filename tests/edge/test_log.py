"""The agent's log: lines for people or for machines, a few of a kind, and the count of the rest."""

import io
import json

from vigie_edge.log import BURST, WINDOW_S, Log


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(as_json: bool) -> tuple[Log, io.StringIO, Hand]:
    stream, hand = io.StringIO(), Hand()
    log = Log("gw-a", "uplink", stream=stream, as_json=as_json, monotonic=hand, utc=lambda: 1_800_000_000.0)
    return log, stream, hand


def rows(stream: io.StringIO) -> list[tuple[int, dict[str, object]]]:
    found = []
    for line in stream.getvalue().splitlines():
        level, _, text = line.removeprefix("<").partition(">")
        found.append((int(level), json.loads(text)))
    return found


def test_a_line_of_json_with_its_level_for_the_journal() -> None:
    log, stream, _ = made(as_json=True)
    log.warning("refused", topic="vigie/v1/x", level="high", reason=ValueError("no é"))
    assert rows(stream) == [
        (
            4,
            {
                "utc": "2027-01-15T08:00:00.000+00:00",
                "level": "warning",
                "gateway": "gw-a",
                "process": "uplink",
                "event": "refused",
                "topic": "vigie/v1/x",
                "level_": "high",
                "reason": "no é",
            },
        )
    ]


def test_a_line_for_people() -> None:
    log, stream, _ = made(as_json=False)
    log.error("ended", child="field", trace="Traceback\n  line")
    assert stream.getvalue() == (
        "2027-01-15T08:00:00.000+00:00 error   uplink: ended  child=field\nTraceback\n  line\n"
    )


def test_a_few_of_a_kind_and_then_the_count() -> None:
    log, stream, hand = made(as_json=True)
    for number in range(100):
        log.warning("refused", "one", number=number)
    log.error("something else")
    assert [row["event"] for _, row in rows(stream)] == ["refused"] * BURST + ["something else"]
    hand.now += WINDOW_S / 2
    log.settle()
    assert len(rows(stream)) == BURST + 1
    hand.now += WINDOW_S
    log.settle()
    level, last = rows(stream)[-1]
    assert (level, last["number"], last["suppressed"]) == (4, 99, 100 - BURST), (
        "the newest, with how many there were"
    )
    log.warning("refused", "one", number=100)
    assert "suppressed" not in rows(stream)[-1][1]
    assert len(rows(stream)) == BURST + 3


def test_kinds_without_end_are_bounded() -> None:
    log, stream, _ = made(as_json=True)
    for number in range(10_000):
        log.warning("refused", f"kind {number}")
    assert len(rows(stream)) < 300


def test_a_stream_that_broke_stops_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    Log("gw-a", "uplink", stream=Broken(), as_json=False).error("unheard")
    closed = io.StringIO()
    closed.close()
    Log("gw-a", "uplink", stream=closed, as_json=False).error("unheard")
