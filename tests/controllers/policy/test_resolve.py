"""Resolution: precedence by table, then the laws by property."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.policy.papers import LOOPS, LOST, SYNCED, T0, paper, storm

from vigie_controllers.policy.document import PolicyDocument
from vigie_controllers.policy.resolve import Resolution, edges, effective_hash, resolve

CITY, DISTRICT, SITE = (
    {"level": level, "name": name} for level, name in (("city", "mtl"), ("district", "est"), ("site", "gw-1"))
)


def document(raw: dict[str, Any]) -> PolicyDocument:
    return PolicyDocument.model_validate(raw)


def solve(*raws: dict[str, Any], utc: float = T0 + 10.0, **other: Any) -> Resolution:
    return resolve([document(raw) for raw in raws], utc, other.pop("trust", SYNCED), LOOPS, **other)


def value(one: Resolution, name: str = "boost_pct", loop: str = "lamps") -> Any:
    return one.overrides(loop).get("lighting.astro", {}).get(name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"scope": SITE}, {"scope": DISTRICT, "priority": 9, "version": 9}),
        ({"scope": DISTRICT}, {"scope": CITY, "priority": 9, "version": 9}),
        ({"priority": 2}, {"priority": 1, "version": 9}),
        ({"version": 3}, {"version": 2}),
        ({"id": "b"}, {"id": "a"}),
    ],
)
def test_precedence(first: dict[str, Any], second: dict[str, Any]) -> None:
    winner = paper(**{"id": "first", **first, "params": {"boost_pct": 60.0}})
    other = paper(**{"id": "a-second", **second, "params": {"boost_pct": 70.0, "level_pct": 90.0}})
    for order in ((winner, other), (other, winner)):
        one = solve(*order)
        assert value(one) == 60.0
        assert value(one, "level_pct") == 90.0, "parameter by parameter"
        source = one.effective["lamps"]["lighting.astro"]["boost_pct"]
        assert (source.id, source.version, source.level) == (
            winner["id"],
            winner["version"],
            winner["scope"]["level"],
        )


def test_a_document_concerns_the_loops_it_names_or_all_of_its_kind() -> None:
    one = solve(paper(loops=["lamps-2"]), storm())
    assert value(one) is None
    assert value(one, loop="lamps-2") == 90.0
    assert one.overrides("pumps") == {"water.level": {"lead_start_m": 1.0, "lead_stop_m": 0.5}}
    both = solve(paper())
    assert value(both) == value(both, loop="lamps-2") == 90.0


@pytest.mark.parametrize(
    ("utc", "valid"), [(T0 - 1, False), (T0, True), (T0 + 3599, True), (T0 + 3600, False)]
)
def test_validity_is_half_open(utc: float, valid: bool) -> None:
    assert (value(solve(paper(), utc=utc)) == 90.0) is valid


def test_a_newer_version_supersedes_the_older_from_its_beginning_and_for_good() -> None:
    old = paper(params={"boost_pct": 50.0})
    new = paper(version=2, valid_from=T0 + 100.0, not_after=T0 + 200.0)
    assert value(solve(old, new, utc=T0 + 50.0)) == 50.0
    assert value(solve(old, new, utc=T0 + 150.0)) == 90.0
    assert value(solve(old, new, utc=T0 + 250.0)) is None


def test_a_fallback_applies_once_the_other_has_ended_and_only_then() -> None:
    first = paper(id="first", not_after=T0 + 100.0, fallback="second")
    second = paper(id="second", not_after=T0 + 200.0, fallback="third", params={"boost_pct": 50.0})
    third = paper(id="third", params={"boost_pct": 40.0})
    for utc, boost in ((T0 + 50, 90.0), (T0 + 150, 50.0), (T0 + 250, 40.0), (T0 + 3600, None)):
        assert value(solve(third, first, second, utc=utc)) == boost
    assert value(solve(first, second, third, utc=T0 + 50.0, ended={"first@1"})) == 50.0
    assert value(solve(first, utc=T0 + 150.0)) is None, "a fallback that is not there: local default"


def test_a_fallback_waits_also_before_the_other_begins() -> None:
    first = paper(id="first", valid_from=T0 + 100.0, fallback="second")
    assert solve(first, paper(id="second"), utc=T0 + 50.0).in_force == frozenset()


def test_fallbacks_that_go_round_come_to_an_end() -> None:
    ring = [paper(id=a, fallback=b, not_after=T0 + 5.0) for a, b in (("a", "b"), ("b", "c"), ("c", "b"))]
    assert solve(*ring).in_force == frozenset()


def test_without_a_trusted_clock_what_runs_goes_on_and_nothing_else_begins() -> None:
    one = solve(paper(), storm(), trust=LOST, running={"event@1"}, utc=0.0)
    assert one.in_force == {"event@1"}
    assert solve(paper(), trust=LOST).in_force == frozenset()
    assert solve(paper(), trust=LOST, running={"event@1"}, ended={"event@1"}).in_force == frozenset()


def test_a_small_step_back_of_the_clock_stops_nothing_that_has_begun() -> None:
    assert solve(paper(), utc=T0 - 0.5, running={"event@1"}).in_force == {"event@1"}


def test_the_hash_names_values_and_their_sources() -> None:
    one = solve(paper())
    assert one.hash == effective_hash(one.effective) == solve(paper(), paper(id="other", params={})).hash
    assert one.hash != solve(paper(version=2)).hash
    assert one.hash != solve(paper(params={"boost_pct": 91.0})).hash
    assert len(one.hash) == 64


def test_edges_are_the_instants_at_which_something_may_change() -> None:
    assert edges([document(paper()), document(paper(id="b", valid_from=T0 + 5.0))]) == (
        T0,
        T0 + 5.0,
        T0 + 3600.0,
    )


IDS = ["a", "b", "c"]
PAPERS = st.builds(
    paper,
    id=st.sampled_from(IDS),
    version=st.integers(1, 3),
    scope=st.sampled_from([CITY, DISTRICT, SITE]),
    priority=st.integers(-1, 1),
    valid_from=st.sampled_from([T0, T0 + 10.0, T0 + 20.0]),
    not_after=st.sampled_from([T0 + 25.0, T0 + 40.0]),
    fallback=st.sampled_from(["local-default", "d", "e"]),
    loops=st.sampled_from([[], ["lamps"], ["lamps-2"]]),
    params=st.dictionaries(st.sampled_from(["boost_pct", "level_pct"]), st.integers(30, 100), max_size=2),
) | st.builds(
    paper,
    id=st.sampled_from(["d", "e"]),
    fallback=st.sampled_from(["local-default", "a"]),
    version=st.integers(1, 2),
)
WHEN = st.sampled_from([T0 - 1.0, T0 + 5.0, T0 + 15.0, T0 + 30.0, T0 + 50.0])


@settings(deadline=None, max_examples=300)
@given(
    st.lists(PAPERS, max_size=8),
    WHEN,
    st.sampled_from([SYNCED, LOST]),
    st.sets(st.sampled_from([f"{name}@{version}" for name in IDS for version in (1, 2)])),
    st.sets(st.sampled_from([f"{name}@{version}" for name in IDS for version in (1, 2)])),
    st.randoms(use_true_random=False),
)
def test_resolution_is_total_idempotent_and_without_order(
    raws: list[dict[str, Any]],
    utc: float,
    trust: Any,
    running: set[str],
    ended: set[str],
    chance: random.Random,
) -> None:
    documents = [document(raw) for raw in raws]
    one = resolve(documents, utc, trust, LOOPS, running=running, ended=ended)
    shuffled = documents * 2
    chance.shuffle(shuffled)
    again = resolve(shuffled, utc, trust, LOOPS, running=running, ended=ended)
    assert again == one
    assert again.hash == one.hash
    # Idempotent: what is in force, resolved alone, is in force.
    alone = [
        each.model_copy(update={"fallback": "local-default"})
        for each in documents
        if each.key in one.in_force
    ]
    if len({each.key for each in alone}) == len(alone):
        assert resolve(alone, utc, trust, LOOPS, running=running, ended=ended).effective == one.effective
    assert not one.in_force & ended
    for loop, kinds in one.effective.items():
        for kind, params in kinds.items():
            assert kind in LOOPS[loop] and params
            for sourced in params.values():
                assert f"{sourced.id}@{sourced.version}" in one.in_force
