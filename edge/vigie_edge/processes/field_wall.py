"""Field in wall-clock time: polls and subscriptions as they come, one writer per link, expiry of outputs.

No link waits for another: each has its own poll and its own writer, which always writes the newest value
of each output. Expiry runs beside them and waits for no device.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from vigie_edge import clock
from vigie_edge.memory.image import OutputFrame
from vigie_edge.processes.field import FieldState
from vigie_edge.statefiles import write_atomic
from vigie_edge.wiring import LINKS_FILE, Wiring
from vigie_protocols.driver import Change, Counters, Driver

PUBLISH_S = 0.25
"""A frame at least so often, also when no device says anything: control takes older ones for a dead field."""
SHARE_S = 0.002
"""What comes within two milliseconds of each other, or a tenth of a scan, shares a frame; nothing urgent waits."""
PACKING_SHARE = 0.04
"""Of field's time that closing images may take: with thousands of points they come less often, save for what
is urgent."""
SAFE_AGAIN_S = 1.0
FIRST_S = 1.0
"""A device is told as down only after it had so long to answer for the first time."""
LAST_WRITE_S = 1.5
"""Seconds field takes at most, when told to stop, to leave every output at its safe value."""
LAST_TRY_S = 0.4
"""Seconds for one attempt at one device: stopped in the middle of a request, it may need a second one."""


class LinkWriter:
    """Writes one link's outputs, the newest value of each; what comes while it writes waits together."""

    def __init__(self, state: FieldState, link: str) -> None:
        self._state = state
        self._link = link
        self._waiting: dict[int, Change] = {}
        self._some = asyncio.Event()
        self._busy = False

    def put(self, change: Change) -> None:
        """Write ``change`` as soon as the link is free; it replaces an older value that still waits."""
        self._waiting.pop(change.index, None)
        self._waiting[change.index] = change
        self._some.set()

    @property
    def idle(self) -> bool:
        """True when nothing waits and nothing is being written."""
        return not self._waiting and not self._busy

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            changes = list(self._waiting.values())
            self._waiting.clear()
            if changes:
                self._busy = True
                try:
                    await self._state.write_link(self._link, changes)
                finally:
                    self._busy = False


_COUNTERS = tuple(one.name for one in dataclasses.fields(Counters))


def tell_links(runtime: Path, drivers: Mapping[str, Driver], now: float) -> None:
    """Links and devices as they stand, for ``status``: a small file beside the shared memory."""
    told = {
        name: {
            "up": driver.state.up,
            "error": driver.state.error,
            "counters": {one: getattr(driver.state.counters, one) for one in _COUNTERS},
            "devices": {
                one.name: {"up": one.up, "error": one.error, "age_s": round(min(now - one.last_good, 1e6), 1)}
                for one in driver.state.devices.values()
            },
        }
        for name, driver in drivers.items()
    }
    with contextlib.suppress(OSError):
        write_atomic(runtime / LINKS_FILE, msgspec.json.encode(told), durable=False)


class WallField:
    """Field in wall-clock time."""

    def __init__(self, wiring: Wiring) -> None:
        self.state = FieldState(wiring, clock.monotonic)
        self.wiring = wiring
        self._meter = clock.TrustMeter(wiring.vouched)
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._bell = asyncio.Event()
        self._safe_since: float | None = None
        self._frame_number = 0
        self._frame: OutputFrame | None = None
        self._writers = {link: LinkWriter(self.state, link) for link in self.state.drivers}

    async def run(self) -> None:
        """Serve until cancelled; the last act is to write every safe value."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.wiring.bells.field.fd, self._answer_bell)
        self.state.arrived = self._arrived
        for driver in self.state.drivers.values():
            await driver.open()
        try:
            async with asyncio.TaskGroup() as group:
                for driver in self.state.drivers.values():
                    group.create_task(self._poll(driver))
                for writer in self._writers.values():
                    group.create_task(writer.run())
                group.create_task(self._publish())
                group.create_task(self._follow())
                group.create_task(self._housekeeping())
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Nobody drives the outputs from here on: leave them at their safe values, then let go of the devices."""
        self.state.forget_told()  # what still waited, or was being written, may not have reached its device
        rows: dict[str, dict[str, list[Change]]] = {}
        for change in self.state.changes(self.wiring.plan.safe, clock.utc_now()):
            link, device = self.state.link_of(change.index), self.wiring.plan.points[change.index].device
            rows.setdefault(link, {}).setdefault(device, []).append(change)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE_S):
                await asyncio.gather(
                    *(self._leave_link(link, list(of.values())) for link, of in rows.items())
                )
        # A device that answered none of it is left to its own watchdog.
        for driver in self.state.drivers.values():
            await driver.close()

    async def _leave_link(self, link: str, waiting: list[list[Change]]) -> None:
        """Device by device, so that a slow or silent one keeps none of its line from its safe values."""
        while waiting:
            mine = waiting.pop(0)
            try:
                async with asyncio.timeout(LAST_TRY_S):
                    report = await self.state.write_link(link, mine)
            except TimeoutError:
                waiting.append(mine)
                continue
            failed = {result.index for result in report.results if not result.ok}
            if failed:
                waiting.append([change for change in mine if change.index in failed])
                await asyncio.sleep(0.02)

    def _answer_bell(self) -> None:
        self.wiring.bells.field.answer()
        self._bell.set()

    def _arrived(self) -> None:
        self._dirty.set()
        if self.state.urgent_change:
            self._urgent.set()

    async def _poll(self, driver: Driver) -> None:
        while True:
            due = await driver.poll(clock.monotonic())
            await asyncio.sleep(max(0.0, due - clock.monotonic()))

    def _all_up(self) -> bool:
        return all(one.up for driver in self.state.drivers.values() for one in driver.state.devices.values())

    async def _publish(self) -> None:
        # A first image of nothing would only alarm people: give the devices a moment.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while not self._all_up():
                    await self._dirty.wait()
                    self._dirty.clear()
        self._dirty.set()
        scan_s = self.wiring.plan.gateway.scan_s
        share_s = min(SHARE_S, scan_s / 10)
        not_before = 0.0
        while True:
            await self._dirty.wait()
            await self._unless_urgent(max(share_s, not_before - clock.monotonic()))
            self._dirty.clear()
            begun = clock.monotonic()
            self.state.publish(0, begun, clock.utc_now())
            if self.state.urgent_change:
                self.state.urgent_change = False
                self._urgent.clear()
                self.wiring.bells.control.ring()
            ended = clock.monotonic()
            not_before = ended + min((ended - begun) / PACKING_SHARE, PUBLISH_S, scan_s / 2)

    async def _unless_urgent(self, seconds: float) -> None:
        if not self.state.urgent:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), seconds)

    # -- outputs -------------------------------------------------------------------------------------

    def _hand_out(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._writers[self.state.link_of(change.index)].put(change)

    async def _follow(self) -> None:
        """Control's frames to the devices while they come in time, the safe values as soon as they do not."""
        while True:
            try:
                await asyncio.wait_for(self._bell.wait(), max(0.0, self._patience()))
            except TimeoutError:
                self._take_frame()  # it may be we who were late, not control
                if self._safe_since is not None or self._patience() <= 0.0:
                    self._write_safe()
                continue
            self._bell.clear()
            self._take_frame()

    def _patience(self) -> float:
        """Seconds until the newest frame is too old; until the safe values are checked again when it is."""
        if self._safe_since is not None:
            return SAFE_AGAIN_S
        if self._frame is None:
            return self.wiring.plan.expiry_s
        return self._frame.expiry - clock.monotonic()

    def _take_frame(self) -> None:
        found = self.state.outputs.read()
        if found is None or found[0] == self._frame_number:
            return
        self._frame_number = found[0]
        frame = self.wiring.output_codec.unpack(found[1])
        now, utc = clock.monotonic(), clock.utc_now()
        if not now < frame.expiry <= now + 2 * self.wiring.plan.expiry_s:
            return  # of a control that stood still, or of a machine that has started anew since
        self._frame = frame
        if self._safe_since is not None:
            self._safe_since = None
            self.state.note(now, utc, "control-back", "control", "outputs come again")
        self._hand_out(self.state.changes(frame.values, utc, now))

    def _write_safe(self) -> None:
        """Control is silent: write every safe value ourselves, and again each second until it speaks."""
        now, utc = clock.monotonic(), clock.utc_now()
        if self._safe_since is None:
            self._safe_since = now
            self.state.note(now, utc, "control-silent", "control", "safe values written")
        changes = self.state.changes(self.wiring.plan.safe, utc)
        self.state.board.add("field.safe_writes", len(changes))
        self._hand_out(changes)

    # -- once in a while -----------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        begun = clock.monotonic()
        judged = published = -1.0
        while True:
            now, utc = clock.monotonic(), clock.utc_now()
            if now - judged >= 1.0:
                judged = now
                self.state.trust = self._meter.judge(now, utc, clock.kernel_synchronised())
                self.state.age(now)
                if now - begun >= FIRST_S:
                    self.state.watch_links(now, utc)
                tell_links(self.wiring.runtime, self.state.drivers, now)
            if now - published >= PUBLISH_S:
                published = now
                self._dirty.set()
            self.state.board.add("field.beat")
            if self._safe_since is None and self._frame is not None:
                self._hand_out(self.state.heartbeats(now, utc))
            await asyncio.sleep(0.1)
