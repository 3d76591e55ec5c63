"""What vigie-edge says of files and command lines can be read in French: every text in the sources has its French."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.sourcetexts import assigned, shapes

from vigie_edge import loopcheck
from vigie_edge.cli import app
from vigie_edge.french import CATALOGUE, french
from vigie_protocols import yamlfile

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("protocols/vigie_protocols", "controllers/vigie_controllers", "edge/vigie_edge")
# Files whose texts a checker of gateway files and profiles never meets: policies, brokers, devices, the wire.
ELSEWHERE = (
    "sparkplug/", "policy/", "broker", "mqtt", "opcua/", "modbus/", "lockstep", "localsocket", "framing", "channel",
    "gate.py", "replay.py", "journal/", "memory/", "intake", "processes/", "ranges.py",
    "strictjson.py", "points.py", "image.py", "pointcodec.py", "status.py", "metrics.py", "peers.py",
    "measures/", "neighbours.py", "telling", "trial.py", "statefiles", "envelope.py", "driver",
)  # fmt: skip
# Who says something -> places of its texts among the arguments (from 0).
SAYS: Mapping[str, tuple[int, ...]] = {
    "wrong": (0, 1),
    "Problem": (3, 4),
    "problem_at": (2, 3),
    "input_error": (3, 4),
    "Flaw": (2, 3),
    "_problem": (1, 2),
    "ParamError": (2,),
    "LeaseRefused": (1,),
    "ValueError": (0,),
}


def told() -> Iterator[tuple[str, str]]:
    """Place and shape of everything that is said of a file or a command line."""
    for file in sorted(one for source in SOURCES for one in (ROOT / source).rglob("*.py")):
        if any(part in str(file.relative_to(ROOT)).partition("/vigie_")[2] for part in ELSEWHERE):
            continue
        for scope in ast.walk(ast.parse(file.read_text())):
            if not isinstance(scope, ast.FunctionDef):
                continue
            local = assigned(scope)
            reasons = (
                ast.unparse(scope.returns) in ("str | None", "Iterator[str]") if scope.returns else False
            )
            for node in ast.walk(scope):
                where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "attr", "") == "leans":
                    texts = [
                        one for one in ast.walk(node.value) if isinstance(one, ast.JoinedStr | ast.Constant)
                    ]
                    found = [shape for one in texts for shape in shapes(one, local) if "; " in shape]
                    yield from ((where, max(found, key=len)) for _ in found[:1])
                if reasons and isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                    yield from ((where, shape) for shape in shapes(node.value, local) if " " in shape)
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    for place in SAYS.get(name, ()):
                        if len(node.args) > place:
                            yield from ((where, shape) for shape in shapes(node.args[place], local))


NOT_OF_FILES = re.compile(
    r"(the|\{\}:|\w+:) (snapshot|profile) (has|is|belongs).*|.*another site"
    r"|.*(is no level|lamp states for|is no lamp state|conflict but show|a speed of|outside its range).*"
    r"|a decision in another.*|decisions of more than.*|.*controller's to say|.*other controllers"
    r"|.*no plausible UTC"
    r"|.* is (above|below) \{\}.*|is \{\}|no such roles.*"
)
# Files of the coordinator's own keys, which no gateway has.
KEYS = (
    "it exists already", "Move it away", "not an Ed25519", "not a PEM", "Use a key", "Restore it", "Run init",
    "unreadable",
)  # fmt: skip


KEYS_OF_CATALOGUE = [
    one for group in json.loads(CATALOGUE.read_text(encoding="utf-8")).values() for one in group if "{" in one
]


def in_french(shape: str) -> bool:
    """Whether a text has its French: whole, or as reason and advice, which ``check`` takes apart at a semicolon."""
    reason, semicolon, advice = shape.replace("{}", "7").partition("; ")
    whole = f"{reason}{semicolon}{advice}"
    if french(whole) != whole:
        return True
    pieces = [reason, *([f"{advice[0].upper()}{advice[1:]}."] if advice else [])]
    if all(french(one) != one for one in pieces):
        return True
    # One that is filled in with a few words alone stands in the catalogue with each of them.
    last = shape.partition("; ")[0].split(": ")[-1]
    pattern = ".+".join(map(re.escape, last.split("{}")))
    known = any(re.fullmatch(pattern, re.sub(r"\{\ds?\}", "7", one)) for one in KEYS_OF_CATALOGUE)
    return known and re.search("[a-z]{2}", last) is not None


def test_every_text_in_the_sources_has_its_french() -> None:
    found = [
        (where, shape)
        for where, shape in told()
        if not NOT_OF_FILES.fullmatch(shape)
        and not shape.startswith(KEYS)
        and re.search("[a-z]", shape.removeprefix("params").removeprefix("site.time_zone"))
    ]
    assert len(found) > 230
    missing = [(where, shape) for where, shape in found if not in_french(shape)]
    assert missing == [], "add their French to edge/vigie_edge/sentences.fr.json"


def test_the_tables_of_remedies_have_theirs() -> None:
    for text in (*(words for _, words in loopcheck._REMEDIES), *yamlfile._REMEDIES.values()):
        assert french(text) != text


def test_each_sentence_stands_once() -> None:
    keys: list[str] = []

    def collect(rows: list[tuple[str, Any]]) -> None:
        keys.extend(key for key, value in rows if value is not None)  # None: a group, collected already

    json.loads(CATALOGUE.read_text(encoding="utf-8"), object_pairs_hook=collect)
    assert sorted(keys) == sorted(set(keys))


def test_templates_take_what_they_give() -> None:
    for group in json.loads(CATALOGUE.read_text(encoding="utf-8")).values():
        for english, target in group.items():
            places = set(re.findall(r"\{(\d)s?\}", english))
            assert places == set(re.findall(r"\{(\d)\}", target)), english


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("missing", "manque"),
        ("Did you mean 'port'?", "Vouliez-vous dire 'port'?"),
        ("the safe value 'x' is not true or false", "la valeur sûre 'x' n'est ni true ni false"),
        ("Value error, from_h is not before to_h", "from_h n'est pas avant to_h"),
        ("Input should be 'N', 'E' or 'O'", "doit être 'N', 'E' ou 'O'"),
        ("peds: phase 3 has no pedestrian service", "peds: la phase 3 n'a pas de service piéton"),
        ("bad-plan: no plan 'x'", "bad-plan: pas de plan 'x'"),
        (
            "ValueError: nothing is latched for pump 1 of loop s",
            "ValueError: rien n'est verrouillé pour pump 1 de la boucle s",
        ),
        (
            "st/gate is held by A. Roy for 40 s more: essai",
            "st/gate est tenu par A. Roy encore 40 s: essai",
        ),
        ("some library's own words", "some library's own words"),
        ("", ""),
        ("{0} {1s}", "{0} {1s}"),
    ],
)
def test_sentences(said: str, wanted: str) -> None:
    assert french(said) == wanted


BAD = """\
gateway: GW 1
site: {name: x, lat: 95, lon: -73.6}
links:
  plc: {protocol: modbus, prot: 1502}
devices:
  - {name: a, profile: pump-station-duplex, link: plc}
  - {name: a, profile: nothing-like-it, link: other}
loops:
  - {name: l, domain: water, period_s: 1, site: {}, points: {level: a/nowhere}, controllers: [{kind: water.level}]}
"""


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("fr", ["ne suit pas le motif", "doit être d'au plus 90", "champ inconnu. Vouliez-vous dire 'port'?",
                "pas de nothing-like-it.yaml dans", "aucun lien de ce nom; connus: plc"]),
        ("en", ["String should match pattern", "less than or equal to 90", "unknown field. Did you mean 'port'?",
                "no nothing-like-it.yaml in", "no such link; known: plc"]),
    ],
)  # fmt: skip
def test_check_speaks_the_language_that_is_wanted(tmp_path: Path, language: str, says: list[str]) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text(BAD)
    command = [sys.executable, "-m", "vigie_edge.cli", "check", str(file)]
    run = subprocess.run(
        command, env={**os.environ, "VIGIE_LANG": language}, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 2
    for words in says:
        assert words in run.stderr, run.stderr
    if language == "fr":
        assert not re.search(r"\b(the|should|no such|unknown)\b", run.stderr), run.stderr


def test_every_help_is_in_both_languages() -> None:
    missing = []
    for path, command in walk(typer.main.get_command(app), "vigie-edge"):
        texts = {path: command.help}
        for one in command.params:
            if one.name != "help":
                texts[f"{path} {one.name}"] = getattr(one, "help", None)
        missing += [where for where, text in texts.items() if " / " not in (text or "")]
    assert missing == []


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, f"{path} {name}")
