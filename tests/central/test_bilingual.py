"""The operator's commands speak French and English side by side: every help text, every heading, every message."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from vigie_central import cli, server_cli
from vigie_protocols.errors import InputError

SAME = {"debug, info, warning, error.", "Show this message and exit."}  # words of the system; Click's own


def texts(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where a help text stands, and the text."""
    yield path, command.help or ""
    for parameter in command.params:
        if getattr(parameter, "help", None):
            yield f"{path} {parameter.name}", parameter.help
    for name, inner in getattr(command, "commands", {}).items():
        yield from texts(inner, f"{path} {name}")


@pytest.mark.parametrize(("name", "app"), [("vigie", cli.app), ("vigie-central", server_cli.app)])
def test_every_help_text_is_in_both_languages(name: str, app: Any) -> None:
    found = list(texts(get_command(app), name))
    assert len(found) > 10
    assert [where for where, text in found if " / " not in text and text not in SAME] == []


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (cli.app, ["fleet", "--state", "nowhere"]),
        (cli.app, ["policy", "push", "nothing.yaml", "--scope", "moon"]),
        (server_cli.app, ["run", "--state", "nowhere"]),
        (server_cli.app, ["init", "--state", "/dev/null/x"]),
    ],
)
def test_what_is_wrong_and_what_to_do_is_told_in_both_languages(
    app: Any, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIGIE_STATE", raising=False)
    monkeypatch.delenv("VIGIE_URL", raising=False)
    told = CliRunner().invoke(app, words).exception
    assert isinstance(told, InputError), told
    for problem in told.problems:
        assert " / " in problem.reason, problem
        assert " / " in problem.remedy, problem


def test_headings_are_in_both_languages(central: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_STATE", str(central.state))
    monkeypatch.setattr(cli.out, "width", 300)
    for words in (["fleet"], ["policy", "status"]):
        shown = CliRunner().invoke(cli.app, words)
        assert shown.exit_code == 0, shown.output
        headings = [word.strip(" ┃") for word in shown.stdout.splitlines()[1].split("┃") if word.strip()]
        assert len(headings) > 4
        assert [word for word in headings if " / " not in word and word != "district"] == []
