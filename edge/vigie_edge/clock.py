"""The agent's clocks: monotonic for control, UTC for stamps, and how far UTC may be trusted."""

import ctypes
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from vigie_protocols.points import ClockTrust

_STA_UNSYNC = 0x40
_STATUS_AT = 40  # offset of ``status`` in struct timex on 64-bit Linux (adjtimex(2))
_HOLDOVER_S = 24 * 3600.0
_JUMP_S = 1.0
_BUILT = 1_767_225_600.0  # 2026-01-01: a clock before this was never set


def kernel_synchronised() -> bool:
    """Whether the kernel says that its clock is disciplined (adjtimex's STA_UNSYNC is clear)."""
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        return False
    (status,) = struct.unpack_from("i", buffer.raw, _STATUS_AT)
    return not status & _STA_UNSYNC


def boot_id() -> str:
    """The kernel's id of this boot: monotonic times compare only within one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass
class TrustMeter:
    """Judges UTC once a second: synced, holdover for a day after the last sync, else untrusted.

    A jump of UTC against the monotonic clock takes the trust away until the next sync.
    vouched: somebody else keeps this clock (a container's host), so the kernel's word is not needed.
    """

    vouched: bool = False
    _offset: float | None = None
    _synced_at: float | None = None

    def judge(self, now: float, utc: float, synchronised: bool) -> ClockTrust:
        """The trust at ``now`` (monotonic) and ``utc`` seconds, given the kernel's word."""
        offset = utc - now
        jumped = self._offset is not None and abs(offset - self._offset) > _JUMP_S
        self._offset = offset
        if utc < _BUILT:
            self._synced_at = None
            return ClockTrust.UNTRUSTED
        if jumped and not synchronised and not self.vouched:
            self._synced_at = None
        if synchronised or self.vouched:
            if jumped:
                return ClockTrust.HOLDOVER
            self._synced_at = now
            return ClockTrust.SYNCED
        if self._synced_at is not None and now - self._synced_at <= _HOLDOVER_S:
            return ClockTrust.HOLDOVER
        return ClockTrust.UNTRUSTED


monotonic = time.monotonic
utc_now = time.time
