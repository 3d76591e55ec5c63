"""French or English for what people read in a terminal.

French, as the city's first language, unless ``VIGIE_LANG`` or the locale asks for English.
"""

import os


def language() -> str:
    """``fr`` or ``en``, by VIGIE_LANG, else by the first of LC_ALL, LC_MESSAGES and LANG that is set."""
    for name in ("VIGIE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        asked = os.environ.get(name, "").lower()
        if asked:
            return "en" if asked.startswith("en") else "fr"
    return "fr"


def say(french: str, english: str) -> str:
    """The one of the two that is wanted."""
    return english if language() == "en" else french
