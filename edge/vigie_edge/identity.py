"""Users of their own for field and uplink: the two processes that talk to strangers.

They map what they need while they still may, then become somebody who may open none of it. Numbers and groups are
those of setresuid(2), setgroups(2) and capset(2).
"""

import contextlib
import ctypes
import grp
import os
import pwd
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vigie_protocols.errors import PermanentError, input_error

CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_IPC_LOCK, CAP_SYS_NICE = 5, 6, 7, 14, 23
_VERSION_3 = 0x20080522
_HEAD = struct.Struct("<Ii")
_SETS = struct.Struct("<6I")  # effective, permitted, inheritable of capabilities 0 to 31, then of the rest


@dataclass(frozen=True)
class Identity:
    """A user with its groups, as numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Users:
    """Whom field and uplink run as; None: as whoever started the agent."""

    field: Identity | None = None
    uplink: Identity | None = None

    @property
    def apart(self) -> bool:
        """True when one of them has a user of its own."""
        return self.field is not None or self.uplink is not None


SAME_USER = Users()


def users_from(field: str, uplink: str) -> Users:
    """Users by name, or as UID:GID; empty for none. Raises InputError for what there is not or may not be."""
    found = Users(_identity("--field-user", field), _identity("--uplink-user", uplink))
    if found.apart and not _may_change_users():
        reason = "whoever started the agent may not change users"
        remedy = "Start it as root or with CAP_SETUID, CAP_SETGID and CAP_KILL, or leave the option out."
        raise input_error("command line", "--field-user, --uplink-user", f"{field}, {uplink}", reason, remedy)
    return found


def _identity(option: str, text: str) -> Identity | None:
    if not text:
        return None
    uid, _, gid = text.partition(":")
    if uid.isdigit() and gid.isdigit() and 0 < int(uid) < 2**32 - 1 and 0 < int(gid) < 2**32 - 1:
        return Identity(int(uid), int(gid), (int(gid),))
    try:
        user = pwd.getpwnam(text)
    except KeyError:
        user = None
    if user is None or user.pw_uid == 0:
        reason = "no such user" if user is None else "root is no user of its own"
        raise input_error("command line", option, text, reason, "Name a user, or write UID:GID.")
    return Identity(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(text, user.pw_gid)))


def _may_change_users() -> bool:
    effective = capabilities()
    return all(effective >> one & 1 for one in (CAP_KILL, CAP_SETGID, CAP_SETUID))


def capabilities() -> int:
    """This process's effective capabilities as a mask."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def become(identity: Identity) -> None:
    """Be ``identity`` from here on, without any capability, for good."""
    "host".encode(
        "idna"
    )  # loaded when first used, by a name's lookup: where Python is, the user may not look
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    keep_capabilities(())


def keep_capabilities(kept: Iterable[int]) -> None:
    """Give up every capability but ``kept`` (and of those whatever is not held)."""
    mask = capabilities() & sum(1 << one for one in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    head = ctypes.create_string_buffer(_HEAD.pack(_VERSION_3, 0))
    sets = ctypes.create_string_buffer(_SETS.pack(low, low, 0, high, high, 0))
    if ctypes.CDLL(None, use_errno=True).capset(head, sets) != 0:
        raise PermanentError(f"capset: {os.strerror(ctypes.get_errno())}")


def share(
    identity: Identity | None, own: Sequence[Path], read: Sequence[Path], on_the_way: Sequence[Path]
) -> None:
    """Let ``identity`` write in the folders ``own``, read in ``read``, and pass through ``on_the_way``.

    Their owner stays who runs the agent; ``identity`` has them by its group. Raises InputError where the group may
    not be given.
    """
    for folder in (*own, *read):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    if identity is None:
        return
    try:
        for folder in (*own, *read):
            for path in (folder, *folder.iterdir()):
                with contextlib.suppress(FileNotFoundError):  # a file beside another, replaced just now
                    if path.stat().st_gid != identity.gid:
                        os.chown(path, -1, identity.gid)
            folder.chmod(0o770 if folder in own else 0o750)
        for folder in on_the_way:
            folder.chmod(folder.stat().st_mode & 0o777 | 0o011)
    except PermissionError as error:
        name = str(identity.gid)
        with contextlib.suppress(KeyError):
            name = grp.getgrgid(identity.gid).gr_name
        remedy = f"Make whoever runs the agent a member of group {name}."
        raise input_error(
            "command line", "group", name, f"{error.filename}: {error.strerror}", remedy
        ) from error
