"""Field shows NAME.edges after the device's own counter, whatever the boolean beside it does between polls."""

import time

from vigie_edge.config import FIRST_DEVICE_POINT, load_plan
from vigie_edge.memory.mapped import Heap
from vigie_edge.processes.field import FieldState
from vigie_edge.wiring import Bells, Wiring
from vigie_protocols.driver import Answer
from vigie_protocols.points import Quality

PROFILE = """
profile: loop
title: x
protocol: modbus
domain: signal
points:
  - {name: on, type: bool, edges: true, counter: count, modbus: {table: discrete, address: 0}}
  - {name: count, type: uint, modbus: {table: input, address: 0}}
"""
GATEWAY = """
gateway: gw
site: {name: x, lat: 0, lon: 0}
links: {plc: {protocol: modbus, host: 192.0.2.1}}
devices: [{name: det, profile: loop, link: plc}]
"""


def test_edges_follow_the_counter_and_its_quality(tmp_path):
    (tmp_path / "loop.yaml").write_text(PROFILE)
    (tmp_path / "gw.yaml").write_text(GATEWAY)
    plan = load_plan(tmp_path / "gw.yaml")
    at = {decl.point: place for place, decl in enumerate(plan.points)}
    field = FieldState(Wiring(plan, tmp_path, Bells(), heap=Heap()), time.monotonic)
    edges = at["on.edges"] + FIRST_DEVICE_POINT

    def read(now, on, count, quality=Quality.GOOD):
        field.take(Answer((at["on"],), [on], quality, 0.0, now))
        field.take(Answer((at["count"],), [count], quality, 0.0, now))
        field.publish(0, now, now)
        return field.columns.values[edges], Quality(field.columns.quality[edges])

    assert read(1.0, False, 65530) == (65530, Quality.GOOD)
    assert read(2.0, True, 65530) == (65530, Quality.GOOD)  # the boolean alone counts nothing
    assert read(3.0, True, 65535) == (65535, Quality.GOOD)  # five vehicles between two polls
    assert read(4.0, False, 0, Quality.BAD) == (65535, Quality.BAD)
    assert read(5.0, False, 2) == (65538, Quality.GOOD)  # what was counted meanwhile counts
