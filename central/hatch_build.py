"""Build hook: puts the built console into wheels; builds it when VIGIE_WEB=1 asks for it."""

import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        static = Path(self.root) / "central" / "vigie_central" / "static"
        if os.environ.get("VIGIE_WEB") == "1" and not (static / "index.html").exists():
            subprocess.run(["make", "web"], cwd=self.root, check=True)
        if version == "standard" and static.is_dir():
            build_data["artifacts"].append("central/vigie_central/static/**")
