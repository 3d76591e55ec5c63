"""The city's keys: a root that vouches, and the keys that it vouches for.

``keys/root.pem`` is needed to enrol alone and may be kept off the machine in between; ``bundle.pem`` and
``command.pem`` sign what the running coordinator sends; ``author.pem`` signs documents. ``ring.json`` is
the coordinator's own key ring: whose documents it takes.
"""

from dataclasses import dataclass
from pathlib import Path

from vigie_central.wording import COMMAND_LINE
from vigie_protocols.envelope import load_key_ring, sign_key_ring
from vigie_protocols.errors import input_error
from vigie_protocols.keys import (
    KeyRing,
    SigningKey,
    generate_key,
    load_private_key,
    public_of,
    save_private_key,
)

COORDINATOR = "coordinator"
"""The name under which the coordinator holds a key ring; no gateway may bear it."""
NAMES = ("root", "author", "bundle", "command")
FIRST_ROOT_EPOCH = 1


@dataclass(frozen=True, slots=True)
class RunningKeys:
    """What ``vigie-central run`` needs: the keys that sign bundles and commands, and the ring of the authors."""

    bundle: SigningKey
    command: SigningKey
    ring: KeyRing


def make_keys(directory: Path, now: float) -> None:
    """New keys in a new directory of mode 0700; raises InputError when there are keys already."""
    if directory.exists() and any(directory.iterdir()):
        raise input_error(
            str(directory),
            "keys",
            None,
            "il y a déjà des clés / there are keys already",
            "Les garder : les passerelles s'y fient / Keep them: gateways trust them. "
            "Un autre dossier d'état fait une autre ville / Another state directory makes another city.",
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    keys = {name: generate_key() for name in NAMES}
    for name, key in keys.items():
        save_private_key(directory / f"{name}.pem", key)
    ring = directory / "ring.json"
    ring.write_bytes(sign_key_ring(_ring(keys, COORDINATOR, FIRST_ROOT_EPOCH, now), keys["root"]))
    ring.chmod(0o600)


def load_running_keys(directory: Path) -> RunningKeys:
    """The keys of a running coordinator; raises InputError when one is missing or open to others."""
    return RunningKeys(
        load_private_key(directory / "bundle.pem"),
        load_private_key(directory / "command.pem"),
        load_key_ring(directory / "ring.json", COORDINATOR),
    )


def load_author(directory: Path, path: Path | None = None) -> SigningKey:
    """The key that signs documents: the one at ``path``, else the city's own."""
    return load_private_key(path or directory / "author.pem")


def make_gateway_ring(directory: Path, gateway: str, now: float) -> tuple[bytes, int]:
    """The signed key ring of a gateway and its root epoch; needs the root's private key."""
    if gateway == COORDINATOR:
        raise input_error(
            COMMAND_LINE,
            "GATEWAY",
            gateway,
            "ce nom est pris / this name is taken",
            "Choisir un autre nom / Choose another name.",
        )
    own = load_key_ring(directory / "ring.json", COORDINATOR)
    keys = {name: load_private_key(directory / f"{name}.pem") for name in NAMES}
    return sign_key_ring(_ring(keys, gateway, own.root_epoch, now), keys["root"]), own.root_epoch


def _ring(keys: dict[str, SigningKey], gateway: str, root_epoch: int, now: float) -> KeyRing:
    trusted = tuple(public_of(keys[name], [name], name) for name in NAMES if name != "root")
    return KeyRing(gateway, root_epoch, now, public_of(keys["root"], [], "root"), trusted)
