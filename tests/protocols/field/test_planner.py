"""The block planner: every point once, limits kept, and never dearer than any other way to cut."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_protocols.addresses import ModbusAddress
from vigie_protocols.limits import ForbiddenRange, Limits
from vigie_protocols.modbus.planner import TCP, Costs, address_of, plan, serial_costs
from vigie_protocols.modbus.writes import write_requests
from vigie_protocols.points import ValueType
from vigie_protocols.profile import PointDecl


def decl(name, address, kind=ValueType.INT, rate=1.0, **more):
    return PointDecl(f"d/{name}", "d", name, kind, address, rate_s=rate, **more)


def registers(places):
    return [(n, decl(str(n), ModbusAddress(address=at))) for n, at in enumerate(places)]


def spans(blocks):
    return [(block.table, block.start, block.count) for block in blocks]


@st.composite
def layouts(draw):
    rows = []
    for n in range(draw(st.integers(1, 30))):
        encoding = draw(st.sampled_from(["u16", "u32", "f64"]))
        table = draw(st.sampled_from(["holding", "input"]))
        address = ModbusAddress(table=table, address=draw(st.integers(0, 300)), encoding=encoding)
        kind = ValueType.FLOAT if encoding == "f64" else ValueType.INT
        rows.append((n, decl(str(n), address, kind, draw(st.sampled_from([0.1, 1.0])))))
    limits = Limits(
        max_registers=draw(st.integers(4, 125)), max_gap=draw(st.one_of(st.none(), st.integers(0, 40)))
    )
    return rows, limits


@settings(derandomize=True, max_examples=150, deadline=None)
@given(layouts(), st.sampled_from([TCP, serial_costs(19200)]))
def test_every_point_once_within_the_limits(layout, costs):
    rows, limits = layout
    blocks = plan("d", 1, rows, limits, costs)
    assert sorted(index for block in blocks for index in block.indices) == [index for index, _ in rows]
    for block in blocks:
        assert block.count <= limits.max_registers
        covered = sorted(
            {
                at
                for _, one in block.points
                for at in range(address_of(one).address, address_of(one).address + address_of(one).words)
            }
        )
        assert covered[0] == block.start and covered[-1] == block.start + block.count - 1
        gaps = [b - a - 1 for a, b in itertools.pairwise(covered)]
        assert all(gap <= (124 if limits.max_gap is None else limits.max_gap) for gap in gaps)
        assert len({one.rate_s for _, one in block.points}) == 1


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True),
    st.floats(0.0, 30.0),
    st.integers(2, 40),
)
def test_no_other_cut_is_cheaper(places, request_cost, most):
    places = sorted(places)
    costs = Costs(request=request_cost, register=1.0)
    blocks = plan("d", 1, registers(places), Limits(max_registers=most), costs)
    ours = sum(costs.request + block.count for block in blocks)
    best = float("inf")
    for cuts in itertools.product([False, True], repeat=len(places) - 1):
        pieces = [[places[0]]]
        for cut, at in zip(cuts, places[1:], strict=True):
            if cut:
                pieces.append([])
            pieces[-1].append(at)
        sizes = [piece[-1] - piece[0] + 1 for piece in pieces]
        if max(sizes) <= most:
            best = min(best, sum(request_cost + size for size in sizes))
    assert ours <= best + 1e-9


def test_holes_are_read_over_tcp_and_skipped_on_a_slow_line():
    rows = registers([0, 1, 40, 41])
    assert spans(plan("d", 1, rows, Limits(), TCP)) == [("holding", 0, 42)]
    assert spans(plan("d", 1, rows, Limits(), serial_costs(9600))) == [("holding", 0, 2), ("holding", 40, 2)]


def test_forbidden_registers_are_never_covered():
    rows = registers([0, 1, 9, 10])
    limits = Limits(forbidden=(ForbiddenRange(first=4, last=5),))
    assert spans(plan("d", 1, rows, limits, TCP)) == [("holding", 0, 2), ("holding", 9, 2)]


def test_coils_pack_by_bits():
    rows = [
        (n, decl(str(n), ModbusAddress(table="coil", address=n * 15), ValueType.BOOL)) for n in range(100)
    ]
    assert spans(plan("d", 1, rows, Limits(), TCP)) == [("coil", 0, 1486)]


def test_a_block_narrows_to_its_runs_and_then_to_its_points():
    (block,) = plan("d", 1, registers([0, 1, 5]), Limits(), TCP)
    runs = block.narrower()
    assert spans(runs) == [("holding", 0, 2), ("holding", 5, 1)]
    assert spans(runs[0].narrower()) == [("holding", 0, 1), ("holding", 1, 1)]
    assert runs[1].narrower() == []


def writable(name, address, kind=ValueType.UINT):
    return decl(name, address, kind, writable=True)


DEFAULT = Limits()


def pdus(changes, limits=DEFAULT):
    requests, faults = write_requests([(n, *change) for n, change in enumerate(changes)], limits)
    assert faults == {}
    return [(request.pdu.hex(), request.places) for request in requests]


def test_neighbours_are_written_together_and_holes_are_not():
    points = {at: writable(str(at), ModbusAddress(address=at)) for at in (0, 1, 5)}
    assert pdus([(points[5], 7), (points[0], 1), (points[1], 2)]) == [
        ("0600050007", [0]),
        ("1000000002040001" + "0002", [1, 2]),
    ]
    assert pdus([(points[0], 1), (points[1], 2)], Limits(functions=frozenset({3, 6}))) == [
        ("0600000001", [0]),
        ("0600010002", [1]),
    ]


def test_the_last_of_several_values_counts():
    point = writable("a", ModbusAddress(address=3))
    assert pdus([(point, 1), (point, 2)]) == [("0600030002", [0, 1])]


def test_bits_of_one_register():
    bits = [writable(str(n), ModbusAddress(address=4, bit=n), ValueType.BOOL) for n in range(3)]
    changes = [(0, bits[0], True), (1, bits[2], False)]
    (request,), _ = write_requests(changes, Limits())
    assert request.pdu == b"" and request.keep == 0xFFFA and request.word == 0x0001
    assert request.with_register(0xFF04, Limits()).hex() == "060004ff01"
    (request,), _ = write_requests(changes, Limits(functions=frozenset({3, 6, 22})))
    assert request.pdu.hex() == "160004fffa0001"


def test_coils_are_written_together():
    points = [writable(str(n), ModbusAddress(table="coil", address=n), ValueType.BOOL) for n in range(10)]
    assert pdus([(point, n % 2 == 0) for n, point in enumerate(points)]) == [
        ("0f0000000a02" + "5501", list(range(10)))
    ]
    assert pdus([(points[3], True)]) == [("050003ff00", [0])]


def test_what_does_not_fit_is_named_and_the_rest_goes_out():
    point = writable("a", ModbusAddress(address=3))
    requests, faults = write_requests([(0, point, 70000), (1, point, 5)], Limits())
    assert list(faults) == [0] and "outside" in faults[0]
    assert [request.places for request in requests] == [[1]]
