"""Forecasts between real agents over the coordinator's broker: the same words, to the last digit, as in one process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.stack import REPOSITORY, in_loop

from vigie_controllers.loops import ControllerSpec
from vigie_edge.config import load_plan
from vigie_edge.journal.journal import list_segments, read_committed
from vigie_edge.journal.segment import Kind
from vigie_edge.records import Scan, decode_control, decode_heard
from vigie_edge.replay import Replay
from vigie_sim.foreign import ForeignScenario
from vigie_sim.inprocess import gateways_in_process, run_in_process
from vigie_sim.wire import WireRun

DISTRICT = REPOSITORY / "hil-sim" / "scenarios" / "district" / "traffic" / "district.sumocfg"
TICKS = 60
SEED = 3

Words = dict[str, list[tuple[str, Mapping[str, Any]]]]
"""Gateway -> what it heard, in its order: who said it, and the message."""


def scenario() -> ForeignScenario:
    kinds = [ControllerSpec(kind=name) for name in ("signal.adaptive", "signal.actuated")]
    return ForeignScenario(DISTRICT, kinds, neighbours=True)


def in_process(folder: Path) -> tuple[Words, dict[str, float]]:
    here = scenario()
    world = here.world(SEED)
    gateways = gateways_in_process(here.write_gateways(folder, {}, lambda _: {}), world)
    words: Words = {one.name: [] for one in gateways}
    for one in gateways:
        hear, heard = one.engine.hear, words[one.name]
        one.engine.hear = lambda *said, hear=hear, heard=heard: heard.append(said) or hear(*said)  # type: ignore[method-assign, func-returns-value]
    run_in_process(world, gateways, TICKS)
    return words, world.outcomes()


def over_sockets(folder: Path) -> tuple[Words, dict[str, float]]:
    async def whole() -> dict[str, float]:
        run = WireRun(scenario(), folder, SEED)
        try:
            await run.start()
            await run.run(TICKS)
            await run.finish()
        finally:
            await run.stop()
        return run.world.outcomes()

    outcomes = in_loop(whole())
    words: Words = {}
    for file in sorted((folder / "gateways").glob("gw-*.yaml")):
        plan = load_plan(file)
        journal = plan.gateway.journal.directory
        words[file.stem] = [
            decode_heard(message)
            for _, _, path in list_segments(journal / "replay")
            for record in read_committed(path)[1]
            if record.kind is Kind.SCAN and isinstance(scanned := decode_control(record.payload), Scan)
            for message in scanned.messages
        ]
        report = Replay(plan).run(journal)
        assert report.differences == [] and report.scans >= TICKS
    return words, outcomes


def test_over_sockets_junctions_tell_each_other_what_they_do_in_one_process(folder: Path) -> None:
    words, outcomes = over_sockets(folder)
    expected, same = in_process(folder / "process")
    assert outcomes == same
    assert words == expected
    assert len(words) == 3
    assert min(map(len, words.values())) > TICKS - 30
    assert any(
        sum(bins) > 2 for heard in words.values() for _, said in heard for bins in said["lanes"].values()
    )
