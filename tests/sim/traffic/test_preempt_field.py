"""Pre-emption in traffic: the call travels by the rig's own point, the lamps act on SUMO, the monitor watches."""

from dataclasses import replace

from tests.sim.traffic.test_field import Guarded

from vigie_controllers.signals.bounds import time_to_green
from vigie_controllers.signals.plan import Plan
from vigie_controllers.signals.preemption import Preemption
from vigie_sim.traffic.district import district_junctions, district_run
from vigie_sim.traffic.field import TrafficField
from vigie_sim.traffic.lamps import Lamp
from vigie_sim.traffic.network import read_network


def test_trains_and_ambulances_get_through_and_no_monitor_trips() -> None:
    run = district_run()
    network = read_network(run.net)
    junctions = list(district_junctions(network))
    place = next(k for k, one in enumerate(junctions) if one.site.actuation == "lamps")
    site = junctions[place].site
    first, *_, last = (phase.id for phase in site.phases)
    rail = Preemption(
        id="train", kind="rail", calls_when=False, track_phases=(first,), track_green_s=8, dwell_phases=(last,),
        entry_min_green_s=3, entry_walk_s=0,
    )  # fmt: skip
    fire = Preemption(id="pompiers", kind="emergency", dwell_phases=(first,), exit_phases=(last,))
    junctions[place] = replace(junctions[place], site=site.model_copy(update={"preemptions": (rail, fire)}))
    field = TrafficField(run, seed=3, network=network, junctions=junctions)
    field.start()
    gateways = [Guarded(field, number) for number in range(len(field.rigs))]
    rig, guard = field.rigs[place], gateways[place].loop.domain.guard
    plan = Plan(junctions[place].site)
    lights = {n: [c for c in plan.channels[plan.place[n]] if plan.vehicle[c]] for n in (first, last)}
    calls = {"train": (range(60, 115), rail, first), "pompiers": (range(180, 230), fire, first)}
    served: dict[str, int] = {}
    stages = set()
    for second in range(300):
        for name, (seconds, row, phase) in calls.items():
            rig.preempt(name, second in seconds)
            green = all(rig.cabinet.lamps[c] == Lamp.GREEN for c in lights[phase])
            if second in seconds and green and guard.status.preemption == row.id:
                served.setdefault(name, second - seconds.start)
        for gateway in gateways:
            gateway.tick(second)
        field.step(float(second + 1))
        stages.add(f"{guard.status.preemption} {guard.status.preempt_stage}")
    assert {"train track", "train dwell", "pompiers dwell", "pompiers exit"} <= stages
    for name, (_, row, _) in calls.items():
        assert served[name] <= time_to_green(plan, row, 0.1) + 1  # the image is taken once a second
    assert guard.status.preemption == ""
    assert field.trips == []
    assert field.figures().collisions == 0
