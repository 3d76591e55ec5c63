"""The form of documents: what is taken and what is refused, with which code."""

import math
from typing import Any

import pytest
from tests.controllers.policy.papers import PLACE, T0, bundle, paper, storm

from vigie_controllers.policy.document import PolicyRefused, Scope, parse_bundle, parse_document
from vigie_controllers.registry import KINDS


def test_a_full_document_is_taken_as_it_is() -> None:
    raw = paper(
        priority=5,
        max_age_s=600,
        fallback="calm",
        preconditions=[{"need": "kind", "name": "lighting.astro"}],
        loops=["lamps"],
        params={
            "boost_pct": 90,
            "dims": [{"from_h": -1, "to_h": 2, "level_pct": 50}],
            "photocell_on_lux": None,
        },
        evidence=[{"scenario": "district", "seed": 7, "sha256": "0" * 64}],
        title={"fr": "Match au stade", "en": "Stadium match"},
    )
    document = parse_document(raw, KINDS)
    assert document.key == "event@1"
    assert document.params == raw["params"]


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"colour": "red"}, "bad-document", "colour"),
        ({"version": 0}, "bad-document", "version"),
        ({"id": "Event"}, "bad-document", "id"),
        ({"scope": {"level": "planet", "name": "earth"}}, "bad-document", "scope.level"),
        ({"not_after": T0}, "bad-document", "not_after"),
        ({"fallback": "event"}, "bad-document", "fallback"),
        ({"max_age_s": 0}, "bad-document", "max_age_s"),
        ({"valid_from": math.nan}, "bad-document", "JSON"),
        ({"params": {"boost": 3}}, "bad-document", "params.boost: unknown"),
        ({"params": {"boost_pct": 101}}, "bad-document", "params.boost_pct"),
        ({"params": {"boost_pct": "90"}}, "bad-document", "params.boost_pct"),
        ({"params": {"boost_pct": True}}, "bad-document", "params.boost_pct"),
        ({"params": {"dims": [{"from_h": 2, "to_h": 1, "level_pct": 50}]}}, "bad-document", "params.dims"),
        ({"params": {"boost_pct": object()}}, "bad-document", "JSON"),
        ({"title": {"de": "x"}}, "bad-document", "title"),
        ({"title": {"fr": "é" * 20_000}}, "bad-document", "bytes"),
        ({"kind": "lighting.disco"}, "unknown-kind", "lighting.full_night"),
    ],
)
def test_what_is_wrong_is_refused_by_name(changed: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(PolicyRefused) as error:
        parse_document(paper(**changed), KINDS)
    assert error.value.code == code
    assert said in error.value.reason


def test_parameters_without_a_default_may_come_alone() -> None:
    assert parse_document(storm(params={"lead_start_m": 1.2}), KINDS).params == {"lead_start_m": 1.2}


@pytest.mark.parametrize(
    "raw", [{}, bundle(generation=0), bundle(extra=1), bundle(*[paper(id=f"p{n}") for n in range(65)])]
)
def test_a_wrong_bundle_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused, match="bundle"):
        parse_bundle(raw)


@pytest.mark.parametrize(
    ("level", "name", "within"),
    [
        ("city", "mtl", True),
        ("city", "qc", False),
        ("district", "est", True),
        ("site", "gw-1", True),
        ("site", "est", False),
    ],
)
def test_a_place_is_within_its_scopes(level: Any, name: str, within: bool) -> None:
    assert PLACE.within(Scope(level=level, name=name)) is within
