"""``vigie-sim scaffold controller``: a package with one pure controller, its parameters, test and page."""

from pathlib import Path

from vigie_protocols.errors import input_error
from vigie_sim.scaffold.domains import DOMAINS
from vigie_sim.scaffold.writing import check_name, class_of, module_of, title_of, write_all

_PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "{title}: a controller for Vigie's {domain} loops."
requires-python = ">=3.11"
dependencies = ["vigie"]

# The name is the kind that a gateway file and a policy write.
[project.entry-points."vigie.controllers"]
"{domain}.{name}" = "{package}:KIND"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

_INIT = '''\
"""{title}: a controller for Vigie's {domain} loops."""

from {package}.controller import KIND

__all__ = ["KIND"]
'''

_README = """\
# {domain}.{name}

What it is for, in a sentence, and where its rule comes from (standard, paper, practice of the house).

| parameter | default | meaning |
|---|---|---|
{parameters}
It asks; the guard decides. {silence}

## Use
Install it beside the agent, print its line with `vigie-edge packages`, and put that into the gateway file:

```yaml
packages:
  - {{distribution: {distribution}, sha256: ...}}    # as vigie-edge packages prints it
loops:
  - name: ...
    domain: {domain}
    controllers:
      - {{kind: {domain}.{name}, params: {{}}}}
      - {{kind: {fallback}}}                        # speaks when this one cannot
```

`vigie-edge check` refuses the file when the installed code is not the code of that hash.
"""


def scaffold_controller(name: str, domain: str, folder: Path | None) -> list[Path]:
    """Write a package with the kind ``DOMAIN.NAME`` to ``folder`` (default: ``./NAME``); raises InputError."""
    from vigie_controllers.registry import KINDS

    check_name(name)
    if domain not in DOMAINS:
        reason, remedy = "domaine inconnu / unknown domain", f"Prendre / Take one of {', '.join(DOMAINS)}."
        raise input_error("vigie-sim scaffold", "--domain", domain, reason, remedy)
    if f"{domain}.{name}" in KINDS:
        reason = "est une sorte livrée / is a built-in kind"
        remedy = "Prendre un autre nom / Take another name."
        raise input_error("vigie-sim scaffold", "NAME", name, reason, remedy)
    parts = DOMAINS[domain]
    package = f"vigie_{module_of(name)}"
    words = {
        "name": name,
        "domain": domain,
        "distribution": f"vigie-{name}",
        "package": package,
        "kind": class_of(name),
        "title": title_of(name),
        "parameters": parts.parameters,
        "silence": parts.silence,
        "fallback": parts.fallback,
    }
    files = {
        "pyproject.toml": _PROJECT.format(**words),
        "README.md": _README.format(**words),
        f"{package}/__init__.py": _INIT.format(**words),
        f"{package}/controller.py": parts.controller.format(**words),
        f"test_{module_of(name)}.py": parts.test.format(**words),
    }
    return write_all(Path(name) if folder is None else folder, files)
