"""Taking commands from the coordinator: signature, audience, expiry, and each nonce once, also over restarts."""

import contextlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

from vigie_edge.statefiles import write_atomic
from vigie_protocols import channel
from vigie_protocols.envelope import verify
from vigie_protocols.errors import Refused
from vigie_protocols.keys import KeyRing
from vigie_protocols.points import ClockTrust

_MOST = 1024


class CommandIntake:
    """Judges signed commands. file: where nonces are kept until their commands have expired."""

    def __init__(self, gateway: str, keyring: KeyRing | None, file: Path) -> None:
        self._gateway = gateway
        self._keyring = keyring
        self._file = file
        self._nonces: OrderedDict[str, float] = OrderedDict()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for nonce, expires in json.loads(file.read_bytes()).items():
                self._nonces[str(nonce)] = float(expires)

    def knows(self, nonce: str) -> bool:
        """True when a command with this nonce was taken."""
        return nonce in self._nonces

    def take(self, payload: bytes, utc: float, trust: ClockTrust) -> dict[str, Any] | channel.Response:
        """A request for control, or the response that refuses it.

        utc: seconds since 1970. Raises SignatureError, FrameError or Refused when it is no valid command at
        all: then nobody is answered.
        """
        if self._keyring is None:
            raise Refused("no-keyring", "this gateway has no key ring and takes no commands")
        verified = verify(payload, self._keyring, channel.PAYLOAD_TYPES["command"], channel.MAX_COMMAND)
        command = channel.decode_command(verified.payload)
        refusal = self._refuse(command, utc, trust)
        if refusal is not None:
            return channel.Response(command.nonce, False, *refusal)
        self._note(command.nonce, command.expires_utc, utc)
        return {
            "nonce": command.nonce,
            "action": command.action,
            "args": command.args,
            "holder": command.holder,
        }

    def _refuse(self, command: channel.Command, utc: float, trust: ClockTrust) -> tuple[str, str] | None:
        if command.audience != self._gateway:
            return "wrong-audience", f"the command is for {command.audience}"
        if command.nonce in self._nonces:
            return "repeated", "a command with this nonce was taken already"
        if trust is ClockTrust.UNTRUSTED:
            return "clock-untrusted", "the clock cannot tell whether the command has expired"
        if utc > command.expires_utc:
            return "expired", "the command has expired"
        if len(self._nonces) >= _MOST and min(self._nonces.values()) >= utc:
            return "too-many", f"{_MOST} commands that have not expired were taken already"
        return None

    def _note(self, nonce: str, expires: float, utc: float) -> None:
        """Keep the nonce on disk before the command is acted upon; expired ones are forgotten."""
        self._nonces[nonce] = expires
        for old in [one for one, until in self._nonces.items() if until < utc]:
            del self._nonces[old]
        with contextlib.suppress(OSError):  # a full disk must not stop an operator; the memory still knows
            write_atomic(self._file, json.dumps(self._nonces).encode())
