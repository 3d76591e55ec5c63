"""Options and arguments that several commands of ``vigie-edge`` share, each told in French and in English."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path,
    typer.Option("--config", "-c", help="Fichier de passerelle / Gateway file (YAML).", exists=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="En JSON / As JSON.")]
Directory = Annotated[Path, typer.Argument(help="Dossier d'un journal / A journal's directory.")]
Files = Annotated[
    list[Path], typer.Argument(help="Fichiers de passerelle ou profils / Gateway files or profiles.")
]
CLOCK_HELP = (
    "UTC est tenu par un autre / UTC is kept by somebody else (a container's host) and may be trusted."
)
SINGLE_HELP = "Tout en un processus, pour essais / All parts in one process, for development; not for duty."
TTL_HELP = "Durée en secondes / Seconds to live."
LEASE_ID_HELP = "Tel que donné par take ou list / As lease take or lease list gave it."
EXPORT_HELP = "Un enregistrement par ligne, en JSON / Every record as a line of JSON."
ONLY_HELP = "telemetry ou replay, sinon les deux / telemetry or replay; both when empty."
