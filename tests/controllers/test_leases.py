"""Leases: every rule, from outside."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigie_controllers.leases import MAX_LEASES, LeaseBook, LeaseEvent, LeaseRefused
from vigie_protocols.points import Value


def grant(book: LeaseBook, now: float = 0.0, lease_id: str = "n1", **other: object) -> LeaseEvent:
    terms: dict[str, object] = {
        "forces": {"p/run": True},
        "holder": "marie",
        "reason": "pump test",
        "ttl_s": 60.0,
        "origin": "emergency",
    }
    terms.update(other)
    return book.grant(now, lease_id, **terms)  # type: ignore[arg-type]


def code(error: pytest.ExceptionInfo[LeaseRefused]) -> str:
    return error.value.code


def test_a_lease_forces_its_points_until_it_runs_out() -> None:
    book = LeaseBook()
    assert book.forces == {}
    event = grant(book, 10.0)
    assert (event.what, event.lease.until) == ("granted", 70.0)
    assert book.forces == {"p/run": True}
    assert book.forces is book.forces
    assert book.tick(69.9) == ()
    (over,) = book.tick(70.0)
    assert (over.what, over.lease.id) == ("expired", "n1")
    assert book.forces == {}
    assert book.leases() == ()


def test_the_same_command_again_changes_nothing() -> None:
    book = LeaseBook()
    first = grant(book)
    revision = book.revision
    assert grant(book, 5.0).lease is first.lease
    assert book.revision == revision
    with pytest.raises(LeaseRefused) as error:
        grant(book, 5.0, forces={"p/run": False})
    assert code(error) == "held"


def test_a_point_has_one_lease_of_each_origin_and_the_local_one_wins() -> None:
    book = LeaseBook()
    grant(book, forces={"p/run": True, "b/gate": 20.0})
    with pytest.raises(LeaseRefused, match=r"p/run is held by marie for 55 s more: pump test") as error:
        grant(book, 5.0, "n2", holder="jean", forces={"p/run": False})
    assert code(error) == "held"
    grant(book, 5.0, "n3", holder="luc", forces={"p/run": False}, origin="local", ttl_s=10.0)
    assert book.forces == {"p/run": False, "b/gate": 20.0}
    book.tick(15.0)
    assert book.forces == {"p/run": True, "b/gate": 20.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_id": ""},
        {"holder": " "},
        {"reason": ""},
        {"forces": {}},
        {"forces": {"b/gate": math.nan}},
        {"ttl_s": 0.0},
        {"ttl_s": math.nan},
        {"ttl_s": math.inf},
        {"ttl_s": 4 * 3600.0 + 1},
    ],
)
def test_a_wrong_request_is_refused(wrong: dict[str, object]) -> None:
    book = LeaseBook()
    with pytest.raises(LeaseRefused) as error:
        grant(book, **wrong)  # type: ignore[arg-type]
    assert code(error) == "bad-lease"
    assert book.leases() == ()


def test_only_the_holder_renews_and_releases() -> None:
    book = LeaseBook()
    grant(book)
    for act in (
        lambda holder, lease: book.renew(30.0, lease, holder=holder, ttl_s=60.0),
        lambda holder, lease: book.release(30.0, lease, holder=holder),
    ):
        with pytest.raises(LeaseRefused) as error:
            act("jean", "n1")
        assert code(error) == "not-holder"
        with pytest.raises(LeaseRefused) as error:
            act("marie", "n9")
        assert code(error) == "unknown-lease"
    with pytest.raises(LeaseRefused) as error:
        book.renew(30.0, "n1", holder="marie", ttl_s=1e9)
    assert code(error) == "bad-lease"
    renewed = book.renew(30.0, "n1", holder="marie", ttl_s=60.0)
    assert (renewed.what, renewed.lease.until) == ("renewed", 90.0)
    assert book.tick(89.0) == ()
    assert book.release(89.0, "n1", holder="marie").what == "released"
    assert book.forces == {}


def test_there_is_an_end_to_the_number_of_leases() -> None:
    book = LeaseBook()
    for n in range(MAX_LEASES):
        grant(book, 0.0, f"n{n}", forces={f"p/{n}": 1})
    with pytest.raises(LeaseRefused) as error:
        grant(book, 0.0, "more", forces={"p/more": 1})
    assert code(error) == "too-many"
    assert len(book.tick(60.0)) == MAX_LEASES


def test_a_lease_survives_a_restart_and_a_reboot_with_the_time_it_had_left() -> None:
    book = LeaseBook()
    grant(book, 1000.0)
    book.tick(1020.0)
    state = json.loads(json.dumps(book.snapshot()))
    restarted, rebooted = LeaseBook(), LeaseBook()
    restarted.restore(state)
    rebooted.restore(state)
    assert restarted.forces == {"p/run": True}
    assert restarted.tick(1059.0) == ()
    assert [event.what for event in restarted.tick(1060.0)] == ["expired"]
    assert rebooted.tick(3.0) == ()
    assert rebooted.forces == {"p/run": True}
    assert rebooted.tick(42.9) == ()
    assert [event.what for event in rebooted.tick(43.0)] == ["expired"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "renew", "release", "tick", "restart", "reboot"]),
        st.integers(0, 3),
        st.sampled_from(["a", "b"]),
        st.floats(0.0, 100.0),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(STEPS)
def test_no_force_outlives_the_time_it_was_given(steps: list[tuple[str, int, str, float]]) -> None:
    book, now = LeaseBook(), 0.0
    served: dict[str, float] = {}
    for act, n, who, wait in steps:
        before, now = now, now + wait
        for event in book.tick(now):
            served.pop(event.lease.id, None)
        for lease in served:
            served[lease] += wait
        if act == "reboot":
            state = json.loads(json.dumps(book.snapshot()))
            book, now = LeaseBook(), 0.0
            book.restore(state)
            book.tick(now)
        elif act == "restart":
            state = json.loads(json.dumps(book.snapshot()))
            book = LeaseBook()
            book.restore(state)
        value: Value = n
        try:
            if act == "grant":
                known = {one.id for one in book.leases()}
                grant(book, now, f"n{n}{who}", holder=who, forces={f"p/{n}": value}, ttl_s=50.0)
                if f"n{n}{who}" not in known:
                    served[f"n{n}{who}"] = 0.0
            elif act == "renew":
                book.renew(now, f"n{n}{who}", holder=who, ttl_s=50.0)
                served[f"n{n}{who}"] = 0.0
            elif act == "release":
                book.release(now, f"n{n}{who}", holder=who)
                served.pop(f"n{n}{who}")
        except LeaseRefused:
            pass
        assert before <= now or act == "reboot"
        assert set(served) == {one.id for one in book.leases()}
        assert all(seconds < 50.0 + 1e-6 for seconds in served.values())
        assert set(book.forces) == {point for one in book.leases() for point in one.forces}
