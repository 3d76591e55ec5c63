"""JSON Schemas of the files people write, for their editors: ``python -m vigie_protocols.schemas FOLDER``."""

import sys
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from vigie_protocols.gateway import Gateway
from vigie_protocols.profile import Profile
from vigie_protocols.yamlfile import json_schema

SCHEMAS: Final[dict[str, tuple[type[BaseModel], str]]] = {
    "profile": (Profile, "Vigie device profile"),
    "gateway": (Gateway, "Vigie gateway file"),
}
"""File name -> (model, title)."""


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (model, title) in SCHEMAS.items():
        path = folder / f"{name}.json"
        path.write_text(json_schema(model, title), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "firmware-config/schema"))
