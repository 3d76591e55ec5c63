"""Policy files as people write them (YAML or JSON), and as they are signed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vigie_central.policies.check import Checked, check_document, parse_scope, scope_text
from vigie_central.wording import WRITE_FIELDS
from vigie_controllers.policy.document import CITY
from vigie_protocols.channel import PAYLOAD_TYPES
from vigie_protocols.envelope import sign
from vigie_protocols.errors import FrameError, InputError, input_error
from vigie_protocols.keys import SigningKey
from vigie_protocols.strictjson import dump_json, parse_strict_json
from vigie_protocols.yamlfile import Document, read_yaml


def read_policy(path: Path, scope: str | None = None) -> Checked:
    """The document in a file; ``scope`` fills in the one it leaves out. Raises InputError with lines."""
    source = read_yaml(path)
    data = source.data
    if not isinstance(data, dict):
        raise input_error(
            str(path), "file", None, "aucun document de politique / no policy document", WRITE_FIELDS
        )
    if scope is not None:
        data = {**data, "scope": _join_scope(path, data.get("scope"), scope)}
    try:
        return check_document(data, str(path))
    except InputError as error:
        raise InputError(replace(each, line=_line(source, each.field)) for each in error.problems) from None


def sign_policy(checked: Checked, key: SigningKey) -> bytes:
    """The signed envelope of a document."""
    return sign(PAYLOAD_TYPES["policy"], dump_json(checked.body), [key])


def read_envelope(path: Path) -> dict[str, Any] | None:
    """The signed envelope in a file, None when the file holds something else."""
    try:
        data = parse_strict_json(path.read_bytes())
    except (FrameError, OSError):
        return None
    return data if isinstance(data, dict) and "payloadType" in data and "signatures" in data else None


def _join_scope(path: Path, written: Any, asked: str) -> dict[str, str]:
    wanted = parse_scope(asked, CITY)
    if written is None:
        return wanted
    if isinstance(written, dict) and isinstance(written.get("level"), str):
        here = scope_text(written["level"], str(written.get("name", "")))
        if here == scope_text(wanted["level"], wanted["name"]):
            return {str(name): value for name, value in written.items()}
        raise input_error(
            str(path),
            "scope",
            here,
            f"pas la portée demandée / not the scope asked for, {asked}",
            "Corriger le fichier ou / Correct the file, or --scope.",
        )
    return wanted


def _line(source: Document, field: str) -> int | None:
    return source.line(tuple(int(part) if part.isdigit() else part for part in field.split(".")))
