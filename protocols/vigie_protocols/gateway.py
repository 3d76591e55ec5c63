"""The gateway file: what one gateway is, what hangs on its links, which loops it runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from vigie_protocols.errors import InputError, Problem
from vigie_protocols.packages import Flaw, Offer, Package
from vigie_protocols.profile import DEVICE_NAME, BothLanguages, PointDecl, Profile, Protocol, load_profile
from vigie_protocols.strict import Strict
from vigie_protocols.yamlfile import Document, Place, read_yaml, validate, wrong


def _beside(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path.expanduser()


PathBeside = Annotated[Path, AfterValidator(_beside)]
"""A path; relative ones are relative to the file they stand in."""


_LEAST_SCANS = 2.5


class Site(Strict):
    """Where the gateway stands."""

    name: BothLanguages
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    district: str = ""


class Tls(Strict):
    """TLS of an MQTT connection: the authority to trust, and our own certificate if the broker asks one."""

    authority: PathBeside | None = None
    certificate: PathBeside | None = None
    key: PathBeside | None = None
    server_name: str | None = None


class OpcUaSecurity(Strict):
    """Signed and encrypted sessions. trust: SHA-256 or SHA-1 thumbprints (hex) of server certificates."""

    policy: Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "Basic256Sha256"
    mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    certificate: PathBeside
    key: PathBeside
    trust: tuple[str, ...] = Field(min_length=1)
    application_uri: str | None = None


class Rs485(Strict):
    """The kernel turns the transceiver's direction by RTS, for one that does not do so by itself.

    rts_on_send: RTS is high while we speak, low while we listen; false: the other way round. before_s, after_s: RTS
    stands so long around what we say (whole milliseconds).
    """

    rts_on_send: bool = True
    before_s: float = Field(default=0.0, ge=0, le=0.1)
    after_s: float = Field(default=0.0, ge=0, le=0.1)


class Serial(Strict):
    """A serial line (Modbus RTU)."""

    port: str
    baud: int = Field(default=19200, ge=300)
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1
    rs485: Rs485 | None = None


class Retry(Strict):
    """Exponential back-off with full jitter between ``first_s`` and ``max_s``."""

    first_s: float = Field(default=0.5, gt=0)
    max_s: float = Field(default=5.0, gt=0)


class Link(Strict):
    """One connection to the field.

    url: OPC UA endpoint. host, port: Modbus TCP device or MQTT broker. serial: Modbus RTU.
    timeout_s: budget of one request. in_flight: requests at once (1 unless the device allows more).
    publishing_s, sampling_s: OPC UA subscriptions; 0 polls instead. queue_size: changes of one node that the server
    keeps between two publications, so that pulses do not get lost.
    """

    protocol: Protocol
    url: str | None = None
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    serial: Serial | None = None
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    retry: Retry = Retry()
    in_flight: int = Field(default=1, ge=1, le=64)
    publishing_s: float = Field(default=0.1, ge=0, le=60)
    sampling_s: float | None = Field(default=None, ge=0, le=60)
    queue_size: int = Field(default=16, ge=1, le=1000)
    username: str | None = None
    password_file: PathBeside | None = None
    security: OpcUaSecurity | None = None
    tls: Tls | None = None
    client_id: str | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.protocol == "opcua":
            if self.url is None or not self.url.startswith("opc.tcp://"):
                raise wrong("an OPC UA link needs its endpoint", "Add url: opc.tcp://HOST:PORT/PATH.", "url")
        elif self.protocol == "modbus":
            if (self.host is None) == (self.serial is None):
                raise wrong("a Modbus link needs host or serial", "Add host: and port:, or serial:.", "host")
            if self.serial is not None and self.in_flight > 1:
                raise wrong("a serial line carries one request at a time", "Remove in_flight.", "in_flight")
        elif self.host is None:
            raise wrong("an MQTT link needs its broker", "Add host: and port:.", "host")
        if self.security is not None and self.protocol != "opcua":
            raise wrong("security is for OPC UA", "Use tls: for MQTT.", "security")
        return self

    @property
    def tcp_port(self) -> int:
        """The port, by default the protocol's own."""
        if self.port is not None:
            return self.port
        return 502 if self.protocol == "modbus" else (8883 if self.tls else 1883)


class Device(Strict):
    """One device on a link.

    unit: Modbus unit id. prefix: put before MQTT topics (``PREFIX/topic``) and OPC UA string identifiers
    (``PREFIXname``). namespace: OPC UA namespace, by URI (looked up at connection) or by number.
    """

    name: str = Field(pattern=DEVICE_NAME)
    profile: str
    link: str
    unit: int = Field(default=1, ge=0, le=255)
    prefix: str = ""
    namespace: str | int = 2
    timeout_s: float | None = Field(default=None, gt=0, le=60)
    title: BothLanguages | None = None


class Uplink(Strict):
    """The broker that carries telemetry, policies and commands; without it a gateway runs alone."""

    host: str
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password_file: PathBeside | None = None
    keyring: PathBeside | None = Field(default=None, description="Without it every policy is refused")
    tls: Tls | None = None
    keepalive_s: int = Field(default=30, ge=5, le=600)
    retry: Retry = Retry(first_s=1.0, max_s=60.0)
    live_share: float = Field(default=0.8, gt=0, le=1, description="Share of sending kept for live data")


class JournalSpec(Strict):
    """The journal's place and its two quotas."""

    directory: PathBeside = Field(default=Path("journal"), validate_default=True)
    replay_quota_mb: int = Field(default=256, ge=1)
    telemetry_quota_mb: int = Field(default=256, ge=1)
    segment_mb: int = Field(default=8, ge=1, le=256)
    commit_ms: int = Field(default=200, ge=1, le=10_000)


class Safety(Strict):
    """When field writes every safe value by itself.

    After ``expiry_scans`` scans without a frame from control, or ``max_s`` seconds, whichever comes first;
    never before two scans and a half, or a slow scan would expire between two frames that came in time.
    """

    expiry_scans: int = Field(default=3, ge=1, le=100)
    max_s: float = Field(default=1.0, gt=0, le=60)

    def expiry_s(self, scan_s: float) -> float:
        """Seconds an output frame lives with scans ``scan_s`` apart."""
        return max(min(self.expiry_scans * scan_s, self.max_s), _LEAST_SCANS * scan_s)


class Gateway(Strict):
    """One gateway, as its file says. ``loops`` are checked one floor up, by the controllers' own models."""

    gateway: str = Field(pattern=DEVICE_NAME)
    group: str = Field(default="vigie", pattern=DEVICE_NAME)
    site: Site
    profiles: PathBeside | None = None
    links: dict[str, Link] = Field(min_length=1)
    devices: tuple[Device, ...] = Field(min_length=1)
    loops: tuple[dict[str, Any], ...] = ()
    packages: tuple[Package, ...] = ()
    uplink: Uplink | None = None
    journal: JournalSpec = Field(default_factory=dict, validate_default=True)
    runtime_dir: PathBeside = Field(default=Path("run"), validate_default=True)
    state_dir: PathBeside = Field(default=Path("state"), validate_default=True)
    scan_s: float = Field(default=0.1, ge=0.01, le=10)
    safety: Safety = Safety()
    metrics_port: int | None = Field(default=None, ge=0, le=65535)

    @model_validator(mode="after")
    def _joined(self) -> Self:
        names: set[str] = set()
        for place, device in enumerate(self.devices):
            if device.name in names:
                raise wrong(
                    f"device {device.name!r} is declared twice", "Rename one.", "devices", place, "name"
                )
            names.add(device.name)
            if device.link not in self.links:
                known = ", ".join(self.links)
                raise wrong(f"no such link; known: {known}", "Name one of links.", "devices", place, "link")
        return self


@dataclass(frozen=True)
class Configuration:
    """A gateway file with everything it names, checked together.

    points: of all devices in the order of the file; their place in this list is the driver's point index.
    """

    file: Path
    gateway: Gateway
    profiles: Mapping[str, Profile]
    points: tuple[PointDecl, ...]

    @property
    def heartbeats(self) -> frozenset[str]:
        """Full names of the watchdog points of all devices."""
        return frozenset(
            f"{device.name}/{watchdog.point}"
            for device in self.gateway.devices
            if (watchdog := self.profiles[device.profile].watchdog) is not None and watchdog.point is not None
        )

    @cached_property
    def by_device(self) -> dict[str, tuple[tuple[int, PointDecl], ...]]:
        """The points of each device with their indices."""
        rows: dict[str, list[tuple[int, PointDecl]]] = {device.name: [] for device in self.gateway.devices}
        for index, decl in enumerate(self.points):
            rows[decl.device].append((index, decl))
        return {name: tuple(row) for name, row in rows.items()}


def gateway_points(gateway: Gateway, profiles: Mapping[str, Profile]) -> list[PointDecl]:
    """Every point of a gateway under its full name, in the order of the file."""
    return [decl for device in gateway.devices for decl in profiles[device.profile].expand(device.name)]


def profile_folders(further: Path | None, file: Path) -> list[Path]:
    """Where profiles are looked for, in order. further: what the file's ``profiles`` names.

    Beside the gateway file, in the folder it names, in ``firmware-config/profiles`` of a source tree, and
    in the copy an installed wheel carries.
    """
    here = Path(__file__).resolve().parent
    folders = [file.resolve().parent, file.resolve().parent / "profiles"]
    if further is not None:
        folders.append(further)
    return [*folders, here.parents[1] / "firmware-config" / "profiles", here / "builtin_profiles"]


def find_profile(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of a profile, or None."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def load_gateway(file: Path) -> Configuration:
    """A gateway file and all profiles it names; raises InputError with every problem found."""
    document = read_yaml(file)
    gateway = validate(document, Gateway, {"base": file.resolve().parent})
    folders = profile_folders(gateway.profiles, file)
    profiles: dict[str, Profile | None] = {}
    problems: list[Problem] = []
    for place, device in enumerate(gateway.devices):
        problems.extend(take_profile(document, place, device.profile, folders, profiles))
        profile = profiles.get(device.profile)
        if profile is not None and profile.protocol != gateway.links[device.link].protocol:
            reason = f"profile {profile.profile} speaks {profile.protocol}, the link does not"
            problems.append(problem_at(document, ("devices", place, "link"), reason, "Take another link."))
    if problems:
        raise InputError(problems)
    good = {name: profile for name, profile in profiles.items() if profile is not None}
    return Configuration(file, gateway, good, tuple(gateway_points(gateway, good)))


def problem_at(document: Document, place: Place, reason: str, remedy: str) -> Problem:
    """A problem of what stands at ``place`` in a file, with its line."""
    value = document.data
    for part in place:
        value = value[part]
    field = ".".join(map(str, place))
    return Problem(document.file, field, repr(value), reason, remedy, document.line(place))


def package_problems(
    document: Document, flaws: Iterable[Flaw], refused: Iterable[tuple[Offer, str]]
) -> list[Problem]:
    """What is wrong with the packages that a file names in ``packages``, with its line there.

    flaws: of the packages themselves; refused: what they offer and may not be used, with the reason.
    """
    whole = [
        *flaws,
        *(
            Flaw(one.place, "distribution", f"{one.name}: {reason}", "Correct the package.")
            for one, reason in refused
        ),
    ]
    return [problem_at(document, ("packages", one.place, one.field), one.reason, one.remedy) for one in whole]


def take_profile(
    document: Document, place: int, name: str, folders: Sequence[Path], profiles: dict[str, Profile | None]
) -> list[Problem]:
    """Put the profile that device ``place`` names into ``profiles``; what is wrong with it, or with its name.

    One that is wrong stands there as None: it is read and told once, however many devices name it.
    """
    if name in profiles:
        return []
    path = find_profile(name, folders)
    if path is None:
        looked = ", ".join(str(folder) for folder in folders)
        reason = f"no {name}.yaml in {looked}"
        remedy = "Add the profile or its folder."
        return [problem_at(document, ("devices", place, "profile"), reason, remedy)]
    try:
        profiles[name] = load_profile(path)
    except InputError as error:
        profiles[name] = None
        return list(error.problems)
    return []
