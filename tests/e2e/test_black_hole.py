"""Ten simulated minutes in which the network between gateways and coordinator swallows every byte.

The sockets stay open: this is where others lose the whole outage. In lock-step the ten minutes take as long as
they take, so the links' keep-alives may or may not notice; one uplink and one recorder are killed meanwhile.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.e2e.stack import in_loop, until

from vigie_sim.district import DistrictScenario
from vigie_sim.faults.proxy import Mode, Proxy
from vigie_sim.lighting.plant import LightingPlant
from vigie_sim.lighting.rig import lighting_rigs
from vigie_sim.scenario import More, World
from vigie_sim.water.plant import WaterPlant
from vigie_sim.water.rig import water_rigs
from vigie_sim.wire import Counts, WireRun

SEED = 11
FROM, TO, END = 30, 630, 660
GATEWAYS = ("gw-pompage", "gw-eclairage")


class WaterAndLight(DistrictScenario):
    """The district without its streets: what is asked here needs no cars."""

    def world(self, seed: int, *, controlled: bool = True) -> World:
        water, lighting = WaterPlant(self.water, seed), LightingPlant(self.lighting, seed)
        assert self.bus is not None
        rigs = [*water_rigs(water), *lighting_rigs(lighting, "127.0.0.1", self.bus.port)]
        return World([water, lighting], rigs, self.lighting.epoch, 1.0, self.duration_s)

    def write_gateways(self, folder: Path, endpoints: Mapping[str, str], more: More) -> list[Path]:
        return [one for one in super().write_gateways(folder, endpoints, more) if one.stem in GATEWAYS]


async def swallowed_run(folder: Path) -> tuple[Counts, list[int], list[int]]:
    """The run; samples journalled and bytes swallowed of each gateway while it was cut off."""
    scenario = WaterAndLight(END)
    scenario.open_bus(folder / "bus")
    proxies: dict[str, Proxy] = {}
    journalled: dict[str, int] = {}

    async def through(gateway: str, broker: str) -> str:
        host, _, port = broker.rpartition(":")
        proxies[gateway] = Proxy(host, int(port))
        return await proxies[gateway].start()

    def samples(run: WireRun) -> dict[str, int]:
        return {name: one.status()["counters"]["recorder.samples"] for name, one in run.agents.items()}

    async def on_tick(run: WireRun, tick: int) -> None:
        if tick == FROM:
            await until(lambda: all(samples(run).values()), "something was published before")
            journalled.update(samples(run))
            for proxy in proxies.values():
                proxy.mode = Mode.BLACKHOLE
        elif tick == 200:
            run.agents["gw-pompage"].kill_child("uplink")
        elif tick == 400:
            run.agents["gw-pompage"].kill_child("recorder")
        elif tick == TO:
            for name, count in samples(run).items():
                journalled[name] = count - journalled[name]
            for proxy in proxies.values():
                proxy.mode = Mode.PASS

    run = WireRun(scenario, folder, SEED, on_tick=on_tick)
    run.uplinks = through
    try:
        await run.start()
        await run.run()
        counts = await run.finish()
    finally:
        await run.stop()
        for proxy in proxies.values():
            await proxy.close()
        scenario.close_bus()
    return counts, list(journalled.values()), [proxy.counters.swallowed for proxy in proxies.values()]


def test_ten_minutes_in_a_black_hole_lose_nothing_and_cost_no_scan(folder: Path) -> None:
    counts, journalled, swallowed = in_loop(swallowed_run(folder))
    assert min(journalled) > 0 and min(swallowed) > 0, "there was something to lose"
    assert {name: one["control.scans"] for name, one in counts.gateways.items()} == dict.fromkeys(
        GATEWAYS, END
    )
    assert counts.scans_missed == 0
    assert (counts.samples_lost, counts.samples_duplicated) == (0, 0)
    for counters in counts.gateways.values():
        for name in ("field.readings_lost", "control.scans_lost", "recorder.dropped"):
            assert counters[name] == 0
