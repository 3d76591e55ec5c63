"""Which value of a point is shown as its last: a table of what comes, in the order in which it comes."""

import pytest

from vigie_central.host.fleet import Fleet, Sample
from vigie_protocols.sparkplug.actions import Born
from vigie_protocols.sparkplug.model import DataType, Metric

NODE = ("vigie", "gw")
HOUR = 3_600_000
NOON = 1_760_000_000_000


def birth(fleet: Fleet, made: int, value: int, stamp: int) -> None:
    fleet.born(Born(NODE, "jct", (Metric("count", value, DataType.INT64, None, stamp),), made))


def live(fleet: Fleet, made: int, value: int, stamp: int) -> None:
    fleet.show(fleet.gateway(NODE), [Sample("jct/count", stamp, value, 2)], made_ms=made)


def backfill(fleet: Fleet, _made: int, value: int, stamp: int) -> None:
    fleet.show(fleet.gateway(NODE), [Sample("jct/count", stamp, value, 2)], made_ms=None)


TABLE = {
    "newer data": ([(live, 10, 1, 10), (live, 20, 2, 20)], 2),
    "backfill behind what is shown": ([(live, 20, 2, 20), (backfill, 30, 1, 10)], 2),
    "backfill ahead of what is shown": ([(live, 10, 1, 10), (backfill, 30, 2, 20)], 2),
    "a birth that repeats an old value": ([(live, 10, 1, 10), (backfill, 30, 2, 20), (birth, 40, 1, 10)], 2),
    "a birth with what is read now": ([(backfill, 30, 2, 20), (birth, 40, 3, 40)], 3),
    "a clock that ran ahead is put back": ([(live, HOUR, 1, HOUR), (live, 20, 2, 20)], 2),
    "and tells so by its birth": ([(live, HOUR, 1, HOUR), (birth, 20, 2, 20)], 2),
    "backfill from before does not end what ran ahead": ([(live, HOUR, 1, HOUR), (backfill, 20, 2, 20)], 1),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_last_value(case: str) -> None:
    steps, wanted = TABLE[case]
    fleet = Fleet()
    for tell, made, value, stamp in steps:
        tell(fleet, NOON + made, value, NOON + stamp)
    assert fleet.gateways["gw"].points["jct/count"].value == wanted
