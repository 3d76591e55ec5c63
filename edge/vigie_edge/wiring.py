"""What the processes of one agent share: made by the supervisor before it forks."""

import dataclasses
import errno
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vigie_edge.config import Plan, terms
from vigie_edge.identity import SAME_USER, Identity, Users, become, keep_capabilities, share
from vigie_edge.log import Log
from vigie_edge.memory.board import Board
from vigie_edge.memory.doorbell import Doorbell
from vigie_edge.memory.image import ImageCodec, OutputCodec, TwoSlot
from vigie_edge.memory.mapped import Heap
from vigie_edge.memory.ring import Ring
from vigie_protocols.errors import input_error
from vigie_protocols.localsocket import SOCKET_NAME

LINKS_FILE = "field/links.json"
"""In a folder of field's own below the runtime directory."""
UPLINK_FOLDER = "uplink"
"""Of the uplink's own, below the state directory: what was acknowledged, which commands were taken."""
TROUBLE_FILE = "trouble"
"""In it, why the uplink has no link to its broker; empty while it has one."""
RING_BYTES = 4 << 20
RING_WAIT_S = 30.0
"""Wall seconds a full ring may hold lock-step up; outside lock-step nobody waits."""
MAILBOX_BYTES = 256 << 10
SNAPSHOT_BYTES = 4 << 20


@dataclass
class Bells:
    """One doorbell per process: rung when there is something new for it. Anonymous unless ``named``."""

    control: Doorbell = dataclasses.field(default_factory=Doorbell)
    field: Doorbell = dataclasses.field(default_factory=Doorbell)
    recorder: Doorbell = dataclasses.field(default_factory=Doorbell)
    uplink: Doorbell = dataclasses.field(default_factory=Doorbell)
    supervisor: Doorbell = dataclasses.field(default_factory=Doorbell)

    @classmethod
    def named(cls, runtime: Path) -> "Bells":
        """Bells that whoever comes later finds again: pipes in the runtime directory."""
        return cls(**{one.name: Doorbell(runtime / f"{one.name}.bell") for one in dataclasses.fields(cls)})

    def belong_to(self, name: str) -> None:
        """Process ``name`` answers its own bell and can only ring the others."""
        for one in dataclasses.fields(self):
            if one.name != name:
                getattr(self, one.name).only_ring()

    @property
    def identities(self) -> list[int]:
        """What tells these bells from others of the same names."""
        return [getattr(self, one.name).identity for one in dataclasses.fields(self)]


@dataclass
class Wiring:
    """Configuration, paths and doorbells of one agent.

    lockstep: HOST:PORT of a simulator that paces this agent, or empty for wall-clock time.
    vouched: UTC is kept by somebody else and may be trusted.
    users: whom field and uplink run as.
    heap: memory in place of files, where all parts share one process.
    """

    plan: Plan
    runtime: Path
    bells: Bells
    lockstep: str = ""
    vouched: bool = False
    users: Users = SAME_USER
    heap: Heap | None = None

    def __post_init__(self) -> None:
        self.image_codec = ImageCodec(self.plan.table)
        self.output_codec = OutputCodec([decl.type for decl in self.plan.outputs])

    def log(self, process: str) -> Log:
        """The log of one process."""
        return Log(self.plan.gateway.gateway, process)

    def settle(self, name: str, identity: Identity | None, kept: Sequence[int] = ()) -> None:
        """What process ``name`` does when it has mapped its memory: it gives up what it no longer needs.

        identity: the user it becomes; None: it stays, with the capabilities ``kept``, and what it writes from
        here on the uplink's group may read.
        """
        if not self.users.apart:
            return
        self.bells.belong_to(name)
        if identity is not None:
            become(identity)
            return
        if self.users.uplink is not None:
            gid = self.users.uplink.gid
            os.setresgid(gid, gid, gid)
        keep_capabilities(kept)

    def terms(self) -> str:
        """What a process must have been started with for this agent to keep it."""
        return terms(self.plan.configuration, self.lockstep, self.vouched, self.users, *self.bells.identities)

    @property
    def paced(self) -> bool:
        """True in lock-step: rings may wait, time comes from the grants."""
        return bool(self.lockstep)

    @property
    def memory(self) -> Path | Heap:
        """Where what is shared stands."""
        return self.runtime if self.heap is None else self.heap

    def inputs(self, write: bool = False) -> TwoSlot:
        """Field's image for control. write: for field alone."""
        return TwoSlot(self.memory / "inputs", self.image_codec.size, self.plan.layout, not write)

    def outputs(self, write: bool = False) -> TwoSlot:
        """Control's newest outputs for field. write: for control alone."""
        return TwoSlot(self.memory / "outputs", self.output_codec.size, self.plan.layout, not write)

    def output_sequence(self) -> Ring:
        """In lock-step alone: every output frame of a tick, in order."""
        return Ring(self.memory / "sequence", RING_BYTES)

    def readings(self) -> Ring:
        """Field's ring to the recorder."""
        return Ring(self.memory / "readings", RING_BYTES)

    def scans(self) -> Ring:
        """Control's ring to the recorder."""
        return Ring(self.memory / "scans", RING_BYTES)

    def mailbox(self, sender: str) -> Ring:
        """Messages for control; one ring per sender (``uplink``, ``supervisor``)."""
        return Ring(self.memory / f"mailbox-{sender}", MAILBOX_BYTES)

    def answers(self, receiver: str) -> Ring:
        """Control's answers to what came by a mailbox."""
        return Ring(self.memory / f"answers-{receiver}", MAILBOX_BYTES)

    def peers_in(self) -> Ring:
        """The uplink's ring to control: what neighbours said."""
        return Ring(self.memory / "peers-in", MAILBOX_BYTES)

    def peers_out(self) -> Ring:
        """Control's ring to the uplink: what neighbours shall hear."""
        return Ring(self.memory / "peers-out", MAILBOX_BYTES)

    def snapshot(self, write: bool = False) -> TwoSlot:
        """Control's last snapshot, for its own restart. write: for control alone."""
        return TwoSlot(self.memory / "snapshot", SNAPSHOT_BYTES, self.plan.layout, not write)

    def board(self, owner: str = "") -> Board:
        """Everybody's counters; ``owner`` may write its own."""
        return Board(self.memory, owner)


def prepare_runtime(plan: Plan, users: Users = SAME_USER) -> Path:
    """The runtime directory, in memory where the gateway file does not insist on a place; mode 0700.

    An agent whose configuration changed must not meet frames of the old one: layouts differ then, and the
    slots' layout hash refuses them. Raises InputError for a directory that no gateway could have. A disk
    that is ill is no reason not to control: then the recorder says so, and goes on trying.
    """
    gateway = plan.gateway
    file = str(plan.configuration.file)
    _make(file, "state_dir", gateway.state_dir, 0o750, _ILL)
    _make(file, "journal.directory", gateway.journal.directory, 0o750, _ILL)
    if len(os.fsencode(gateway.runtime_dir / SOCKET_NAME)) > _SOCKET_PATH:
        reason = f"longer than the {_SOCKET_PATH - len(SOCKET_NAME) - 1} bytes that a socket's path leaves it"
        raise input_error(file, "runtime_dir", str(gateway.runtime_dir), reason, "Name a shorter place.")
    _make(file, "runtime_dir", gateway.runtime_dir, 0o700, ())
    share(users.field, [(gateway.runtime_dir / LINKS_FILE).parent], [], [gateway.runtime_dir])
    try:
        policies = gateway.state_dir / "policies"
        own = [policies / "incoming", gateway.state_dir / UPLINK_FOLDER]
        read = [policies, gateway.journal.directory / "telemetry"]
        share(users.uplink, own, read, [gateway.state_dir, gateway.journal.directory])
    except OSError as error:
        if error.errno not in _ILL:
            raise
    return gateway.runtime_dir


_SOCKET_PATH = 107
"""Bytes of a socket's path that the kernel takes."""
_ILL = (errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def _make(file: str, field: str, directory: Path, mode: int, spared: Sequence[int]) -> None:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in spared:
            return
        reason = f"cannot be made: {error.strerror}"
        raise input_error(file, field, str(directory), reason, "Name another place, or make it.") from error


def default_runtime(gateway: str, file: Path) -> Path:
    """A place in tmpfs for an agent whose file names none: /run as root, XDG_RUNTIME_DIR, else shared memory."""
    tag = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    for base in (Path("/run"), Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")), Path("/dev/shm")):
        if base.is_dir() and os.access(base, os.W_OK):
            return base / f"vigie-{os.getuid()}" / f"{gateway}-{tag}"
    return Path(tempfile.gettempdir()) / f"vigie-{os.getuid()}" / f"{gateway}-{tag}"
