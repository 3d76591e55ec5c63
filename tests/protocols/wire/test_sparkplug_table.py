"""The table of docs/sparkplug.md holds every assertion of the specification, and says of each what is true."""

import re
from collections import Counter
from pathlib import Path

import pytest
from tests.protocols.wire.test_sparkplug_edge import CHECKS as MESSAGES
from tests.protocols.wire.test_sparkplug_edge_link import CHECKS as LINK
from tests.protocols.wire.test_sparkplug_host import HOST_CHECKS

ROOT = Path(__file__).parents[3]
ASSERTIONS = 300
"""Ids of the specification 3.0.0, with both spellings of the one that it spells in two ways."""
TEXT = (ROOT / "docs" / "sparkplug.md").read_text()
ROW = re.compile(r"^\| `(tck-id-[A-Za-z0-9-]+)` \| ([a-z ]+) \| (.*) \|$", re.MULTILINE)
ROWS = {name: (state, why) for name, state, why in ROW.findall(TEXT)}


def test_every_assertion_stands_there_once() -> None:
    assert len(ROWS) == len(ROW.findall(TEXT)) == TEXT.count("| `tck-id-") == ASSERTIONS


@pytest.mark.parametrize(
    ("state", "checks"),
    [("tested", {**MESSAGES, **LINK}), ("host tested", HOST_CHECKS)],
    ids=["edge", "host"],
)
def test_what_is_called_tested_has_its_test(state: str, checks: dict[str, object]) -> None:
    told = {name: why for name, (given, why) in ROWS.items() if given == state}
    assert told == {name: f"`{check.__name__}`" for name, check in checks.items()}  # type: ignore[attr-defined]
    assert not set(MESSAGES) & set(LINK)


def test_what_is_tested_elsewhere_is_there() -> None:
    places = [why for given, why in ROWS.values() if given.endswith("elsewhere")]
    assert places
    for place in places:
        file, _, name = place.strip("`").partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()


def test_what_is_not_tested_has_its_reason() -> None:
    for name, (state, why) in ROWS.items():
        assert why, name
        if state == "not used":
            assert "template" in name or "dataset" in name
        else:
            assert state in ("tested", "elsewhere", "operator") or state.startswith(("host ", "broker"))


def test_the_summary_counts_the_table() -> None:
    counted = Counter(state for state, _ in ROWS.values())
    (line,) = re.findall(r"^\| edge node .*$", TEXT, re.MULTILINE)
    edge = [counted[state] for state in ("tested", "elsewhere", "not used", "operator")]
    assert [int(number) for number in re.findall(r"\d+", line)] == [sum(edge), *edge]
    (line,) = re.findall(r"^\| host application .*$", TEXT, re.MULTILINE)
    host = [counted[f"host {state}"] for state in ("tested", "elsewhere", "not used", "operator")]
    assert [int(number) for number in re.findall(r"\d+", line)] == [sum(host), *host]
    (line,) = re.findall(r"^\| broker .*$", TEXT, re.MULTILINE)
    assert [int(number) for number in re.findall(r"\d+", line)] == [counted["broker"]]
