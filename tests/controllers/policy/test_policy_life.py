"""The life of policies on a gateway with real loops: offer, arm, apply, end, refuse, survive."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.policy.papers import LOOPS, LOST, PLACE, SYNCED, T0, Gateway, bundle, paper, storm

from vigie_controllers.loops import ParamError
from vigie_controllers.policy.armed import PolicyLife
from vigie_controllers.registry import KINDS


def test_a_policy_is_armed_applied_at_its_instant_and_ends_in_the_local_default() -> None:
    gateway = Gateway()
    needs = [{"need": "loop", "name": "lamps"}]
    outcome = gateway.offer(bundle(paper(preconditions=needs), storm(valid_from=T0 + 50.0)))
    assert outcome.accepted and not outcome.unchanged
    gateway.tick()
    assert gateway.states() == {"event@1": "armed", "storm@1": "armed"}
    assert gateway.tick(99.0) == ()
    applied = gateway.tick(1.0)
    assert {one.loop for one in applied} == {"lamps", "lamps-2"}
    assert gateway.param("lamps", "boost_pct") == gateway.param("lamps-2", "boost_pct") == 90.0
    assert gateway.param("lamps-2", "level_pct") == 80.0, "over the local default, parameter by parameter"
    gateway.tick(50.0)
    assert gateway.param("pumps", "lead_start_m") == 1.0
    report = gateway.life.reported()
    assert report["effective"]["pumps"]["water.level"]["lead_start_m"] == {
        "value": 1.0,
        "id": "storm",
        "version": 1,
    }
    gateway.tick(3550.0)
    assert gateway.states() == {"event@1": "ended", "storm@1": "ended"}
    assert gateway.param("pumps", "lead_start_m") == 1.4
    assert gateway.param("lamps", "boost_pct") is None
    assert gateway.life.reported()["effective"] == {}


def test_it_ends_by_its_greatest_age_even_without_a_clock() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(max_age_s=600.0)))
    gateway.tick(100.0)
    gateway.trust = LOST
    gateway.utc = 0.0
    gateway.tick(500.0)
    assert gateway.states() == {"event@1": "applied"}
    gateway.tick(100.0)
    assert gateway.states() == {"event@1": "ended"}
    gateway.trust, gateway.utc = SYNCED, T0 + 700.0
    gateway.tick()
    assert gateway.states() == {"event@1": "ended"}, "ended is ended, also when the clock comes back"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ({"nonsense": 1}, "bad-document"),
        (bundle(paper(valid_from=float("nan")), generation=2), "bad-document"),
        (bundle(paper(), generation=2, audience="gw-2"), "wrong-audience"),
        (bundle(storm(), generation=1), "older-generation"),
        (bundle(paper(), generation=1, root_epoch=0, issued_at=5.0), "older-generation"),
    ],
)
def test_a_refused_bundle_changes_nothing_that_runs(raw: dict[str, Any], code: str) -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper()))
    gateway.tick(101.0)
    before = gateway.life.reported()
    outcome = gateway.offer(raw)
    assert (outcome.accepted, outcome.code) == (False, code)
    gateway.tick(1.0)
    after = gateway.life.reported()
    assert after["refused"]["code"] == code
    assert {**after, "refused": None} == before
    assert gateway.param("lamps", "boost_pct") == 90.0


def test_a_bad_signature_is_reported_like_every_refusal() -> None:
    gateway = Gateway()
    revision = gateway.life.revision
    outcome = gateway.life.refuse("bad-signature", "no key of this ring signed it")
    assert not outcome.accepted
    assert gateway.life.reported()["refused"] == {
        "code": "bad-signature",
        "reason": "no key of this ring signed it",
    }
    assert gateway.life.revision == revision + 1
    gateway.life.refuse("bad-signature", "no key of this ring signed it")
    assert gateway.life.revision == revision + 1


def test_the_same_bundle_again_changes_nothing_and_a_newer_root_epoch_counts_first() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(), generation=7))
    gateway.tick(101.0)
    revision = gateway.life.revision
    assert gateway.offer(bundle(paper(), generation=7)).unchanged
    assert gateway.life.revision == revision
    assert gateway.offer(bundle(storm(), generation=1, root_epoch=1)).accepted
    assert gateway.offer(bundle(paper(), generation=9, root_epoch=0)).code == "older-generation"


def test_absent_from_a_newer_bundle_is_withdrawn_and_what_stays_goes_on() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(max_age_s=300.0), storm()))
    gateway.tick(101.0)
    gateway.tick(200.0)
    gateway.offer(bundle(paper(max_age_s=300.0), generation=2))
    applied = gateway.tick(1.0)
    assert [one.loop for one in applied] == ["pumps"], "what stays is not applied again"
    assert gateway.param("pumps", "lead_start_m") == 1.4
    assert gateway.states() == {"event@1": "applied"}
    gateway.tick(99.0)
    assert gateway.states() == {"event@1": "ended"}, "its age was not made young again"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"params": {"lead_stop_m": 0.3}}, "outside-envelope", "dry-run"),
        ({"params": {"lag_start_m": 3.0}}, "outside-envelope", "high alarm"),
        ({"params": {"lead_start_m": "high"}}, "bad-document", "lead_start_m"),
        ({"kind": "water.magic"}, "unknown-kind", "water.magic"),
        ({"not_after": T0 - 200.0, "valid_from": 0.0}, "expired", "ago"),
        ({"scope": {"level": "district", "name": "ouest"}}, "wrong-audience", "ouest"),
        ({"preconditions": [{"need": "loop", "name": "turbine"}]}, "precondition", "turbine"),
        ({"preconditions": [{"need": "kind", "name": "signal.actuated"}]}, "precondition", "signal.actuated"),
        ({"id": 5}, "bad-document", "id"),
    ],
)
def test_a_refused_document_leaves_its_predecessor_and_its_neighbours(
    changed: dict[str, Any], code: str, said: str
) -> None:
    gateway = Gateway()
    gateway.offer(bundle(storm()))
    gateway.tick(101.0)
    wrong = {**storm(version=2), **changed}
    assert gateway.offer(bundle(wrong, paper(), generation=2)).accepted
    gateway.tick(1.0)
    (row,) = [one for one in gateway.life.reported()["documents"] if one["state"] == "refused"]
    assert (row["code"], row["version"]) == (code, 2)
    assert said in row["reason"]
    assert gateway.states()["event@1"] == "applied"
    if row["id"] == "storm":
        assert gateway.states()["storm@1"] == "applied"
        assert gateway.param("pumps", "lead_start_m") == 1.0


def test_one_version_has_one_content_and_comes_once() -> None:
    gateway = Gateway()
    gateway.offer(bundle(storm(), storm()))
    assert [(one["state"], one["code"]) for one in gateway.life.reported()["documents"]] == [
        ("armed", ""),
        ("refused", "bad-document"),
    ]
    gateway.tick(101.0)
    gateway.offer(bundle(storm(params={"lead_start_m": 1.1}), generation=2))
    gateway.tick(1.0)
    assert gateway.param("pumps", "lead_start_m") == 1.0
    assert any(one["code"] == "bad-document" for one in gateway.life.reported()["documents"])


def test_documents_that_are_lawful_alone_but_not_together_are_refused_when_they_meet() -> None:
    gateway = Gateway()
    higher = storm(id="higher", params={"lead_start_m": 1.8})
    lower = storm(id="lower", valid_from=T0 + 50.0, params={"lag_start_m": 1.6})
    gateway.offer(bundle(higher, lower))
    gateway.tick(101.0)
    gateway.tick(60.0)
    assert gateway.states() == {"higher@1": "applied", "lower@1": "refused"}
    assert gateway.codes()["lower@1"] == "outside-envelope"
    assert gateway.param("pumps", "lead_start_m") == 1.8
    gateway.offer(bundle(higher, lower, generation=2))
    gateway.tick(1.0)
    assert gateway.states()["lower@1"] == "refused"


def test_when_the_clock_is_lost_only_local_consent_opens_the_door() -> None:
    gateway = Gateway()
    gateway.trust, gateway.utc = LOST, 0.0
    assert gateway.offer(bundle(paper())).code == "clock-untrusted"
    gateway.tick(1.0)
    assert gateway.states() == {}
    assert gateway.offer(bundle(paper(max_age_s=300.0)), confirmed=True).accepted
    gateway.tick(1.0)
    assert gateway.states() == {"event@1": "applied"}
    gateway.tick(300.0)
    assert gateway.states() == {"event@1": "ended"}


def test_what_was_offered_without_a_clock_is_taken_when_the_clock_is_trusted() -> None:
    gateway = Gateway()
    gateway.trust = LOST
    gateway.offer(bundle(paper()))
    gateway.tick(50.0)
    gateway.trust = SYNCED
    gateway.tick(60.0)
    assert gateway.states() == {"event@1": "applied"}
    assert gateway.life.reported()["refused"] is None


def test_a_document_for_no_loop_of_this_gateway_is_idle() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(kind="lighting.full_night", params={"on_below_deg": -2.0})))
    gateway.tick(101.0)
    assert gateway.states() == {"event@1": "idle"}


def test_a_newer_version_follows_at_its_instant_and_a_fallback_after_the_end() -> None:
    gateway = Gateway()
    newer = paper(
        version=2, valid_from=T0 + 100.0, not_after=T0 + 200.0, fallback="calm", params={"boost_pct": 70.0}
    )
    calm = paper(id="calm", params={"boost_pct": 40.0})
    gateway.offer(bundle(paper(), newer, calm))
    seen = []
    for _ in range(4):
        gateway.tick(101.0)
        seen.append((gateway.param("lamps", "boost_pct"), tuple(gateway.states().values())))
    assert seen == [
        (90.0, ("applied", "armed", "armed")),
        (70.0, ("superseded", "applied", "armed")),
        (40.0, ("superseded", "ended", "applied")),
        (40.0, ("superseded", "ended", "applied")),
    ]


@pytest.mark.parametrize("reboot", [False, True])
def test_it_survives_a_restart_with_the_age_it_had(reboot: bool) -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(max_age_s=600.0), storm(), generation=5))
    gateway.tick(101.0)
    gateway.tick(200.0)
    state = json.loads(json.dumps(gateway.life.snapshot()))
    again = Gateway(state)
    again.now, again.utc = (3.0, gateway.utc) if reboot else (gateway.now, gateway.utc)
    applied = again.tick()
    assert {one.loop for one in applied} == set(LOOPS), "every loop is given anew"
    assert again.life.reported() == gateway.life.reported()
    assert again.offer(bundle(paper(), generation=4)).code == "older-generation"
    again.tick(399.0)
    assert again.states()["event@1"] == "applied"
    again.tick(1.0)
    assert again.states()["event@1"] == "ended"


def test_a_document_that_newer_software_does_not_know_is_refused_and_not_fatal() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(), storm()))
    gateway.tick(101.0)
    kinds = {name: kind for name, kind in KINDS.items() if name != "water.level"}
    life = PolicyLife(PLACE, LOOPS, kinds, lambda loop, overrides: {})
    life.restore(gateway.life.snapshot())
    life.tick(gateway.now, gateway.utc, SYNCED)
    assert {(one["id"], one["state"]) for one in life.reported()["documents"]} == {
        ("event", "applied"),
        ("storm", "refused"),
    }


def test_a_loop_that_cannot_be_built_at_all_stays_as_it_is() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper()))
    gateway.tick(101.0)

    def broken(loop: str, overrides: dict[str, dict[str, Any]]) -> Any:
        if loop == "pumps":
            raise ParamError("water.level", "lead_start_m", "broken by hand")
        return {}

    life = PolicyLife(PLACE, LOOPS, KINDS, broken)
    life.restore(gateway.life.snapshot())
    assert {one.loop for one in life.tick(gateway.now, gateway.utc, SYNCED)} == {"lamps", "lamps-2"}


def test_a_scan_in_which_nothing_is_due_builds_nothing() -> None:
    gateway = Gateway()
    gateway.offer(bundle(paper(), storm()))
    gateway.tick(101.0)
    staged = gateway.staged
    for _ in range(100):
        assert gateway.tick(1.0) == ()
    assert gateway.staged == staged


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.0, 500.0)),
        st.tuples(st.just("offer"), st.integers(0, 31)),
        st.tuples(st.just("again"), st.just(0)),
        st.tuples(st.just("lose-clock"), st.just(0)),
        st.tuples(st.just("find-clock"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("reboot"), st.just(0)),
    ),
    max_size=25,
)
SHELF = (
    paper(max_age_s=700.0),
    storm(max_age_s=400.0, params={"lead_start_m": 1.8}),
    storm(id="lower", valid_from=T0 + 300.0, params={"lag_start_m": 1.6}),
    storm(version=2, valid_from=T0 + 600.0, fallback="lower"),
    paper(id="wrong", params={"on_below_deg": -8.0}),
)


AGES = {"event@1": 700.0, "storm@1": 400.0}


@settings(deadline=None, max_examples=150)
@given(EVENTS)
def test_no_interleaving_leaves_the_envelope_or_outlives_an_age(events: list[tuple[str, Any]]) -> None:
    gateway, generation, last = Gateway(), 0, bundle(generation=1)
    served: dict[str, float] = {}
    for what, how in events:
        waited = 0.0
        if what == "wait":
            waited = how
        elif what == "offer":
            generation += 1
            last = bundle(*[one for bit, one in enumerate(SHELF) if how >> bit & 1], generation=generation)
            gateway.offer(last)
        elif what == "again":
            gateway.offer(last)
        elif what == "lose-clock":
            gateway.trust = LOST
        elif what == "find-clock":
            gateway.trust = SYNCED
        else:
            state = json.loads(json.dumps(gateway.life.snapshot()))
            loops, now, utc, trust = gateway.loops, gateway.now, gateway.utc, gateway.trust
            gateway = Gateway(state)
            gateway.utc, gateway.trust = utc, trust
            gateway.now = now if what == "restart" else 1.0
            gateway.loops = loops
        before = gateway.states()
        gateway.tick(waited)
        states = gateway.states()
        for key, state_word in states.items():
            if state_word in ("applied", "idle"):
                served[key] = served.get(key, 0.0) + (waited if before.get(key) == state_word else 0.0)
                assert served[key] < AGES.get(key, 1e9) + 1e-6
            else:
                served.pop(key, None)
        assert states.get("wrong@1", "refused") == "refused"
        floor = gateway.life.reported()["generation"]
        assert floor <= max(generation, 1)
        for name, loop in gateway.loops.items():
            # What runs is what is reported, over the local default, and can be built.
            told = gateway.life.reported()["effective"].get(name, {})
            ours = {param: one["value"] for params in told.values() for param, one in params.items()}
            (running,) = loop.effective().values()
            assert running == {**loop.defaults[0], **ours}
            if name == "pumps":
                assert running["lead_start_m"] < running["lag_start_m"]
