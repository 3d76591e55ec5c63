"""What to simulate: a ``.sumocfg`` or a bare network, as options for libsumo.

Only what describes the scenario is taken from a foreign configuration; its outputs, logs and seeds are
not, so that a run writes nothing beside the input and repeats itself.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from vigie_protocols.errors import input_error
from vigie_sim.traffic.network import parse_xml

DEFAULT_DURATION = 3600.0
_OWN = frozenset(
    (
        *("net-file", "route-files", "additional-files", "begin", "end", "seed", "random", "step-length"),
        *(
            "time-to-teleport",
            "collision.action",
            "configuration-file",
            "save-configuration",
            "output-prefix",
        ),
        *("no-step-log", "step-log.period", "no-warnings", "verbose", "log", "message-log", "error-log"),
        *("duration-log.disable", "no-duration-log", "duration-log.statistics", "human-readable-time"),
        *("xml-validation", "xml-validation.net", "xml-validation.routes", "write-license"),
        *("remote-port", "num-clients", "start", "quit-on-end", "threads", "device.rerouting.threads"),
    )
)
"""Options that the simulator sets itself or that only say where to write."""


@dataclass(frozen=True, slots=True)
class SumoRun:
    """One scenario. begin, end: SUMO's seconds; extra: further options of the configuration, as given."""

    source: Path
    net: Path
    routes: tuple[Path, ...] = ()
    additional: tuple[Path, ...] = ()
    begin: float = 0.0
    end: float = DEFAULT_DURATION
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def duration(self) -> float:
        """Simulated seconds from begin to end."""
        return self.end - self.begin

    def arguments(self) -> list[str]:
        """Command line options for SUMO."""
        options = ["--net-file", str(self.net), "--begin", f"{self.begin:g}", "--end", f"{self.end:g}"]
        if self.routes:
            options += ["--route-files", ",".join(map(str, self.routes))]
        if self.additional:
            options += ["--additional-files", ",".join(map(str, self.additional))]
        for name, value in self.extra:
            options += [f"--{name}", value]
        return options


def read_run(path: Path) -> SumoRun:
    """A ``.sumocfg``, or a ``.net.xml`` alone (no demand); raises InputError naming what is wrong.

    ``.gz`` is understood everywhere.
    """
    root = parse_xml(path, "scenario")
    if root.tag == "net":
        return SumoRun(path, path)
    if root.tag not in ("configuration", "sumoConfiguration"):
        raise input_error(
            str(path),
            "root element",
            root.tag,
            "is neither a SUMO configuration nor a network",
            "Give a .sumocfg or a .net.xml file",
        )
    options = dict(_options(root))
    net = options.get("net-file", "")
    if not net:
        raise input_error(
            str(path), "net-file", None, "is missing", 'Add <net-file value="..."/> under <input>'
        )
    begin = _seconds(path, "begin", options.get("begin", "0"))
    end = _seconds(path, "end", options["end"]) if "end" in options else begin + DEFAULT_DURATION
    if end < 0:
        end = begin + DEFAULT_DURATION
    if end <= begin:
        raise input_error(str(path), "end", f"{end:g}", f"is not after begin ({begin:g})", "Give a later end")
    extra = []
    for name, value in options.items():
        if name in _OWN or "output" in name or name.startswith(("gui", "report")):
            continue
        if name.endswith(("-file", "-files")):
            value = ",".join(map(str, _files(path, name, value)))
        extra.append((name, value))
    return SumoRun(
        path,
        _files(path, "net-file", net)[0],
        _files(path, "route-files", options.get("route-files", "")),
        _files(path, "additional-files", options.get("additional-files", "")),
        begin,
        end,
        tuple(extra),
    )


def _options(root: ET.Element) -> list[tuple[str, str]]:
    found = []
    for element in root.iter():
        value = element.get("value", element.get("v"))
        if value is not None:
            found.append((_FULL.get(element.tag, element.tag), value))
    return found


_FULL = {
    "net": "net-file",
    "n": "net-file",
    "route": "route-files",
    "r": "route-files",
    "b": "begin",
    "e": "end",
    "additional": "additional-files",
    "a": "additional-files",
}


def _files(path: Path, field: str, text: str) -> tuple[Path, ...]:
    files = []
    for part in text.replace(",", " ").split():
        file = path.parent / part
        if not file.is_file():
            raise input_error(
                str(path), field, part, "there is no such file beside the configuration", "Check the name"
            )
        files.append(file)
    return tuple(files)


def _seconds(path: Path, field: str, text: str) -> float:
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError as error:
        raise input_error(str(path), field, text, "is no time", "Write seconds or h:m:s") from error
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds
