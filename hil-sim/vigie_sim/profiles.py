"""Device profiles by name, for rigs that stand in no gateway file."""

from functools import cache
from pathlib import Path

import vigie_protocols
from vigie_protocols.errors import input_error
from vigie_protocols.gateway import find_profile
from vigie_protocols.profile import Profile, load_profile


@cache
def builtin_profile(name: str) -> Profile:
    """A profile of ``firmware-config/profiles`` or of the copy in an installed wheel; raises InputError."""
    package = Path(vigie_protocols.__file__).parent
    folders = [package.parents[1] / "firmware-config" / "profiles", package / "builtin_profiles"]
    path = find_profile(name, folders)
    if path is None:
        raise input_error(f"{name}.yaml", "profile", None, "no such built-in profile", "Check the name.")
    return load_profile(path)
