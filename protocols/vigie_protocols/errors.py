"""One error root with precise kinds.

Transient errors may be retried by whoever catches them; permanent ones never by themselves: somebody
must change something first.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class VigieError(Exception):
    """Root of every error Vigie raises on purpose."""


class TransientError(VigieError):
    """May succeed when tried again: a link is down, a device is late, a server is busy."""


class PermanentError(VigieError):
    """Will fail again until somebody changes something."""


class LinkDown(TransientError):
    """The link to a device or a broker is not up."""


class DeviceTimeout(TransientError):
    """A device did not answer within its budget."""


class DeviceBusy(TransientError):
    """A device asked to be tried later (Modbus 05, 06; OPC UA Bad_TooManyOperations)."""


class DeviceRefused(PermanentError):
    """A device refused a request: unknown address, wrong type, not writable."""


class FrameError(PermanentError):
    """A frame or message does not follow its format; it was dropped whole."""


class SignatureError(PermanentError):
    """A signature is missing, unknown or wrong."""


class Refused(PermanentError):
    """A request (policy, command, lease) was understood and refused; the text is the reason.

    ``code`` is a stable word for machines and translations, such as ``"older-generation"``.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where, what stands there, why it is wrong, what to do."""

    file: str
    field: str
    value: str
    reason: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        value = f" = {self.value}" if self.value else ""
        return f"{where}: {self.field}{value}: {self.reason}. {self.remedy}"


class InputError(PermanentError):
    """A configuration, profile, policy, scenario or network is wrong: all its problems at once.

    Commands print it as it is and leave with exit code 2.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def input_error(file: str, field: str, value: object, reason: str, remedy: str) -> InputError:
    """An InputError with a single problem."""
    shown = "" if value is None else repr(value)
    return InputError(
        [Problem(file, field, shown if len(shown) <= 80 else shown[:77] + "...", reason, remedy)]
    )
